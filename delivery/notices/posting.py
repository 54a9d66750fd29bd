"""A notice handed to the queue: put together, given a way out, and never about another notice."""

from collections.abc import Collection, Mapping, Sequence

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.utils import translation

from delivery import assignment, queue
from delivery.composing import compose_message
from delivery.notices.letter import letter_of
from delivery.queue import Breaker, DueNotice, Handover, MessagePriority, Paused, PoolKey, ProfileStateRow
from smtp_settings import wire
from smtp_settings.models import SMTPProfile
from smtp_settings.test_send import received
from smtp_settings.wire import WayOut

#: What was wrong with the message itself: its server is as good as any for the notice.
_NOT_THE_SERVERS = frozenset(
    {"compose", "content", "expires_at", "mailbox_full", "recipient", "size", "too_large"}
)


def post(due: DueNotice) -> None:
    """Queue the email, in the caller's transaction."""
    facts = queue.notice_facts(due.message_ids)
    servers = {*due.paused_ids, *due.refusing_ids}
    names = dict(SMTPProfile.objects.filter(pk__in=servers).values_list("pk", "name"))
    with translation.override(settings.LANGUAGE_CODE):
        letter = letter_of(due, facts, profiles=names, base=received.known_base())
    message = EmailMultiAlternatives(
        letter.subject, letter.text(), to=[due.recipient], headers={"Auto-Submitted": "auto-generated"}
    )
    message.attach_alternative(letter.html(), "text/html")
    blamed = {fact.profile_id for fact in facts if fact.cause not in _NOT_THE_SERVERS} - {None}
    site_id = next((fact.site_id for fact in facts), None)
    handover = Handover(
        compose_message(message),
        priority=MessagePriority.HIGH,
        site_id=site_id,
        profile_id=_way_around(blamed | servers, site_id),
        tag=queue.NOTICE_TAG,
    )
    queue.enqueue([handover])


def _way_around(profile_ids: Collection[int | None], site_id: int | None) -> int | None:
    if not profile_ids:
        return None
    ways = wire.ways_out()
    states = queue.profile_states(way.profile_id for way in ways)
    return way_around(profile_ids, ways, states, site_id)


def way_around(
    profile_ids: Collection[int | None],
    ways: Sequence[WayOut],
    states: Mapping[int, ProfileStateRow],
    site_id: int | None,
) -> int | None:
    """Choose a profile in use that is none of these and has a sender; None: the notice goes any way."""
    in_use = (way for way in ways if _is_in_use(states[way.profile_id]))
    others = [way for way in in_use if way.profile_id not in profile_ids and way.sender.from_address]
    return next(iter(assignment.order(others, PoolKey(0, site_id, None, None))), None)


def _is_in_use(state: ProfileStateRow) -> bool:
    return state.paused is Paused.NO and state.breaker is Breaker.CLOSED

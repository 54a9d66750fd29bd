"""How each server is doing, in words: what the queue knows of profiles, for the pages of both apps.

The profile pages may not import the queue, so they ask `smtp_settings.facts`; the project answers here.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth import get_user_model
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from delivery import assignment, stats
from delivery.queue import Breaker, Paused
from delivery.showing import clock
from smtp_settings.diagnosis import Symptom
from smtp_settings.explaining import explain_failure
from smtp_settings.facts import Candidate, ProfileFacts
from smtp_settings.facts import Health as Kind
from transports.oauth import REFUSALS

#: Beat wakes an idle worker every fifteen seconds; silent for longer than this, none is there.
_WORKERS_SILENT_AFTER = timedelta(seconds=45)

#: Replies that are given to a sign-in only (RFC 4954 section 6).
_TO_A_SIGN_IN = frozenset({534, 535})

#: A mean time of an attempt above this is called slow, milliseconds.
SLOW_MS = 3_000


@dataclass(frozen=True, slots=True)
class Health:
    """How a server is doing: a phrase, its tone and the word for filters.

    `is_down`: it is not used now. `sign_in_refused_since` is the time as people say it, "" where that
    is not why.
    """

    words: str | Promise
    tone: str
    is_down: bool = False
    kind: Kind = Kind.IDLE
    sign_in_refused_since: str = ""


#: What most servers are: translated where it is shown, not for each server.
_IDLE = Health(gettext_lazy("No traffic"), "is-quiet")
_WORKING = Health(gettext_lazy("Working"), "is-ok", kind=Kind.WORKING)
_HALF_OPEN = Health(gettext_lazy("Trying again with one message"), "is-warn", kind=Kind.BREAKER)


def health(numbers: stats.ProfileNumbers, people: Mapping[int, str]) -> Health:
    """Say how a server is doing; `people` names those who may have paused it."""
    if numbers.paused is not Paused.NO:
        return _paused(numbers, people)
    if numbers.breaker is Breaker.OPEN:
        words = _("Breaker open, %(next)s") % {"next": next_try(numbers)}
        return Health(words, "is-bad", is_down=True, kind=Kind.BREAKER)
    if numbers.breaker is Breaker.HALF_OPEN:
        return _HALF_OPEN
    if numbers.files_since is not None:
        words = _("Nobody takes its files since %(since)s") % {"since": clock(numbers.files_since)}
        return Health(words, "is-bad", kind=Kind.SLOW)
    if numbers.ms is None:
        return _IDLE
    if numbers.ms > SLOW_MS:
        return Health(_("Slow: %(s).1f s per message") % {"s": numbers.ms / 1000}, "is-warn", kind=Kind.SLOW)
    return _WORKING


def next_try(numbers: stats.ProfileNumbers) -> str:
    """Say when a server whose breaker is open is tried again; from that moment on the next message does."""
    if numbers.open_until is None or numbers.open_until <= timezone.now():
        return _("the next message tries it")
    return _("next try %(at)s") % {"at": clock(numbers.open_until)}


def _paused(numbers: stats.ProfileNumbers, people: Mapping[int, str]) -> Health:
    since = clock(numbers.changed_at)
    if numbers.paused is Paused.PERSON:
        who = people.get(numbers.paused_by_id or 0) or _("somebody")
        words = _("Paused by %(who)s since %(since)s") % {"who": who, "since": since}
        return Health(words, "is-warn", is_down=True, kind=Kind.PAUSED)
    if _sign_in_refusal(numbers) is not None:
        words = _("Paused: sign-in refused since %(since)s") % {"since": since}
        return Health(words, "is-bad", is_down=True, kind=Kind.PAUSED, sign_in_refused_since=since)
    reason = numbers.reason.rstrip(".") or _("the server refuses us")
    words = _("Paused: %(reason)s since %(since)s") % {"reason": reason, "since": since}
    return Health(words, "is-bad", is_down=True, kind=Kind.PAUSED)


def _sign_in_refusal(numbers: stats.ProfileNumbers) -> Symptom | None:
    """Return the reply that paused a server when it is one to a sign-in; None for any other pause.

    That of a token address names its error first ("400 invalid_grant AADSTS700082: ..").
    """
    said = Symptom.of_words("auth", numbers.reason) if numbers.paused is Paused.FAULT else None
    if said is None:
        return None
    if said.text.partition(" ")[0] in REFUSALS:
        return Symptom.of_words("token", numbers.reason)
    return said if said.code in _TO_A_SIGN_IN else None


def facts(ids: Collection[int]) -> dict[int, ProfileFacts]:
    """Answer `smtp_settings.facts`, in a constant number of statements."""
    found = stats.profile_facts(ids)
    people = names_of(found.values())
    page = reverse("admin:delivery_message_changelist")
    return {
        profile_id: _facts(numbers, health(numbers, people), f"{page}?pinned={profile_id}")
        for profile_id, numbers in found.items()
    }


@dataclass(frozen=True, slots=True)
class _Route:
    """The route of ordinary mail of one site."""

    site_id: int | None
    id: int = 0
    sender_domain: str | None = None
    profile_id: int | None = None


def order(candidates: Sequence[Candidate], site_id: int | None) -> Sequence[int]:
    """Answer `smtp_settings.facts.order_of_use` as the dispatcher would choose."""
    free = {one.profile_id: one.free_connections for one in candidates}
    return assignment.order(candidates, _Route(site_id), free)


def names_of(numbers: Collection[stats.ProfileNumbers]) -> dict[int, str]:
    """Name those who paused a server."""
    ids = {number.paused_by_id for number in numbers if number.paused_by_id is not None}
    if not ids:
        return {}
    return {user.pk: user.get_username() for user in get_user_model()._default_manager.filter(pk__in=ids)}


def files_note(numbers: stats.ProfileNumbers) -> str:
    """Say that files stay in the pickup directory, "" when they are taken."""
    if numbers.files_since is None:
        return ""
    since = {"since": clock(numbers.files_since)}
    return _("Files stay in the directory since %(since)s: nobody takes them.") % since


def _facts(numbers: stats.ProfileNumbers, how: Health, messages_url: str) -> ProfileFacts:
    limits = limits_note(numbers)
    return ProfileFacts(
        health=how.words,
        kind=how.kind,
        tone=how.tone,
        paused=str(how.words) if numbers.paused is not Paused.NO else "",
        is_down=how.is_down,
        can_try_now=numbers.paused is Paused.NO and numbers.breaker is Breaker.OPEN,
        note=" ".join(filter(None, [files_note(numbers), _pipelining_or_refusal(numbers), limits])),
        can_forget=bool(limits) or numbers.sequential_until is not None,
        waiting=numbers.waiting,
        pinned=numbers.pinned,
        messages_url=messages_url,
        sent_24h=numbers.sent_24h,
        connections_in_use=numbers.connections_in_use,
        may_delete=numbers.may_delete,
    )


def learned_of(numbers: stats.ProfileNumbers) -> list[str]:
    """Say what was learned of a server and holds now, a part of a sentence each."""
    if numbers.learned == stats.NOTHING_LEARNED:
        return []
    bears, known = numbers.bears, numbers.learned
    found: list[str] = []
    if (n := bears.connections) is not None:
        words = ngettext("%(n)d connection at once (%(at)s)", "%(n)d connections at once (%(at)s)", n)
        found.append(words % {"n": n, "at": clock(known.connections_at)})
    if (n := bears.session_messages) is not None:
        words = ngettext("%(n)d message a session (%(at)s)", "%(n)d messages a session (%(at)s)", n)
        found.append(words % {"n": n, "at": clock(known.session_messages_at)})
    if (n := bears.recipients) is not None:
        words = ngettext("%(n)d recipient a message (%(at)s)", "%(n)d recipients a message (%(at)s)", n)
        found.append(words % {"n": n, "at": clock(known.recipients_at)})
    return found


def limits_note(numbers: stats.ProfileNumbers) -> str:
    """Say in a sentence what the server bears as it was learned, "" when nothing was."""
    limits = learned_of(numbers)
    return (
        _("Learned from its answers: at most %(limits)s.") % {"limits": ", ".join(limits)} if limits else ""
    )


def _pipelining_or_refusal(numbers: stats.ProfileNumbers) -> str:
    refusal = _sign_in_refusal(numbers)
    if refusal is not None:
        # The table that explains tests, without the profile's values: which they are is on its page.
        return f"{explain_failure(refusal, {}).cause} ({refusal.words})"
    if numbers.sequential_until is None:
        return ""
    return _(
        "One command at a time until %(until)s: its answers to pipelined commands did not fit together."
    ) % {"until": clock(numbers.sequential_until)}


def worker_is_alive() -> bool:
    """Answer `smtp_settings.workers`: whether a worker was heard of just now."""
    heard_at = stats.last_heartbeat_at()
    return heard_at is not None and timezone.now() - heard_at < _WORKERS_SILENT_AFTER

"""What a message's page shows: envelope, recipients with their verdicts, the timeline of attempts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import getaddresses

from django.db.models import OuterRef, Subquery
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from delivery import stats
from delivery.admin.blind import Blind
from delivery.admin.causes import Cause, cause_of
from delivery.admin.history import Deed, Link, deeds_of
from delivery.admin.sentences import MET_AGAIN, Sentence, sentence, words_of
from delivery.admin.states import OPEN, TONES, Standing, State, standings
from delivery.admin.waiting import Card, card_of
from delivery.classification import OVERRIDE
from delivery.composing import readable
from delivery.models import Attempt, Content, Message, Worker
from delivery.reading import headers_of, one_line
from smtp_settings.models import SMTPProfile

#: Attempts shown; the oldest are left out. A message deferred for two days has about twenty.
MAX_ATTEMPTS = 100
#: Bytes of stored content read for the addresses a viewer may see.
_HEAD_BYTES = 100_000

_RESULT_TONES = {
    Attempt.Result.RETRY: "is-warn",
    Attempt.Result.FAILED: "is-bad",
    Attempt.Result.RELEASED: "is-quiet",
    Attempt.Result.UNCERTAIN: "is-mark",
    Attempt.Result.LOST: "is-mark",
    Attempt.Result.PARTIAL: "is-warn",
    Attempt.Result.LATE: "is-mark",
}

#: How a line of a conversation begins, and its class.
_SPEAKERS = {"C: ": "is-client", "S: ": "is-server"}


@dataclass(frozen=True, slots=True)
class Recipient:
    """One address of the envelope and what became of it; `instead` is who got it in its place."""

    address: str
    verdict: str
    tone: str
    reply: str = ""
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """One entry of the timeline."""

    at: datetime
    title: str
    badge: str | Promise
    tone: str
    reply: str = ""
    cause: str = ""
    ms: int | None = None
    transcript: Sequence[tuple[str, str]] = ()
    who: str = ""
    links: Sequence[Link] = ()


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Everything the delivery page shows of a message, cleaned for display."""

    message: Message
    subject: str
    from_header: str
    standing: Standing
    sentence: Sentence
    profile: SMTPProfile | None
    pinned_profile: SMTPProfile | None
    recipients: list[Recipient]
    hidden_recipients: int
    timeline: list[Moment]
    size_bytes: int | None
    why: Card | None  #: for one that waits

    @property
    def has_replies(self) -> bool:
        """Whether a recipient has a reply of its own; the sentence on top has that of all."""
        return any(recipient.reply for recipient in self.recipients)

    @property
    def first_act(self) -> str:
        """What is offered first: "act" the first of the actions, "others" other recipients, "" nothing."""
        if self.standing.state is State.SENT:
            return ""
        if self.standing.state is not State.FAILED or self.standing.cause not in MET_AGAIN:
            return "act"
        return "others" if self.standing.cause == "recipient" else ""


def page_of(message: Message, *, may_see_content: bool, may_see_profile: bool) -> MessagePage:
    """Gather a message's page.

    Without the content permission, blind recipients are not named. Who may not see profiles is told no name
    of one, and only such causes as say nothing of one.
    """
    standing = standings([message])[message.pk]
    attempts = _attempts(message)
    is_open = standing.state in OPEN
    # A waiting message asks every profile.
    profiles = _every_profile() if is_open else _profiles(message, standing, attempts)
    told = profiles if may_see_profile else {}
    profile = told.get(standing.profile_id or 0)
    content = Content.objects.filter(pk=message.pk).values("size", "data").first()
    named = None if may_see_content else _named(bytes(content["data"]) if content else None)
    shown, hidden = _sorted_recipients(message, named)
    blind = Blind(hidden, may_see_profiles=may_see_profile)
    causes = {
        attempt.pk: cause_of(attempt, message, told.get(attempt.profile_id or 0)) for attempt in attempts
    }
    last = attempts[0] if attempts else None
    said = sentence(
        message,
        standing,
        last,
        profile=_name_in(told, standing.profile_id, may_see_profile=may_see_profile),
        cause=causes[last.pk] if last else None,
    )
    return MessagePage(
        message=message,
        subject=one_line(readable(message.subject)),
        from_header=one_line(readable(message.from_header)),
        standing=standing,
        sentence=said.masked(blind),
        profile=profile,
        pinned_profile=told.get(message.pinned_profile_id or 0),
        recipients=[_recipient(address, message, standing, blind) for address in shown],
        hidden_recipients=len(hidden),
        timeline=_with_deeds(
            _timeline(message, standing, attempts, told if may_see_profile else None, causes, blind),
            deeds_of(message, may_see_profiles=may_see_profile),
        ),
        size_bytes=content["size"] if content else None,
        why=card_of(
            stats.snapshot(message.pk, profiles=profiles.values()),
            may_see_profiles=may_see_profile,
            blind=blind,
        )
        if is_open
        else None,
    )


def _attempts(message: Message) -> list[Attempt]:
    """Return the newest attempts first, each with its worker's `host`, None for one that is gone."""
    host = Worker.objects.filter(pk=OuterRef("worker_id")).values("host")
    attempts = Attempt.objects.filter(message_id=message.pk).annotate(host=Subquery(host))
    return list(attempts.order_by("-pk")[:MAX_ATTEMPTS])


def _every_profile() -> dict[int, SMTPProfile]:
    return {profile.pk: profile for profile in stats.all_profiles()}


def _profiles(message: Message, standing: Standing, attempts: list[Attempt]) -> dict[int, SMTPProfile]:
    ids = (
        message.profile_id,
        standing.profile_id,
        message.pinned_profile_id,
        *(a.profile_id for a in attempts),
    )
    wanted = {profile_id for profile_id in ids if profile_id is not None}
    found = SMTPProfile.objects.filter(pk__in=wanted).defer("password") if wanted else ()
    return {profile.pk: profile for profile in found}


def _name_in(
    profiles: Mapping[int, SMTPProfile], profile_id: int | None, *, may_see_profile: bool
) -> str | None:
    """Return the name for the sentence: "" for a removed one, None where no name is told."""
    if not may_see_profile:
        return None
    profile = profiles.get(profile_id or 0)
    return profile.name if profile else ""


def _named(data: bytes | None) -> set[str]:
    """Return the addresses that every recipient can see: those of To and Cc."""
    if data is None:
        return set()
    fields = headers_of(data[:_HEAD_BYTES])
    values = [value for name, value in fields if name.lower() in ("to", "cc")]
    return {address.lower() for _name, address in getaddresses(values)}


def _sorted_recipients(message: Message, named: set[str] | None) -> tuple[list[str], list[str]]:
    """Return the addresses that are named, and those that are not.

    `named` None names all. The first one always is: the list shows it.
    """
    shown: list[str] = []
    hidden: list[str] = []
    for place, address in enumerate(message.rcpt_to):
        is_named = named is None or place == 0 or address.lower() in named
        (shown if is_named else hidden).append(address)
    return shown, hidden


def _recipient(address: str, message: Message, standing: Standing, blind: Blind) -> Recipient:
    known = (message.verdicts or {}).get(address)
    label, tone = str(standing.state.label), standing.tone
    if known is None:
        return Recipient(one_line(address), label, tone)
    verdict, words = _verdict(known)
    reply = one_line(blind.mask(words))
    state = State(verdict) if verdict in State.values else None
    if state is not None:
        return Recipient(one_line(address), str(state.label), TONES[state], reply, _instead(known))
    return Recipient(one_line(address), label, tone, reply)


def _instead(known: object) -> str:
    """Return who got it in this recipient's place, "" for nobody."""
    return one_line(str(known.get("redirected_to", ""))) if isinstance(known, Mapping) else ""


def _verdict(known: object) -> tuple[str, str]:
    """Read a stored verdict: its state and the server's words."""
    if not isinstance(known, Mapping):
        return "", ""
    words = (known.get("code"), known.get("enhanced"), known.get("reply"))
    return str(known.get("state", "")), " ".join(str(word) for word in words if word)


def _timeline(
    message: Message,
    standing: Standing,
    attempts: list[Attempt],
    profiles: Mapping[int, SMTPProfile] | None,
    causes: Mapping[int, Cause | None],
    blind: Blind,
) -> list[Moment]:
    """Return what happened, newest first; `profiles` None names none.

    A success is on the message row: attempts are only what went wrong.
    """
    moments = [
        replace(_moment(attempt, profiles or {}, blind), cause=_cause(causes[attempt.pk], blind))
        for attempt in attempts
    ]
    if standing.state is State.SENT and message.done_at:
        title = _("Attempt %(n)d") % {"n": message.attempts}
        if profiles is not None:
            profile = profiles.get(message.profile_id or 0)
            title = _("Attempt %(n)d through %(profile)s") % {
                "n": message.attempts,
                "profile": profile.name if profile else _("a removed profile"),
            }
        reply = one_line(blind.mask(words_of(message)))
        moments.insert(0, Moment(message.done_at, title, _("Accepted"), "is-ok", reply))
    elif standing.state in (State.CANCELLED, State.HELD, State.SUPPRESSED, State.EXPIRED) and message.done_at:
        moments.insert(
            0, Moment(message.done_at, str(standing.state.label), standing.state.label, standing.tone)
        )
    moments.append(Moment(message.created_at, _("Handed over"), State.QUEUED.label, "is-quiet"))
    return moments


def _with_deeds(moments: list[Moment], deeds: Sequence[Deed]) -> list[Moment]:
    """Put what people did where it belongs; the end it brought is not told twice."""
    told = {str(deed.tells.label) for deed in deeds if deed.tells is not None}
    kept = [moment for moment in moments if moment.title not in told]
    kept += [
        Moment(deed.at, deed.title, deed.badge, deed.tone, who=deed.who, links=deed.links) for deed in deeds
    ]
    return sorted(kept, key=lambda moment: moment.at, reverse=True)


def _cause(cause: Cause | None, blind: Blind) -> str:
    return one_line(blind.mask(cause.sentence)) if cause is not None else ""


def _moment(attempt: Attempt, profiles: Mapping[int, SMTPProfile], blind: Blind) -> Moment:
    profile = profiles.get(attempt.profile_id or 0)
    worker: str | None = attempt.host  # type: ignore[attr-defined]  # annotated by `_attempts`
    parts = [_("Attempt %(n)d") % {"n": attempt.n}]
    if worker:
        parts.append(
            _("by worker %(id)d on %(host)s") % {"id": attempt.worker_id, "host": one_line(worker, 60)}
        )
    if profile:
        parts.append(_("through %(profile)s") % {"profile": profile.name})
    if attempt.cause == OVERRIDE:
        parts.append(_("(judged by a rule of the profile)"))
    result = (
        Attempt.Result(attempt.outcome)
        if attempt.outcome in Attempt.Result.values
        else Attempt.Result.RELEASED
    )
    return Moment(
        attempt.at,
        " ".join(parts),
        result.label,
        _RESULT_TONES[result],
        one_line(blind.mask(words_of(attempt))),
        ms=attempt.ms,
        transcript=_conversation(blind.mask(attempt.transcript)),
    )


def _conversation(transcript: str) -> list[tuple[str, str]]:
    """Return (class, text) for each line."""
    return [(_SPEAKERS.get(line[:3], "is-note"), line) for line in transcript.split("\n") if line]

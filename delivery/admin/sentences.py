"""The one sentence on top of a message's page: what happened, then what to do."""

from dataclasses import dataclass, replace

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from delivery.admin.blind import Blind
from delivery.admin.causes import Cause
from delivery.admin.states import Standing, State
from delivery.classification import OVERRIDE
from delivery.models import Attempt, Message
from delivery.reading import one_line
from delivery.showing import moment, server_words
from delivery.waiting_words import HELD, HELD_SOMEHOW, MAY_HAVE_ARRIVED

#: A server may write as much as it likes; codes from here on do not ask to wait.
_MOST_CHARACTERS, _REFUSED = 1000, 500
#: Why a message failed, by the stable word the classification gave, and what a person may do.
_CAUSES = {
    "recipient": (
        gettext_lazy("The server does not accept this recipient:"),
        gettext_lazy("Retrying will not help unless the address is corrected."),
    ),
    "mailbox_full": (
        gettext_lazy("The recipient's mailbox is full:"),
        gettext_lazy("Retry when the recipient has made room."),
    ),
    "sender": (
        gettext_lazy("The server does not accept the sender:"),
        gettext_lazy("Look at the From address of the profile."),
    ),
    "relay": (
        gettext_lazy("The server does not relay for this sender:"),
        gettext_lazy("The profile may need to sign in."),
    ),
    "size": (
        gettext_lazy("The message is too large for the server:"),
        gettext_lazy("Retrying will not help unless it is made smaller."),
    ),
    "too_large": (
        gettext_lazy("It is larger than the servers take that may carry it:"),
        gettext_lazy(
            "Raise the limit of a profile whose server takes more and retry, or download the message and send"
            " it another way."
        ),
    ),
    "content": (
        gettext_lazy("The server refused the content:"),
        gettext_lazy("Retrying the same message will not help."),
    ),
    "policy": (
        gettext_lazy("The server refused the message by its own rules:"),
        gettext_lazy("The server's words say which."),
    ),
    "override": (
        gettext_lazy("A rule of the profile about replies says that this one is final:"),
        gettext_lazy("The rules are in the profile's limits and retries."),
    ),
    "compose": (
        gettext_lazy("It could not be put together:"),
        gettext_lazy("Correct the profile, or send a corrected message."),
    ),
    "protocol": (gettext_lazy("The server's answers could not be understood:"), ""),
}
#: Those of them that the same message to the same recipients meets again.
MET_AGAIN = frozenset({"recipient", "size", "content"})
#: Why one expired, by the same words; anything else was tried for too long.
_EXPIRED = {"expires_at": gettext_lazy("Not sent in time: its sender wanted it sent no later")}
#: Those of them that the server's words may tell more about.
_SAID_BY_THE_SERVER = frozenset({"recipient", "mailbox_full", "sender", "relay", "size", "content", "policy"})


@dataclass(frozen=True, slots=True)
class Sentence:
    """What happened (`text`), the server's words (`reply`, never translated), what to do (`advice`).

    `why` is what the words mean where `text` does not say it, `cause` has the fields of the profile to look
    at.
    """

    text: str
    reply: str = ""
    advice: str = ""
    why: str = ""
    cause: Cause | None = None

    def masked(self, blind: Blind) -> "Sentence":
        """Return it in a form to show: blind recipients not named, hidden characters visible."""

        def shown(text: str) -> str:
            return one_line(blind.mask(text), _MOST_CHARACTERS)

        return replace(
            self,
            text=shown(self.text),
            reply=shown(self.reply),
            advice=shown(self.advice),
            why=shown(self.why),
        )


def sentence(
    message: Message,
    standing: Standing,
    last: Attempt | None,
    *,
    profile: str | None,
    cause: Cause | None = None,
) -> Sentence:
    """Say what happened to a message, `cause` being why its last attempt failed, None where nothing tells.

    `profile` names the one it was last sent through, "" where unknown, None where it is not told. Not its
    host: a profile may reach another one today than on the day of the message.
    """
    if standing.state in (State.QUEUED, State.SENDING, State.DEFERRED):
        said = _open(standing, last)
        return said if standing.is_uncertain or standing.state is State.SENDING else _with(said, cause)
    if standing.state is State.HELD:
        held = str(HELD.get(standing.cause, HELD_SOMEHOW))
        if standing.cause == "uncertain":  # the others say what to do themselves
            held = _("%(why)s It is held: decide below.") % {"why": held}
        return Sentence(held, words_of(message))
    if standing.state is State.FAILED and standing.cause in _SAID_BY_THE_SERVER and cause is not None:
        text = _("Given up. %(why)s") % {"why": _before_words(cause.sentence)}
        return Sentence(text, words_of(message), " ".join(cause.advice), cause=cause)
    ended = _ended(message, standing, profile)
    is_explained = standing.state in (State.FAILED, State.EXPIRED) and not ended.advice
    return _with(ended, cause) if is_explained else ended


def _with(said: Sentence, cause: Cause | None) -> Sentence:
    """Add what the last answer means."""
    if cause is None:
        return said
    return replace(said, why=cause.sentence, advice=" ".join(cause.advice), cause=cause)


def _before_words(text: str) -> str:
    """Let a sentence lead over to the server's words.

    >>> _before_words("The recipient's mailbox is full.")
    "The recipient's mailbox is full:"
    """
    return f"{text[:-1]}:" if text.endswith(".") else text


def _open(standing: Standing, last: Attempt | None) -> Sentence:
    if standing.state is State.SENDING:
        return Sentence(_("A worker has this message in hand."))
    when = moment(standing.next_try_at, timezone.now())
    if standing.is_uncertain:
        again = _("It will be sent again %(when)s.") % {"when": when}
        return Sentence(f"{MAY_HAVE_ARRIVED} {again}")
    if standing.state is State.QUEUED:
        is_due = standing.next_try_at is None or standing.next_try_at <= timezone.now()
        due, later = (
            _("This message is due and waits to be sent."),
            _("This message waits to be sent %(when)s."),
        )
        return Sentence(due if is_due else later % {"when": when})
    tried = ngettext("Tried %(n)d time.", "Tried %(n)d times.", standing.attempts) % {"n": standing.attempts}
    text = _("%(tried)s Next try %(when)s.") % {"tried": tried, "when": when}
    if last is None:
        return Sentence(text)
    if not last.code:
        return Sentence(text, last.reply)
    if last.cause == OVERRIDE:
        return Sentence(_("%(text)s A rule of the profile says to wait:") % {"text": text}, words_of(last))
    if last.code >= _REFUSED:  # it gave the message back at once; it waits for another server or a person
        return Sentence(_("%(text)s Last answer:") % {"text": text}, words_of(last))
    return Sentence(_("%(text)s The server asked to wait:") % {"text": text}, words_of(last))


def _ended(message: Message, standing: Standing, profile: str | None) -> Sentence:
    match standing.state:
        case State.SENT if profile is None:
            return Sentence(
                _("Accepted by a server. Accepted is not the same as delivered."), words_of(message)
            )
        case State.SENT:
            return Sentence(
                _("Accepted by the server of %(profile)s. Accepted is not the same as delivered.")
                % {"profile": profile or _("a profile since removed")},
                words_of(message),
            )
        case State.EXPIRED:
            return _expired(message, standing)
        case State.CANCELLED:
            return Sentence(_("Cancelled by a person. It was not sent."))
        case State.SUPPRESSED:
            return Sentence(_("Debug mode was on. This message was not sent."))
        case _:
            return _failed(message, standing)


def _expired(message: Message, standing: Standing) -> Sentence:
    if standing.cause == "expires_at":
        return Sentence(_("It was not sent in time: its sender wanted it sent no later."), words_of(message))
    return _with_last_answer(_("Given up: it could not be sent for too long."), message)


def _failed(message: Message, standing: Standing) -> Sentence:
    if standing.cause in _CAUSES:
        why, advice = _CAUSES[standing.cause]
        return Sentence(_("Given up. %(why)s") % {"why": why}, words_of(message), str(advice))
    count = ngettext("Given up after %(n)d try.", "Given up after %(n)d tries.", standing.attempts) % {
        "n": standing.attempts
    }
    return _with_last_answer(count, message)


def _with_last_answer(text: str, message: Message) -> Sentence:
    """Lead over to the server's words where there are any: one that was never tried has none."""
    words = words_of(message)
    return Sentence(_("%(text)s Last answer:") % {"text": text} if words else text, words)


def cause_words(state: str, cause: str) -> str:
    """Say why messages in a state that needs a person are there, without the server's words.

    >>> cause_words("failed", "recipient")
    'The server does not accept this recipient'
    """
    if state == State.HELD:
        text = str(HELD.get(cause, HELD_SOMEHOW))
    elif state == State.EXPIRED:
        text = str(_EXPIRED.get(cause, gettext_lazy("It could not be sent for too long")))
    elif cause in _CAUSES:
        text = str(_CAUSES[cause][0])
    else:
        text = _("Given up after the last retry")
    return text.rstrip(":.")


def words_of(row: Attempt | Message) -> str:
    """Return what the server said as it said it, with its codes; or what happened instead."""
    return server_words(row.code, row.enhanced, row.reply)

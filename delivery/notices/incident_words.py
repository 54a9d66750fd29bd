"""What a notification says, in a sentence. No server's words: the pages have them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from delivery.incidents import Condition, Incident, Kind, turns_away
from delivery.reading import one_line

_MOST_NAME = 100


class What(StrEnum):
    """Whether something begins or ends."""

    BEGAN = "began"
    NEARER = "nearer"  # it ends soon now, and was told of before
    ENDED = "ended"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Told:
    """One notification. `is_recovered` False at an end: a person took it out of use.

    `is_refusal`: the server answers, and refuses everything.
    """

    what: What
    kind: Kind
    incident_id: int
    subject: str
    name: str
    number: int
    profile_id: int | None
    began_at: datetime | None
    ends_at: datetime | None
    is_recovered: bool = True
    is_refusal: bool = False

    @classmethod
    def of_condition(
        cls, incident_id: int, condition: Condition, began_at: datetime | None, *, is_nearer: bool = False
    ) -> "Told":
        """Tell that something is wrong."""
        return cls(
            What.NEARER if is_nearer else What.BEGAN,
            condition.kind,
            incident_id,
            condition.subject,
            one_line(condition.name, _MOST_NAME),
            int(condition.words) if condition.words.isdecimal() else 0,
            condition.profile_id,
            began_at,
            condition.ends_at,
            is_refusal=condition.kind is Kind.BREAKER and turns_away(condition.words),
        )

    @classmethod
    def of_end(cls, incident: Incident, *, is_recovered: bool) -> "Told":
        """Tell that it is over."""
        return cls(
            What.ENDED,
            incident.kind,
            incident.id,
            incident.subject,
            one_line(incident.name, _MOST_NAME),
            0,
            incident.profile_id,
            incident.began_at,
            incident.ends_at,
            is_recovered,
            is_refusal=incident.kind is Kind.BREAKER and turns_away(incident.words),
        )


def subject_of(told: Told) -> str:
    """Return the subject of the email."""
    return _("mailconf: %(sentence)s") % {"sentence": sentence_of(told).partition(". ")[0].rstrip(".")}


def sentence_of(told: Told) -> str:
    """Return what is told, in one sentence or two."""
    said = {
        "name": told.name,
        "n": told.number,
        "since": _moment(told.began_at),
        "day": _day(told.ends_at),
    }
    if told.what is What.TEST:
        return _("This is a test of the notifications. Nothing is wrong.")
    if told.what is What.ENDED:
        if not told.is_recovered:
            return _("%(name)s is out of use now, so this is over: %(what)s.") % {
                "name": told.name,
                "what": kind_label(told.kind).lower(),
            }
        return _ENDED[told.kind]() % said
    return _BEGAN[told.kind](told) % said


def kind_label(kind: Kind) -> str:
    """Return what a kind of notification is called on the pages."""
    return {
        Kind.PAUSED: _("A server is paused for a fault"),
        Kind.BREAKER: _("A server does not answer or turns us away"),
        Kind.HELD: _("Messages are held"),
        Kind.TOO_LARGE: _("Attachments are too large"),
        Kind.OAUTH: _("An OAuth credential ends"),
        Kind.CERTIFICATE: _("A certificate ends"),
        Kind.PASSWORD: _("A password is old"),
        Kind.SIGN_IN: _("A provider ends sign-in with a password"),
        Kind.CHECK: _("A daily check fails"),
        Kind.PICKUP: _("Files stay in a pickup directory"),
        Kind.NO_WORKER: _("No worker reports"),
        Kind.CLONE: _("The database woke up somewhere else"),
    }[kind]


def page_of(told: Told) -> str:
    """Return the path of the page that says more."""
    if told.profile_id is not None:
        return reverse("admin:smtp_settings_smtpprofile_change", args=[told.profile_id])
    if told.kind is Kind.HELD:
        return reverse("admin:delivery_message_changelist") + "?state=held"
    if told.kind is Kind.TOO_LARGE:
        return reverse("admin:delivery_message_changelist") + "?state=failed"
    return reverse("admin:index")


def _held(told: Told) -> str:
    return ngettext(
        "%(n)d message is held and waits for a person.",
        "%(n)d messages are held and wait for a person.",
        told.number,
    )


def _too_large(told: Told) -> str:
    return ngettext(
        "%(n)d message was not sent: its attachments are too large.",
        "%(n)d messages were not sent: their attachments are too large.",
        told.number,
    )


def _ending(before: str, after: str) -> Callable[[Told], str]:
    def words(told: Told) -> str:
        is_over = told.ends_at is not None and told.ends_at <= timezone.now()
        return _(after) if is_over else _(before)

    return words


_BEGAN: dict[Kind, Callable[[Told], str]] = {
    Kind.PAUSED: lambda _told: _(
        "%(name)s is paused since %(since)s: its settings, its password or its certificate do not work any "
        "more. Its mail waits or goes through other servers."
    ),
    Kind.BREAKER: lambda told: (
        _(
            "%(name)s turns us away since %(since)s: it answers, and refuses everything. Its mail "
            "waits or goes through other servers."
        )
        if told.is_refusal
        else _("%(name)s does not answer since %(since)s. Its mail waits or goes through other servers.")
    ),
    Kind.HELD: _held,
    Kind.TOO_LARGE: _too_large,
    Kind.OAUTH: _ending(
        "The OAuth credential %(name)s ends on %(day)s. Renew it before.",
        "The OAuth credential %(name)s ended on %(day)s.",
    ),
    Kind.CERTIFICATE: _ending(
        "The certificate of %(name)s ends on %(day)s. Tell the server's owner.",
        "The certificate of %(name)s ended on %(day)s.",
    ),
    Kind.PASSWORD: _ending(
        "The password of %(name)s should be replaced by %(day)s.",
        "The password of %(name)s should have been replaced by %(day)s.",
    ),
    Kind.SIGN_IN: _ending(
        "The provider of %(name)s ends sign-in with a password on %(day)s.",
        "The provider of %(name)s ended sign-in with a password on %(day)s.",
    ),
    Kind.CHECK: lambda _told: _("The daily check of %(name)s failed. No mail was needed to find out."),
    Kind.PICKUP: lambda _told: _(
        "Files of %(name)s stay in the pickup directory since %(since)s: nobody takes them, and their mail "
        "goes nowhere."
    ),
    Kind.NO_WORKER: lambda _told: _("No worker has reported since %(since)s. Nothing is being sent."),
    Kind.CLONE: lambda _told: _(
        "The database woke up under another address or key. Nothing is sent until a person confirms it."
    ),
}
_ENDED: dict[Kind, Callable[[], str]] = {
    Kind.PAUSED: lambda: _("%(name)s works again. It was paused since %(since)s."),
    Kind.BREAKER: lambda: _("%(name)s can be used again. It could not since %(since)s."),
    Kind.HELD: lambda: _("No message is held any more."),
    Kind.TOO_LARGE: lambda: "",
    Kind.OAUTH: lambda: _("The OAuth credential %(name)s was renewed."),
    Kind.CERTIFICATE: lambda: _("The certificate of %(name)s was renewed."),
    Kind.PASSWORD: lambda: _("The password of %(name)s was replaced."),
    Kind.SIGN_IN: lambda: _("%(name)s does not sign in with a password any more."),
    Kind.CHECK: lambda: _("The daily check of %(name)s passes again."),
    Kind.PICKUP: lambda: _("The files of %(name)s were taken from the pickup directory."),
    Kind.NO_WORKER: lambda: _("Workers report again. None did since %(since)s."),
    Kind.CLONE: lambda: _("The place of the database was confirmed. Mail is sent again."),
}


def _moment(at: datetime | None) -> str:
    return date_format(timezone.localtime(at or timezone.now()), "j F Y, H:i")


def _day(at: datetime | None) -> str:
    return date_format(timezone.localtime(at or timezone.now()), "j F Y")

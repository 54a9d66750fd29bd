"""What the test email says, as text and as HTML."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.headerregistry import Address
from html import escape

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings.models import DeliveryMethod, Security, SMTPProfile, TestRun
from smtp_settings.test_send import life, received

_ENCRYPTION: Mapping[str, str | Promise] = {
    Security.STARTTLS: "STARTTLS",
    Security.TLS: gettext_lazy("TLS from the first byte"),
    Security.NONE: gettext_lazy("None, not encrypted"),
}

_PLACES: Mapping[str, Promise] = {
    life.WEB: gettext_lazy("the web server"),
    life.WEB_IN_PLACE: gettext_lazy("the web server"),
    life.SHELL: gettext_lazy("a command"),
}


@dataclass(frozen=True, slots=True)
class Letter:
    """The parts of the email; `link` is "" where no address of this installation is known."""

    opening: str
    facts: tuple[tuple[str, str], ...]
    look: str
    link_says: str
    link: str
    closing: str

    def text(self) -> str:
        """Return it as plain text."""
        facts = "\n".join(f"{label}: {value}" for label, value in self.facts)
        link = f"{self.link_says}:\n{self.link}" if self.link else ""
        return "\n\n".join(filter(None, [self.opening, facts, self.look, link, self.closing])) + "\n"

    def html(self) -> str:
        """Return it as HTML without anything a mail program would have to load."""
        rows = "".join(
            f'<tr><th align="left">{escape(label)}</th><td>{escape(value)}</td></tr>\n'
            for label, value in self.facts
        )
        link = f'<p><a href="{escape(self.link)}">{escape(self.link_says)}</a></p>\n' if self.link else ""
        return (
            f"<html><body>\n<p>{escape(self.opening)}</p>\n<table>\n{rows}</table>\n"
            f"<p>{escape(self.look)}</p>\n{link}<p>{escape(self.closing)}</p>\n</body></html>\n"
        )


def letter_of(profile: SMTPProfile, run: TestRun, *, sender: Address, when: str) -> Letter:
    """Return the letter of a run; nothing in it is a secret, and no user name of a server."""
    return Letter(
        opening=_("This is a test email of mailconf. It arrived, so these settings can send."),
        facts=tuple(_facts(profile, run, sender=sender, when=when)),
        look=_(
            "Look whether it is in the inbox or in the spam folder, and whether the name and the address it "
            "comes from are right."
        ),
        link_says=_("I received it"),
        link=received.link_for(run),
        closing=_("This message needs no answer."),
    )


def _facts(profile: SMTPProfile, run: TestRun, *, sender: Address, when: str) -> Iterator[tuple[str, str]]:
    """Yield what was tested, from where and by whom."""
    yield _("Profile"), profile.name or "-"
    if profile.transport == DeliveryMethod.SMTP:
        yield _("Server"), profile.host
        yield _("Port"), str(profile.port)
        yield _("Encryption"), str(_ENCRYPTION.get(profile.security, profile.security))
    else:
        yield _("Delivery method"), str(DeliveryMethod(profile.transport).label)
        yield _("Through"), profile.way
    yield _("From"), str(sender)
    yield _("Started by"), run.user.get_username() if run.user is not None else _("a command")
    yield _("Sent from"), str(_PLACES.get(run.ran_on, run.ran_on))
    yield _("Time"), when
    yield _("Test run"), str(run.uuid)

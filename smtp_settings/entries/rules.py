"""What a profile's values ask of each other, for the form and for `set_profile` alike."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

#: What works so far; the others can be seen and not chosen.
AVAILABLE_METHODS = frozenset({"smtp"})
AVAILABLE_AUTH = frozenset({"none", "password", "oauth2"})


@dataclass(frozen=True, slots=True)
class Rule:
    """A sentence for the first of the fields, when their values together break it.

    `is_broken` gets the values in the order of `fields`. A draft may break what only a session needs.
    """

    fields: tuple[str, ...]
    is_broken: Callable[..., bool]
    sentence: Promise
    holds_for_drafts: bool = False

    @property
    def field(self) -> str:
        """The field that bears the sentence."""
        return self.fields[0]


def signs_in_clear(security: object, auth: object) -> bool:
    """Whether the password goes over an unencrypted connection."""
    return security == "none" and auth != "none"


def goes_unverified(verification: object, security: object) -> bool:
    """Whether a certificate is there and nobody checks it."""
    return verification == "none" and security != "none"


RULES = (
    Rule(
        ("transport",),
        lambda transport: transport not in AVAILABLE_METHODS,
        _("This delivery method is not available yet."),
    ),
    Rule(("auth",), lambda auth: auth not in AVAILABLE_AUTH, _("This sign-in is not available yet.")),
    Rule(("host", "transport"), lambda host, method: method == "smtp" and not host, _("Enter the server.")),
    Rule(
        ("username", "auth"),
        lambda username, auth: auth == "password" and not username,
        _("Enter the user name, or choose “None”."),
    ),
    Rule(
        ("username", "auth"),
        lambda username, auth: auth == "oauth2" and not username,
        _("Enter the mailbox that the token is for, as its full address."),
    ),
    Rule(
        ("oauth_credential", "auth"),
        lambda credential, auth: auth == "oauth2" and not credential,
        _("Choose the OAuth credential to sign in with."),
    ),
    Rule(
        ("mechanism", "auth"),
        lambda mechanism, auth: auth == "oauth2" and mechanism not in ("auto", "xoauth2"),
        _("With OAuth 2.0 the mechanism is XOAUTH2, or “Automatic”."),
    ),
    Rule(
        ("mechanism", "auth"),
        lambda mechanism, auth: auth == "password" and mechanism == "xoauth2",
        _("XOAUTH2 needs an OAuth 2.0 credential. Choose another mechanism, or “Automatic”."),
    ),
    Rule(
        ("from_address", "from_policy"),
        lambda address, policy: policy == "force" and not address,
        _("Enter the address every message is sent from."),
    ),
    Rule(
        ("accepts_clear_auth", "security", "auth"),
        lambda accepts, security, auth: signs_in_clear(security, auth) and not accepts,
        _("Tick this, or choose an encrypted connection."),
    ),
    Rule(
        ("accepts_unverified", "verification", "security"),
        lambda accepts, verification, security: goes_unverified(verification, security) and not accepts,
        _("Tick this, or let the certificate be checked."),
    ),
    Rule(
        ("retry_cap", "retry_delay"),
        lambda cap, delay: cap < delay,
        _("The retry cap cannot be less than the retry delay."),
        holds_for_drafts=True,
    ),
)


def broken(values: Mapping[str, object], *, is_draft: bool) -> list[Rule]:
    """Return the rules that values break; a value that is not there was refused already and breaks none."""
    return [
        rule
        for rule in RULES
        if (rule.holds_for_drafts or not is_draft)
        and all(name in values for name in rule.fields)
        and rule.is_broken(*(values[name] for name in rule.fields))
    ]

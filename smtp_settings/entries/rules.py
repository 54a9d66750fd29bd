"""What a profile's values ask of each other, for the form and for `set_profile` alike."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

#: As in "eu-west-1", "us-gov-east-1": it becomes part of a host name.
_AWS_REGION = re.compile(r"[a-z]{2}(-[a-z]+){1,2}-\d{1,2}")

#: What works so far; the others can be seen and not chosen.
AVAILABLE_METHODS = frozenset({"smtp", "sendmail", "pickup", "mailgun", "ses"})
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


#: The fields that only some methods use.
_USED_BY = {
    "smtp": (
        "host", "port", "security", "username", "password", "accepts_clear_auth", "verification",
        "accepts_unverified", "minimum_tls", "ca", "ip_version", "source_address", "ehlo_name", "mechanism",
        "command_timeout", "pipelining",
    ),
    "sendmail": ("program", "program_arguments", "line_ends"),
    "pickup": ("directory", "file_style"),
    "mailgun": ("api_domain", "region", "password"),
    "ses": ("region", "uses_machine_role", "username", "password", "configuration_set"),
}  # fmt: skip


def unused_by(method: str, *, role: bool = False) -> list[str]:
    """Name the fields that a method does not use; with `role` SES needs no key. Of an unknown one none."""
    if method not in _USED_BY:
        return []
    used = set(_USED_BY[method]) - ({"username", "password"} if role and method == "ses" else set())
    return [name for name in dict.fromkeys(chain(*_USED_BY.values())) if name not in used]


def signs_in_clear(security: object, auth: object) -> bool:
    """Whether the password goes over an unencrypted connection."""
    return security == "none" and auth != "none"


def goes_unverified(verification: object, security: object) -> bool:
    """Whether a certificate is there and nobody checks it."""
    return verification == "none" and security != "none"


#: What the methods ask for that are no SMTP.
ELSEWHERE = (
    Rule(
        ("program", "transport"),
        lambda program, method: method == "sendmail" and program not in settings.MAILCONF_SENDMAIL_PROGRAMS,
        _("This program may not be run here. The operator says which ones may (MAILCONF_SENDMAIL_PROGRAMS)."),
    ),
    Rule(
        ("directory", "transport"),
        lambda directory, method: method == "pickup" and not directory,
        _("Enter the directory."),
    ),
    Rule(
        ("api_domain", "transport"),
        lambda domain, method: method == "mailgun" and not domain,
        _("Enter the domain you send from at Mailgun."),
    ),
    Rule(
        ("region", "transport"),
        lambda region, method: method == "mailgun" and region not in ("us", "eu"),
        _("Enter us or eu: where the domain was made at Mailgun."),
    ),
    Rule(
        ("region", "transport"),
        lambda region, method: method == "ses" and not _AWS_REGION.fullmatch(str(region)),
        _("Enter the region, such as eu-west-1."),
    ),
    Rule(
        ("username", "transport", "uses_machine_role"),
        lambda username, method, is_role: method == "ses" and not is_role and not username,
        _("Enter the access key ID, or use this machine's role."),
    ),
)

RULES = (
    Rule(
        ("transport",),
        lambda transport: transport not in AVAILABLE_METHODS,
        _("This delivery method is not available yet."),
    ),
    Rule(("auth",), lambda auth: auth not in AVAILABLE_AUTH, _("This sign-in is not available yet.")),
    Rule(("host", "transport"), lambda host, method: method == "smtp" and not host, _("Enter the server.")),
    Rule(
        ("username", "auth", "transport"),
        lambda username, auth, method: method == "smtp" and auth == "password" and not username,
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
    *ELSEWHERE,
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

"""Where each provider gives out tokens, and what has to be asked of it. Values in, values out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from smtp_settings.models import OAuthCredential

Provider, Flow = OAuthCredential.Provider, OAuthCredential.Flow

_MICROSOFT = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/{what}"
#: A directory's id or one of its domains.
_TENANT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
#: Words in place of a tenant; an application that signs in as itself is in one (AADSTS50194).
_ANY_TENANT = frozenset({"common", "organizations", "consumers"})

#: The flows of each provider, the usual one first.
FLOWS: Mapping[str, tuple[str, ...]] = {
    Provider.MICROSOFT: (Flow.APPLICATION, Flow.BROWSER),
    Provider.GOOGLE: (Flow.BROWSER, Flow.SERVICE_ACCOUNT),
    Provider.OTHER: (Flow.APPLICATION, Flow.BROWSER, Flow.SERVICE_ACCOUNT),
}


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where to ask for what.

    `identity` is added to the scope when a person signs in, so that the answer says who it was; `more` are
    further parameters of the sign-in page.
    """

    token_url: str
    authorize_url: str
    scope: str
    identity: str = ""
    more: Mapping[str, str] = field(default_factory=dict)


def endpoints_of(provider: str, flow: str, *, tenant: str) -> Endpoints | None:
    """Return a known provider's; None for another one, whose addresses a person enters.

    Sources: learn.microsoft.com "Authenticate an IMAP, POP or SMTP connection using OAuth",
    developers.google.com "OAuth 2.0 for Web Server Applications" and "XOAUTH2 Protocol".
    """
    if provider == Provider.MICROSOFT:
        tenant = tenant or "organizations"
        is_app = flow == Flow.APPLICATION
        return Endpoints(
            token_url=_MICROSOFT.format(tenant=tenant, what="token"),
            authorize_url="" if is_app else _MICROSOFT.format(tenant=tenant, what="authorize"),
            scope="https://outlook.office365.com/.default"
            if is_app
            else "https://outlook.office.com/SMTP.Send offline_access",
            identity="openid email profile",
            more={"prompt": "select_account"},
        )
    if provider == Provider.GOOGLE:
        is_browser = flow == Flow.BROWSER
        return Endpoints(
            token_url="https://oauth2.googleapis.com/token",  # noqa: S106  # an address
            authorize_url="https://accounts.google.com/o/oauth2/v2/auth" if is_browser else "",
            scope="https://mail.google.com/",
            identity="openid email",
            # Without both there is a refresh token the first time only.
            more={"access_type": "offline", "prompt": "consent"},
        )
    return None


def check_tenant(tenant: str, *, provider: str, flow: str) -> str:
    """Return the tenant as it goes into the address. Raises ValidationError with one sentence."""
    if provider != Provider.MICROSOFT:
        return ""
    if tenant and not _TENANT.fullmatch(tenant):
        raise ValidationError(_("The tenant is a directory id or a domain, such as contoso.onmicrosoft.com."))
    if flow == Flow.APPLICATION and tenant.lower() in _ANY_TENANT | {""}:
        raise ValidationError(_("An application signs in to one tenant: enter its id or its domain."))
    return tenant


def grants_scope(wanted: str, granted: str) -> bool:
    """Whether what was granted holds what is needed; a provider that says nothing granted all of it.

    Scopes are compared by their last part too: Microsoft leaves the resource out, or names another of its
    names. "offline_access" and ".default" are no rights of their own.
    """
    if not granted:
        return True
    given = {one.lower() for one in granted.split()}
    given |= {one.rpartition("/")[2] for one in given}
    needed = [one.lower() for one in wanted.split()]
    needed = [one for one in needed if one != "offline_access" and not one.endswith("/.default")]
    return all(one in given or (one.rpartition("/")[2] or one) in given for one in needed)

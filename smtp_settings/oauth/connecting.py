"""A person signs in at the provider: where they are sent, and what is made of their return.

RFC 6749 section 4.1 with PKCE (RFC 7636). The state is random, kept in the person's session beside the
credential it was made for and its version, and used once: an answer that another browser, another credential
or another time brought is not taken. Where a person comes back to is one fixed address.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from smtp_settings.models import OAuthCredential
from smtp_settings.oauth import keeping
from smtp_settings.oauth.asking import ask, opened
from smtp_settings.oauth.providers import endpoints_of
from smtp_settings.sealing import Secret
from transports.base import Phase
from transports.errors import TokenRefused
from transports.oauth import AuthorizationCode, Tokens

#: Where the session keeps what was begun.
SESSION_KEY = "oauth_connecting"
#: A sign-in with a second factor takes minutes, not hours.
LASTS_SECONDS = 15 * 60
#: Tabs in which somebody may be signing in at once.
MOST = 5


class NotOurs(Exception):
    """The answer belongs to nothing this person began here; str() is one sentence."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in under way, as the session keeps it."""

    credential_id: int
    version: int
    verifier: Secret
    redirect_uri: str


def begin(
    session: MutableMapping[str, Any],  # Any: as Django types a session
    credential: OAuthCredential,
    *,
    redirect_uri: str,
    now: float,
) -> str:
    """Return the provider's address to send a person to; the session remembers what was asked."""
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
    under_way = {key: one for key, one in session.get(SESSION_KEY, {}).items() if one["until"] > now}
    newest = sorted(under_way.items(), key=lambda pair: pair[1]["until"])[-(MOST - 1) :]
    session[SESSION_KEY] = dict(newest) | {
        state: {
            "credential": credential.pk,
            "version": credential.version,
            "verifier": verifier,
            "redirect_uri": redirect_uri,
            "until": now + LASTS_SECONDS,
        }
    }
    return authorize_url(credential, state=state, verifier=verifier, redirect_uri=redirect_uri)


def authorize_url(credential: OAuthCredential, *, state: str, verifier: str, redirect_uri: str) -> str:
    """Return the address of the provider's sign-in page for these values."""
    known = endpoints_of(credential.provider, credential.flow, tenant=credential.tenant)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": credential.client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(filter(None, (credential.scope, known.identity if known else ""))),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **({"login_hint": credential.account} if credential.account else {}),
        **(known.more if known else {}),
    }
    mark = "&" if urlsplit(credential.authorize_url).query else "?"
    return credential.authorize_url + mark + urlencode(asked)


def returned(
    session: MutableMapping[str, Any],  # Any: as above
    state: str,
    *,
    now: float,
) -> Begun:
    """Take what was begun with this state out of the session. Raises NotOurs, the second time too."""
    under_way = dict(session.get(SESSION_KEY, {}))
    found = next((key for key in under_way if secrets.compare_digest(key.encode(), state.encode())), None)
    if found is None:
        raise NotOurs(
            _("This answer of a provider belongs to no sign-in that was begun here. Connect again.")
        )
    one = under_way.pop(found)
    session[SESSION_KEY] = under_way
    if one["until"] <= now:
        raise NotOurs(_("The sign-in took too long. Connect again."))
    return Begun(one["credential"], one["version"], Secret(one["verifier"]), one["redirect_uri"])


def finish(begun: Begun, answer: Mapping[str, str], *, user: AbstractBaseUser) -> OAuthCredential:
    """Exchange the code of a provider's answer for tokens, and keep them.

    Profiles that were paused for want of a token try again. Raises NotOurs when the credential was changed
    since, TokenRefused and TokenNotAvailable.
    """
    credential = OAuthCredential.objects.filter(pk=begun.credential_id).first()
    if credential is None or credential.version != begun.version:
        raise NotOurs(_("The credential was changed during the sign-in. Connect again."))
    tokens = _exchanged(credential, begun, answer)
    with transaction.atomic():
        row = OAuthCredential.objects.select_for_update(no_key=True).filter(pk=credential.pk).first()
        if row is None or row.version != begun.version:
            raise NotOurs(_("The credential was changed during the sign-in. Connect again."))
        _keep(row, tokens, user)
    return row


def _exchanged(credential: OAuthCredential, begun: Begun, answer: Mapping[str, str]) -> Tokens:
    code = answer.get("code", "")
    if not code:
        reason = answer.get("error", "")
        raise TokenRefused(
            _("The provider sent no code: %(error)s.") % {"error": _visible(reason) or "?"},
            phase=Phase.TOKEN,
        )
    grant = AuthorizationCode(Secret(code[:4000]), begun.redirect_uri, begun.verifier)
    tokens = ask(credential, grant, opened(credential, "client_secret"))
    if tokens.refresh_token is None:
        raise TokenRefused(
            _("The provider gave a token for an hour, and nothing to renew it with."),
            phase=Phase.TOKEN,
            reason="scope",
        )
    return tokens


def _keep(row: OAuthCredential, tokens: Tokens, user: AbstractBaseUser) -> None:
    now = timezone.now()
    row.connected_at = now
    columns = ["connected_at"]
    if not row.account and tokens.account:
        row.account = tokens.account
        columns.append("account")
    row.save(update_fields=columns)
    keeping.keep_tokens(row, tokens, now=now)
    keeping.record("oauth.connected", row, user_id=user.pk, account=row.account)
    try_again(row)


def try_again(row: OAuthCredential) -> None:
    """Let profiles that were paused for want of a token try at once: a fault's pause ends with a version."""
    row.profiles.update(version=F("version") + 1)


def _visible(text: str) -> str:
    return "".join(letter for letter in text[:100] if letter.isprintable())


def newest_token(credential: OAuthCredential) -> Secret | None:
    """Return the stored access token, so that a person who asks for one gets another; None without one."""
    return opened(credential, "access_token")

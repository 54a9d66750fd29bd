"""Access tokens for a sign-in by OAuth 2.0: one POST per flow (RFC 6749, 7523, 7636), no library in between.

    tokens = await fetch(client, RefreshToken(stored), guard=guard)

The flows: client credentials, with a secret or with an assertion signed by a certificate; an authorization
code with PKCE; a refresh token; the JWT bearer of a Google service account. Bodies are never logged, neither
way; of a refusal only the provider's own words are kept, and a secret that was sent is taken out of them.
"""

import asyncio
import json
import re
import ssl
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import jwt

from transports.base import Phase, Reply, Secret
from transports.errors import AddressNotAllowed, NameNotFound, TokenNotAvailable, TokenRefused, TransportError
from transports.oauth_assertions import JWT_BEARER, KeyNotUsable, is_key, service_account, signed_client
from transports.posting import DEADLINE, Answer, post_form
from transports.resolve import AddressGuard

#: What a lifetime is held to: a provider that says -1 or 1e99 is not believed.
SHORTEST, LONGEST = 60, 24 * 3600
#: A token that says nothing of its lifetime is taken for this long (Microsoft and Google: about an hour).
USUAL = 3600

#: Clocks further apart than this make an assertion early or late.
SKEW = 30

#: Characters of a provider's words that are kept.
MAX_WORDS = 300

#: The error codes that are told apart (RFC 6749 sections 4.1.2.1 and 5.2, OpenID Connect, Google).
REFUSALS = frozenset(
    {
        "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
        "invalid_scope", "invalid_target", "access_denied", "consent_required", "interaction_required",
        "login_required", "admin_policy_enforced", "org_internal", "disabled_client", "deleted_client",
    }
)  # fmt: skip

_BUSY = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
_VISIBLE = re.compile(r"[!-~]{1,12000}")  # RFC 6749 appendix A.12


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks, and where. `secret` is the client secret or a PEM key with its certificate; None: public.

    `account` is the mailbox; "" where it is not known yet.
    """

    token_url: str
    client_id: str
    scope: str
    account: str = ""
    secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """The application signs in as itself (RFC 6749 section 4.4)."""


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """A person has signed in with a browser (RFC 6749 section 4.1.3, RFC 7636)."""

    code: Secret
    redirect_uri: str
    verifier: Secret


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """The connection a person made is used again (RFC 6749 section 6)."""

    token: Secret


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """Google's service account speaks for the mailbox (RFC 7523 section 2.1)."""


Grant = ClientCredentials | AuthorizationCode | RefreshToken | ServiceAccount


@dataclass(frozen=True, slots=True)
class Tokens:
    """What was received. `refresh_token` None: keep the one there is.

    `lifetime_seconds` is between a minute and a day; `refresh_seconds` None where the provider did not say.
    `scope` and `account` are "" where it did not say either.
    """

    access_token: Secret
    lifetime_seconds: int
    refresh_token: Secret | None = None
    refresh_seconds: int | None = None
    scope: str = ""
    account: str = ""


async def fetch(
    client: Client,
    grant: Grant,
    *,
    guard: AddressGuard,
    allow_http: bool = False,
    context: ssl.SSLContext | None = None,
    deadline: float = DEADLINE,
) -> Tokens:
    """Ask for tokens. Raises TokenRefused and TokenNotAvailable, both of phase TOKEN.

    One POST; a second one only when an assertion was refused and the two clocks are more than half a minute
    apart: then it is signed by the provider's clock.
    """
    ask = partial(_post, client, guard=guard, allow_http=allow_http, context=context, deadline=deadline)
    form = _form(client, grant, now=time.time())
    answer = await ask(form)
    if _is_of_another_time(answer, form):
        form = _form(client, grant, now=time.time() + (answer.skew_seconds or 0.0))
        answer = await ask(form)
    if answer.status == 200:
        return _tokens(answer)
    raise _refusal(answer, secrets=_secrets(form))


async def _post(
    client: Client,
    form: dict[str, str],
    *,
    guard: AddressGuard,
    allow_http: bool,
    context: ssl.SSLContext | None,
    deadline: float,
) -> Answer:
    try:
        return await post_form(
            client.token_url, form, guard=guard, allow_http=allow_http, context=context, deadline=deadline
        )
    except AddressNotAllowed as error:
        raise TokenRefused(str(error), phase=Phase.TOKEN, reason="address") from error
    except NameNotFound as error:
        if error.reason == "bad-name":
            raise TokenRefused(str(error), phase=Phase.TOKEN, reason="address") from error
        raise TokenNotAvailable(str(error), phase=Phase.TOKEN, reason="lost") from error
    except TransportError as error:
        reason = error.reason if error.reason in ("timeout", "unreadable") else "lost"
        raise TokenNotAvailable(str(error), phase=Phase.TOKEN, reason=reason) from error


def _form(client: Client, grant: Grant, *, now: float) -> dict[str, str]:
    """Return what is posted. Raises TokenRefused for a key that is none."""
    try:
        if isinstance(grant, ServiceAccount):
            return {"grant_type": JWT_BEARER, "assertion": _assertion(client, now)}
        return _said(client, grant) | _identity(client, now)
    except KeyNotUsable as error:
        raise TokenRefused(str(error), phase=Phase.TOKEN, reason="not-usable") from None


def _said(client: Client, grant: ClientCredentials | AuthorizationCode | RefreshToken) -> dict[str, str]:
    match grant:
        case AuthorizationCode(code, redirect_uri, verifier):
            return {
                "grant_type": "authorization_code",
                "code": code.reveal(),
                "redirect_uri": redirect_uri,
                "code_verifier": verifier.reveal(),
            }
        case RefreshToken(token):
            return {"grant_type": "refresh_token", "refresh_token": token.reveal()}
        case ClientCredentials():
            return {"grant_type": "client_credentials", "scope": client.scope}


def _assertion(client: Client, now: float) -> str:
    return service_account(
        client.secret or Secret(""),
        issuer=client.client_id,
        subject=client.account,
        scope=client.scope,
        audience=client.token_url,
        now=now,
    )


def _identity(client: Client, now: float) -> dict[str, str]:
    """Return how the application proves who it is (RFC 6749 section 2.3.1, RFC 7523 section 2.2)."""
    said = {"client_id": client.client_id}
    if client.secret is None:
        return said
    if is_key(client.secret):
        return said | signed_client(
            client.secret, client_id=client.client_id, audience=client.token_url, now=now
        )
    return said | {"client_secret": client.secret.reveal()}


def _is_of_another_time(answer: Answer, form: dict[str, str]) -> bool:
    """Whether an assertion was refused by a server whose clock is far from ours."""
    is_signed = "assertion" in form or "client_assertion" in form
    is_refused = 400 <= answer.status < 500 and answer.status != 429
    return is_signed and is_refused and abs(answer.skew_seconds or 0.0) >= SKEW


def _secrets(form: dict[str, str]) -> list[str]:
    names = (
        "client_secret", "refresh_token", "code", "code_verifier", "assertion", "client_assertion",
    )  # fmt: skip
    return [form[name] for name in names if form.get(name)]


# What came back


def _tokens(answer: Answer) -> Tokens:
    """Read a 200. Raises TokenNotAvailable when it is no answer about a token."""
    said = _json(answer)
    access, refresh = said.get("access_token"), said.get("refresh_token")
    if not isinstance(access, str) or not _VISIBLE.fullmatch(access):
        raise _unreadable()
    if refresh is not None and not (isinstance(refresh, str) and _VISIBLE.fullmatch(refresh)):
        raise _unreadable()
    if str(said.get("token_type", "Bearer")).lower() != "bearer":
        raise _unreadable()
    left = said.get("refresh_token_expires_in")
    return Tokens(
        access_token=Secret(access),
        lifetime_seconds=lifetime(said.get("expires_in")),
        refresh_token=Secret(refresh) if refresh else None,
        refresh_seconds=int(left) if isinstance(left, int) and 0 < left < 10**9 else None,
        scope=str(said.get("scope") or "")[:2000],
        account=_account(said.get("id_token")),
    )


def lifetime(said: object) -> int:
    """Return for how many seconds a token is taken to hold; what makes no sense counts as usual.

    >>> [lifetime(said) for said in (3599, "3599", -1, 1e99, "abc", None)]
    [3599, 3599, 60, 86400, 3600, 3600]
    """
    try:
        seconds = float(str(said))
    except ValueError:
        return USUAL
    if seconds != seconds:  # NaN, the only number that is not itself
        return USUAL
    return int(min(max(seconds, SHORTEST), LONGEST))


def _account(id_token: object) -> str:
    """Return whose token it is; the answer came from the provider itself (OpenID Connect 3.1.3.7)."""
    if not isinstance(id_token, str):
        return ""
    try:
        claims = jwt.decode(id_token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return ""
    names = (claims.get(name) for name in ("email", "preferred_username", "upn"))
    return next((name[:254] for name in names if isinstance(name, str) and "@" in name), "")


def _refusal(answer: Answer, *, secrets: list[str]) -> TransportError:
    """Return what an answer other than 200 means."""
    try:
        said = _json(answer)
    except TokenNotAvailable:
        said = {}
    code = str(said.get("error") or "")
    text = " ".join(filter(None, (code, str(said.get("error_description") or ""))))
    reply = Reply(answer.status, _cleaned(text, secrets))
    if answer.status == 429 or answer.status >= 500 or code in _BUSY or answer.status == 408:
        reason = "busy" if answer.status == 429 else "trouble"
        error = TokenNotAvailable(
            "The sign-in service asks to wait.",
            phase=Phase.TOKEN,
            reply=reply if answer.status in (408, 429) or answer.status >= 500 else None,
            reason=reason,
        )
        error.retry_seconds = _retry_after(answer.headers.get("retry-after", ""))
        return error
    if 300 <= answer.status < 400:
        sentence = "The token URL leads elsewhere. A redirect is not followed."
        return TokenRefused(sentence, phase=Phase.TOKEN, reply=reply, reason="address")
    evidence = {}
    if answer.skew_seconds is not None and abs(answer.skew_seconds) >= SKEW:
        evidence["clock_skew"] = f"{answer.skew_seconds:+.0f} s"
    return TokenRefused(
        "The provider gave no token.",
        phase=Phase.TOKEN,
        reply=reply,
        evidence=evidence,
        reason=code if code in REFUSALS else "refused",
    )


def _cleaned(text: str, secrets: list[str]) -> str:
    """Return a provider's words without secrets and without anything invisible, on one line."""
    for secret in secrets:
        text = text.replace(secret, "<secret>")
    text = "".join(letter if letter.isprintable() else " " for letter in text[: 8 * MAX_WORDS])
    text = " ".join(text.split())
    return text if len(text) <= MAX_WORDS else text[: MAX_WORDS - 1] + "…"


def _retry_after(text: str) -> float | None:
    """Return the seconds of a Retry-After, at most an hour; a date is left aside."""
    return float(min(int(text), 3600)) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _json(answer: Answer) -> dict[str, Any]:  # Any: JSON of somebody else
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise _unreadable() from None
    if not isinstance(said, dict):
        raise _unreadable()
    return said


def _unreadable() -> TokenNotAvailable:
    sentence = "What the token URL answered is no token."
    return TokenNotAvailable(sentence, phase=Phase.TOKEN, reason="unreadable")


def fetch_now(client: Client, grant: Grant, *, guard: AddressGuard, allow_http: bool = False) -> Tokens:
    """Return what `fetch` does, for a thread that has no event loop."""
    return asyncio.run(fetch(client, grant, guard=guard, allow_http=allow_http))

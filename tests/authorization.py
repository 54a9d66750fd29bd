"""A real authorization server on loopback for the tests (RFC 6749, 7523, 7636), in a thread of its own.

    with authorization_server() as provider:
        provider.token_url, provider.authorize_url
        provider.posts           # what the token URL was asked, forms in the order of arrival

It checks what a provider checks: client and secret, the signature of an assertion, the code's redirect
address and its PKCE verifier, that a code and a refresh token are used once. Any answer of the token URL can
be replaced: `provider.answer(400, {"error": "invalid_grant"})` for the next one, or `always=True`.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt

_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True)
class Answer:
    """What stands in for the ordinary answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Provider:
    """The server's knowledge and memory; safe to change while it runs."""

    def __init__(self) -> None:
        self.port = 0
        self.client_id, self.client_secret = "mailconf-app", "kanari-client-secret"
        self.account = "shop@contoso.example"
        self.scope = "mail.send"
        #: Of a certificate or a service account, to check assertions with; PEM.
        self.public_key: bytes | None = None
        #: Whether each refresh gives another refresh token, and ends the old one.
        self.rotates = True
        #: Seconds an access token is said to hold; anything, as providers say it.
        self.expires_in: Any = 3600
        #: How far its clock is before ours, in seconds.
        self.clock = 0.0
        #: Held while a token is made: a test that takes it keeps everybody waiting.
        self.gate = threading.Lock()
        self.posts: list[dict[str, str]] = []
        self.asked: list[dict[str, str]] = []
        self.access_tokens: set[str] = set()
        self.refresh_tokens: set[str] = set()
        self._codes: dict[str, dict[str, str]] = {}
        self._answers: list[Answer] = []
        self._always: Answer | None = None
        self.changed = threading.Condition()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token_url(self) -> str:
        return f"{self.base}/token"

    @property
    def authorize_url(self) -> str:
        return f"{self.base}/authorize"

    def answer(
        self, status: int, body: Any, headers: Mapping[str, str] | None = None, *, always: bool = False
    ) -> None:
        """Give this answer to the next post, or to all from now on; text and bytes as they are."""
        if not isinstance(body, bytes):
            body = (body if isinstance(body, str) else json.dumps(body)).encode()
        one = Answer(status, body, headers or {})
        if always:
            self._always = one
        else:
            self._answers.append(one)

    def as_usual(self) -> None:
        """Answer as a provider does again."""
        self._always = None
        self._answers.clear()

    def refuse(self, error: str, words: str = "", *, always: bool = True) -> None:
        """Refuse with an error of RFC 6749."""
        self.answer(400, {"error": error, "error_description": words}, always=always)

    def wait_for_posts(self, count: int, *, timeout: float = 60.0) -> None:
        """Return as soon as the token URL was asked `count` times."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.posts) >= count, timeout), len(self.posts)

    def revoke(self) -> None:
        """End everything that was given out."""
        self.access_tokens.clear()
        self.refresh_tokens.clear()

    def accepts(self, user: str, token: str) -> bool:
        """Whether a mail server of this provider takes the token for this mailbox."""
        return user == self.account and token in self.access_tokens

    # What the addresses do

    def token(self, form: dict[str, str]) -> Answer:
        with self.changed:
            self.posts.append(form)
            self.changed.notify_all()
        with self.gate:
            if self._answers:
                return self._answers.pop(0)
            if self._always is not None:
                return self._always
            try:
                return _ok(self._granted(form))
            except _Refused as refused:
                return _no(*refused.args)

    def _granted(self, form: dict[str, str]) -> dict[str, Any]:
        kind = form.get("grant_type")
        if kind == _BEARER:
            claims = self._checked(form["assertion"])
            if claims.get("sub") != self.account or not claims.get("scope"):
                raise _Refused("unauthorized_client", "Client is unauthorized for this subject.")
            return self._access({"scope": claims["scope"]})
        self._identify(form)
        if kind == "client_credentials":
            return self._access({})
        if kind == "refresh_token":
            return self._refreshed(form["refresh_token"])
        if kind == "authorization_code":
            return self._exchanged(form)
        raise _Refused("unsupported_grant_type", str(kind))

    def _identify(self, form: dict[str, str]) -> None:
        if form.get("client_id") != self.client_id:
            raise _Refused("unauthorized_client", "AADSTS700016: Application was not found.")
        if "client_assertion" in form:
            claims = self._checked(form["client_assertion"])
            if claims["iss"] == claims["sub"] == self.client_id and claims.get("jti"):
                return
        elif secrets.compare_digest(form.get("client_secret", "").encode(), self.client_secret.encode()):
            return
        raise _Refused("invalid_client", "AADSTS7000215: Invalid client secret provided.")

    def _checked(self, assertion: str) -> dict[str, Any]:
        try:
            claims = jwt.decode(
                assertion,
                self.public_key or b"",
                algorithms=["RS256", "PS256", "ES256"],
                audience=self.token_url,
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise _Refused("invalid_grant", "The signature is wrong.") from error
        now = time.time() + self.clock
        if not claims["iat"] - 5 <= now <= claims["exp"]:
            raise _Refused(
                "invalid_grant", "Invalid JWT: it must be short-lived and in a reasonable timeframe."
            )
        return dict(claims)

    def _refreshed(self, token: str) -> dict[str, Any]:
        if token not in self.refresh_tokens:
            raise _Refused("invalid_grant", "AADSTS700082: The refresh token has expired.")
        return self._access(self._refresh(token) if self.rotates else {})

    def _exchanged(self, form: dict[str, str]) -> dict[str, Any]:
        known = self._codes.pop(form["code"], None)
        if known is None or known["redirect_uri"] != form["redirect_uri"]:
            raise _Refused("invalid_grant", "The code is not valid.")
        made = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(made).rstrip(b"=").decode() != known["code_challenge"]:
            raise _Refused("invalid_grant", "The verifier does not fit.")
        claims = {"email": self.account, "aud": self.client_id}
        id_token = jwt.encode(claims, "k" * 32, algorithm="HS256")
        return self._access({"id_token": id_token} | self._refresh())

    def _refresh(self, old: str = "") -> dict[str, str]:
        self.refresh_tokens.discard(old)
        new = "refresh-" + secrets.token_urlsafe(24)
        self.refresh_tokens.add(new)
        return {"refresh_token": new}

    def _access(self, more: dict[str, Any]) -> dict[str, Any]:
        token = "access-" + secrets.token_urlsafe(600)  # as long as Microsoft's
        self.access_tokens.add(token)
        said = {"access_token": token, "token_type": "Bearer", "expires_in": self.expires_in}
        return said | {"scope": self.scope} | more

    def allow(self, asked: dict[str, str]) -> str:
        """Return where a person goes who has signed in and agreed."""
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return asked["redirect_uri"] + "?" + urlencode({"code": code, "state": asked["state"]})

    def page(self, asked: dict[str, str]) -> Answer:
        """Show what a provider shows: who asks, and the two answers a person may give."""
        self.asked.append(asked)
        wanted = {"response_type": "code", "client_id": self.client_id, "code_challenge_method": "S256"}
        if any(asked.get(name) != value for name, value in wanted.items()) or not asked.get("code_challenge"):
            return Answer(400, b"This is no request of RFC 6749 section 4.1.1 with PKCE.")
        refused = asked["redirect_uri"] + "?" + urlencode({"error": "access_denied", "state": asked["state"]})
        text = (
            f"<!doctype html><title>Sign in</title><h1>Sign in as {self.account}</h1>"
            f'<p><a id="allow" href="/allow?{urlencode(asked)}">Allow</a> <a href="{refused}">No</a>'
        )
        return Answer(200, text.replace("&", "&amp;").encode(), {"Content-Type": "text/html"})


class _Refused(Exception):
    pass


def _ok(said: dict[str, Any]) -> Answer:
    return Answer(200, json.dumps(said).encode())


def _no(error: str, words: str) -> Answer:
    return Answer(400, json.dumps({"error": error, "error_description": words}).encode())


@contextmanager
def authorization_server() -> Iterator[Provider]:
    """Run a provider; gone at the end, with every connection."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            assert self.headers["Content-Type"].startswith("application/x-www-form-urlencoded")
            form = dict(parse_qsl(text, keep_blank_values=True, strict_parsing=True))
            self.give(provider.token(form) if self.path == "/token" else Answer(404, b"nothing"))

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if parts.path == "/authorize":
                self.give(provider.page(asked))
            elif parts.path == "/allow":
                self.give(Answer(302, b"", {"Location": provider.allow(asked)}))
            else:
                self.give(Answer(404, b"nothing"))

        def give(self, answer: Answer) -> None:
            self.send_response_only(answer.status)
            self.send_header("Date", formatdate(time.time() + provider.clock, usegmt=True))
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    provider.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)

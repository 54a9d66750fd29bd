"""The way out by Mailgun's MIME endpoint: the stored message as a file, the envelope's recipients beside it.

Sent is only what was answered with 200, an id and "Queued": a wrong address of theirs answers 200 as well.
Nothing is repeated: there is no idempotency key.
"""

import secrets
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from transports.base import Observer, Phase, Reply, Secret, Session, StepVerdict
from transports.errors import CredentialsNotUsable, ReplyRefused
from transports.exchange import Answer, Body, Limits
from transports.resolve import AddressGuard
from transports.smtp.redaction import Redactor
from transports.smtp.reply import clean
from transports.smtp.transcript import Stage, Trace, stage
from transports.whole import Handing, WholeSession

if TYPE_CHECKING:
    from transports.http import HttpSession

#: Where each region answers.
BASES: Mapping[str, str] = {"us": "https://api.mailgun.net", "eu": "https://api.eu.mailgun.net"}

#: Recipients of one message.
MOST_RECIPIENTS = 1000


@dataclass(frozen=True)
class MailgunSettings:
    """Which domain, where, and what opens the key; `base` is where the region answers."""

    domain: str
    base: str
    key: Callable[[], Secret] = field(repr=False)
    guard: AddressGuard = field(default_factory=AddressGuard)
    limits: Limits = field(default_factory=Limits)
    ca_pem: str = ""


class MailgunTransport:
    """See `transports.base.Transport`."""

    def __init__(self, settings: MailgunSettings) -> None:
        self.settings = settings

    async def open(
        self,
        observer: Observer | None = None,
        *,
        sequential: bool = False,  # noqa: ARG002 - one request at a time
    ) -> Session:
        """Reach the server; for an observer ask about the key and the domain. Raises TransportError."""
        from transports.http import HttpSession  # noqa: PLC0415  # see transports.exchange

        trace = Trace(observer) if observer is not None else None
        settings = self.settings
        http = HttpSession(
            settings.base, guard=settings.guard, limits=settings.limits, ca_pem=settings.ca_pem
        )
        key = settings.key().reveal()
        if not (key.isascii() and key.isprintable()) or not key:
            raise CredentialsNotUsable("An API key has only letters, digits and signs.", phase=Phase.KEY)
        session = MailgunSession(settings.domain, http, key, trace)
        try:
            await http.reach(trace)
            if trace is not None:
                await session.look(trace)
        except BaseException:
            session.abort()
            raise
        return session


class MailgunSession(WholeSession):
    """Connections to one region with one key."""

    def __init__(self, domain: str, http: "HttpSession", key: str, trace: Trace | None) -> None:
        super().__init__(trace)
        self._http = http
        # A "/" would lead elsewhere, to an address that answers 200.
        self._domain = quote(domain, safe="")
        authorization = "Basic " + b64encode(f"api:{key}".encode()).decode()
        self._headers = {"Authorization": authorization}
        self._redactor = Redactor(key.encode(), authorization.encode())

    async def look(self, trace: Trace) -> None:
        """Ask for the domain's state. Raises ReplyRefused where the region does not know it, or nothing.

        A key that may only send is not told the state; what it may do, sending shows.
        """
        with stage(trace, Phase.KEY) as step:
            answer = await self._http.request("GET", f"/v4/domains/{self._domain}", headers=self._headers)
            step.reply = reply = answer.reply(_words(answer), self._redactor)
            if answer.status in (401, 403):
                step.verdict = StepVerdict.WARNING
                step.detail = "This key may not read the domain's state. Sending shows whether it may send."
            elif not answer.is_success:
                raise ReplyRefused("Mailgun refuses.", phase=Phase.KEY, reply=reply)
        with stage(trace, Phase.IDENTITY) as step:
            _look_at_domain(answer, step)

    async def _hand_over(self, handing: Handing) -> Reply:
        handing.offered = min(handing.offered, MOST_RECIPIENTS)
        boundary = secrets.token_hex(16)
        body = Body(_parts(handing, boundary), handing.complete)
        path = f"/v3/{self._domain}/messages.mime"
        handing.said(f"POST {path}, {handing.offered} recipients, {handing.content.size_bytes} bytes")
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        answer = await self._http.request("POST", path, headers=headers | self._headers, body=body)
        reply = answer.reply(_words(answer), self._redactor)
        handing.heard(str(reply))
        if (name := _queued_as(answer)) is not None:
            return Reply(answer.status, f"{reply.text} id={name}")
        raise ReplyRefused("Mailgun did not take the message.", phase=Phase.API, reply=reply)

    async def close(self) -> None:
        """End the session."""
        self._is_open = False
        await self._http.close()

    def abort(self) -> None:
        """End the session at once."""
        self._is_open = False
        self._http.abort()


def _queued_as(answer: Answer) -> str | None:
    """Return the id of a message that was taken, None when it was not."""
    said = answer.json()
    if answer.status != 200 or not isinstance(said, dict):
        return None
    name, words = said.get("id"), said.get("message")
    is_queued = isinstance(name, str) and isinstance(words, str) and "queued" in words.lower()
    return clean(str(name).encode("utf-8", "replace")).strip("<>")[:200] if is_queued and name else None


def _words(answer: Answer) -> str:
    """Return what the answer says to people, "" when it says nothing in the form of theirs."""
    said = answer.json()
    words = said.get("message") if isinstance(said, dict) else None
    return words if isinstance(words, str) else ""


def _look_at_domain(answer: Answer, step: Stage) -> None:
    """Say what is known of the domain."""
    said: Any = answer.json()  # Any: JSON
    domain = said.get("domain") if isinstance(said, dict) else None
    state = domain.get("state") if isinstance(domain, dict) else None
    if not isinstance(state, str):
        step.verdict, step.detail = StepVerdict.SKIPPED, "Not told."
        return
    step.evidence = {"domain_state": clean(state.encode("utf-8", "replace"))[:40]}
    if state != "active":
        step.verdict, step.detail = StepVerdict.WARNING, "Mailgun has not verified this domain."


def _parts(handing: Handing, boundary: str) -> list[bytes]:
    """Return the form (RFC 7578): a field for each recipient, the content as a file, not copied."""
    lead = f'--{boundary}\r\nContent-Disposition: form-data; name="to"\r\n\r\n'
    fields = "".join(f"{lead}{one}\r\n" for one in handing.recipients)
    file = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="message"; filename="message.eml"\r\n'
        "Content-Type: message/rfc822\r\n\r\n"
    )
    return [(fields + file).encode(), *handing.content.segments, f"\r\n--{boundary}--\r\n".encode()]

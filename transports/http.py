"""HTTPS for mail: looked up once, judged, pinned, kept open, every wait limited; nothing is repeated.

    client = HttpSession("https://api.example.net", guard=guard)
    await client.reach()
    answer = await client.request("POST", "/v3/send", headers={...}, body=Body([b"..."]))

httpx speaks; what it would do by itself is switched off: no redirects, no proxies from the environment. The
address that was judged is the one that is connected to, and the certificate is checked against the name.
Foreign exceptions become ours here. For a single POST with nothing to lose there is `transports.posting`.
"""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import httpx

from transports.base import Phase
from transports.errors import (
    ConnectionLost,
    ConnectTimeout,
    CouldNotConnect,
    NameNotFound,
    ProtocolError,
    ReplyTimeout,
    TransportError,
)
from transports.exchange import MAX_ANSWER, Answer, Body, Limits
from transports.resolve import AddressGuard, Destination, resolve
from transports.smtp.dialing import dial
from transports.smtp.settings import SMTPSettings
from transports.smtp.tls import describe, make_context
from transports.smtp.transcript import Trace, stage
from transports.smtp.translation import translate


class HttpSession:
    """Requests to one server, over connections that are kept for some seconds."""

    def __init__(
        self, base: str, *, guard: AddressGuard, limits: Limits | None = None, ca_pem: str = ""
    ) -> None:
        """Prepare for `base` ("https://host"); plain HTTP only to a loopback address.

        `ca_pem` is added to the system's authorities. Raises NameNotFound for what is no such address.
        """
        try:
            self._url = httpx.URL(base)
        except httpx.InvalidURL as error:
            raise NameNotFound("This is not an address.", phase=Phase.DNS, reason="bad-name") from error
        if not self._url.host or not (self._url.scheme == "https" or _is_local_http(self._url)):
            raise NameNotFound("The address must begin with https://.", phase=Phase.DNS, reason="bad-name")
        self.host = self._url.host
        self.port = self._url.port or (443 if self._url.scheme == "https" else 80)
        self.limits = limits or Limits()
        self._guard = replace(guard, allowed_ports=(*guard.allowed_ports, 443))
        self._ca_pem = ca_pem
        self._client: httpx.AsyncClient | None = None
        self._destination: Destination | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def is_open(self) -> bool:
        """Whether requests can be made."""
        return self._client is not None

    async def reach(self, trace: Trace | None = None) -> None:
        """Look the server up, connect to it once, and look at its certificate. Raises TransportError.

        That first connection is closed again: it finds the address that answers, and what is wrong while
        nothing was sent yet.
        """
        with stage(trace, Phase.DNS) as step:
            found = await resolve(self.host, self.port, guard=self._guard)
            step.evidence = {"addresses": ", ".join(map(str, found.addresses))}
        context = self._context()
        with stage(trace, Phase.CONNECT) as step:
            sock = await dial(found, timeout=self.limits.connect)
            address = ip_address(sock.getpeername()[0])
            step.evidence = {"address": str(address), "port": str(self.port)}
            if context is None:
                sock.close()
            else:
                step.evidence |= await self._shake_hands(sock, context)
        self._destination = replace(found, addresses=(address,))
        limits = self.limits
        self._client = httpx.AsyncClient(
            verify=context if context is not None else True,
            timeout=httpx.Timeout(limits.answer, connect=limits.connect, write=limits.write),
            trust_env=False,
            follow_redirects=False,
            headers={"User-Agent": "mailconf", "Accept": "application/json", "Accept-Encoding": "identity"},
        )

    def _context(self) -> ssl.SSLContext | None:
        if self._url.scheme != "https":
            return None
        return make_context(SMTPSettings(self.host, self.port, ca_pem=self._ca_pem))

    async def _shake_hands(self, sock: Any, context: ssl.SSLContext) -> dict[str, str]:  # Any: a socket
        writer = None
        try:
            async with asyncio.timeout(self.limits.tls):
                _reader, writer = await asyncio.open_connection(
                    sock=sock, ssl=context, server_hostname=self.host
                )
            return describe(writer.get_extra_info("ssl_object"))
        except (OSError, ValueError) as error:  # TimeoutError is one
            sock.close()
            raise translate(error, Phase.TLS) from error
        finally:
            if writer is not None:
                writer.transport.abort()

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: Body | None = None
    ) -> Answer:
        """Make one request and read its answer. Raises TransportError: CONNECT before, API after it began.

        After `close` or without `reach` it raises ConnectionLost.
        """
        client, found = self._client, self._destination
        if client is None or found is None:
            raise ConnectionLost("The connection had ended.", phase=Phase.CONNECT)
        body = body or Body()
        own = {"Host": self._url.netloc.decode(), "Content-Length": str(body.size_bytes)}
        request = client.build_request(
            method,
            self._url.copy_with(host=str(found.addresses[0])).join(path),
            headers={**(headers or {}), **own},
            content=body.stream(),
            extensions={"sni_hostname": self.host},
        )
        try:
            return await self._exchange(client, request)
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError) as error:
            raise _translated(error) from error

    async def _exchange(self, client: httpx.AsyncClient, request: httpx.Request) -> Answer:
        answer = await client.send(request, stream=True)
        read = bytearray()
        try:
            async with asyncio.timeout(self.limits.answer):
                async for piece in answer.aiter_bytes():
                    read += piece
                    if len(read) > MAX_ANSWER:
                        break
        except (httpx.HTTPError, httpx.StreamError, OSError):  # TimeoutError is one
            if answer.is_success:  # a refusal stands whatever becomes of its words
                raise
        finally:
            await answer.aclose()
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status_code, headers, bytes(read[:MAX_ANSWER]))

    async def close(self) -> None:
        """Close the connections, within 5 s. A second call does nothing."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(httpx.HTTPError, OSError):
                async with asyncio.timeout(5):
                    await client.aclose()

    def abort(self) -> None:
        """Make no more requests; the connections are closed as soon as the loop runs on."""
        client, self._client = self._client, None
        if client is None:
            return
        with suppress(RuntimeError):  # no loop runs: the connections end with the process
            task = asyncio.get_running_loop().create_task(client.aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def _is_local_http(url: httpx.URL) -> bool:
    try:
        return url.scheme == "http" and ip_address(url.host).is_loopback
    except ValueError:
        return False


def _translated(error: Exception) -> TransportError:
    """Return our error for one of httpx or of the system."""
    match error:
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return ConnectTimeout("The server did not answer in time.", phase=Phase.CONNECT)
        case httpx.ConnectError():
            return CouldNotConnect("The server cannot be reached.", phase=Phase.CONNECT)
        case httpx.TimeoutException() | TimeoutError():
            return ReplyTimeout("The server did not answer in time.", phase=Phase.API)
        case httpx.LocalProtocolError() | httpx.InvalidURL():
            return TransportError("The request cannot be made.", phase=Phase.API)
        case httpx.RemoteProtocolError() if "Server disconnected" not in str(error):
            return ProtocolError("The server's answer cannot be read.", phase=Phase.API)
        case _:
            return ConnectionLost("The server closed the connection.", phase=Phase.API)

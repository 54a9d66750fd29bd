"""One POST over guarded HTTPS: resolved once, judged, pinned; redirects refused; a bounded answer.

What is sent and what comes back is never logged here: both hold secrets. The TLS name is the one that was
asked for, though the connection goes to the judged address, so that a second look-up changes nothing.

httpx is imported with the first POST: it is 0.14 s of a CPU where a terminal's libraries are installed too,
and every process has this module while few post.
"""

import asyncio
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from transports.base import Phase
from transports.errors import (
    ConnectionLost,
    ConnectTimeout,
    CouldNotConnect,
    NameNotFound,
    ProtocolError,
    ReplyTimeout,
    TLSFailed,
    TransportError,
)
from transports.resolve import Address, AddressGuard, Destination, resolve

if TYPE_CHECKING:
    import httpx

#: Octets of an answer that are read; a token has some thousand.
MAX_ANSWER = 64 * 1024

#: Seconds for one POST with everything, and for connecting to one address.
DEADLINE = 20.0
CONNECT = 8.0

HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered. `skew_seconds`: how far its clock is before ours, None when it did not say."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    skew_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class _Sent:
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


def parse_url(url: str, *, allow_http: bool = False) -> tuple[str, int]:
    """Return host and port of an address that may be asked.

    Raises ValueError with one sentence: only https, no user name, no fragment. `allow_http` is for servers
    on loopback, which the guard has to allow as well.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("This is not an address.") from None
    if parts.scheme != "https" and not (allow_http and parts.scheme == "http"):
        raise ValueError("The address must begin with https://.")
    if not parts.hostname or parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("The address must be a host name with a path, without a user name.")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("The address holds characters that cannot be in it.")
    return parts.hostname, port or (HTTPS_PORT if parts.scheme == "https" else 80)


async def post_form(
    url: str,
    form: Mapping[str, str],
    *,
    guard: AddressGuard,
    allow_http: bool = False,
    context: ssl.SSLContext | None = None,
    deadline: float = DEADLINE,
) -> Answer:
    """POST a form; as `post`, and the answer is asked for as JSON."""
    return await post(
        url,
        urlencode(form).encode("ascii"),
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        guard=guard,
        allow_http=allow_http,
        context=context,
        deadline=deadline,
    )


async def post(
    url: str,
    body: bytes,
    *,
    headers: Mapping[str, str],
    guard: AddressGuard,
    allow_http: bool = False,
    context: ssl.SSLContext | None = None,
    deadline: float = DEADLINE,
) -> Answer:
    """POST bytes and return what came, whatever its status; a redirect is not followed.

    `context` replaces the system's authorities. Raises TransportError with the phase it happened in: DNS,
    CONNECT, TLS, and DATA for the answer.
    """
    try:
        host, port = parse_url(url, allow_http=allow_http)
    except ValueError as error:
        raise NameNotFound(str(error), phase=Phase.DNS, reason="bad-name") from None
    destination = await resolve(host, port, guard=guard)
    try:
        async with asyncio.timeout(deadline):
            return await _ask(url, _Sent(body, headers), destination, context or _system_context())
    except TimeoutError:
        sentence = f"{destination.host} did not answer within {deadline:.0f} s."
        raise ReplyTimeout(sentence, phase=Phase.DATA) from None


async def _ask(url: str, sent: "_Sent", destination: Destination, context: ssl.SSLContext) -> Answer:
    """Try the addresses in turn until one can be connected."""
    import httpx  # noqa: PLC0415  # see above

    failed: TransportError | None = None
    timeouts = httpx.Timeout(DEADLINE, connect=CONNECT)
    # No proxy and no .netrc of whoever runs this: what is asked goes where it was judged to go.
    async with httpx.AsyncClient(
        verify=context, trust_env=False, follow_redirects=False, timeout=timeouts
    ) as client:
        for address in destination.addresses:
            try:
                return await _ask_address(client, url, sent, destination, address)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failed = _not_connected(error, destination)
            except httpx.TimeoutException:
                raise ReplyTimeout(f"{destination.host} did not answer.", phase=Phase.DATA) from None
            except (httpx.TransportError, httpx.InvalidURL):
                raise ConnectionLost(
                    f"{destination.host} ended the connection without an answer.", phase=Phase.DATA
                ) from None
    raise failed or CouldNotConnect(f"{destination.host} has no address.", phase=Phase.CONNECT)


async def _ask_address(
    client: "httpx.AsyncClient",
    url: str,
    sent: "_Sent",
    destination: Destination,
    address: Address,
) -> Answer:
    import httpx  # noqa: PLC0415  # see above

    asked = httpx.URL(url)
    request = client.build_request(
        "POST",
        asked.copy_with(host=str(address)),
        content=sent.body,
        headers={
            "Host": asked.netloc.decode("ascii"),
            "Accept-Encoding": "identity",
            "User-Agent": "mailconf",
            **sent.headers,
        },
        extensions={"sni_hostname": destination.host},
    )
    answer = await client.send(request, stream=True)
    try:
        body = bytearray()
        async for piece in answer.aiter_raw():
            body += piece
            if len(body) > MAX_ANSWER:
                sentence = f"{destination.host} answered with more than {MAX_ANSWER // 1024} KiB."
                raise ProtocolError(sentence, phase=Phase.DATA)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status_code, headers, bytes(body), skew_of(headers.get("date"), time.time()))
    finally:
        await answer.aclose()


def skew_of(date: str | None, now: float) -> float | None:
    """Return how many seconds a Date header is before `now`, None when it does not say.

    >>> skew_of("Fri, 20 Nov 2026 12:00:00 GMT", 1795176000.0 - 90)
    90.0
    """
    if not date:
        return None
    try:
        return parsedate_to_datetime(date).timestamp() - now
    except (ValueError, OverflowError, TypeError):
        return None


def _not_connected(error: "httpx.TransportError", destination: Destination) -> TransportError:
    import httpx  # noqa: PLC0415  # see above

    if isinstance(error, httpx.ConnectTimeout):
        return ConnectTimeout(
            f"{destination.host} did not answer within {CONNECT:.0f} s.", phase=Phase.CONNECT
        )
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return TLSFailed(f"No trusted connection to {destination.host} came about.", phase=Phase.TLS)
        cause = cause.__cause__ or cause.__context__
    return CouldNotConnect(f"{destination.host} could not be connected.", phase=Phase.CONNECT)


@cache
def _system_context() -> ssl.SSLContext:
    return ssl.create_default_context()

"""DNS and ports asked for a search: each row as it is known, from a thread with a loop of its own."""

import asyncio
import math
import queue
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace

from smtp_settings.finding.candidates import Candidate, Wanted, candidates
from smtp_settings.finding.rows import Cause, Row, cause_of, failed, row_of
from transports import dns
from transports.errors import TransportError
from transports.resolve import AddressGuard, Destination, resolve
from transports.smtp.probe import Prober

#: Seconds for the whole search, DNS and all (WIRE E24: a person waits, and a scanner gets nowhere).
LIMIT = 12.0
#: Ports looked at at the same time.
AT_ONCE = 8
#: The thread ends itself at the limit; this long after it, it is left behind.
_GRACE = 1.0
#: How often the caller may look at the world while nothing is heard.
_LOOK_SECONDS = 0.5

#: Rows by their place among all.
Heard = dict[int, Row]


def search(
    wanted: Wanted,
    *,
    guard: AddressGuard,
    servers: Sequence[dns.Server] = (),
    goes_on: Callable[[], bool] = lambda: True,
    limit: float = math.inf,
) -> Iterator[Heard]:
    """Yield rows as soon as they are known: first all of them as not tried, then each in its place.

    Ends after `LIMIT` or `limit` seconds, or when `goes_on`, asked twice a second in this thread, says so.
    """
    limit = min(limit, LIMIT)
    heard: queue.SimpleQueue[Heard | None] = queue.SimpleQueue()
    stopped = threading.Event()
    threading.Thread(
        target=_run,
        args=(_ask(wanted, guard, servers, heard), heard, stopped, limit),
        name="search",
        daemon=True,  # one stuck in a look-up must not keep the process from ending
    ).start()
    deadline = time.monotonic() + limit + _GRACE
    try:
        while time.monotonic() < deadline and goes_on():
            try:
                one = heard.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if one is None:
                return
            yield one
    finally:
        stopped.set()


def _run(
    asking: Coroutine[None, None, None],
    heard: "queue.SimpleQueue[Heard | None]",
    stopped: threading.Event,
    limit: float,
) -> None:
    """Run the asking in a loop of this thread until its end, the limit, or the stop."""

    async def whole() -> None:
        task = asyncio.create_task(asking)
        give_up_at = time.monotonic() + limit
        while not task.done() and time.monotonic() < give_up_at and not stopped.is_set():
            await asyncio.wait([task], timeout=0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        heard.put(None)  # here: the end of the loop waits for look-ups that cannot be cancelled

    asyncio.run(whole())


async def _ask(
    wanted: Wanted,
    guard: AddressGuard,
    servers: Sequence[dns.Server],
    heard: "queue.SimpleQueue[Heard | None]",
) -> None:
    found = candidates(wanted, mx=await _mx(wanted, servers), allows_port=guard.allows_port)
    heard.put({place: failed(candidate, Cause.NOT_TRIED) for place, candidate in enumerate(found)})
    prober, turn = Prober(guard), asyncio.Semaphore(AT_ONCE)
    first = {candidate.host: candidate for candidate in reversed(found)}
    hosts = {host: asyncio.create_task(_resolve(candidate, guard)) for host, candidate in first.items()}

    async def look(place: int, candidate: Candidate) -> None:
        where = await asyncio.shield(hosts[candidate.host])
        if isinstance(where, TransportError):
            heard.put({place: failed(candidate, cause_of(where))})
            return
        async with turn:
            at_port = replace(where, port=candidate.port)
            heard.put({place: row_of(candidate, await prober.probe(at_port, candidate.security))})

    await asyncio.gather(*(look(place, candidate) for place, candidate in enumerate(found)))


async def _mx(wanted: Wanted, servers: Sequence[dns.Server]) -> tuple[str, ...]:
    """Return who receives for the domain; nobody when that cannot be found out."""
    if not wanted.domain:
        return ()
    (answer,) = await dns.look_up([dns.Question(wanted.domain, dns.Kind.MX)], servers=servers)
    return answer.values


async def _resolve(candidate: Candidate, guard: AddressGuard) -> Destination | TransportError:
    """Look a server up once for all its ports, and judge its addresses."""
    try:
        return await resolve(candidate.host, candidate.port, guard=guard)
    except TransportError as error:
        return error

"""Messages per second from the queue to a server, against those who do the same, turn by turn in one run.

    python -m bench drain [--messages 10000] [--connections 16] [--rtt-ms 0] [--size 5000] [--workers 1]
                          [--rounds 3] [--peer-messages N] [--json]

All talk to the same sink, a process of its own on loopback that answers after the delay of a round trip, and
store in the same PostgreSQL. Rates are medians of the rounds.

*Ours*: one worker process with `--connections` connections; with `--workers` so many processes share them (as
the best setting of post_office uses all processors). Its time is everything from the call of the drain to its
return: register, claim, one transaction a message on the wire, outcome and statistics committed, sessions
closed. Enqueueing comes before and is not in it.
*aiosmtplib*: a bare `sendmail()` loop with the message in memory that forgets what happened, in one process,
at the best of several numbers of connections.
*django-post_office*, *django-mailer* (`make bench-peers`): the time of their own command for a full queue. On
loopback post_office has the best of several settings, found by a trial before the rounds; with a round trip
its default (five threads, batches of 100). django-mailer has no setting that makes it faster.

At `--rtt-ms` the slower sides carry fewer messages: a rate needs a few seconds, not all 10,000. Not measured:
TLS, sign-in, a real server's thinking time, the network.
"""

import argparse
import asyncio
import time

import aiosmtplib

from bench import peers, rig
from bench.rig import RECIPIENT, SENDER, an_eml, only_profile, per_second, ratio, tell
from bench.sink import HOST, a_sink

#: Numbers of connections the bare loop is tried with, beside ours.
BARE = (1, 4, 16)
#: Seconds that are enough for a rate at a round trip.
ENOUGH_SECONDS = 10
#: Round trips of a message: MAIL, RCPT, DATA, dot.
TRIPS = 4


async def sendmail_loop(port: int, messages: int, content: bytes, connections: int) -> None:
    async def one(count: int) -> None:
        client = aiosmtplib.SMTP(hostname=HOST, port=port, start_tls=False, local_hostname="bench")
        await client.connect()
        for _ in range(count):
            await client.sendmail(SENDER, [RECIPIENT], content)
        await client.quit()

    shares = [messages // connections + (i < messages % connections) for i in range(connections)]
    await asyncio.gather(*map(one, shares))


def bare(options: argparse.Namespace, content: bytes, connections: int) -> tuple[int, float]:
    """Return how many messages the bare loop sent, and the seconds."""
    messages = enough(options, connections)
    with a_sink(options.rtt_ms / 1000) as (port, end):
        began = time.perf_counter()
        asyncio.run(sendmail_loop(port, messages, content, connections))
        seconds = time.perf_counter() - began
        assert end() == messages
    return messages, seconds


def ours(options: argparse.Namespace, content: bytes) -> rig.Drained:
    with a_sink(options.rtt_ms / 1000) as (port, end):
        only_profile(port, connections=options.connections)
        rig.fill(options.messages, content)
        done = rig.drain(workers=options.workers, batch=options.batch)
        assert end() == done.sent == options.messages
    return done


def enough(options: argparse.Namespace, connections: int) -> int:
    """Return how many messages a side sends that needs four round trips for each."""
    if options.peer_messages:
        return int(options.peer_messages)
    if not options.rtt_ms:
        return int(options.messages)
    a_second = connections * 1000 / (options.rtt_ms * TRIPS)
    return min(options.messages, max(20, round(a_second * ENOUGH_SECONDS)))


class Side:
    """One contestant: its rounds, as rates."""

    def __init__(self, name: str, **settings: object) -> None:
        self.name, self.settings = name, settings
        self.seconds: list[float] = []
        self.messages = 0

    def took(self, messages: int, seconds: float, **more: object) -> None:
        self.messages = messages
        self.seconds.append(seconds)
        rate = round(messages / seconds, 1)
        facts = {"messages": messages, "seconds": round(seconds, 3), "per_second": rate}
        tell("drain", side=self.name, **self.settings, **facts, **more)

    @property
    def rate(self) -> int | None:
        return per_second(self.messages, self.seconds) if self.seconds else None


def peer_sides(options: argparse.Namespace) -> list[tuple[Side, peers.Setting]]:
    """Return the peers that are installed, each with its setting."""
    if not peers.is_installed():
        tell("drain", peers=None, note=peers.HOW_TO)
        return []
    post_office = peers.DEFAULT
    if not options.rtt_ms:
        trial = max(1, options.peer_messages or options.messages // 5)
        post_office = peers.best_of(peers.CANDIDATES, trial, options.size)
    found = [(Side("post_office", **post_office.facts), post_office)]
    return [*found, (Side("django_mailer"), peers.MAILER)]


def peer_round(options: argparse.Namespace, side: Side, setting: peers.Setting) -> None:
    messages = enough(options, setting.threads * setting.processes)
    done = peers.drain(setting, messages, size=options.size, rtt_ms=options.rtt_ms)
    side.took(messages, done["seconds"], peak_rss_mb=done["peak_rss_mb"])


def rounds(options: argparse.Namespace) -> None:
    content = an_eml(options.size)
    mine = Side("mailconf", connections=options.connections)
    loops = [Side("aiosmtplib", connections=count) for count in sorted({*BARE, options.connections})]
    others = peer_sides(options)
    for _ in range(options.rounds):
        for side in loops:
            side.took(*bare(options, content, int(str(side.settings["connections"]))))
        done = ours(options, content)
        mine.took(
            done.sent,
            done.seconds,
            statements_per_message=round(done.statements / done.sent, 4),
            cpu_us_per_message=round(done.cpu_seconds / done.sent * 1e6),
        )
        for side, setting in others:
            peer_round(options, side, setting)
    rates = {side.name: side.rate for side, _ in others}
    limit = options.connections * 1000 / options.rtt_ms if options.rtt_ms else None
    assert mine.rate is not None
    tell(
        "drain",
        messages=options.messages,
        connections=options.connections,
        workers=options.workers,
        rtt_ms=options.rtt_ms,
        msgs_per_s=mine.rate,
        ratio_aiosmtplib=ratio(mine.rate, max(side.rate or 0 for side in loops)),
        ratio_post_office=ratio(mine.rate, rates.get("post_office")),
        ratio_django_mailer=ratio(mine.rate, rates.get("django_mailer")),
        share_of_limit=round(mine.rate / limit, 3) if limit else None,
        machine=rig.machine(),
    )


def main() -> None:
    parser = rig.parser(__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=rig.SIZE_BYTES)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rtt-ms", type=float, default=0.0)
    parser.add_argument("--workers", type=int, default=1, help="our processes; the loop has one in any case")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-messages", type=int, help="messages a round of the other sides")
    options = parser.parse_args()
    with rig.a_database(), peers.a_database():
        rounds(options)


if __name__ == "__main__":
    main()

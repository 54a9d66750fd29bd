"""Messages per second over the wire: our sessions against a bare aiosmtplib.sendmail() loop, in one run.

    python -m bench wire [--messages 20000] [--connections 16] [--rtt-ms 0] [--size 5000] [--starttls]
                         [--pipelining auto] [--json]

Both sides hold their connections open and take turns at the same sink, so that what else the machine does
hits both. Ours is told what follows, as the engine does. `limit_per_s` is the one-round-trip limit,
connections / rtt.
"""

import argparse
import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiosmtplib
import trustme

from bench.sink import GUARD, HOST, a_sink
from transports.base import Content, Envelope, MailObject, Security, Session
from transports.smtp import SMTPSettings, SMTPTransport

SENDER, RECIPIENT = "shop@example.org", "ann@example.org"
TURNS = 4

#: Makes so many messages for each connection, and returns what sends them.
Prepare = Callable[[int], Sequence[Awaitable[None]]]


@dataclass
class Side:
    """One contestant and what it has spent."""

    prepare: Prepare
    seconds: float = 0.0
    cpu: float = 0.0

    async def take_turn(self, each: int) -> None:
        going = self.prepare(each)
        started, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*going)
        self.seconds += time.perf_counter() - started
        self.cpu += time.process_time() - cpu


async def aiosmtplib_side(port: int, options: argparse.Namespace, content: bytes, ca: trustme.CA) -> Prepare:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    clients = [
        aiosmtplib.SMTP(
            hostname=HOST,
            port=port,
            start_tls=options.starttls,
            tls_context=context,
            local_hostname="bench",
        )
        for _ in range(options.connections)
    ]
    for client in clients:
        await client.connect()

    async def one(client: aiosmtplib.SMTP, messages: int) -> None:
        for _ in range(messages):
            await client.sendmail(SENDER, [RECIPIENT], content)

    return lambda each: [one(client, each) for client in clients]


async def our_side(port: int, options: argparse.Namespace, content: bytes, ca: trustme.CA) -> Prepare:
    transport = SMTPTransport(
        SMTPSettings(
            host=HOST,
            port=port,
            security=Security.STARTTLS if options.starttls else Security.NONE,
            ca_pem=ca.cert_pem.bytes().decode(),
            pipelining=options.pipelining,
            guard=GUARD,
        )
    )
    sessions = [await transport.open() for _ in range(options.connections)]

    async def one(session: Session, mail: Sequence[MailObject]) -> None:
        following: Sequence[MailObject | None] = [*mail[1:], None]
        for (envelope, content_), next_mail in zip(mail, following, strict=True):
            outcome = await session.deliver(envelope, content_, following=next_mail)
            assert outcome.accepted, outcome

    def some_mail(messages: int) -> list[MailObject]:
        return [MailObject(Envelope(SENDER, (RECIPIENT,)), Content((content,))) for _ in range(messages)]

    return lambda each: [one(session, some_mail(each)) for session in sessions]


async def measure(
    port: int, options: argparse.Namespace, content: bytes, ca: trustme.CA
) -> dict[str, object]:
    theirs = Side(await aiosmtplib_side(port, options, content, ca))
    ours = Side(await our_side(port, options, content, ca))
    each = max(1, options.messages // options.connections // TURNS)
    for _ in range(TURNS):
        await theirs.take_turn(each)
        await ours.take_turn(each)
    messages = each * TURNS * options.connections
    found: dict[str, object] = {
        "bench": "wire",
        "messages": messages,
        "connections": options.connections,
        "rtt_ms": options.rtt_ms,
        "size_bytes": len(content),
        "starttls": options.starttls,
        "pipelining": options.pipelining,
        "msgs_per_s": round(messages / ours.seconds),
        "aiosmtplib_msgs_per_s": round(messages / theirs.seconds),
        "ratio": round(theirs.seconds / ours.seconds, 2),
        "cpu_us_per_msg": round(ours.cpu / messages * 1e6, 1),
        "aiosmtplib_cpu_us_per_msg": round(theirs.cpu / messages * 1e6, 1),
    }
    if options.rtt_ms:
        limit = options.connections / options.rtt_ms * 1000
        found |= {"limit_per_s": round(limit), "share_of_limit": round(messages / ours.seconds / limit, 3)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rtt-ms", type=float, default=0.0)
    parser.add_argument("--size", type=int, default=5000)
    parser.add_argument("--starttls", action="store_true")
    parser.add_argument("--pipelining", choices=["auto", "grouped", "sequential"], default="auto")
    parser.add_argument("--json", action="store_true", help="one JSON line (the default is one a key)")
    options = parser.parse_args()
    line = b"x" * 76 + b"\r\n"
    content = b"Subject: bench\r\n\r\n" + line * (options.size // len(line))
    ca = trustme.CA()
    certificate = ca.issue_cert(HOST) if options.starttls else None
    with a_sink(options.rtt_ms / 1000, certificate=certificate) as (port, end):
        found = asyncio.run(measure(port, options, content, ca))
        assert end() == 2 * int(str(found["messages"])), "the sink counted other than we did"
    if options.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{key}: {value}" for key, value in found.items()))


if __name__ == "__main__":
    main()

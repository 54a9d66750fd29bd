"""How long it takes to hand mail over: in bulk, and one `send_mail()` at a time.

    python -m bench enqueue [--messages 10000] [--single 500] [--size 5000] [--rounds 3] [--json]

*Bulk*: messages a second through `send_many`, 500 a call, each call a transaction of its own; from
EmailMessage objects made before the clock starts (`bulk_per_s`), and from finished RFC 5322 bytes
(`bulk_eml_per_s`). Both are composed, checked and stored, and the workers' bell is rung.
*Single*: `django.core.mail.send_mail()` with our backend, outside a transaction, so that each call commits:
p50 and p99 in milliseconds.
*django-post_office* (`make bench-peers`), turn by turn: its own `mail.send_many()`, 500 a call, and one
EmailMessage through its backend. It stores the fields and composes when it sends. Not measured: a broker (the
bell is rung beside the caller, who never waits for it).
"""

import argparse
import time

from bench import peers, rig
from bench.rig import RECIPIENT, SENDER

CHUNK = 500


def timed_bulk(messages: list[object]) -> float:
    """Hand the messages over; return how many a second."""
    from delivery.handover import Outgoing, send_many

    began = time.perf_counter()
    for start in range(0, len(messages), CHUNK):
        send_many([Outgoing(message=one) for one in messages[start : start + CHUNK]])
    return len(messages) / (time.perf_counter() - began)


def timed_single(count: int, body: str) -> list[float]:
    """Send so many mails one by one; return the milliseconds of each."""
    from django.core.mail import send_mail

    spent = []
    for _ in range(count):
        began = time.perf_counter()
        send_mail("Report", body, SENDER, [RECIPIENT])
        spent.append((time.perf_counter() - began) * 1000)
    return spent


def a_round(options: argparse.Namespace) -> rig.Facts:
    from django.core.mail import EmailMessage

    body, eml = rig.a_body(options.size), rig.an_eml(options.size)
    made = [EmailMessage("Report", body, SENDER, [RECIPIENT]) for _ in range(options.messages)]
    facts: rig.Facts = {
        "bulk_per_s": round(timed_bulk(made)),
        "bulk_eml_per_s": round(timed_bulk([eml] * options.messages)),
    }
    timed_single(20, body)
    spent = timed_single(options.single, body)
    facts |= {"single_p50_ms": rig.percentile(spent, 50), "single_p99_ms": rig.percentile(spent, 99)}
    if peers.is_installed():
        theirs = peers.enqueue(options.messages, options.single, size=options.size)
        facts |= {f"post_office_{name}": value for name, value in theirs.items()}
    return {name: round(value, 2) for name, value in facts.items()}


def main() -> None:
    parser = rig.parser(__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--single", type=int, default=500)
    parser.add_argument("--size", type=int, default=rig.SIZE_BYTES)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = []
    with rig.a_database(), peers.a_database(), rig.our_backend():
        for _ in range(options.rounds):
            found.append(a_round(options))
            rig.tell("enqueue", **found[-1])
        medians = {name: rig.median(one[name] for one in found) for name in found[0]}
        if not peers.is_installed():
            medians |= {"post_office_bulk_per_s": None, "post_office_single_p50_ms": None}
            rig.tell("enqueue", note=peers.HOW_TO)
        rig.tell("enqueue", messages=options.messages, size_bytes=options.size, **medians,
                 machine=rig.machine())  # fmt: skip


if __name__ == "__main__":
    main()

"""One large file to very many people: what the database keeps, and what a worker holds in memory.

    python -m bench burst [--recipients 5000] [--attachment-mb 5] [--connections 4] [--peer-messages 100]
                          [--json]

As many messages, each to one person, all with the same attachment, handed over 100 a call and drained by one
worker into a sink that throws them away. `growth_mb` is how much larger the database is after it all
(pg_database_size: rows, contents and the file), `worker_peak_rss_mb` the most the worker ever
held (VmHWM). *django-post_office* (`make bench-peers`) sends its share from a file on disk at its default
settings: the most its process held. It loads a batch of 100 at a time, so more messages than that change
nothing. Not measured: the sender's memory.
"""

import argparse
import random
import time

from bench import peers, rig
from bench.rig import MB, RECIPIENT, SENDER
from bench.sink import a_sink

CHUNK = 100


def database_mb() -> float:
    from delivery.queue.statements import run

    return float(run("SELECT pg_database_size(current_database())")[0][0]) / MB


def hand_over(recipients: int, attachment: bytes) -> float:
    """Hand a message over to each; return the seconds."""
    from django.core.mail import EmailMessage

    from delivery.handover import Outgoing, send_many

    began = time.perf_counter()
    for start in range(0, recipients, CHUNK):
        several = []
        for number in range(start, min(start + CHUNK, recipients)):
            message = EmailMessage("Report", "See the file.", SENDER, [f"{number}.{RECIPIENT}"])
            message.attach("report.pdf", attachment, "application/pdf")
            several.append(Outgoing(message=message))
        send_many(several)
    return time.perf_counter() - began


def measure(options: argparse.Namespace) -> rig.Facts:
    attachment = random.Random(5).randbytes(int(options.attachment_mb * MB))
    with a_sink() as (port, end):
        rig.only_profile(port, connections=options.connections)
        before = database_mb()
        enqueue_seconds = hand_over(options.recipients, attachment)
        done = rig.drain()
        assert end() == done.sent == options.recipients
        growth = database_mb() - before
    return {
        "recipients": options.recipients,
        "attachment_mb": options.attachment_mb,
        "growth_mb": round(growth, 1),
        "worker_peak_rss_mb": done.peak_rss_mb,
        "enqueue_seconds": round(enqueue_seconds, 1),
        "drain_seconds": round(done.seconds, 1),
    }


def theirs(options: argparse.Namespace) -> rig.Facts:
    if not peers.is_installed():
        return {"post_office_peak_rss_mb": None, "note": peers.HOW_TO}
    if not options.peer_messages:
        return {"post_office_peak_rss_mb": None}
    done = peers.drain(peers.DEFAULT, options.peer_messages, size=100, attachment_mb=options.attachment_mb)
    return {"post_office_peak_rss_mb": done["peak_rss_mb"], "post_office_messages": options.peer_messages}


def main() -> None:
    parser = rig.parser(__doc__)
    parser.add_argument("--recipients", type=int, default=5000)
    parser.add_argument("--attachment-mb", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--peer-messages", type=int, default=100, help="0: leave post_office out")
    options = parser.parse_args()
    with rig.a_database(), peers.a_database():
        rig.tell("burst", **measure(options), **theirs(options), machine=rig.machine())


if __name__ == "__main__":
    main()

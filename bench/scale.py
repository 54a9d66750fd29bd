"""Workers side by side, and what a message costs the database.

    python -m bench scale [--messages 10000] [--workers 1 2] [--connections 16] [--size 5000] [--rounds 3]
                          [--json]

For each number of worker processes: messages per second from the common start to the end of the last worker;
`scaling` is that of the last number against the first. Beside it SQL statements a message, as the workers
count their own (transactions' BEGIN and COMMIT are not counted), and bytes of the server's write-ahead log a
message, for enqueueing (`enqueue_wal`, content taken off) and for the drain (`drain_wal`). A checkpoint comes
before, so that images of whole pages fall into the enqueueing and are told apart by count. The log is the
server's: nobody else may use it meanwhile. Not measured: workers on several machines.
"""

import argparse

from bench import rig
from bench.sink import a_sink


def checkpoint() -> bool:
    """Begin with a checkpoint if we may: each page's first change after one logs the whole page."""
    from django.db import ProgrammingError

    from delivery.queue.statements import run

    try:
        run("CHECKPOINT")
    except ProgrammingError:
        return False
    return True


def a_round(options: argparse.Namespace, workers: int) -> rig.Facts:
    content = rig.an_eml(options.size)
    done: list[rig.Drained] = []
    with a_sink() as (port, end):
        rig.only_profile(port, connections=options.connections)
        was_checkpointed = checkpoint()
        enqueued = rig.written_ahead(lambda: rig.fill(options.messages, content))
        drained = rig.written_ahead(lambda: done.append(rig.drain(workers=workers)))
        assert end() == done[0].sent == options.messages
    return {
        "workers": workers,
        "seconds": round(done[0].seconds, 3),
        "per_second": round(options.messages / done[0].seconds),
        "statements_per_message": round(done[0].statements / options.messages, 4),
        "enqueue_wal": round(enqueued["bytes"] / options.messages - len(content)),
        "drain_wal": round(drained["bytes"] / options.messages),
        "page_images": enqueued["page_images"] + drained["page_images"],
        "drain_page_images": drained["page_images"],
        "was_checkpointed": was_checkpointed,
    }


def rounds(options: argparse.Namespace) -> None:
    found: dict[int, list[rig.Facts]] = {workers: [] for workers in options.workers}
    for _ in range(options.rounds):
        for workers, facts in found.items():
            facts.append(a_round(options, workers))
            rig.tell("scale", **facts[-1])
    rates = {
        workers: rig.per_second(options.messages, [one["seconds"] for one in facts])
        for workers, facts in found.items()
    }
    first, last = rates[options.workers[0]], rates[options.workers[-1]]
    alone = found[options.workers[0]]
    rig.tell(
        "scale",
        messages=options.messages,
        msgs_per_s=rates,
        scaling=rig.ratio(last, first),
        statements_per_message=rig.median(one["statements_per_message"] for one in alone),
        enqueue_wal=rig.median(one["enqueue_wal"] for one in alone),
        drain_wal=rig.median(one["drain_wal"] for one in alone),
        wal_per_message=rig.median(one["enqueue_wal"] + one["drain_wal"] for one in alone),
        machine=rig.machine(),
    )


def main() -> None:
    parser = rig.parser(__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--size", type=int, default=rig.SIZE_BYTES)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with rig.a_database():
        rounds(options)


if __name__ == "__main__":
    main()

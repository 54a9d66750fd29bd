"""A worker process of a measurement: says "ready", waits for a line, empties the queue, says what it did."""

import argparse
import json
import sys
import time

from bench.rig import memory_mb


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=100)
    options = parser.parse_args()
    import django

    django.setup()
    from delivery import dispatcher

    rss: list[tuple[int, float]] = []

    def note(report: dispatcher.Report) -> None:
        rss.append((report.sent, memory_mb("VmRSS")))

    print("ready", flush=True)
    sys.stdin.readline()
    before = time.process_time()
    report = dispatcher.run(until_empty=True, deadline=3600, batch_size=options.batch, progress=note)
    print(
        json.dumps(
            {
                "sent": report.sent,
                "seconds": report.seconds,
                "statements": report.statements,
                "cpu_seconds": time.process_time() - before,
                "peak_rss_mb": memory_mb("VmHWM"),
                "rss_mb": rss,
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()

"""Server time of each page of the admin, with many profiles.

    python -m bench pages [--profiles 200] [--runs 500] [--events 300] [--turns 20] [--json]

Each page is asked for by Django's test client, in this process, as a superuser, on a real database: what is
measured is the view, its queries and its templates, not the web server or the network. The median of the
turns, after two that are not counted, in milliseconds; the queries of one turn with nothing cached, and the
bytes of the page. One JSON object a page, then one with the slowest. The database is a new one, dropped at
the end: on DATABASE_URL, else on a private server without fsync.
"""

import argparse
import json
import statistics
import time
from typing import TYPE_CHECKING

from bench.rig import a_database

if TYPE_CHECKING:
    from django.test import Client

#: Turns that fill caches of templates and connections.
WARM = 2


def measured(client: "Client", url: str, turns: int) -> dict[str, object]:
    from django.core.cache import cache
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    spent = []
    for _ in range(WARM + turns):
        began = time.perf_counter()
        answer = client.get(url)
        written = answer.getvalue()  # also what is lazy is written by then
        spent.append((time.perf_counter() - began) * 1000)
    cache.clear()
    with CaptureQueriesContext(connection) as seen:
        client.get(url)
    return {
        "status": answer.status_code,
        "median_ms": round(statistics.median(spent[WARM:]), 1),
        "slowest_ms": round(max(spent[WARM:]), 1),
        "queries": len(seen),
        "bytes": len(written),
    }


def measure(options: argparse.Namespace) -> None:
    import logging

    from django.test import Client

    from tests.builders import a_user
    from tests.house import crowd, every_address, furnish

    logging.disable(logging.WARNING)  # refused and missing pages are asked for too
    owner = a_user("superuser")
    house = furnish(owner)
    crowd(profiles=options.profiles, runs=options.runs, events=options.events, user=owner)
    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(owner)
    slowest: tuple[float, str] = (0.0, "")
    for address in every_address(house):
        if address.name in ("login", "logout"):
            continue
        found = measured(client, address.url, options.turns)
        print(json.dumps({"page": address.name, **found}), flush=True)
        slowest = max(slowest, (float(str(found["median_ms"])), address.name))
    print(
        json.dumps({"slowest": slowest[1], "median_ms": slowest[0], "profiles": options.profiles}), flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--profiles", type=int, default=200)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--events", type=int, default=300)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="the output is JSON in any case")
    options = parser.parse_args()
    with a_database():
        measure(options)


if __name__ == "__main__":
    main()

"""Claims, finishes and pages when a million messages wait and a million are history.

    python -m bench backlog [--rows 1000000] [--base 10000] [--claims 100] [--turns 10] [--json]

Made by generate_series: `--base` waiting messages with their contents, half of them due and half scheduled
for the coming month, and as many sent ones; everything below is measured; then the same again with `--rows`
of each, in the same database, after VACUUM ANALYZE. A ratio is the time at `--rows` against that at `--base`.

*claim*, *finish*: milliseconds of `queue.claim` and `queue.finish` for 100 messages, one session, seen from
the client, so with the contents read and decoded; medians of `--claims`. *lanes*: asking which lanes have due
messages. *pages*: server time by Django's test client, as a superuser, of the list of messages, of a tab of
it, of a search by recipient and by number, and of a message's page: the first turn with nothing cached, then
the median of `--turns`. `unbounded_counts` are the statements of these pages that count without a limit: none
is allowed. Not measured: the web server, several sessions at once (`bench scale`).
"""

import argparse
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bench import rig

if TYPE_CHECKING:
    from django.test import Client

BATCH = 100

#: Rows of an INSERT: a statement of a million would hold its log and its locks too long.
_STEP = 100_000

_MADE = """
WITH made AS (
  INSERT INTO {message} (created_at, due_at, done_at, state, message_id, mail_from, rcpt_to, rcpt_first,
                         from_header, subject, profile_id, attempts, code, reply)
  SELECT now() - interval '1 minute' * (n %% 100000),
         CASE WHEN %(sent)s OR n %% 2 = 0 THEN now() - interval '1 minute' * (n %% 10000 + 1)
              ELSE now() + interval '1 second' * (n %% 2592000 + 3600) END,
         CASE WHEN %(sent)s THEN now() - interval '1 second' * (n %% 100000) END,
         CASE WHEN %(sent)s THEN 2 ELSE 1 END,
         '<' || n || '@example.org>', 'shop@example.org', ARRAY['person' || n || '@example.org'],
         'person' || n || '@example.org', 'shop@example.org', 'Report ' || n,
         CASE WHEN %(sent)s THEN %(profile)s::int END, CASE WHEN %(sent)s THEN 1 ELSE 0 END,
         CASE WHEN %(sent)s THEN 250 END, CASE WHEN %(sent)s THEN 'Ok: queued' END
  FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
  RETURNING id, due_at
), content AS (
  INSERT INTO {content} (message_id, size, data)
  SELECT id, octet_length(%(data)s), %(data)s FROM made
)
INSERT INTO {entry} (message_id, ready_at, pool_id) SELECT id, due_at, %(pool)s FROM made WHERE NOT %(sent)s
"""


def fill(first: int, last: int, *, profile: int, pool: int) -> None:
    """Make the waiting and the sent messages of these numbers, in steps."""
    from delivery.queue.statements import named, run

    statement = named(_MADE)
    data = rig.a_body(200).encode("ascii")
    for start in range(first, last + 1, _STEP):
        for sent in (False, True):
            numbers = {"first": start, "last": min(start + _STEP - 1, last)}
            run(statement, {**numbers, "sent": sent, "profile": profile, "pool": pool, "data": data})
    run("VACUUM ANALYZE")


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def queue_times(claims: int, *, profile: int) -> rig.Facts:
    """Claim and finish so many batches; milliseconds."""
    from delivery import queue
    from delivery.queue import Finished, Lane, SmallState

    lease = queue.register_worker()
    spent: dict[str, list[float]] = {"lanes": [], "claim": [], "finish": []}
    for _ in range(claims):
        began = time.perf_counter()
        lanes = [Lane(lane.pool.id, lane.priority) for lane in queue.ready_lanes()]
        looked = time.perf_counter()
        found = queue.claim(lease, lanes, [profile] * BATCH)
        claimed = time.perf_counter()
        assert len(found) == BATCH, "too few messages are due: take fewer claims"
        ended = [Finished(one.message_id, SmallState.SENT, profile_id=profile, code=250) for one in found]
        spent["finish"].append(timed(lambda ended=ended: queue.finish(lease, ended)))
        spent["lanes"].append((looked - began) * 1000)
        spent["claim"].append((claimed - looked) * 1000)
    queue.retire_worker(lease)
    return {f"{name}_ms": round(rig.median(values), 2) for name, values in spent.items()}


_COUNT = re.compile(r"\bcount\(", re.IGNORECASE)
_LIMIT = re.compile(r"\blimit\b", re.IGNORECASE)
#: Tables that grow with the mail.
_LARGE = re.compile(r"delivery_(message|content|queueentry|attempt|failure|event)\b")


def unbounded(statement: str) -> bool:
    """Whether a statement counts rows of a table that grows, without a limit."""
    counts = _COUNT.search(statement) is not None
    return counts and _LARGE.search(statement) is not None and _LIMIT.search(statement) is None


def pages(client: "Client", turns: int) -> tuple[rig.Facts, list[str]]:
    """Ask for each page; milliseconds, and the statements that count without a limit."""
    from django.core.cache import cache
    from django.db import connection
    from django.test.utils import CaptureQueriesContext
    from django.urls import reverse

    from delivery.models import Message

    listed = reverse("admin:delivery_message_changelist")
    middle = Message.objects.order_by("-id").values_list("pk", flat=True)[0] // 2
    middle = Message.objects.filter(pk__gte=middle).order_by("pk").values_list("pk", flat=True)[0]
    addresses = {
        "list": listed,
        "list_sent": f"{listed}?state=sent",
        "search_recipient": f"{listed}?q=person77",
        "search_number": f"{listed}?q={middle}",
        "message": reverse("admin:delivery_message_change", args=[middle]),
    }
    found: rig.Facts = {}
    offenders: list[str] = []
    for name, url in addresses.items():
        cache.clear()
        with CaptureQueriesContext(connection) as seen:
            first = timed(lambda url=url: client.get(url, follow=True).content)
        spent = [timed(lambda url=url: client.get(url, follow=True).content) for _ in range(turns)]
        offenders += [one["sql"][:300] for one in seen.captured_queries if unbounded(one["sql"])]
        found[f"{name}_ms"] = round(rig.median(spent), 1)
        found[f"{name}_first_ms"] = round(first, 1)
    return found, offenders


def measure(options: argparse.Namespace) -> None:
    from django.test import Client

    from delivery import queue
    from smtp_settings.models import SMTPProfile
    from tests.builders import a_user

    rig.only_profile(2525, connections=16)
    profile = SMTPProfile.objects.values_list("pk", flat=True)[0]
    route = queue.Route(None, "example.org", None)
    pool = queue.pools_for([route])[route]
    assert pool is not None
    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(a_user("superuser"))
    client.get("/admin/")  # templates and address patterns are loaded
    sizes: dict[int, rig.Facts] = {}
    done = 0
    for rows in (options.base, options.rows):
        began = time.perf_counter()
        fill(done + 1, rows, profile=profile, pool=pool)
        filled, done = time.perf_counter() - began, rows
        times = queue_times(min(options.claims, rows // 4 // BATCH), profile=profile)
        shown, offenders = pages(client, options.turns)
        sizes[rows] = times | shown
        rig.tell("backlog", rows=rows, fill_seconds=round(filled, 1), **times, **shown,
                 unbounded_counts=offenders)  # fmt: skip
    small, large = sizes[options.base], sizes[options.rows]
    rig.tell(
        "backlog",
        rows=options.rows,
        claim_ratio=round(large["claim_ms"] / small["claim_ms"], 2),
        finish_ratio=round(large["finish_ms"] / small["finish_ms"], 2),
        slowest_page_ms=max(value for name, value in shown.items() if not name.endswith("_first_ms")),
        slowest_first_ms=max(value for name, value in shown.items() if name.endswith("_first_ms")),
        unbounded_counts=len(offenders),
        machine=rig.machine(),
    )


def main() -> None:
    parser = rig.parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--base", type=int, default=10_000)
    parser.add_argument("--claims", type=int, default=100)
    parser.add_argument("--turns", type=int, default=10)
    options = parser.parse_args()
    with rig.a_database():
        measure(options)


if __name__ == "__main__":
    main()

"""What workers did, a row per minute, profile and worker; and how much waited, a row per minute."""

from collections.abc import Sequence
from dataclasses import astuple, fields

from delivery.queue.statements import named, run
from delivery.queue.values import StatRow

#: Entries looked at for the backlog, as the counts of the pages do.
_ENTRIES = 1_000_000

_NAMES = [field.name for field in fields(StatRow)]

_ADD = named(
    """
INSERT INTO {stat} AS s ({columns})
SELECT date_trunc('minute', minute), {others}
FROM unnest(%(minute)s::timestamptz[], %(profile_id)s::int[], %(worker_id)s::bigint[], %(sent)s::int[],
  %(deferred)s::int[], %(failed)s::int[], %(uncertain)s::int[], %(connects)s::int[], %(bytes)s::bigint[],
  %(ms)s::bigint[]) AS t ({columns})
ON CONFLICT (minute, profile_id, worker_id) DO UPDATE SET
  sent = s.sent + excluded.sent, deferred = s.deferred + excluded.deferred,
  failed = s.failed + excluded.failed, uncertain = s.uncertain + excluded.uncertain,
  connects = s.connects + excluded.connects, bytes = s.bytes + excluded.bytes, ms = s.ms + excluded.ms
""",
    columns=", ".join(_NAMES),
    others=", ".join(_NAMES[1:]),
)


def add_stats(rows: Sequence[StatRow]) -> None:
    """Add to the minutes' counts; one row per minute, profile and worker in a call."""
    if rows:
        columns = zip(*map(astuple, rows), strict=True)
        run(_ADD, {name: list(column) for name, column in zip(_NAMES, columns, strict=True)})


# The entries are counted only where the minute has no row yet: whoever comes later reads one row.
_NOTE_BACKLOG = named("""
INSERT INTO {backlog} (minute, waiting)
SELECT date_trunc('minute', now()),
       (SELECT count(*) FROM (SELECT FROM {entry} WHERE lease_id IS NULL LIMIT %(entries)s) AS waiting)
WHERE NOT EXISTS (SELECT FROM {backlog} WHERE minute = date_trunc('minute', now()))
ON CONFLICT DO NOTHING
""")


def note_backlog() -> None:
    """Note how many messages wait, once a minute however many call it: at most a million are counted."""
    run(_NOTE_BACKLOG, {"entries": _ENTRIES})

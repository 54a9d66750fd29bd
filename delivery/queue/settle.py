"""Give messages back to the queue: retries, lost connections, releases."""

from collections.abc import Collection, Sequence

from psycopg.types.json import Jsonb

from delivery.queue.statements import named, run
from delivery.queue.values import Settled, Tried
from delivery.queue.verdicts import keep_acceptances

# A verdict on a recipient is final: written with the retry, or an accepted one would be sent to again.
_SETTLE = named("""
WITH settled AS (
  UPDATE {entry} e SET lease_id = NULL, profile_id = NULL, last_profile_id = o.profile_id,
         ready_at = coalesce(now() + o.delay, e.ready_at), attempts = e.attempts + o.counted,
         drops = e.drops + o.dropped, crashes = e.crashes + o.crashed,
         uncertain = e.uncertain OR o.uncertain, pool_id = coalesce(o.pool_id, e.pool_id),
         priority = CASE WHEN o.crashed > 0 THEN e.priority %% 10 + 10
                         WHEN o.counted + o.dropped > 0 THEN e.priority %% 10 ELSE e.priority END
  FROM unnest(%(ids)s::bigint[], %(profiles)s::int[], %(delays)s::interval[], %(counted)s::smallint[],
         %(dropped)s::smallint[], %(uncertain)s::boolean[], %(crashed)s::smallint[],
         %(pools)s::smallint[], %(verdicts)s::jsonb[])
    AS o (message_id, profile_id, delay, counted, dropped, uncertain, crashed, pool_id, verdicts)
  WHERE e.message_id = o.message_id AND e.lease_id = %(lease)s
  RETURNING e.message_id, o.verdicts
), told AS (
  UPDATE {message} m SET verdicts = coalesce(m.verdicts, jsonb_build_object()) || s.verdicts
  FROM settled s WHERE m.id = s.message_id AND s.verdicts IS NOT NULL
)
SELECT message_id FROM settled
""")

_RELEASE_OTHERS = named("""
UPDATE {entry} SET lease_id = NULL, profile_id = NULL
WHERE lease_id = %(lease)s AND message_id <> ALL(%(kept)s::bigint[]) RETURNING message_id
""")

_RECORD = named("""
INSERT INTO {attempt} (message_id, at, worker_id, profile_id, n, phase, outcome, code, enhanced, reply, ms,
  cause, transcript)
SELECT message_id, now(), worker_id, profile_id, n, phase, outcome, code, enhanced, reply, ms, cause,
  transcript
FROM unnest(%(messages)s::bigint[], %(workers)s::bigint[], %(profiles)s::int[], %(numbers)s::smallint[],
  %(phases)s::text[], %(outcomes)s::text[], %(codes)s::smallint[], %(enhanced)s::text[], %(replies)s::text[],
  %(ms)s::int[], %(causes)s::text[], %(transcripts)s::text[])
  AS t (message_id, worker_id, profile_id, n, phase, outcome, code, enhanced, reply, ms, cause, transcript)
""")


def settle(lease: int, outcomes: Sequence[Settled]) -> set[int]:
    """Give back messages held under `lease`; return the ids that were. One statement.

    Of a message that others took over meanwhile, only the recipients who have it are noted, in a second one:
    call it in a transaction.
    """
    if not outcomes:
        return set()
    ordered = sorted(outcomes, key=lambda outcome: outcome.message_id)  # one order for all: no deadlock
    rows = run(
        _SETTLE,
        {
            "lease": lease,
            "ids": [outcome.message_id for outcome in ordered],
            "profiles": [outcome.profile_id for outcome in ordered],
            "delays": [outcome.delay for outcome in ordered],
            "counted": [outcome.counted for outcome in ordered],
            "dropped": [outcome.dropped for outcome in ordered],
            "uncertain": [outcome.uncertain for outcome in ordered],
            "crashed": [outcome.crashed for outcome in ordered],
            "pools": [outcome.pool_id for outcome in ordered],
            "verdicts": [outcome.verdicts and Jsonb(outcome.verdicts) for outcome in ordered],
        },
    )
    settled = {message_id for (message_id,) in rows}
    keep_acceptances([outcome for outcome in ordered if outcome.message_id not in settled])
    return settled


def release_others(lease: int, kept: Collection[int]) -> set[int]:
    """Give back what `lease` holds besides `kept`: claimed by a statement whose answer never came."""
    found = run(_RELEASE_OTHERS, {"lease": lease, "kept": sorted(kept)})
    return {message_id for (message_id,) in found}


def record(tried: Sequence[Tried]) -> None:
    """Write attempts. Call it in one transaction with the settle or finish it belongs to."""
    if tried:
        run(
            _RECORD,
            {
                "messages": [one.message_id for one in tried],
                "workers": [one.worker_id for one in tried],
                "profiles": [one.profile_id for one in tried],
                "numbers": [one.n for one in tried],
                "phases": [one.phase for one in tried],
                "outcomes": [one.outcome for one in tried],
                "codes": [one.code for one in tried],
                "enhanced": [one.enhanced for one in tried],
                "replies": [one.reply for one in tried],
                "ms": [one.ms for one in tried],
                "causes": [one.cause for one in tried],
                "transcripts": [one.transcript for one in tried],
            },
        )

"""Record how messages ended. A row leaves the queue only in the statement that says why."""

from collections.abc import Sequence

from psycopg.types.json import Jsonb

from delivery.models import Attempt, SmallState
from delivery.queue import arrays
from delivery.queue.statements import Parameters, named, run
from delivery.queue.values import Finished
from delivery.queue.verdicts import keep_acceptances

#: Why a message is held that may have arrived.
_UNSURE = ["uncertain", "worker_lost"]
#: What is listed for a person, and carries what putting back needs.
NEEDS_A_PERSON = [SmallState.FAILED, SmallState.EXPIRED, SmallState.HELD]

_OUTCOME = """
outcome AS MATERIALIZED (
  SELECT * FROM unnest(%(ids)s::bigint[], %(states)s::smallint[], %(counted)s::smallint[],
       %(profiles)s::int[], %(codes)s::smallint[], %(enhanced)s::text[], %(replies)s::text[],
       %(causes)s::text[], %(done_at)s::timestamptz[], %(verdicts)s::jsonb[], %(uncertain)s::boolean[])
    AS t (message_id, state, counted, profile_id, code, enhanced, reply, cause, done_at, verdicts, uncertain)
)"""

# A late success wins while nobody holds the row. A held message keeps its content: a person may release it.
# The large parts of a sensitive message are its own (`enqueue`) and go with it.
_FINISH = named(
    """
WITH {outcome}, gone AS (
  DELETE FROM {entry} e USING outcome o
  WHERE e.message_id = o.message_id
    AND (e.lease_id IS NOT DISTINCT FROM %(lease)s::bigint
         OR (e.lease_id IS NULL AND o.state = %(sent)s))
  RETURNING o.message_id, o.state, o.counted, coalesce(o.profile_id, e.last_profile_id) AS profile_id, o.code,
            o.enhanced, o.reply, o.cause, coalesce(o.done_at, now()) AS done_at, o.verdicts,
            e.attempts, e.uncertain OR o.uncertain OR o.cause = ANY(%(unsure)s::text[]) AS uncertain,
            e.pool_id, e.priority
), kept AS (
  INSERT INTO {failure} (message_id, at, state, profile_id, code, cause, uncertain, pool_id, priority)
  SELECT message_id, done_at, state, profile_id, code, cause, uncertain, pool_id, priority FROM gone
  WHERE state = ANY(%(needs_a_person)s::smallint[])
  ON CONFLICT (message_id) DO UPDATE SET at = excluded.at, state = excluded.state, code = excluded.code
), ended AS (
  UPDATE {message} m SET state = g.state, attempts = g.attempts + g.counted, profile_id = g.profile_id,
         code = g.code, enhanced = g.enhanced, reply = g.reply, done_at = g.done_at,
         verdicts = CASE WHEN g.verdicts IS NULL THEN m.verdicts
                         ELSE coalesce(m.verdicts, jsonb_build_object()) || g.verdicts END
  FROM gone g WHERE m.id = g.message_id
  RETURNING m.id, m.sensitive AND m.state <> %(held)s AS is_forgotten
), forgotten AS (
  DELETE FROM {content} c USING ended WHERE ended.is_forgotten AND c.message_id = ended.id
  RETURNING c.blob_ids
), emptied AS (DELETE FROM {blob} b USING forgotten f WHERE b.id = ANY(f.blob_ids)
)
SELECT id FROM ended
""",
    outcome=_OUTCOME,
)

# The lease was lost and the server accepted: that closes a message that was only held meanwhile. Whatever
# became of it, the acceptance is noted: the message may arrive twice. Whoever takes an entry from a session
# notes it as lost (`reclaim`); without that this is what was recorded before, told again: after a commit
# whose answer got lost, or by the session's journal.
_LATE = named(
    """
WITH {outcome}, repeated AS (
  SELECT m.id FROM outcome o JOIN {message} m ON m.id = o.message_id AND m.state = o.state
  WHERE NOT EXISTS (SELECT 1 FROM {attempt} a WHERE a.message_id = m.id AND a.worker_id = %(lease)s::bigint
                    AND a.outcome = %(lost)s::text)
), closed AS (
  DELETE FROM {failure} f USING outcome o
  WHERE f.message_id = o.message_id AND f.state = %(held)s
  RETURNING o.*
), noted AS (
  INSERT INTO {attempt} (message_id, at, worker_id, profile_id, n, phase, outcome, code, enhanced, reply)
  SELECT o.message_id, now(), %(lease)s::bigint, o.profile_id,
         coalesce(e.attempts, m.attempts) + o.counted, 'dot', %(late)s::text, o.code, o.enhanced,
         coalesce(o.reply, '')
  FROM outcome o JOIN {message} m ON m.id = o.message_id
    LEFT JOIN {entry} e ON e.message_id = o.message_id
  WHERE o.message_id NOT IN (SELECT id FROM repeated)
    AND NOT EXISTS (SELECT 1 FROM {attempt} a WHERE a.message_id = o.message_id
                    AND a.worker_id = %(lease)s::bigint AND a.outcome = %(late)s::text)
), forgotten AS (
  DELETE FROM {content} c USING closed g, {message} m
  WHERE c.message_id = g.message_id AND m.id = g.message_id AND m.sensitive
  RETURNING c.blob_ids
), emptied AS (DELETE FROM {blob} b USING forgotten f WHERE b.id = ANY(f.blob_ids)
), ended AS (
  UPDATE {message} m SET state = g.state, attempts = m.attempts + g.counted, profile_id = g.profile_id,
         code = g.code, enhanced = g.enhanced, reply = g.reply, done_at = coalesce(g.done_at, now()),
         verdicts = CASE WHEN g.verdicts IS NULL THEN m.verdicts
                         ELSE coalesce(m.verdicts, jsonb_build_object()) || g.verdicts END
  FROM closed g WHERE m.id = g.message_id RETURNING m.id
)
SELECT id FROM ended UNION SELECT id FROM repeated
""",
    outcome=_OUTCOME,
)


def finish(lease: int | None, outcomes: Sequence[Finished]) -> set[int]:
    """End messages held under `lease`; return the ids that ended here.

    Lease None is a person's act: it takes only rows nobody is sending. A success is recorded although the
    lease was lost if nobody holds the row now; if another session does, an Attempt says so and the id does
    not come back; of any other outcome only the recipients who have it are noted. One statement, unless
    something came too late.
    """
    if not outcomes:
        return set()
    ordered = sorted(outcomes, key=lambda outcome: outcome.message_id)  # one order for all: no deadlock
    done = {row_id for (row_id,) in run(_FINISH, _parameters(lease, ordered))}
    lost = [outcome for outcome in ordered if outcome.message_id not in done and lease is not None]
    late = [outcome for outcome in lost if outcome.state == SmallState.SENT]
    if late:
        done |= {row_id for (row_id,) in run(_LATE, _parameters(lease, late))}
    keep_acceptances([outcome for outcome in lost if outcome.message_id not in done])
    return done


def _parameters(lease: int | None, outcomes: Sequence[Finished]) -> Parameters:
    return {
        "lease": lease,
        "ids": arrays.numbers(outcome.message_id for outcome in outcomes),
        "states": arrays.numbers(int(outcome.state) for outcome in outcomes),
        "counted": arrays.numbers(outcome.counted for outcome in outcomes),
        "profiles": arrays.numbers(outcome.profile_id for outcome in outcomes),
        "codes": arrays.numbers(outcome.code for outcome in outcomes),
        "enhanced": arrays.texts(outcome.enhanced for outcome in outcomes),
        "replies": arrays.texts(outcome.reply for outcome in outcomes),
        "causes": arrays.texts(outcome.cause for outcome in outcomes),
        "done_at": arrays.moments(outcome.done_at for outcome in outcomes),
        "verdicts": [outcome.verdicts and Jsonb(outcome.verdicts) for outcome in outcomes],
        "uncertain": arrays.numbers(outcome.uncertain for outcome in outcomes),
        "sent": SmallState.SENT.value,
        "held": SmallState.HELD.value,
        "late": Attempt.Result.LATE.value,
        "lost": Attempt.Result.LOST.value,
        "unsure": _UNSURE,
        "needs_a_person": [state.value for state in NEEDS_A_PERSON],
    }

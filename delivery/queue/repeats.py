"""What an earlier run of the same statement recorded, where only the answer to its commit was lost."""

from collections.abc import Sequence

from delivery.models import Attempt
from delivery.queue.statements import named, run
from delivery.queue.values import Finished

# Whoever takes an entry from a session notes it as lost: without that nobody else can have ended it.
_ENDED = named("""
SELECT m.id FROM unnest(%(ids)s::bigint[], %(states)s::smallint[]) AS o (message_id, state)
  JOIN {message} m ON m.id = o.message_id AND m.state = o.state
WHERE NOT EXISTS (SELECT FROM {attempt} a WHERE a.message_id = m.id AND a.worker_id = %(lease)s::bigint
                  AND a.outcome = %(lost)s)
""")


def ended_by(lease: int, outcomes: Sequence[Finished]) -> set[int]:
    """Return the ids of messages that stand as these outcomes say, and that nobody took from the session."""
    if not outcomes:
        return set()
    values = {
        "lease": lease,
        "ids": [outcome.message_id for outcome in outcomes],
        "states": [int(outcome.state) for outcome in outcomes],
        "lost": Attempt.Result.LOST.value,
    }
    return {message_id for (message_id,) in run(_ENDED, values)}

"""Hold messages whose route is no more: no lane leads to them, so that no worker would ever see them.

A profile or a site is not deleted while messages need its pools (`keep_used_pools`), but what somebody hands
over in a transaction that is still open nobody else can see. A lock on the pool would cost every message;
this costs a look at the index, four times a minute.
"""

from delivery.models import SmallState
from delivery.queue.finish import finish
from delivery.queue.statements import named, run
from delivery.queue.values import Finished

#: Held by one call: the rest by the next.
_LIMIT = 1_000

# From pool to pool along the index of lanes, whatever lies in each.
_ROUTELESS = named("""
WITH RECURSIVE used AS (
  SELECT min(pool_id) AS pool_id FROM {entry} WHERE lease_id IS NULL
  UNION ALL
  SELECT (SELECT min(e.pool_id) FROM {entry} e WHERE e.lease_id IS NULL AND e.pool_id > used.pool_id)
  FROM used WHERE used.pool_id IS NOT NULL
)
SELECT e.message_id FROM used JOIN {entry} e ON e.pool_id = used.pool_id AND e.lease_id IS NULL
WHERE NOT EXISTS (SELECT FROM {pool} p WHERE p.id = used.pool_id)
LIMIT %(limit)s
""")


def hold_routeless() -> set[int]:
    """Hold the waiting messages whose pool is gone, some thousand at most; return their ids.

    Moved to another profile and released they are sent; released alone they are held again.
    """
    lost = [message_id for (message_id,) in run(_ROUTELESS, {"limit": _LIMIT})]
    return finish(None, [Finished(message_id, SmallState.HELD, cause="no_route") for message_id in lost])

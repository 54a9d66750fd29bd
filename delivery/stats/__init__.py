"""Numbers for pages and commands: every question reads a bounded number of rows.

What is open comes from the queue entries, what needs a person from the failures, what was sent from the
minutes' counts. The history is never counted: pages say "more than 10,000".
"""

from delivery.models import MessageState
from delivery.stats.counts import (
    CAP,
    cached_counts,
    counts,
    next_try_at,
    oldest_ready_age,
    oldest_ready_at,
    uncertain_count,
)
from delivery.stats.course import Traffic, traffic, waiting
from delivery.stats.history import (
    FailureGroup,
    FrequentFailure,
    Totals,
    WorkerNumbers,
    failure_groups,
    frequent_failures,
    last_heartbeat_at,
    totals,
    workers,
)
from delivery.stats.sent import SentLine, SentSince, sent_since
from delivery.stats.servers import NOTHING_LEARNED, ProfileNumbers, profile_facts
from delivery.stats.snapshots import all_profiles, due_ahead, snapshot, snapshot_of_page

__all__ = [
    "CAP",
    "NOTHING_LEARNED",
    "FailureGroup",
    "FrequentFailure",
    "MessageState",
    "ProfileNumbers",
    "SentLine",
    "SentSince",
    "Totals",
    "Traffic",
    "WorkerNumbers",
    "all_profiles",
    "cached_counts",
    "counts",
    "due_ahead",
    "failure_groups",
    "frequent_failures",
    "last_heartbeat_at",
    "next_try_at",
    "oldest_ready_age",
    "oldest_ready_at",
    "profile_facts",
    "sent_since",
    "snapshot",
    "snapshot_of_page",
    "totals",
    "traffic",
    "uncertain_count",
    "waiting",
    "workers",
]

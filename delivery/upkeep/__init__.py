"""Retention: what is over goes after its time, a small chunk at a time, and nothing that is still needed.

Contents go before their messages, failures with everything of theirs; minutes of the statistics become hours.
Never what is queued or held. `step` is one chunk, for the workers; `purge` goes through all of it at once.
"""

from delivery.upkeep.kinds import KINDS, Kind
from delivery.upkeep.purging import Progress, purge
from delivery.upkeep.retention import ENDS, Retention
from delivery.upkeep.stepping import PAUSE_SECONDS, step

__all__ = ["ENDS", "KINDS", "PAUSE_SECONDS", "Kind", "Progress", "Retention", "purge", "step"]

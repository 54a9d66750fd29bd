"""The clock of what a worker promises others: it goes on while the machine sleeps.

`time.monotonic` stands still on Linux while a laptop is closed or a virtual machine is suspended, and then a
lease that others took over hours ago would look fresh. For spans within this process it is the right clock.
"""

import time

#: Linux counts suspended time in a clock of its own; elsewhere CLOCK_MONOTONIC does.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Return seconds since some moment, suspended ones too."""
    return time.clock_gettime(_CLOCK)

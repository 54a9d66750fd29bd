"""Settings of a worker that is killed with -9 at its third rename of a file: right before, or right after."""

import os
import signal
from itertools import count
from pathlib import Path

from tests.settings import *  # noqa: F403

_renames, _rename = count(1), Path.rename


def _deadly(self, target):
    is_last = next(_renames) == 3
    if is_last and os.environ["TEST_DIES"] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    _rename(self, target)
    if is_last:
        os.kill(os.getpid(), signal.SIGKILL)


Path.rename = _deadly  # type: ignore[assignment,method-assign]  # the moment of a kill

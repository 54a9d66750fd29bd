"""Test runs: a real message over the production path, each step a row, always an end.

`candidate` freezes values and secret in a run, `run` carries it out here and now, and the gate takes a passed
run as evidence for half an hour.
"""

from smtp_settings.test_send.message import MAX_RECIPIENTS, recipients_for
from smtp_settings.test_send.runs import LIMIT, TooManyTests, candidate, own_run, run, tidy_up

__all__ = [
    "LIMIT",
    "MAX_RECIPIENTS",
    "TooManyTests",
    "candidate",
    "own_run",
    "recipients_for",
    "run",
    "tidy_up",
]

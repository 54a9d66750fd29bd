"""Test runs: a real message over the production path, each step a row, always an end.

`candidate` freezes values and secret in a run (`order` in one for each of many profiles), `run` carries it
out here and now, and the gate takes a passed test email as evidence for half an hour. Who carries a run out
that a person waits for is decided in `smtp_settings.carrying`.
"""

from smtp_settings.test_send.life import LIMIT, SHELL, WEB, WEB_IN_PLACE, own_run, stop, stop_batch, tidy_up
from smtp_settings.test_send.limits import TooManyTests
from smtp_settings.test_send.message import MAX_RECIPIENTS, recipients_for
from smtp_settings.test_send.orders import candidate, order, register
from smtp_settings.test_send.runs import carry_out, run, run_batch

__all__ = [
    "LIMIT",
    "MAX_RECIPIENTS",
    "SHELL",
    "WEB",
    "WEB_IN_PLACE",
    "TooManyTests",
    "candidate",
    "carry_out",
    "order",
    "own_run",
    "recipients_for",
    "register",
    "run",
    "run_batch",
    "stop",
    "stop_batch",
    "tidy_up",
]

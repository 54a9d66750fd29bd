"""What becomes of a message, of each recipient and of the server after a reply or an error. Pure.

`table` says what one reply or error means where it happened; `judging` puts those of one attempt
together, `hinting` finds how long a server wants to be left alone.
"""

from delivery.classification.hinting import hint_in
from delivery.classification.judging import Judgement, Verdict, judge, judge_error
from delivery.classification.rulings import Action, Ruling, Sign
from delivery.classification.table import (
    ERRORS,
    OVERRIDE,
    REPLIES,
    SIGN_IN_GARBLED,
    rule_on_error,
    rule_on_reply,
)

__all__ = [
    "ERRORS",
    "OVERRIDE",
    "REPLIES",
    "SIGN_IN_GARBLED",
    "Action",
    "Judgement",
    "Ruling",
    "Sign",
    "Verdict",
    "hint_in",
    "judge",
    "judge_error",
    "rule_on_error",
    "rule_on_reply",
]

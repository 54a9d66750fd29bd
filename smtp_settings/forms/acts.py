"""What a submitted profile page asks for."""

from collections.abc import Mapping
from enum import StrEnum


class Act(StrEnum):
    """What the pressed button asks for. A POST without any known button name is SAVE (trap 1).

    CHECK is the connection check of a page without scripts: a test that sends nothing and clears nothing.
    SHOW is a button that only changes entries ("Fill in", a hint's correction): nothing is saved or refused.
    """

    SAVE = "save"
    TEST = "test"
    CHECK = "check"
    DRAFT = "draft"
    ANYWAY = "anyway"
    SHOW = "show"


def act_of(data: Mapping[str, object]) -> Act:
    """Read the act off the names of the submitted buttons."""
    if "_send_test" in data:
        return Act.TEST
    if "_check" in data:
        return Act.CHECK
    if not data.keys().isdisjoint({"_fill", "_fix", "_undo", "_find", "_check_dns"}):
        return Act.SHOW
    if "_draft" in data or "_draft_confirmed" in data:
        return Act.DRAFT
    return Act.ANYWAY if "_save_anyway" in data else Act.SAVE

"""What a test needs and a bare machine may lack: skipped there with its reason, failed in CI."""

import os
from typing import NoReturn

import pytest

IN_CI = os.environ.get("CI", "") not in {"", "0", "false"}


def missing(reason: str) -> NoReturn:
    """End the test, or with its module all that are in it."""
    if IN_CI:
        pytest.fail(f"{reason}; CI must have it", pytrace=False)
    pytest.skip(reason, allow_module_level=True)

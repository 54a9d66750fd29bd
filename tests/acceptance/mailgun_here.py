"""Settings of a worker for which Mailgun's region is a server of the tests (tests/transports/ways.py)."""

import os

from tests.settings import *  # noqa: F403
from transports import mailgun

mailgun.BASES = {"eu": os.environ["TEST_MAILGUN"]}

"""Settings of the tests."""

from mailconf.settings import *  # noqa: F403

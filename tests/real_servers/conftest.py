"""The servers of Debian's packages, each started once for the tests that want it."""

import pytest

from tests.real_servers.opensmtpd import an_opensmtpd
from tests.real_servers.postfix import a_postfix


@pytest.fixture(scope="session")
def running_postfix():
    with a_postfix() as postfix:
        yield postfix


@pytest.fixture
def postfix(running_postfix):
    """A running Postfix, whose sink has nothing yet."""
    running_postfix.passed_on()
    running_postfix.sink.forget()
    return running_postfix


@pytest.fixture(scope="session")
def running_opensmtpd():
    with an_opensmtpd() as opensmtpd:
        yield opensmtpd


@pytest.fixture
def opensmtpd(running_opensmtpd):
    """A running OpenSMTPD, whose sink has nothing yet."""
    running_opensmtpd.passed_on()
    running_opensmtpd.sink.forget()
    return running_opensmtpd

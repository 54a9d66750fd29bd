"""With real workers: mail that is logged, led elsewhere, off, or a copy's reaches nobody it should not."""

import pytest

from delivery.models import Message, SmallState
from smtp_settings.models import Event, Whereabouts
from smtp_settings.policy import policies
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import finished, manage
from tests.builders import a_profile
from tests.delivery.engine import queued
from tests.delivery.policies import policy
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def environment(process_environment, tmp_path):
    """Processes with a broker folder of their own."""
    return {**process_environment, "MAILCONF_VAR": str(tmp_path), "REDIS_URL": ""}


def ended(state, count):
    return lambda: Message.objects.filter(state=state).count() == count


def drain(environment):
    return finished(manage(environment, "drain", "--until-empty"), timeout=180)


def test_what_is_only_logged_never_reaches_a_server(environment, tmp_path):
    policies()  # this place is the first: confirmed
    log = tmp_path / "mail.log"
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        policy(debug_mode="log")
        queued(50)
        drain({**environment, "MAILCONF_EMAIL_LOG": str(log)})
        assert (server.sessions, ended(SmallState.SUPPRESSED, 50)()) == (0, True)
        assert_balanced(books([server]))
    assert Event.objects.filter(kind="message.suppressed").count() == 50
    assert len(log.read_text("ascii").splitlines()) == 50


def test_what_is_redirected_reaches_one_address_and_waits_for_nobody_else(environment):
    policies()
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port, debug_recipients=["copy@example.com"])
        queued(20, to=("ann@example.com", "bo@example.org"))
        policy(redirect_to="qa@example.com")
        drain(environment)
        assert {mail.rcpt_to for mail in server.messages} == {("qa@example.com",)}
        assert ended(SmallState.SENT, 20)()


def test_with_emails_off_messages_wait_and_leave_when_it_ends(environment):
    policies()
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        policy(emails_enabled=False)
        queued(20)
        drain(environment)
        assert (server.sessions, ended(SmallState.QUEUED, 20)()) == (0, True)
        policy()
        drain(environment)
        assert ended(SmallState.SENT, 20)()
        assert_balanced(books([server]))


def test_a_copy_sends_nothing_until_it_is_confirmed(environment):
    policies()
    elsewhere = {**environment, "MAILCONF_ENVIRONMENT": "Staging"}
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        queued(20)
        drain(elsewhere)
        assert (server.sessions, ended(SmallState.QUEUED, 20)()) == (0, True)
        assert Whereabouts.objects.filter(confirmed_at=None).count() == 1
        check = manage(elsewhere, "confirm_environment", "--check")
        check.communicate(timeout=120)
        assert check.returncode == 1
        finished(manage(elsewhere, "confirm_environment"))
        drain(elsewhere)
        assert ended(SmallState.SENT, 20)()
        assert_balanced(books([server]))

"""Tests that are stopped, left or raced for: one email at most, a closed connection, always an end."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from smtp_settings import test_send, wire
from smtp_settings.models import Event, TestRun
from smtp_settings.sealing import Secret
from smtp_settings.test_send import life
from smtp_settings.test_send.session import listen
from tests.acceptance.processes import until
from tests.builders import a_user, unsaved_profile
from tests.servers import smtp_server
from tests.wire.evil import UNPIPELINED, evil_server_beside, hang
from transports.base import Content, Envelope, MailObject

TO = ["inbox@example.com"]
MAIL = MailObject(Envelope("", ("a@example.com",)), Content((b"Subject: x\r\n\r\nx\r\n",)))


def a_run(server, *, kind="send", user=None, **fields):
    profile = unsaved_profile(host=server.host, port=server.port, **fields)
    secret = Secret("c4nary-pa55") if profile.auth == "password" else None
    return test_send.candidate(profile, secret, user, TO, kind=kind)


class InAThread(threading.Thread):
    """A run carried out beside the test, as a worker or a thread of the web process does."""

    def __init__(self, run, **options):
        super().__init__(daemon=True)
        self.test_run, self.options = run, options
        self.start()

    def run(self):
        try:
            test_send.run(TestRun.objects.get(pk=self.test_run.pk), **self.options)
        finally:
            connection.close()

    def ended(self):
        self.join(40)  # a test's own limit is 45 s, and says otherwise
        assert not self.is_alive()
        self.test_run.refresh_from_db()
        return self.test_run


def wait_until_silent_at(server, stage):
    """Return when the server has heard what it will not answer."""
    said = ["banner", "ehlo", "auth", "mail", "rcpt", "data"].index(stage)
    until(lambda: server.connections == 1 and len(server.heard) >= said)


SIGNS_IN = {"auth": "password", "username": "shop", "accepts_clear_auth": True}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("stage", ["banner", "ehlo", "auth", "mail", "rcpt", "data"])
def test_a_stop_closes_the_connection_at_every_stage_and_no_email_leaves(stage):
    with evil_server_beside({stage: hang}, ehlo=UNPIPELINED) as server:
        run = a_run(server, **SIGNS_IN)
        beside = InAThread(run)
        wait_until_silent_at(server, stage)
        test_send.stop(run, None)
        run = beside.ended()
        until(lambda: server.open == 0)
        assert not server.contents
    assert run.state == TestRun.State.STOPPED
    assert run.finished_at
    assert "No email was sent" in run.sentence


@pytest.mark.django_db(transaction=True)
def test_a_stop_after_the_dot_says_that_the_email_may_have_been_accepted():
    with evil_server_beside({"dot": hang}) as server:
        run = a_run(server)
        beside = InAThread(run)
        until(lambda: server.contents)
        test_send.stop(run, None)
        run = beside.ended()
        until(lambda: server.open == 0)
    assert run.state == TestRun.State.STOPPED
    assert "may have accepted" in run.sentence


@pytest.mark.django_db
def test_a_stop_asked_right_before_the_dot_is_heard():
    """Between two looks at the row a whole session may pass: the dot waits for one more look."""
    with smtp_server() as server:
        run = a_run(server)

        def stop_now(_argument):
            stopped.set()

        stopped = threading.Event()
        server.answers["DATA"] = stop_now
        heard = list(
            listen(
                wire.transport_for(unsaved_profile(port=server.port)),
                MAIL,
                limit=5,
                goes_on=lambda: not stopped.is_set(),
            )
        )
        assert (heard[-1].is_stopped, heard[-1].is_handed_over) == (True, False)
        server.wait_until_closed()
        assert not server.messages
    assert run.state == TestRun.State.WAITING


@pytest.mark.django_db
def test_nobody_to_ask_before_the_dot_is_no_dot():
    """A database that went away must not leave an email nobody has a record of."""
    with smtp_server() as server:
        asked = []

        def fails_later():
            asked.append(1)
            if len(asked) > 1:
                raise ConnectionError
            return True

        with pytest.raises(ConnectionError):
            list(
                listen(
                    wire.transport_for(unsaved_profile(port=server.port)),
                    MAIL,
                    limit=5,
                    goes_on=fails_later,
                )
            )
        server.wait_until_closed()
        assert not server.messages


@pytest.mark.django_db
def test_a_listener_that_goes_away_ends_the_session():
    with evil_server_beside({"ehlo": hang}) as server:
        session = listen(wire.transport_for(unsaved_profile(port=server.port)), MAIL, limit=30)
        next(session)
        until(lambda: server.open == 1)
        session.close()
        until(lambda: server.open == 0)


@pytest.mark.django_db
def test_a_waiting_run_stops_at_once_and_is_never_carried_out():
    ann = a_user()
    with smtp_server() as server:
        run = a_run(server)
        test_send.stop(run, ann)
        assert run.state == TestRun.State.STOPPED
        assert run.finished_at
        test_send.run(run)
        assert server.sessions == 0
    assert Event.objects.get(kind="test.stopped").user_id == ann.pk


@pytest.mark.django_db
def test_a_run_that_has_ended_is_not_stopped():
    with smtp_server() as server:
        run = test_send.run(a_run(server))
    test_send.stop(run, a_user())
    assert (run.state, run.stop_asked_at) == (TestRun.State.PASSED, None)
    assert not Event.objects.filter(kind__startswith="test.stop").exists()


@pytest.mark.django_db(transaction=True)
def test_a_run_ended_by_somebody_else_stays_ended_and_sends_nothing():
    """Its heartbeat was late, the page ended it: who runs it hears of that and changes nothing."""
    with evil_server_beside({"mail": hang}) as server:
        run = a_run(server)
        beside = InAThread(run)
        until(lambda: any(line.startswith("MAIL") for line in server.heard))
        TestRun.objects.filter(pk=run.pk).update(state="stopped", sentence="Left.")
        run = beside.ended()
        assert not server.contents
    assert (run.state, run.sentence) == (TestRun.State.STOPPED, "Left.")


# A process that was killed


def killed(run, *, ago):
    """Make a run look as its process left it so long ago."""
    then = timezone.now() - ago
    TestRun.objects.filter(pk=run.pk).update(state="running", started_at=then, heartbeat_at=then)
    run.refresh_from_db()
    return run


@pytest.mark.django_db
def test_a_run_without_a_heartbeat_is_ended_and_one_with_a_young_one_is_not():
    dead = killed(a_run(unsaved_profile(), **SIGNS_IN), ago=timedelta(seconds=11))
    alive = killed(a_run(unsaved_profile()), ago=timedelta(seconds=5))
    test_send.tidy_up()
    dead.refresh_from_db()
    alive.refresh_from_db()
    assert (dead.state, dead.secret) == (TestRun.State.STOPPED, None)
    assert "process that ran it was stopped" in dead.sentence
    assert alive.state == TestRun.State.RUNNING
    assert Event.objects.get(kind="test.stopped").level == "warning"


@pytest.mark.django_db(transaction=True)
def test_a_run_under_way_keeps_its_heartbeat():
    with evil_server_beside({"banner": hang}) as server:
        run = a_run(server)
        beside = InAThread(run)
        until(lambda: server.open == 1)
        first = TestRun.objects.get(pk=run.pk).heartbeat_at
        until(lambda: TestRun.objects.get(pk=run.pk).heartbeat_at > first)
        test_send.stop(run, None)
        beside.ended()


@pytest.mark.django_db
def test_a_run_nobody_took_within_a_minute_is_ended():
    run = a_run(unsaved_profile())
    TestRun.objects.update(created_at=timezone.now() - timedelta(seconds=61))
    test_send.tidy_up()
    run.refresh_from_db()
    assert run.state == TestRun.State.STOPPED
    assert "neither a worker nor the web server" in run.sentence


# Two of them


@pytest.mark.django_db(transaction=True)
def test_a_worker_and_the_web_process_race_for_a_run_and_one_email_leaves():
    with smtp_server() as server:
        runs = [a_run(server) for _number in range(5)]
        racers = [InAThread(run, where=where) for run in runs for where in ("worker mail-2", "web")]
        for racer in racers:
            assert racer.ended().state in (TestRun.State.PASSED, TestRun.State.RUNNING)
        assert len(server.wait_for(len(runs))) == len(runs)
    assert set(TestRun.objects.values_list("state", flat=True)) == {"passed"}
    assert Event.objects.filter(kind="test.passed").count() == len(runs)


@pytest.mark.django_db
def test_who_comes_second_does_not_end_a_run_again():
    with smtp_server() as server:
        run = test_send.run(a_run(server))
    assert not life.end(run, TestRun.State.FAILED, failed_phase="", sentence="Too late.")
    run.refresh_from_db()
    assert run.state == TestRun.State.PASSED


# Checking the connection


@pytest.mark.django_db
def test_a_connection_check_signs_in_says_goodbye_and_sends_nothing():
    with smtp_server(auth=("shop", "c4nary-pa55")) as server:
        run = test_send.run(a_run(server, kind="connect", **SIGNS_IN))
        server.wait_until_closed()
        verbs = server.verbs()
    assert run.state == TestRun.State.PASSED, run.sentence
    assert verbs[0] == "EHLO"
    assert verbs[-1] == "QUIT"
    assert "AUTH" in verbs
    assert not {"MAIL", "RCPT", "DATA"} & set(verbs)
    assert "accepted the sign-in. No email was sent." in run.sentence
    assert run.recipients == []


@pytest.mark.django_db
def test_a_connection_check_with_a_wrong_password_fails_at_the_sign_in():
    with smtp_server(auth=("shop", "another")) as server:
        run = test_send.run(a_run(server, kind="connect", **SIGNS_IN))
    assert (run.state, run.failed_phase) == (TestRun.State.FAILED, "auth")


@pytest.mark.django_db(transaction=True)
def test_a_connection_check_can_be_stopped():
    with evil_server_beside({"ehlo": hang}) as server:
        run = a_run(server, kind="connect")
        beside = InAThread(run)
        until(lambda: server.heard)
        test_send.stop(run, None)
        assert beside.ended().state == TestRun.State.STOPPED
        until(lambda: server.open == 0)

"""Test runs against real servers: what is sent, what is recorded, and that there is always an end."""

import email
import email.policy
import socket
import threading
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from smtp_settings import test_send
from smtp_settings.models import Event, TestRun
from smtp_settings.sealing import Secret
from smtp_settings.test_send.sentences import verdict_of
from smtp_settings.test_send.session import Ended, listen
from tests.builders import a_profile, a_user, unsaved_profile
from tests.servers import smtp_server
from transports.base import Content, Envelope, MailObject

pytestmark = pytest.mark.django_db

CANARY = "c4nary-pa55 word"


def send_test(profile, secret=None, *, user=None, to=("inbox@example.com",), **options):
    run = test_send.candidate(profile, Secret(secret) if secret else None, user, to)
    return test_send.run(run, where="web", **options)


def at(server, **fields):
    return unsaved_profile(**{"host": server.host, "port": server.port} | fields)


def signing_in_at(server, **fields):
    return at(server, auth="password", username="shop", accepts_clear_auth=True, **fields)


def phases(run):
    return [step["phase"] for step in run.steps]


def test_a_real_message_arrives_and_the_run_passes():
    with smtp_server() as server:
        run = send_test(at(server, name="Shop"), user=a_user(email="ann@example.com"), to=())
        [message] = server.wait_for(1)
    assert run.state == TestRun.State.PASSED
    assert message.mail_from == "shop@example.com"
    assert message.rcpt_to == ("ann@example.com",)
    assert "accepted the email for ann@example.com" in run.sentence
    assert run.finished_at >= run.started_at >= run.created_at


def test_the_message_says_what_it_is():
    with smtp_server() as server:
        run = send_test(
            at(
                server,
                name="Größe",
                from_name="Jörg Shop",
                reply_to="help@example.com",
                subject_prefix="[STAGING] ",
            )
        )
        [received] = server.wait_for(1)
    message = email.message_from_bytes(received.content, policy=email.policy.default)
    assert message["Subject"].startswith("[STAGING] mailconf test: Größe ")
    assert message["Subject"].endswith(f"(run {run.uuid.hex[:4].upper()})")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Mailconf-Test"] == str(run.uuid)
    assert message["From"] == "Jörg Shop <shop@example.com>"
    assert message["Reply-To"] == "help@example.com"
    assert message["Date"]
    assert message["Message-ID"]
    text = message.get_body(("plain",)).get_content()
    assert f"Server: {server.host}\r\nPort: {server.port}" in text
    assert "a command" in text
    assert "needs no answer" in text
    assert received.content.isascii()
    assert max(map(len, received.content.split(b"\r\n"))) <= 998


def test_the_bounce_address_is_the_envelope_sender():
    with smtp_server() as server:
        send_test(at(server, bounce_address="bounces@example.com"))
        [message] = server.wait_for(1)
    assert message.mail_from == "bounces@example.com"


def test_each_step_is_recorded_with_its_time():
    with smtp_server(auth=("shop", CANARY)) as server:
        run = send_test(signing_in_at(server), CANARY)
    run.refresh_from_db()
    assert run.state == TestRun.State.PASSED, run.sentence
    assert phases(run)[:3] == ["dns", "connect", "banner"]
    assert {"ehlo", "auth", "mail", "rcpt", "dot"} <= set(phases(run))
    assert all(step["ms"] >= 0 for step in run.steps)
    assert {line["direction"] for line in run.transcript} >= {"client", "server"}


def test_the_steps_of_a_running_test_can_be_read_meanwhile(transactional_db):
    seen = threading.Event()

    def watch(pk):
        while not seen.is_set():
            if "connect" in phases(TestRun.objects.get(pk=pk)):
                seen.set()
        connection.close()

    def hold_back(_argument):
        return None if seen.wait(40) else "451 nobody saw a step"

    with smtp_server(answers={"RCPT": hold_back}) as server:
        run = test_send.candidate(at(server), None, None, ["inbox@example.com"])
        watcher = threading.Thread(target=watch, args=[run.pk])
        watcher.start()
        run = test_send.run(run)
        seen.set()
        watcher.join()
    assert run.state == TestRun.State.PASSED, run.sentence


def test_starttls_with_an_own_authority_passes():
    with smtp_server(security="starttls", auth=("shop", CANARY)) as server:
        profile = at(server, security="starttls", auth="password", username="shop", ca=server.ca_pem)
        run = send_test(profile, CANARY)
    assert run.state == TestRun.State.PASSED, run.sentence
    assert "tls" in phases(run)


def test_an_unknown_authority_fails_before_the_password_is_said():
    with smtp_server(security="starttls", auth=("shop", CANARY)) as server:
        run = send_test(at(server, security="starttls", auth="password", username="shop"), CANARY)
        assert "AUTH" not in server.verbs()
    assert (run.state, run.failed_phase) == (TestRun.State.FAILED, "tls")


def test_a_wrong_password_fails_at_the_sign_in_with_the_servers_words():
    with smtp_server(auth=("shop", "right")) as server:
        run = send_test(signing_in_at(server), CANARY)
    assert (run.state, run.failed_phase) == (TestRun.State.FAILED, "auth")
    assert run.reply.startswith("535")
    assert run.sentence


@pytest.mark.parametrize(
    ("verb", "reply", "phase", "words"),
    [
        ("MAIL", "550 5.7.60 not allowed", "mail", "may not send as shop@example.com"),
        ("RCPT", "550 5.1.1 no such user", "rcpt", "test recipient does not exist"),
        ("RCPT", "451 4.7.1 greylisted", "rcpt", "asks to try again in some minutes"),
        ("DOT", "554 5.6.0 no", "dot", "dislikes the form of the message"),
        ("DOT", "554 no", "dot", "refused the message"),
        ("MAIL", "530 5.7.0 Authentication required", "mail", "wants a sign-in first"),
    ],
)
def test_a_refusal_names_its_stage(verb, reply, phase, words):
    with smtp_server(answers={verb: reply}) as server:
        run = send_test(at(server))
    assert (run.state, run.failed_phase) == (TestRun.State.FAILED, phase)
    assert words in run.sentence
    assert run.reply.startswith(reply[:3])


def test_one_refused_recipient_of_two_is_no_pass():
    with smtp_server(answers={"RCPT": lambda argument: "550 no" if "two@" in argument else None}) as server:
        run = send_test(at(server), to=["one@example.com", "two@example.com"])
    assert run.state == TestRun.State.FAILED
    assert "two@example.com" in run.sentence
    assert "one@example.com" not in run.sentence


def test_nobody_listening_is_a_failed_run_not_an_exception():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        run = send_test(unsaved_profile(port=taken.getsockname()[1]))
    assert (run.state, run.failed_phase) == (TestRun.State.FAILED, "connect")
    assert run.sentence


def test_an_address_that_is_not_allowed_is_a_failed_run_and_nothing_is_opened(settings):
    settings.MAILCONF_ALLOWED_NETWORKS = []
    with smtp_server() as server:
        run = send_test(at(server))
        assert server.verbs() == []
    assert run.state == TestRun.State.FAILED


def test_a_port_that_is_not_allowed_is_a_failed_run(settings):
    settings.MAILCONF_ALLOWED_PORTS = (25, (587, 588))
    with smtp_server() as server:
        run = send_test(at(server))
        assert server.verbs() == []
    assert run.state == TestRun.State.FAILED


def test_a_silent_server_ends_the_run_at_the_limit():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        run = send_test(unsaved_profile(port=silent.getsockname()[1]), limit=0.3)
    assert run.state == TestRun.State.FAILED
    assert run.failed_phase == "banner"
    assert "while waiting for the greeting" in run.sentence


def test_a_missing_key_at_the_sign_in_is_a_sentence_and_no_auth_is_said(settings):
    with smtp_server(auth=("shop", CANARY)) as server:
        run = test_send.candidate(signing_in_at(server), Secret(CANARY), None, ["inbox@example.com"])
        settings.MAILCONF_KEYS = settings.MAILCONF_KEYS_FILE = ""
        run = test_send.run(run)
        assert "AUTH" not in server.verbs()
    assert run.state == TestRun.State.FAILED
    assert "key" in run.sentence


def test_a_run_whose_settings_were_edited_does_not_open_its_secret():
    with smtp_server(auth=("shop", CANARY)) as server:
        run = test_send.candidate(
            signing_in_at(server, port=2525), Secret(CANARY), None, ["inbox@example.com"]
        )
        run.settings["port"] = server.port
        run.save()
        run = test_send.run(run)
        assert "AUTH" not in server.verbs()
    assert run.state == TestRun.State.FAILED


def test_a_method_that_is_not_known_is_a_sentence():
    run = send_test(unsaved_profile(transport="mailgun", region="mars"))
    assert run.state == TestRun.State.FAILED
    assert "cannot be used with these values" in run.sentence


def test_a_run_is_carried_out_once():
    with smtp_server() as server:
        run = test_send.candidate(at(server), None, None, ["inbox@example.com"])
        again = TestRun.objects.get(pk=run.pk)
        test_send.run(run)
        assert test_send.run(again).state == TestRun.State.PASSED
        assert len(server.messages) == 1


def test_a_stopped_process_leaves_an_ended_run():
    class StopNow(BaseException):
        pass

    def stop(self, step):
        raise StopNow

    with smtp_server() as server:
        run = test_send.candidate(at(server), None, None, ["inbox@example.com"])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("smtp_settings.test_send.record.Record.step", stop)
            with pytest.raises(StopNow):
                test_send.run(run)
    run.refresh_from_db()
    assert run.state == TestRun.State.STOPPED
    assert "before it came to an end" in run.sentence


def test_a_fault_of_our_own_ends_the_run_and_is_logged(caplog):
    with smtp_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr("smtp_settings.wire.SMTPTransport.open", lambda self, observer: 1 / 0)
        run = send_test(at(server))
    assert run.state == TestRun.State.FAILED
    assert "fault in mailconf" in run.sentence
    assert "ZeroDivisionError" in caplog.text


def test_runs_that_lost_their_process_are_ended_later():
    run = test_send.candidate(unsaved_profile(), Secret("x"), None, ["inbox@example.com"])
    TestRun.objects.filter(pk=run.pk).update(
        state="running", started_at=timezone.now() - timedelta(minutes=2)
    )
    test_send.tidy_up()
    run.refresh_from_db()
    assert run.state == TestRun.State.STOPPED
    assert run.finished_at
    assert run.secret is None


def test_the_secret_of_a_run_is_forgotten_after_half_an_hour():
    old = test_send.candidate(unsaved_profile(), Secret("x"), None, ["inbox@example.com"])
    young = test_send.candidate(unsaved_profile(), Secret("x"), None, ["inbox@example.com"])
    TestRun.objects.filter(pk=old.pk).update(
        state="passed", created_at=timezone.now() - timedelta(minutes=31)
    )
    test_send.tidy_up()
    assert TestRun.objects.get(pk=old.pk).secret is None
    assert TestRun.objects.get(pk=young.pk).secret is not None


def test_a_start_and_an_end_are_events_without_values():
    with smtp_server(auth=("shop", CANARY)) as server:
        send_test(signing_in_at(server), CANARY, user=a_user())
    assert list(Event.objects.order_by("id").values_list("kind", flat=True)) == [
        "test.started",
        "test.passed",
    ]
    assert CANARY not in str(list(Event.objects.values()))


# Who may be sent a test email, and how often


def test_without_an_address_of_ones_own_one_has_to_be_typed():
    with pytest.raises(ValidationError, match="no email address"):
        test_send.recipients_for(a_user(email=""))


@pytest.mark.parametrize(
    "typed",
    [
        ["a@example.com,b@example.com"],
        ["a@example.com\r\nBcc: b@example.com"],
        ["a@example.com b@example.com"],
        ["not an address"],
        ["a@b@example.com"],
        ["1@example.com", "2@example.com", "3@example.com", "4@example.com"],
    ],
)
def test_only_up_to_three_strict_addresses(typed):
    with pytest.raises(ValidationError):
        test_send.recipients_for(None, typed)


def test_other_addresses_need_the_permission():
    viewer = a_user("nobody", email="ann@example.com")
    with pytest.raises(ValidationError, match="only to your own address"):
        test_send.recipients_for(viewer, ["bob@example.com"])
    assert test_send.recipients_for(viewer, ["ANN@example.com"])
    assert test_send.recipients_for(a_user(), ["bob@example.com"]) == ["bob@example.com"]


def test_one_test_at_a_time():
    ann = a_user()
    test_send.candidate(unsaved_profile(), None, ann)
    with pytest.raises(test_send.TooManyTests, match="still running"):
        test_send.candidate(unsaved_profile(), None, ann)
    assert test_send.candidate(unsaved_profile(), None, a_user())


def test_the_eleventh_test_in_ten_minutes_has_to_wait():
    ann = a_user()
    for _number in range(10):
        run = test_send.candidate(unsaved_profile(), None, ann)
        TestRun.objects.filter(pk=run.pk).update(state="failed")
    with pytest.raises(test_send.TooManyTests, match="Wait 10 minutes"):
        test_send.candidate(unsaved_profile(), None, ann)


def test_own_run_finds_only_ones_own_young_run():
    ann, bob = a_user(), a_user()
    run = test_send.candidate(unsaved_profile(), None, ann)
    assert test_send.own_run(run.uuid, ann) == run
    assert test_send.own_run(run.uuid, bob) is None
    assert test_send.own_run(None, ann) is None
    TestRun.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(minutes=31))
    assert test_send.own_run(run.uuid, ann) is None


# Exactly the form's values (V40)


def test_a_run_tests_the_values_it_was_given_not_the_saved_ones():
    with smtp_server() as server:
        profile = a_profile(port=2525)
        profile.port, profile.from_address = server.port, "new@example.com"
        run = send_test(profile)
        [message] = server.wait_for(1)
    assert run.state == TestRun.State.PASSED
    assert message.mail_from == "new@example.com"


def test_two_threads_claim_one_run(transactional_db):
    with smtp_server() as server:
        run = test_send.candidate(at(server), None, None, ["inbox@example.com"])

        def other():
            test_send.run(TestRun.objects.get(pk=run.pk))
            connection.close()

        thread = threading.Thread(target=other)
        thread.start()
        test_send.run(TestRun.objects.get(pk=run.pk))
        thread.join()
        assert len(server.messages) == 1


def test_only_two_tests_run_at_once():
    for _number in range(2):
        test_send.candidate(unsaved_profile(), None, a_user())
    with pytest.raises(test_send.TooManyTests, match="Two other tests"):
        test_send.candidate(unsaved_profile(), None, a_user())


def test_three_refused_sign_ins_want_a_pause():
    ann = a_user()
    for _number in range(3):
        run = test_send.candidate(unsaved_profile(), None, ann)
        TestRun.objects.filter(pk=run.pk).update(
            state="failed", failed_phase="auth", reply="535 5.7.8 no", finished_at=timezone.now()
        )
    with pytest.raises(test_send.TooManyTests, match="Wait a minute"):
        test_send.candidate(unsaved_profile(), None, ann)
    TestRun.objects.update(finished_at=timezone.now() - timedelta(minutes=2))
    assert test_send.candidate(unsaved_profile(), None, ann)


def test_a_sign_in_without_a_password_says_so():
    with smtp_server(auth=("shop", CANARY)) as server:
        run = send_test(signing_in_at(server))
        assert "AUTH" not in server.verbs()
    assert (run.state, run.failed_phase) == (TestRun.State.FAILED, "auth")
    assert run.sentence == "There is no password to sign in with."


def test_a_lost_answer_after_the_dot_is_no_pass():
    def hang_up(_argument):
        raise ConnectionResetError

    with smtp_server(answers={"DOT": hang_up}) as server:
        run = send_test(at(server))
    assert (run.state, run.failed_phase) == (TestRun.State.FAILED, "dot")
    assert "may have accepted" in run.sentence


def test_a_lost_connection_earlier_is_a_sentence():
    def hang_up(_argument):
        raise ConnectionResetError

    with smtp_server(answers={"MAIL": hang_up}) as server:
        run = send_test(at(server))
    assert run.state == TestRun.State.FAILED
    assert run.sentence
    assert "may have accepted" not in run.sentence


def test_a_from_address_that_cannot_be_written_is_a_sentence():
    run = send_test(unsaved_profile(from_address="a@b@c"))
    assert run.state == TestRun.State.FAILED
    assert run.sentence


class Stuck:
    """A transport that never gives its thread back, like a name lookup that hangs."""

    def __init__(self):
        self.let_go = threading.Event()

    async def open(self, observer=None):
        self.let_go.wait(10)


def test_a_thread_that_hangs_is_left_behind_at_the_limit():
    stuck = Stuck()
    heard = list(listen(stuck, MailObject(Envelope("", ("a@example.com",)), Content((b"",))), limit=0.01))
    stuck.let_go.set()
    assert isinstance(heard[-1].error, TimeoutError)


def late_verdict(last, *, security):
    return verdict_of(
        Ended(error=TimeoutError()),
        profile=unsaved_profile(security=security),
        recipients=["a@b.example"],
        last_phase=last,
        seconds=45.2,
    )


@pytest.mark.parametrize(
    ("security", "last", "phase", "words"),
    [
        ("none", "", "dns", "looking up the server"),
        ("none", "dns", "connect", "connecting"),
        ("none", "connect", "banner", "waiting for the greeting"),
        ("none", "banner", "ehlo", "answer to EHLO"),
        ("none", "ehlo", "auth", "signing in"),
        ("none", "tls", "auth", "signing in"),
        ("none", "auth", "mail", "about the sender"),
        ("none", "mail", "rcpt", "about the recipient"),
        ("none", "rcpt", "data", "sending the message"),
        ("none", "data", "dot", "waiting for the final answer"),
        ("none", "dot", "dot", "waiting for the final answer"),
        ("starttls", "connect", "banner", "waiting for the greeting"),
        ("starttls", "ehlo", "tls", "setting up encryption"),
        ("starttls", "tls", "auth", "signing in"),
        ("tls", "connect", "tls", "setting up encryption"),
        ("tls", "tls", "banner", "waiting for the greeting"),
        ("tls", "ehlo", "auth", "signing in"),
    ],
)
def test_a_late_end_says_what_was_waited_for(security, last, phase, words):
    verdict = late_verdict(last, security=security)
    assert words in verdict.sentence
    assert "45 seconds" in verdict.sentence
    assert (verdict.state, verdict.phase) == (TestRun.State.FAILED, phase)

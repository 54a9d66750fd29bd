"""The sandbox keeps what it is given, byte for byte, and no more than it should."""

import asyncio
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from mailconf import sandbox
from mailconf.env import BASE_DIR
from tests.ports import free_port

MESSAGE = b"From: a@example.com\r\nSubject: =?utf-8?b?w4RwZmVs?=\r\n\r\n.a line with a dot\r\nthe end\r\n"


@pytest.fixture
def folder(settings, tmp_path):
    settings.MAILCONF_VAR = tmp_path
    return tmp_path / "sandbox"


@contextmanager
def running(mailbox, port):
    """The server on a loop of its own."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    up = threading.Event()

    async def serve():
        async with sandbox.serving(port, mailbox):
            up.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert up.wait(60)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def deliver(port, rcpt_to=("b@example.com",), message=MESSAGE):
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        return client.sendmail("a@example.com", list(rcpt_to), message)


def test_a_message_arrives_as_it_was_sent(folder):
    port = free_port()
    with running(sandbox.Mailbox(folder), port):
        deliver(port, ["b@example.com", "c@example.com"])
    (caught,) = sandbox.inbox()
    assert (caught.mail_from, caught.rcpt_to) == ("a@example.com", ("b@example.com", "c@example.com"))
    assert (caught.subject, caught.size) == ("Äpfel", len(MESSAGE))
    assert sandbox.read(caught.id) == MESSAGE
    assert sandbox.find(caught.id) == caught


def test_the_inbox_shows_the_newest_first(folder):
    mailbox = sandbox.Mailbox(folder)
    ids = [mailbox.keep("a@example.com", ["b@example.com"], b"Subject: %d\r\n\r\n" % n) for n in range(3)]
    assert [caught.id for caught in sandbox.inbox()] == ids[::-1]
    assert [caught.subject for caught in sandbox.inbox(limit=1)] == ["2"]


def test_only_the_newest_are_kept(folder):
    mailbox = sandbox.Mailbox(folder, kept=2)
    ids = [mailbox.keep("", ["b@example.com"], b"\r\n") for _ in range(4)]
    assert [caught.id for caught in sandbox.inbox()] == ids[:1:-1]
    assert len(list(folder.iterdir())) == 4


def test_an_empty_inbox_is_empty(folder):
    assert sandbox.inbox() == []


@pytest.mark.parametrize("message_id", ["", "../keys", "00000000000000000001-000001", "../../etc/passwd\x00"])
def test_what_was_never_caught_is_not_found(folder, message_id):
    with pytest.raises(sandbox.NotInInbox):
        sandbox.read(message_id)
    with pytest.raises(sandbox.NotInInbox):
        sandbox.find(message_id)


@pytest.mark.parametrize(
    ("header", "subject"),
    [
        (b"=?utf-8?q?broken", "=?utf-8?q?broken"),
        (b"=?no-such-charset?q?abc?=", "=?no-such-charset?q?abc?="),
        (b"a\x07b\x1b[31mc", "a b [31mc"),
        (b"x" * 900, "x" * 200),
        (b"\xff\xfe", "\N{REPLACEMENT CHARACTER}" * 2),
    ],
)
def test_a_strange_subject_is_shown_somehow(folder, header, subject):
    sandbox.Mailbox(folder).keep("", ["b@example.com"], b"Subject: " + header + b"\r\n\r\n")
    assert [caught.subject for caught in sandbox.inbox()] == [subject]


def test_half_a_message_of_a_killed_server_is_removed(folder):
    folder.mkdir()
    (folder / "00000000000000000001-000001.eml").write_bytes(MESSAGE)
    (folder / "00000000000000000002-000001.eml.part").write_bytes(MESSAGE)
    sandbox.Mailbox(folder)
    assert list(folder.iterdir()) == []


def test_a_full_disk_is_a_temporary_refusal(folder):
    port = free_port()
    mailbox = sandbox.Mailbox(folder)
    folder.rmdir()  # nothing can be written any more
    with running(mailbox, port), pytest.raises(smtplib.SMTPDataError, match=r"4\.3\.1") as refusal:
        deliver(port)
    assert refusal.value.smtp_code == 452


def test_a_message_over_the_limit_is_refused(folder):
    port = free_port()
    with running(sandbox.Mailbox(folder), port), pytest.raises(smtplib.SMTPSenderRefused) as refusal:
        deliver(port, message=b"x" * 70 + b"\r\n" * (sandbox.SIZE // 2))
    assert refusal.value.smtp_code == 552
    assert sandbox.inbox() == []


def test_the_command_says_which_variable_to_change_when_the_port_is_taken(process_environment):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "manage.py", "sandbox", "--port", str(port)],
            cwd=BASE_DIR,
            env=process_environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert "MAILCONF_SANDBOX_PORT" in done.stderr


def test_the_command_ends_at_once_when_it_is_told_to(process_environment, tmp_path):
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "sandbox", "--port", str(port)],
        cwd=BASE_DIR,
        env={**process_environment, "MAILCONF_VAR": str(tmp_path)},
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                deliver(port)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert len(list((tmp_path / "sandbox").glob("*.eml"))) == 1

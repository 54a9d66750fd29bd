"""Programs that end in every way, and directories that are not as they should be (WIRE R29)."""

import errno
import os

import pytest

from delivery.classification import Action, Sign, judge, judge_error
from tests.transports.ways import a_script, sendmail_to
from tests.wire.clients import a_content, an_envelope
from transports.base import Content, Envelope, Phase
from transports.errors import NotSendable, NotUsableHere, TransportError
from transports.pickup import WRITING, PickupSettings, PickupTransport, front_of
from transports.sendmail import CRLF, LF, SendmailSettings, SendmailTransport


async def outcome_of(transport, envelope=None):
    session = await transport.open()
    outcome = await session.deliver(envelope or an_envelope(), a_content())
    await session.close()
    return outcome


@pytest.mark.parametrize(
    ("status", "action", "sign"),
    [
        *[(status, Action.RETRY, Sign.NONE) for status in (71, 74, 75)],
        *[(status, Action.FAIL, Sign.NONE) for status in (65, 67, 68)],
        *[(status, Action.RELEASE, Sign.PAUSE) for status in (1, 64, 66, 69, 70, 72, 76, 77, 78, 127, 250)],
    ],
)
async def test_each_exit_status_has_its_ruling(status, action, sign):
    with a_script(f"echo 'because' >&2; exit {status}") as script:
        outcome = await outcome_of(sendmail_to(script))
    assert (outcome.phase, outcome.reply.code, outcome.uncertain) == (Phase.LOCAL, status, False)
    assert "because" in outcome.reply.text
    found = judge(outcome, recipients=1, is_fresh=True)
    assert (found.action, found.sign) == (action, sign)


@pytest.mark.parametrize(
    ("script", "deadline", "reason"), [("kill -9 $$", 60, "stopped"), ("sleep 600", 0.5, "timeout")]
)
async def test_a_program_that_does_not_say_how_it_went_leaves_it_uncertain(script, deadline, reason):
    with a_script(script) as written:
        outcome = await outcome_of(sendmail_to(written, deadline=deadline))
    assert (outcome.phase, outcome.uncertain, outcome.error.reason) == (Phase.DOT, True, reason)
    assert judge(outcome, recipients=1, is_fresh=True).action is Action.UNCERTAIN


@pytest.mark.parametrize("line_ends", [LF, CRLF])
async def test_lines_end_as_the_program_wants_them(line_ends):
    content = Content((b"Subject: one\r\n\r\n", b"first\r\n", b"second\r\n"))
    with a_script() as script:
        session = await sendmail_to(script, line_ends=line_ends).open()
        assert (await session.deliver(an_envelope(), content)).accepted
        [message] = script.messages
    ends = {LF: b"\n", CRLF: b"\r\n"}
    assert message.content == ends[line_ends].join([b"Subject: one", b"", b"first", b"second", b""])


async def test_addresses_that_look_like_options_are_none():
    with a_script() as script:
        await outcome_of(sendmail_to(script), Envelope("-Xlog@example.org", ("-bs@example.org",)))
        [message] = script.messages
    assert (message.mail_from, message.rcpt_to) == ("-Xlog@example.org", ("-bs@example.org",))


async def test_a_program_that_reads_nothing_and_says_much_does_not_hold_us():
    with a_script("head -c 3000000 /dev/zero | tr '\\0' x; exit 75") as script:
        outcome = await outcome_of(sendmail_to(script))
    assert outcome.reply.code == 75
    assert len(outcome.reply.text) <= 500


async def test_a_program_sees_no_secret_of_ours(monkeypatch):
    monkeypatch.setenv("MAILCONF_KEYS", "k1:c4nary")
    with a_script("env; exit 75") as script:
        outcome = await outcome_of(sendmail_to(script))
    assert "PATH=" in outcome.reply.text
    assert "c4nary" not in outcome.reply.text


@pytest.mark.parametrize(
    ("settings", "phase", "reason"),
    [
        (SendmailSettings("/bin/sh"), Phase.FIND, "not-allowed"),
        (SendmailSettings("/no/such", allowed=("/no/such",)), Phase.FIND, "ENOENT"),
    ],
)
async def test_a_program_that_cannot_be_run_pauses(settings, phase, reason):
    with pytest.raises(NotUsableHere) as refused:
        await SendmailTransport(settings).open()
    assert (refused.value.phase, refused.value.reason) == (phase, reason)
    assert refused.value.evidence["worker_user"]
    assert judge_error(refused.value).sign is Sign.PAUSE


async def test_a_program_without_the_right_to_be_run_pauses():
    with a_script() as script:
        (script.folder / "sendmail").chmod(0o644)
        with pytest.raises(NotUsableHere) as refused:
            await sendmail_to(script).open()
    assert (refused.value.phase, refused.value.reason) == (Phase.PERMISSION, "EACCES")


# Directories


async def test_a_directory_that_is_not_there_or_is_postfixs_pauses(tmp_path):
    maildrop, queue = tmp_path / "maildrop", tmp_path / "queue"
    maildrop.mkdir()
    for name in ("incoming", "active", "deferred", "mine"):
        (queue / name).mkdir(parents=True)
    (tmp_path / "file").touch()
    found = {}
    for directory in (maildrop, queue / "mine", tmp_path / "file", tmp_path / "missing"):
        with pytest.raises(NotUsableHere) as refused:
            await PickupTransport(PickupSettings(str(directory))).open()
        found[directory.name] = refused.value.reason
        assert judge_error(refused.value).sign is Sign.PAUSE
    assert found == {"maildrop": "maildrop", "mine": "maildrop", "file": "ENOTDIR", "missing": "ENOENT"}
    assert list(maildrop.iterdir()) == []


async def test_a_file_appears_whole_or_not_at_all(tmp_path):
    seen = []
    session = await PickupTransport(PickupSettings(str(tmp_path))).open()

    def look():
        seen.append(([one.name for one in tmp_path.glob("*.eml")], len(list((tmp_path / WRITING).iterdir()))))

    envelope = an_envelope("ann@example.org")
    outcome = await session.deliver(envelope, a_content(), before_dot=look)
    assert outcome.accepted
    assert seen == [([], 1)]
    [file] = tmp_path.glob("*.eml")
    assert file.read_bytes() == b"Bcc: ann@example.org\r\nSubject: Hello\r\n\r\nGood morning\r\n"
    assert list((tmp_path / WRITING).iterdir()) == []


async def test_what_a_killed_worker_left_is_removed_when_nobody_can_be_writing_it(tmp_path):
    folder = tmp_path / WRITING
    folder.mkdir()
    old, new = folder / "1-1-aa.eml", folder / "2-2-bb.eml"
    for file in (old, new):
        file.touch()
    os.utime(old, (0, old.stat().st_mtime - 3601))

    await PickupTransport(PickupSettings(str(tmp_path))).open()

    assert list(folder.iterdir()) == [new]


async def test_a_full_disk_is_weather_and_nothing_was_handed_over(tmp_path, monkeypatch):
    session = await PickupTransport(PickupSettings(str(tmp_path))).open()

    def full(_fd):
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(os, "fsync", full)
    outcome = await session.deliver(an_envelope(), a_content())
    assert (outcome.phase, outcome.uncertain, outcome.error.reason) == (Phase.LOCAL, False, "ENOSPC")
    assert judge(outcome, recipients=1, is_fresh=True).sign is Sign.BREAKER
    assert list(tmp_path.glob("*.eml")) == []


def test_a_plain_file_whose_header_names_others_is_refused():
    content = Content((b"To: ann@example.org\r\nCc: Eve <eve@example.org>\r\n\r\nHello\r\n",))
    with pytest.raises(NotSendable) as refused:
        front_of(Envelope("shop@example.org", ("ann@example.org",)), content, "eml")
    assert refused.value.reason == "addresses"


def test_the_envelope_stands_in_front_in_microsofts_style():
    front = front_of(Envelope("", ("a@example.org", "b@example.org")), a_content(), "x-sender")
    assert front == b"X-Sender: <>\r\nX-Receiver: a@example.org\r\nX-Receiver: b@example.org\r\n"


def test_all_errors_of_this_machine_are_errors_of_the_wire():
    assert issubclass(NotUsableHere, TransportError)

"""The email log: a line of JSON for each event, which nothing in a message can break; the files turn over."""

import json
import multiprocessing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from smtp_settings import email_log
from smtp_settings.email_log import Entry

NASTY = 'a\r\n{"event": "forged"}\x1b[31m\u2028\u202eevil\x00\x7f'


@pytest.fixture
def log(settings, tmp_path) -> Path:
    settings.MAILCONF_EMAIL_LOG = str(tmp_path / "logs" / "mail.log")
    settings.MAILCONF_EMAIL_LOG_MB = 1
    settings.MAILCONF_EMAIL_LOG_FILES = 3
    return tmp_path / "logs" / "mail.log"


def entry(**values):
    known = {
        "at": datetime(2026, 11, 21, 14, 3, 12, tzinfo=UTC),
        "event": "sent",
        "message": 1,
        "message_id": "<1@example.org>",
        "sender": "ann@example.org",
        "recipients": ("bob@example.com",),
        "subject": "Hello",
    }
    return Entry(**known | values)


def lines(file: Path):
    return [json.loads(line) for line in file.read_text("ascii").splitlines()]


def test_without_a_file_nothing_is_written(settings):
    settings.MAILCONF_EMAIL_LOG = ""
    assert email_log.path() is None
    assert email_log.files() == []
    assert not email_log.write([entry()])


def test_a_line_holds_who_what_and_when_and_leaves_out_what_is_empty(log):
    assert email_log.write([entry(headers={"X-Order": "17"}, charset="utf-8")])
    assert lines(log) == [
        {
            "at": "2026-11-21T14:03:12.000+00:00",
            "event": "sent",
            "message": 1,
            "message_id": "<1@example.org>",
            "sender": "ann@example.org",
            "recipients": ["bob@example.com"],
            "subject": "Hello",
            "headers": {"X-Order": "17"},
            "charset": "utf-8",
        }
    ]


def test_nothing_in_a_message_begins_a_line_or_speaks_to_a_terminal(log):
    email_log.write([entry(subject=NASTY, sender=NASTY, recipients=(NASTY,), headers={NASTY: NASTY})])
    raw = log.read_bytes()
    assert raw.count(b"\n") == 1
    assert all(32 <= byte < 127 for byte in raw.rstrip(b"\n"))
    [line] = lines(log)
    assert (line["event"], line["subject"], line["recipients"]) == ("sent", NASTY, [NASTY])


def test_only_its_owner_may_read_it(log):
    email_log.write([entry()])
    assert log.stat().st_mode & 0o077 == 0


def test_a_full_file_is_turned_over_and_the_oldest_goes(log):
    for number in range(6):
        email_log.write([entry(message=number, subject="x" * 900_000)])
    assert [file.name for file in email_log.files()] == ["mail.log.2", "mail.log.1", "mail.log"]
    assert [lines(file)[0]["message"] for file in email_log.files()] == [3, 4, 5]


def test_a_single_file_begins_anew(log, settings):
    settings.MAILCONF_EMAIL_LOG_FILES = 1
    for number in range(3):
        email_log.write([entry(message=number, subject="x" * 900_000)])
    assert [line["message"] for file in email_log.files() for line in lines(file)] == [2]


def test_a_log_that_cannot_be_written_is_told_and_harms_nobody(log, caplog):
    log.mkdir(parents=True)
    assert not email_log.write([entry()])
    assert "The email log cannot be written." in caplog.text


def _write_many(first: int) -> None:
    for number in range(first, first + 40):
        email_log.write([entry(message=number, subject="x" * 20_000)])


def test_processes_that_write_at_once_lose_and_tear_no_line(log, settings):
    settings.MAILCONF_EMAIL_LOG_FILES = 10
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_write_many, args=(n * 40,)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    written = [line["message"] for file in email_log.files() for line in lines(file)]
    assert sorted(written) == list(range(160))
    assert len(email_log.files()) > 2

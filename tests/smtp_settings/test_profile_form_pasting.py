"""What people paste as a server or a password, and how long a password is young."""

from datetime import UTC, datetime, timedelta

import pytest

from smtp_settings.entries import pasted
from smtp_settings.secret_age import password_is_old

NOW = datetime(2026, 11, 20, 17, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "host", "port"),
    [
        ("smtp.example.com", "smtp.example.com", ""),
        ("smtp.example.com:587", "smtp.example.com", "587"),
        ("\tsmtp.example.com:587 \r\n", "smtp.example.com", "587"),
        ("127.0.0.1:2525", "127.0.0.1", "2525"),
        ("[2001:db8::1]:465", "2001:db8::1", "465"),
        ("[2001:db8::1]", "2001:db8::1", ""),
        ("smtps://smtp.example.com", "smtp.example.com", "465"),
        ("SMTPS://smtp.example.com:2465/", "smtp.example.com", "2465"),
        ("smtp://smtp.example.com", "smtp.example.com", ""),
        ("submission://smtp.example.com", "smtp.example.com", "587"),
        ("", "", ""),
    ],
)
def test_a_pasted_server_is_taken_apart(typed, host, port):
    assert pasted.server(typed) == pasted.PastedServer(host, port)


@pytest.mark.parametrize(
    "typed",
    [
        "2001:db8::1",  # an address, not a name with a port
        "https://smtp.example.com",
        "smtp://smtp.example.com/inbox",
        "user@smtp.example.com",
        "smtp://user:secret@smtp.example.com:587",
        "smtp.example.com:port",
        "smtp.example.com:587:465",
        "[smtp.example.com]:587",
        "smtp.example.com 587",
        "a" * 100_000 + ":",
    ],
)
def test_what_can_be_meant_in_two_ways_is_left_alone(typed):
    assert pasted.server(f" {typed} ") == pasted.PastedServer(typed)


@pytest.mark.parametrize(
    ("typed", "host", "kept"),
    [
        ("SG.abc\n", "smtp.sendgrid.net", "SG.abc"),
        ("two\r\nlines", "smtp.example.com", "twolines"),
        (" with spaces ", "smtp.example.com", " with spaces "),
        ("abcd efgh ijkl mnop", "smtp.gmail.com", "abcdefghijklmnop"),
        ("abcd\u00a0efgh\u00a0ijkl\u00a0mnop\n", "SMTP-RELAY.gmail.com", "abcdefghijklmnop"),
        ("abcd efgh ijkl mnop", "smtp.example.com", "abcd efgh ijkl mnop"),
        ("abcd efgh ijkl mnop", "notgmail.com", "abcd efgh ijkl mnop"),
        ("abcd efgh ijkl mno1", "smtp.gmail.com", "abcd efgh ijkl mno1"),
        ("abcd efgh ijkl", "smtp.gmail.com", "abcd efgh ijkl"),
    ],
)
def test_a_pasted_password_loses_line_breaks_and_only_googles_their_spaces(typed, host, kept):
    assert pasted.password(typed, host) == kept


@pytest.mark.parametrize(
    ("age", "days", "is_old"),
    [
        (timedelta(days=90), 90, False),
        (timedelta(days=90, seconds=1), 90, True),
        (timedelta(days=900), 0, False),
    ],
)
def test_a_password_is_old_after_its_days(age, days, is_old):
    assert password_is_old(NOW - age, NOW, days) is is_old


def test_a_password_set_nobody_knows_when_is_not_called_old():
    assert not password_is_old(None, NOW, 90)

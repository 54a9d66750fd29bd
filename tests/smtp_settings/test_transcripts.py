"""What a hostile server says: bounded, visible, without the password, in the row and on the page (B29)."""

import pytest

from smtp_settings import test_send
from smtp_settings.models import TestRun
from smtp_settings.sealing import Secret
from smtp_settings.test_send.record import LONGEST_LINE, MOST_LINES, Record
from tests.builders import a_user, unsaved_profile
from tests.wire.evil import EHLO, evil_server_beside, one_long_line, raw, say
from transports.base import Direction, TranscriptLine

pytestmark = pytest.mark.django_db

CANARY = "c4nary-pa55 word"


def conversation(plan, *, ehlo=EHLO):
    profile = {"auth": "password", "username": "shop", "accepts_clear_auth": True}
    with evil_server_beside(plan, ehlo=ehlo) as server:
        run = test_send.candidate(
            unsaved_profile(port=server.port, **profile), Secret(CANARY), None, ["inbox@example.com"]
        )
        run = test_send.run(run)
    run.refresh_from_db()
    return run


def said(run):
    return [line["text"] for line in run.transcript]


HOSTILE = "220 <script>alert(1)</script> \x1b[31m \u202emoc.live\u202c \x00 caf\u00e9".encode()


def test_control_and_bidi_characters_are_written_out():
    run = conversation({"banner": raw(HOSTILE + b"\r\n")})
    [banner] = [text for text in said(run) if "script" in text]
    assert r"\x1b[31m" in banner
    assert r"\u202emoc.live\u202c" in banner
    assert r"\x00" in banner
    assert "caf\u00e9" in banner
    for text in [*said(run), *(step["reply"] + step["detail"] for step in run.steps)]:
        assert text.isprintable()


def test_the_page_shows_markup_as_text(client):
    run = conversation({"banner": raw(HOSTILE + b"\r\n")})
    client.force_login(a_user("administrator"))
    page = client.get(f"/admin/smtp_settings/testrun/{run.pk}/change/").content.decode()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize("stage", ["banner", "ehlo", "mail"])
def test_a_line_of_a_megabyte_is_cut(stage):
    run = conversation({stage: one_long_line})
    assert run.state == TestRun.State.FAILED
    assert max(map(len, said(run)), default=0) <= LONGEST_LINE
    assert len(str(run.transcript)) < 100_000
    assert len(run.reply) < 1_000


def test_a_banner_of_very_many_lines_is_cut_and_says_so():
    lines = [f"220-line {number}" for number in range(100)]
    many = tuple(f"250-X-{number}" for number in range(110))
    run = conversation(
        {"banner": say(*lines, "220 end")}, ehlo=("250-evil.example.org", *many, "250 AUTH PLAIN")
    )
    assert len(run.transcript) == MOST_LINES
    assert "left out" in said(run)[-1]


def test_a_record_holds_so_many_lines_and_says_that_there_were_more():
    record = Record(TestRun())
    for number in range(MOST_LINES + 50):
        record.line(TranscriptLine(Direction.SERVER, "x" * 5000 + str(number), float(number)))
    assert len(record.transcript) == MOST_LINES
    assert {len(line["text"]) for line in record.transcript[:-1]} == {LONGEST_LINE}
    assert record.transcript[-1]["direction"] == "note"


def test_a_password_that_the_server_repeats_is_nowhere_in_the_row():
    run = conversation({"auth": say(f"535 5.7.8 {CANARY} is wrong")})
    assert run.failed_phase == "auth"
    assert "<secret>" in " ".join(said(run))
    assert CANARY not in str(TestRun.objects.values().get())

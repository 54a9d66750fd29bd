"""The conversation an attempt keeps: what is stored with it, and what the page shows to whom."""

import base64

import pytest

from delivery import queue
from delivery.dispatcher.connections.conversation import MOST_BYTES, written
from delivery.queue import AttemptResult
from tests.builders import a_profile
from tests.delivery.engine import attempts_of, drained, queued
from tests.delivery.test_admin_messages import HOSTILE, a_message, url
from tests.pages import assert_strict, client_of, text_of
from tests.wire.clients import PASSWORD
from tests.wire.evil import evil_server_beside, fin, honestly, raw, say
from transports.base import Direction, TranscriptLine

engine = pytest.mark.django_db(transaction=True)
pages = pytest.mark.django_db


def said(text, at_ms=0.0, direction=Direction.SERVER):
    return TranscriptLine(direction, text, at_ms)


def the_attempt(message_id):
    (attempt,) = attempts_of(message_id)
    return attempt


def tried_once(plan, **fields):
    """Send one message to a server that behaves so; its attempt."""
    with evil_server_beside(plan) as server:
        a_profile(host=server.host, port=server.port, max_connections=1, **fields)
        (message_id,) = queued(body="The content.\n")
        drained()
    return the_attempt(message_id)


# As text


def test_each_line_says_whose_it_is_and_long_waits_are_told():
    lines = [
        said("MAIL FROM:<a@b.c>", 0.0, Direction.CLIENT),
        said("250 Ok", 12_340.0),
        said("gone", 12_900.0, Direction.NOTE),
    ]
    assert written(lines) == "C: MAIL FROM:<a@b.c>\n- 12.3 s later\nS: 250 Ok\n- gone"


def test_nothing_is_nothing():
    assert written([]) == ""


@pytest.mark.parametrize("line", ["x" * 1000, "é" * 1000, "x"], ids=["long", "octets", "short"])
def test_eight_kilobytes_are_kept_the_beginning_and_the_end(line):
    lines = [said("first"), *[said(line)] * 5000, said("last")]
    text = written(lines)
    kept = text.split("\n")
    assert MOST_BYTES * 3 // 4 < len(text.encode()) <= MOST_BYTES
    assert (kept[0], kept[-1]) == ("S: first", "S: last")
    (gap,) = (one for one in kept if one.startswith("- "))
    assert gap == f"- {5002 - len(kept) + 1} lines are left out."


# Through the engine


@engine
def test_a_put_off_message_keeps_the_conversation_and_not_its_content():
    attempt = tried_once({"dot": [say("450 4.2.0 Later")]})
    assert attempt.outcome == AttemptResult.RETRY
    assert attempt.transcript.startswith("C: MAIL FROM:<shop@example.com>")
    assert attempt.transcript.endswith(" bytes\nS: 450 4.2.0 Later")
    assert "The content" not in attempt.transcript


@engine
def test_an_uncertain_message_keeps_it():
    attempt = tried_once({"dot": [fin]})
    assert attempt.outcome == AttemptResult.UNCERTAIN
    assert attempt.transcript.endswith("- The server closed the connection after the message was sent.")


@engine
def test_hostile_bytes_are_stored_as_escapes():
    attempt = tried_once({"mail": [raw(b"550 \x00\x1b\xff\xed\xa0\x80\r\n")]})
    assert "S: 550 \\x00\\x1b\\xff\\xed\\xa0\\x80\n" in attempt.transcript


@engine
def test_a_password_in_a_servers_mouth_is_not_stored():
    line = base64.b64encode(f"\0ann\0{PASSWORD}".encode()).decode()
    attempt = tried_once(
        {"rcpt": [say(f"550 5.1.1 {PASSWORD} {line}")]},
        username="ann",
        password=PASSWORD,
    )
    assert attempt.transcript.endswith("S: 550 5.1.1 <secret> <secret>\nS: 354 Go ahead")
    assert PASSWORD not in attempt.transcript


@engine
def test_a_refused_opening_keeps_its_conversation():
    attempt = tried_once({"banner": [say("554 5.7.1 Not you")] * 9})
    assert attempt.outcome == AttemptResult.RELEASED
    assert "- connect: address 127.0.0.1; our_address 127.0.0.1; port " in attempt.transcript
    assert "\nS: 554 5.7.1 Not you\n- banner: " in attempt.transcript


@engine
def test_an_accepted_message_keeps_nothing_and_the_next_one_its_own():
    with evil_server_beside({"rcpt": [honestly, say("550 5.1.1 No such user")]}) as server:
        a_profile(host=server.host, port=server.port, max_connections=1)
        first, second = queued(2)
        drained()
    assert attempts_of(first) == []
    assert "S: 550 5.1.1 No such user" in the_attempt(second).transcript


# The page


def a_tried_message(transcript, **fields):
    message_id = a_message(**fields)
    outcome = AttemptResult.RETRY
    queue.record([queue.Tried(message_id, None, None, 1, "rcpt", outcome, 450, transcript=transcript)])
    return message_id


@pages
def test_the_timeline_opens_the_conversation():
    message_id = a_tried_message(f"C: DATA\nS: 450 {HOSTILE}\n- Gone.")
    response = client_of("viewer").get(url("change", message_id))
    assert_strict(response)
    html = response.content.decode()
    assert '<pre class="mc-transcript" tabindex="0" aria-label="SMTP conversation">' in html
    assert '<span class="is-client">C: DATA</span><span class="is-server">S: 450 &lt;script&gt;' in html
    assert '<span class="is-note">- Gone.</span>' in html


@pages
def test_an_attempt_without_a_conversation_offers_none():
    response = client_of("viewer").get(url("change", a_tried_message("")))
    assert "mc-conversation" not in response.content.decode()


@pages
@pytest.mark.parametrize(("role", "sees"), [("viewer", False), ("administrator", True)])
def test_a_blind_recipient_is_not_named_in_the_conversation_either(role, sees):
    said = "C: RCPT TO:<di@example.com>\nS: 550 <DI@example.com> unknown"
    message_id = a_tried_message(said, to=["bo@example.com"], bcc=["di@example.com"])
    text = text_of(client_of(role).get(url("change", message_id)))
    assert ("di@example.com" in text.lower().replace("blind", "")) is sees
    assert ("RCPT TO:<(blind recipient)>" in text) is not sees

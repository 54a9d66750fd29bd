"""`manage.py explain` and `manage.py route`: sentences, JSON and exit codes."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from delivery import queue
from delivery.models import ProfileState
from delivery.queue import Breaker, Finished, Paused, SmallState, Tried
from tests.builders import a_draft, a_profile, a_user
from tests.delivery.engine import queued
from tests.delivery.queueing import silence

pytestmark = pytest.mark.django_db


def asked(command, *arguments):
    """What a command prints and its exit code."""
    out, code = StringIO(), 0
    try:
        call_command(command, *map(str, arguments), stdout=out)
    except SystemExit as ended:
        code = ended.code
    return out.getvalue(), code


def refusal(command, *arguments):
    """The sentence and the exit code of a command that was asked wrongly."""
    with pytest.raises(CommandError) as refused:
        call_command(command, *map(str, arguments))
    return str(refused.value), refused.value.returncode


@pytest.fixture
def worker():
    """A worker that is alive."""
    return queue.register_worker()


@pytest.fixture
def paused(worker):
    """A message whose default server is paused and whose other one rests."""
    default = a_profile(name="EU relay", is_default=True)
    queue.pause(default.pk, Paused.PERSON, user_id=a_user(username="ana").pk)
    backup = a_profile(name="Backup")
    ProfileState.objects.create(
        profile_id=backup.pk, breaker=Breaker.OPEN, open_until=timezone.now() + timedelta(minutes=9),
        reason="421 4.3.2 Down for a while",
    )  # fmt: skip
    a_profile(name="Other", sender_domains=["other.example"])
    return queued(1)[0]


def test_a_waiting_message_is_explained_with_each_server(paused):
    text, code = asked("explain", paused)

    assert code == 0  # the breaker closes by itself
    assert text.splitlines()[0] == f"#{paused} waits."
    assert text.splitlines()[1].startswith("Backup: Breaker open until ")
    assert text.splitlines()[1].endswith('"421 4.3.2 Down for a while"')
    assert "  EU relay: Paused by ana since " in text
    assert "1 more may not send it: see manage.py route." in text


def test_the_explanation_comes_as_json(paused):
    text, code = asked("explain", f"#{paused}", "--json")
    found = json.loads(text)

    assert (code, found["id"], found["state"], found["waits"]) == (0, paused, "queued", True)
    assert found["sentence"].startswith("Backup: Breaker open until ")
    (first,) = found["reasons"]
    assert (first["kind"], first["reason"]["kind"]) == ("waits_for", "breaker_open")
    assert [one["reasons"][0]["kind"] for one in found["servers"]] == [
        "paused_by_person",
        "breaker_open",
        "other_senders",
    ]
    assert found["servers"][0]["reasons"][0]["who"] == "ana"


def test_what_needs_a_person_exits_with_1(worker):
    queued(1)
    text, code = asked("explain", queued(1)[0])
    assert (code, text.splitlines()[1]) == (
        1,
        "No profile may send it: it is of no site, and no profile serves every site.",
    )
    a_draft()
    assert "No profile that may send it is live." in asked("explain", queued(1)[0])[0]
    held = queued(1)[0]
    queue.hold([held])
    assert asked("explain", held) == (
        f"#{held} waits.\nA person holds this message. Release it to send it, or cancel it.\n",
        1,
    )
    assert json.loads(asked("explain", held, "--json")[0])["reasons"] == [{"kind": "held", "cause": "person"}]


def test_without_a_worker_nobody_sends():
    a_profile(name="One")
    message_id = queued(1)[0]
    text, code = asked("explain", message_id)
    assert (code, text.splitlines()[1]) == (1, "Nobody is sending: no worker has ever reported.")

    queue.register_worker()
    text, code = asked("explain", message_id)
    assert (code, text.splitlines()[1]) == (
        0,
        "Nothing keeps it: a worker takes it within seconds. It goes through One.",
    )


def test_a_message_in_a_workers_hands_names_the_worker(worker):
    profile = a_profile(name="One")
    message_id = queued(1)[0]
    lanes = [queue.Lane(ready.pool.id, ready.priority) for ready in queue.ready_lanes()]
    queue.claim(worker, lanes, [profile.pk])
    assert f"Worker {worker} on " in asked("explain", message_id)[0]
    assert "has it in hand, to send it through One." in asked("explain", message_id)[0]

    silence(worker)
    assert "had it in hand and is silent since" in asked("explain", message_id)[0]


def test_a_retried_message_quotes_the_reply(worker):
    profile = a_profile(name="One")
    message_id = queued(1)[0]
    lanes = [queue.Lane(ready.pool.id, ready.priority) for ready in queue.ready_lanes()]
    queue.claim(worker, lanes, [profile.pk])
    queue.record(
        [Tried(message_id, worker, profile.pk, 1, "rcpt", "retry", 451, "4.7.1", "Later\x1b[31m", 9)]
    )
    queue.settle(worker, [queue.Settled(message_id, profile.pk, timedelta(minutes=12), counted=1)])

    text, code = asked("explain", message_id)

    assert code == 0
    assert "Tried 1 time. Next try at " in text
    assert "(in 12 minutes). Last answer:" in text
    assert '"451 4.7.1 Later' in text
    assert "\x1b" not in text


def test_a_message_that_ended_does_not_wait(worker):
    message_id = queued(1)[0]
    queue.finish(None, [Finished(message_id, SmallState.CANCELLED)])
    assert asked("explain", message_id) == (f"#{message_id} does not wait: cancelled.\n", 0)
    found = json.loads(asked("explain", message_id, "--json")[0])
    assert (found["waits"], found["state"], found["reasons"]) == (False, "cancelled", [])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("12", "There is no message 12."),
        ("x", "“x” is no number of a message."),
        ("-1", None),
        ("99999999999999999999", "“99999999999999999999” is no number of a message."),
    ],
)
def test_an_unknown_number_is_refused_with_a_sentence(given, expected):
    if expected is None:
        with pytest.raises(CommandError):
            call_command("explain", given)
        return
    sentence, code = refusal("explain", given)
    assert sentence.startswith(expected)
    assert code == 2


def test_the_route_names_who_takes_it_and_why_the_others_do_not(paused):
    a_profile(name="Low", priority="low")
    text, code = asked("route", "--from", "shop@example.com")
    lines = text.splitlines()

    assert (code, lines[0]) == (0, "Low takes it.")
    assert lines[1] == "1 due message of its route goes before it."
    assert [line.split(":")[0] for line in lines if ":" in line] == [
        " 1. EU relay",
        " 2. Backup",
        " 3. Low",
        "  - Other",
    ]
    assert lines[-2:] == [
        " 3. Low: It takes the message now.",
        "  - Other: It serves other From domains only.",
    ]


def test_the_route_comes_as_json(paused):
    found, code = asked(
        "route", "--from", "sales@other.example", "--priority", "high", "--size", "99", "--json"
    )
    answer = json.loads(found)
    assert (code, answer["takes"], answer["sender_domain"], answer["ahead"]) == (
        0,
        "Other",
        "other.example",
        0,
    )


def test_a_route_nobody_takes_exits_with_1(worker):
    assert asked("route", "--from", "shop@example.com") == ("No server takes it now.\n", 1)


def test_a_message_too_large_or_pinned_goes_as_it_must(worker):
    small, large = a_profile(name="Small", is_default=True, max_size=1), a_profile(name="Large", max_size=30)
    mail = ("--from", "shop@example.com")
    assert asked("route", *mail)[0].startswith("Small takes it.")
    text, _code = asked("route", *mail, "--size", 2_000_000)
    assert text.startswith("Large takes it.")
    assert "Small: Too large: 2.0 MB, and it takes at most 1.0 MB." in text
    assert asked("route", *mail, "--pinned", "Large")[0].startswith("Large takes it.")
    assert asked("route", *mail, "--pinned", small.pk, "--site", "")[0].startswith("Small takes it.")
    assert asked("route", *mail, "--pinned", large.pk, "--size", 40_000_000)[1] == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--from", "shop"], "--from: “shop” is no email address."),
        (["--from", "a@b.example", "--site", "no.example"], "--site: There is no site “no.example”."),
        (["--from", "a@b.example", "--site", "987"], "--site: There is no site “987”."),
        (["--from", "a@b.example", "--pinned", "None"], "--pinned: There is no profile “None”."),
        (["--from", "a@b.example", "--size", "-1"], "--size: A size is not negative."),
    ],
)
def test_a_wrong_question_is_refused_with_a_sentence(arguments, expected):
    assert refusal("route", *arguments) == (expected, 2)

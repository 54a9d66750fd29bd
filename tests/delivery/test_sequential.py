"""A server whose answers did not fit together is spoken to one command at a time for a day."""

from datetime import timedelta

import pytest
from django.utils import timezone

from delivery import queue
from delivery.models import ProfileState
from delivery.queue import AttemptResult
from smtp_settings import wire
from smtp_settings.clearance import activation
from smtp_settings.models import Event, SMTPProfile
from tests.builders import a_profile, evidence
from tests.delivery.engine import attempts_of, drained, due_again, queued
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

#: Two answers where one is due, in one packet: whose is the second?
GARBLED = "250 2.0.0 Ok\r\n250 2.0.0 Ok"


@pytest.fixture
def opened(monkeypatch):
    """What each session was told when it was opened: whether to say one command at a time."""
    told, transport_of = [], wire.transport_of

    class Telling:
        def __init__(self, transport):
            self.transport = transport

        async def open(self, observer=None, *, sequential=False):
            told.append(sequential)
            return await self.transport.open(observer, sequential=sequential)

    monkeypatch.setattr(wire, "transport_of", lambda *args: Telling(transport_of(*args)))
    return told


def profile_for(server, **fields):
    return a_profile(host=server.host, port=server.port, max_connections=1, **fields)


def at_first(answer):
    answers = iter([answer])
    return lambda _argument: next(answers, None)


def garbled_once(server, **fields):
    """A profile whose server has garbled one answer, and what is known of it."""
    server.answers["DOT"] = at_first(GARBLED)
    profile = profile_for(server, **fields)
    (message_id,) = queued()
    assert drained().uncertain == 1
    return profile, message_id


def saved_with(profile, **changes):
    """Save a profile through the gate, with a test of the new values."""
    profile = SMTPProfile.objects.get(pk=profile.pk)
    for name, value in changes.items():
        setattr(profile, name, value)
    effective = activation.effective_secret(profile, typed=None)
    run = evidence(profile, effective.secret)
    activation.save_profile(profile, effective, user=None, sites=(), run=run)


def test_one_answer_out_of_place_ends_pipelining_for_a_day(opened):
    with smtp_server() as server:
        profile, message_id = garbled_once(server)
        (attempt,) = attempts_of(message_id)
        assert attempt.outcome == AttemptResult.UNCERTAIN
        state = ProfileState.objects.get(pk=profile.pk)
        left = state.sequential_until - timezone.now()
        assert timedelta(hours=23) < left <= timedelta(days=1)
        queued(3)
        due_again(message_id)
        assert drained().sent == 4
    assert opened == [False, True]


def test_it_is_written_once_and_told_with_its_reason():
    with smtp_server(answers={"RCPT": "354 Go on"}) as server:
        profile = profile_for(server)
        queued(2)
        drained()
        before = ProfileState.objects.get(pk=profile.pk).sequential_until
        queued()
        drained()
    assert ProfileState.objects.get(pk=profile.pk).sequential_until == before
    (event,) = Event.objects.filter(kind="server.sequential")
    assert (event.level, event.profile_id) == ("warning", profile.pk)
    assert "354" in event.data["reason"]


def test_after_the_day_it_is_pipelined_to_again(opened):
    with smtp_server() as server:
        garbled_once(server)
        ProfileState.objects.update(sequential_until=timezone.now())
        queued()
        assert drained().sent == 1
    assert opened == [False, False]


def test_other_connection_settings_end_it_and_a_note_does_not(opened):
    with smtp_server() as server:
        profile, _message_id = garbled_once(server)
        saved_with(profile, notes="Asked the provider.", max_connections=2)
        queued()
        assert drained().sent == 1
        saved_with(profile, ehlo_name="mail.example.com")
        queued()
        assert drained().sent == 1
    assert opened == [False, True, False]


@pytest.mark.parametrize("reason", ["by the profile", "not offered"])
def test_where_nothing_is_pipelined_there_is_nothing_to_end(reason):
    is_offered = reason == "by the profile"
    with smtp_server(pipelining=is_offered) as server:
        profile, _message_id = garbled_once(server, pipelining="sequential" if is_offered else "auto")
    assert not ProfileState.objects.filter(pk=profile.pk, sequential_until__isnull=False).exists()
    assert not Event.objects.filter(kind="server.sequential").exists()


# The row


def until(profile):
    return queue.profile_states([profile.pk])[profile.pk].sequential_until


def test_only_the_first_to_see_it_writes():
    profile = a_profile()
    assert queue.learn_sequential(profile.pk, fingerprint="ab")
    first = until(profile)
    assert not queue.learn_sequential(profile.pk, fingerprint="ab")
    assert until(profile) == first


@pytest.mark.parametrize("changed", [{"sequential_until": timezone.now()}, {"sequential_fingerprint": "cd"}])
def test_it_is_news_again_a_day_later_or_with_other_settings(changed):
    profile = a_profile()
    queue.learn_sequential(profile.pk, fingerprint="ab")
    ProfileState.objects.update(**changed)
    assert queue.learn_sequential(profile.pk, fingerprint="ab")
    assert until(profile) > timezone.now() + timedelta(hours=23)


def test_a_breaker_and_a_pause_know_nothing_of_it():
    profile = a_profile()
    queue.pause(profile.pk, queue.Paused.PERSON, reason="Holidays")
    before = queue.profile_states([profile.pk])[profile.pk]
    queue.learn_sequential(profile.pk, fingerprint="ab")
    after = queue.profile_states([profile.pk])[profile.pk]
    assert (after.paused, after.reason, after.changed_at) == (before.paused, before.reason, before.changed_at)

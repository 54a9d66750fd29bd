"""Playing a dead session's journal back: what it did is recorded, and nothing unsure is called unsent."""

import os
import shutil
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from delivery import queue
from delivery.dispatcher.lease import Lease
from delivery.dispatcher.recording import records, replay
from delivery.dispatcher.recording.journal import NAMES, Journal
from delivery.dispatcher.recording.records import Header
from delivery.dispatcher.recording.replay import replay_all
from delivery.dispatcher.work import Work
from delivery.models import (
    Attempt,
    Failure,
    Message,
    ProfileState,
    QueueEntry,
    Slot,
    SmallState,
    Stat,
    Worker,
)
from smtp_settings import wire
from smtp_settings.models import Event, SMTPProfile
from tests.builders import a_profile
from tests.delivery.engine import attempts_of, entry_of, queued, state_of
from tests.delivery.queueing import in_threads, lanes, refused_by_the_database
from transports.base import Reply

pytestmark = pytest.mark.django_db(transaction=True)

OK = Reply(250, "Ok: queued as 1A2B", "2.0.0")


@pytest.fixture(autouse=True)
def folder(tmp_path, settings):
    settings.MAILCONF_STATE_DIR = tmp_path / "state"
    return settings.MAILCONF_STATE_DIR


class Session:
    """A worker session with messages in hand, which can die."""

    def __init__(self, profile, *, boot_id=None, sync=False):
        self.profile = profile
        self.lease = queue.register_worker()
        since = queue.session_of(self.lease).started_at.isoformat()
        boot_id = queue.boot_id() if boot_id is None else boot_id
        header = Header(self.lease, since, boot_id, is_synced=sync)
        self.journal = Journal(Lease(self.lease, begun_at=0.0), header, settings.MAILCONF_STATE_DIR)

    def claim(self, count=1):
        found = queue.claim(self.lease, lanes(), [self.profile.pk] * count)
        way = wire.ways_of([self.profile.pk])[self.profile.pk]
        pools = {pool.id: pool for pool in queue.pools()}
        return [Work(claimed, way, pools[claimed.pool_id]) for claimed in found]

    def begin(self, *works):
        for work in works:
            self.journal.begun(work)

    def send(self, *works):
        self.begin(*works)
        for work in works:
            self.journal.sending(work)

    def hear(self, work, reply=OK, replies=None):
        self.send(work)
        self.journal.replied(work, reply, replies or (Reply(250),) * len(work.recipients))

    def die(self):
        os.close(self.journal._fd)


def replayed():
    return replay_all(settings.MAILCONF_STATE_DIR)


def files():
    return list(settings.MAILCONF_STATE_DIR.glob("*"))


def event():
    """What the one event says was found."""
    (found,) = Event.objects.filter(kind="journal.replayed")
    return {name: value for name, value in found.data.items() if name != "worker"}


def test_a_reply_that_was_read_is_recorded_as_if_it_had_just_come():
    session = Session(a_profile())
    (message_id,) = queued()
    session.hear(*session.claim())
    session.die()
    assert replayed()
    message = Message.objects.get(pk=message_id)
    assert (message.state, message.attempts, message.code) == (SmallState.SENT, 1, 250)
    assert (message.enhanced, message.reply) == ("2.0.0", "Ok: queued as 1A2B")
    assert message.profile_id == session.profile.pk
    assert not QueueEntry.objects.exists()
    assert not attempts_of(message_id)
    assert Stat.objects.get().sent == 1
    assert event() == {"sent": 1}
    assert Event.objects.get(kind="journal.replayed").data["worker"] == session.lease
    assert not files()


def test_a_dot_without_a_reply_is_uncertain_and_sent_again_after_the_pause():
    session = Session(a_profile())
    (message_id,) = queued()
    session.send(*session.claim())
    session.die()
    replayed()
    entry = entry_of(message_id)
    assert (entry.lease_id, entry.uncertain, entry.attempts, entry.crashes) == (None, True, 1, 1)
    assert entry.ready_at > timezone.now() + timedelta(minutes=9)
    (attempt,) = attempts_of(message_id)
    assert (attempt.outcome, attempt.worker_id) == (Attempt.Result.UNCERTAIN, session.lease)
    assert Stat.objects.get().uncertain == 1
    assert event() == {"uncertain": 1}


def test_only_what_may_have_arrived_is_held_where_the_policy_is_to_hold():
    session = Session(a_profile(on_uncertain="hold"))
    queued(4)
    sent, unanswered, begun, waiting = session.claim(4)
    session.hear(sent)
    session.send(unanswered)
    session.begin(begun)
    session.die()
    replayed()
    failure = Failure.objects.get()
    assert failure.message_id == unanswered.claimed.message_id
    assert (failure.state, failure.cause, failure.uncertain) == (SmallState.HELD, "uncertain", True)
    left = set(QueueEntry.objects.values_list("message_id", flat=True))
    assert left == {begun.claimed.message_id, waiting.claimed.message_id}
    assert event() == {"sent": 1, "uncertain": 1, "suspects": 1, "given_back": 1}


def test_what_was_not_begun_is_certainly_not_sent_and_nothing_is_counted():
    session = Session(a_profile())
    queued(10)
    first, *rest = session.claim(10)
    session.begin(first)
    session.die()
    replayed()
    rows = QueueEntry.objects.exclude(pk=first.claimed.message_id)
    assert set(rows.values_list("lease_id", "attempts", "crashes", "priority", "uncertain")) == {
        (None, 0, 0, 2, False)
    }
    assert rows.filter(ready_at__lte=timezone.now()).count() == len(rest)
    assert set(Attempt.objects.values_list("message_id", flat=True)) == {first.claimed.message_id}


def test_what_was_begun_is_the_suspect_and_held_at_the_third_crash():
    profile = a_profile()
    (message_id,) = queued()
    for crash in (1, 2):
        QueueEntry.objects.update(ready_at=timezone.now() - timedelta(seconds=1))
        session = Session(profile)
        session.begin(*session.claim())
        session.die()
        replayed()
        entry = entry_of(message_id)
        assert (entry.crashes, entry.priority, entry.attempts) == (crash, 12, 0)
    assert entry.ready_at > timezone.now() + timedelta(seconds=50)
    QueueEntry.objects.update(ready_at=timezone.now() - timedelta(seconds=1))
    session = Session(profile)
    session.begin(*session.claim())
    session.die()
    replayed()
    assert state_of(message_id) is SmallState.HELD
    assert Failure.objects.get().cause == "crashes"
    assert [attempt.outcome for attempt in attempts_of(message_id)] == [Attempt.Result.RELEASED] * 3


def test_a_message_whose_reply_kills_the_process_is_held_at_the_third_crash():
    profile = a_profile()
    (message_id,) = queued()
    for _ in range(3):
        QueueEntry.objects.update(ready_at=timezone.now() - timedelta(seconds=1))
        session = Session(profile)
        session.send(*session.claim())
        session.die()
        replayed()
    assert state_of(message_id) is SmallState.HELD
    assert Failure.objects.get().cause == "crashes"
    assert Failure.objects.get().uncertain


def test_a_message_held_for_its_crashes_may_have_arrived_when_the_last_was_at_its_dot():
    profile = a_profile()
    (message_id,) = queued()
    for crash in (1, 2, 3):
        QueueEntry.objects.update(ready_at=timezone.now() - timedelta(seconds=1))
        session = Session(profile)
        (session.send if crash == 3 else session.begin)(*session.claim())
        session.die()
        replayed()
    assert state_of(message_id) is SmallState.HELD
    assert (Failure.objects.get().cause, Failure.objects.get().uncertain) == ("crashes", True)


def test_when_nothing_was_begun_all_that_was_claimed_are_suspects():
    session = Session(a_profile())
    queued(3)
    session.claim(3)
    session.die()
    replayed()
    assert set(QueueEntry.objects.values_list("crashes", "priority", "lease_id")) == {(1, 12, None)}


@pytest.mark.parametrize(
    ("reply", "state", "outcome"),
    [
        (Reply(451, "try again in 5 minutes", "4.3.0"), SmallState.QUEUED, Attempt.Result.RETRY),
        (Reply(554, "spam", "5.7.1"), SmallState.FAILED, Attempt.Result.FAILED),
    ],
)
def test_a_refusal_at_the_dot_is_recorded_as_ever(reply, state, outcome):
    session = Session(a_profile())
    (message_id,) = queued()
    session.hear(*session.claim(), reply)
    session.die()
    replayed()
    assert state_of(message_id) is state
    (attempt,) = attempts_of(message_id)
    assert (attempt.outcome, attempt.code, attempt.reply) == (outcome, reply.code, reply.text)
    if state is SmallState.QUEUED:  # the wait the server asked for
        assert entry_of(message_id).ready_at > timezone.now() + timedelta(minutes=4)


def test_a_partial_refusal_keeps_each_recipients_verdict():
    session = Session(a_profile())
    (message_id,) = queued(to=["ann@example.com", "bo@example.com", "cy@example.com"])
    replies = (Reply(250), Reply(550, "", "5.1.1"), Reply(450, "", "4.2.0"))
    session.hear(*session.claim(), OK, replies)
    session.die()
    replayed()
    verdicts = Message.objects.get(pk=message_id).verdicts
    found = {address: (verdict["state"], verdict["code"]) for address, verdict in verdicts.items()}
    assert found == {"ann@example.com": ("sent", 250), "bo@example.com": ("failed", 550)}
    entry = entry_of(message_id)
    assert (entry.lease_id, entry.attempts, entry.crashes) == (None, 1, 0)


def test_words_the_database_does_not_take_keep_nothing_else_from_being_played_back():
    """Set aside for one message's words, a journal would have all that is in it sent again."""
    session = Session(a_profile())
    ids = queued(3, to=["ann@example.com", "bo@example.com"])
    first, second, third = session.claim(3)
    session.hear(first, Reply(250, "Ok: odd", "2.0.0"))
    session.hear(second, OK, (Reply(250), Reply(550, "", "5.9.9")))
    session.hear(third)
    session.die()
    with (
        refused_by_the_database("delivery_message", "reply LIKE '%odd%'"),
        refused_by_the_database("delivery_attempt", "true"),
    ):
        replayed()
    assert [state_of(i) for i in ids] == [SmallState.SENT, SmallState.HELD, SmallState.SENT]
    known = Message.objects.get(pk=ids[1]).verdicts
    assert {address: verdict["state"] for address, verdict in known.items()} == {
        "ann@example.com": "sent",
        "bo@example.com": "failed",
    }
    assert not files()


def test_a_recipient_that_rides_along_decides_nothing():
    session = Session(a_profile(debug_recipients=["debug@example.com"]))
    (message_id,) = queued()
    session.hear(*session.claim(), OK, (Reply(250), Reply(550, "", "5.1.1")))
    session.die()
    replayed()
    assert state_of(message_id) is SmallState.SENT


def test_the_reply_to_the_first_hundred_is_not_taken_for_the_others():
    """Killed after the database knew, before the journal did, with the rest claimed again."""
    session = Session(a_profile())
    (message_id,) = queued(to=[f"r{n}@example.com" for n in range(150)])
    (work,) = session.claim()
    session.hear(work)
    verdict = {"state": "sent", "code": 250, "enhanced": None, "reply": "ok"}
    settled = queue.Settled(message_id, session.profile.pk, verdicts=dict.fromkeys(work.recipients, verdict))
    queue.settle(session.lease, [settled])
    assert len(session.claim()) == 1
    session.die()
    replayed()
    assert state_of(message_id) is SmallState.QUEUED
    assert len(Message.objects.get().verdicts) == 100
    assert entry_of(message_id).uncertain


def test_the_servers_that_are_left_are_asked_when_one_does_not_relay():
    profile = a_profile(is_default=True)
    other = a_profile(priority="low")
    session = Session(profile)
    (message_id,) = queued(to=["ann@example.com", "bo@example.com"])
    session.hear(*session.claim(), OK, (Reply(250), Reply(550, "", "5.7.1")))
    session.die()
    replayed()
    pools = {pool.id: pool.profile_id for pool in queue.pools()}
    assert pools[entry_of(message_id).pool_id] == other.pk


@pytest.mark.parametrize("change", ["deleted", "to hold"])
def test_a_profile_that_was_deleted_or_changed_meanwhile_spoils_nothing(change):
    session = Session(a_profile())
    queued(2)
    answered, unanswered = session.claim(2)
    session.hear(answered)
    session.send(unanswered)
    session.die()
    if change == "deleted":
        SMTPProfile.objects.all().delete()
    else:
        SMTPProfile.objects.update(on_uncertain="hold")
    replayed()
    assert state_of(answered.claimed.message_id) is SmallState.SENT
    expected = SmallState.QUEUED if change == "deleted" else SmallState.HELD
    assert state_of(unanswered.claimed.message_id) is expected


def test_the_session_is_buried_with_its_connections_and_its_probe():
    profile = a_profile(max_connections=2)
    queue.set_limits(profile.pk, queue.Limits(2))
    session = Session(profile)
    queue.take_slots(session.lease, profile.pk, 2, 2)
    queue.open_breaker(profile.pk, reason="down")
    ProfileState.objects.update(open_until=timezone.now())
    assert queue.begin_probe(profile.pk, session.lease) is not None
    session.die()
    assert not replayed()
    assert Worker.objects.get().state == Worker.State.DEAD
    assert not Slot.objects.filter(worker_id__isnull=False).exists()
    assert ProfileState.objects.get().probe_worker_id is None
    assert not Event.objects.filter(kind="journal.replayed").exists()
    assert not files()


def test_a_living_session_is_left_alone():
    session = Session(a_profile())
    queued()
    session.send(*session.claim())
    Worker.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=1))  # frozen, but alive
    assert not replayed()
    assert entry_of(Message.objects.get().pk).lease_id == session.lease
    session.die()
    assert replayed()


# Another start of the machine, another machine


def four_in_hand(**options):
    session = Session(a_profile(), **options)
    queued(4)
    works = session.claim(4)
    session.hear(works[0])
    session.send(works[1])
    session.begin(works[2])
    session.die()
    Worker.objects.update(boot_id=options["boot_id"])
    return [work.claimed.message_id for work in works]


@pytest.mark.parametrize("boot_id", ["another", ""])
def test_after_another_boot_nothing_happens_before_the_session_is_stale(boot_id):
    four_in_hand(boot_id=boot_id)
    assert not replayed()
    assert QueueEntry.objects.filter(lease_id__isnull=False).count() == 4
    assert len(files()) == 1


def test_after_another_boot_absence_proves_nothing_and_the_rest_is_reclaimed():
    sent, unanswered, *rest = four_in_hand(boot_id="another")
    Worker.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=1))
    assert replayed()
    assert state_of(sent) is SmallState.SENT
    assert entry_of(unanswered).uncertain
    assert QueueEntry.objects.filter(pk__in=rest, lease_id__isnull=False).count() == 2
    queue.reclaim()
    assert set(QueueEntry.objects.filter(pk__in=rest).values_list("crashes", flat=True)) == {1}
    lost = Attempt.objects.filter(outcome=Attempt.Result.LOST).values_list("message_id", flat=True)
    assert set(lost) == set(rest)


def test_a_synced_journal_proves_absence_after_another_boot_too():
    _sent, _unanswered, begun, waiting = four_in_hand(boot_id="another", sync=True)
    Worker.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=1))
    assert replayed()
    assert (entry_of(begun).crashes, entry_of(waiting).crashes) == (1, 0)
    assert not QueueEntry.objects.filter(lease_id__isnull=False).exists()


def test_behind_a_damaged_line_nothing_is_called_unsent():
    session = Session(a_profile())
    queued(3)
    works = session.claim(3)
    session.hear(works[0])
    session.journal._write(b"\0\0\0\0\n")
    session.send(works[1])
    session.die()
    replayed()
    assert state_of(works[0].claimed.message_id) is SmallState.SENT
    assert QueueEntry.objects.filter(lease_id=session.lease).count() == 2
    assert Worker.objects.get().state == Worker.State.LIVE


# Others were there before


def test_what_others_took_over_is_not_disturbed_and_the_acceptance_is_noted():
    session = Session(a_profile())
    (message_id,) = queued()
    session.hear(*session.claim())
    session.die()
    Worker.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=1))
    queue.reclaim()
    other = Session(session.profile)
    assert len(other.claim()) == 1
    (path,) = [path for path in files() if f"-{session.lease}-" in path.name]
    kept = path.with_suffix(".kept")
    for _ in range(2):  # the second time as if it had been killed before it removed the file
        shutil.copy(path, kept)
        replayed()
        kept.rename(path)
        assert entry_of(message_id).lease_id == other.lease
        outcomes = [attempt.outcome for attempt in attempts_of(message_id)]
        assert outcomes == [Attempt.Result.LOST, Attempt.Result.LATE]
    other.journal.close()


def test_a_late_acceptance_closes_what_waits_again():
    session = Session(a_profile(on_uncertain="hold"))
    (message_id,) = queued()
    session.hear(*session.claim())
    session.die()
    Worker.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=1))
    queue.reclaim()
    assert state_of(message_id) is SmallState.HELD
    replayed()
    assert state_of(message_id) is SmallState.SENT
    assert not Failure.objects.exists()


def test_recipients_who_have_it_are_noted_on_a_message_others_took_over():
    session = Session(a_profile())
    (message_id,) = queued(to=["ann@example.com", "bo@example.com"])
    session.hear(*session.claim(), OK, (Reply(250), Reply(450, "", "4.2.0")))
    session.die()
    Worker.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=1))
    queue.reclaim()
    other = Session(session.profile)
    assert len(other.claim()) == 1
    replayed()
    assert set(Message.objects.get(pk=message_id).verdicts) == {"ann@example.com"}
    assert entry_of(message_id).lease_id == other.lease
    other.journal.close()


def test_what_the_database_knew_already_is_not_told_twice():
    """Killed between the commit and the journal's acknowledgement of it."""
    session = Session(a_profile())
    first, second = queued(2)
    works = session.claim(2)
    for work in works:
        session.hear(work, OK if work.claimed.message_id == first else Reply(451, "later", "4.3.0"))
    queue.finish(session.lease, [queue.Finished(first, SmallState.SENT, counted=1)])
    queue.settle(session.lease, [queue.Settled(second, session.profile.pk, timedelta(minutes=1), counted=1)])
    session.die()
    assert not replayed()
    assert (Message.objects.get(pk=first).attempts, entry_of(second).attempts) == (1, 1)
    assert not Attempt.objects.exists()
    assert not Stat.objects.exists()


def test_a_replay_that_is_killed_half_way_is_repeated_without_harm(monkeypatch):
    session = Session(a_profile())
    queued(4)
    works = session.claim(4)
    session.hear(works[0])
    session.send(works[1])
    session.begin(works[2])
    session.die()
    (path,) = files()
    kept = path.with_suffix(".kept")
    shutil.copy(path, kept)

    class Killed(BaseException):
        pass

    def die(_lease):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(queue, "retire_worker", die)
        with pytest.raises(Killed):
            replayed()
    assert QueueEntry.objects.filter(lease_id=session.lease).count() == 4
    assert not Attempt.objects.exists()

    assert replayed()
    before = (
        list(QueueEntry.objects.order_by("pk").values()),
        Attempt.objects.count(),
        Stat.objects.get().sent,
    )
    kept.rename(path)  # killed after the commit, before the file went
    assert not replayed()
    assert before == (
        list(QueueEntry.objects.order_by("pk").values()),
        Attempt.objects.count(),
        Stat.objects.get().sent,
    )
    assert not files()


def test_two_who_replay_at_once_do_it_once():
    sessions = [Session(profile) for profile in [a_profile()] * 5]
    for session in sessions:
        queued(3)
        answered, unanswered, _waiting = session.claim(3)
        session.hear(answered)
        session.send(unanswered)
    for session in sessions:
        session.die()
    in_threads(replayed, replayed, replayed)
    assert not files()
    assert Message.objects.filter(state=SmallState.SENT).count() == 5
    assert Attempt.objects.count() == 5
    assert Event.objects.filter(kind="journal.replayed").count() == 5


# Files that are none of ours


def test_the_journal_of_another_installation_is_left_alone():
    session = Session(a_profile())
    (message_id,) = queued()
    session.hear(*session.claim())
    session.die()
    Worker.objects.update(started_at=timezone.now() - timedelta(hours=1))  # the same number, another session
    assert not replayed()
    assert state_of(message_id) is SmallState.QUEUED
    (path,) = files()
    os.utime(path, (0, 0))
    assert not replayed()
    assert not files()


def test_what_is_no_journal_goes_and_what_breaks_is_set_aside(folder, monkeypatch):
    folder.mkdir()
    (folder / "worker-1-x.journal").write_bytes(b"")
    assert not replayed()
    assert not files()
    session = Session(a_profile())
    session.die()

    def breaks(_data):
        raise ValueError("a bug")

    monkeypatch.setattr(records, "read", breaks)
    assert not replayed()
    assert [path.suffix for path in files()] == [".broken"]
    assert not list(folder.glob(NAMES))


def test_a_journal_of_another_user_stops_nothing(folder, monkeypatch, caplog):
    folder.mkdir()
    (folder / "worker-1-x.journal").mkdir()  # it cannot be opened, as with another user's
    for _look in range(3):
        assert not replayed()
    assert caplog.text.count("cannot be read") == 1


def test_a_folder_that_does_not_exist_holds_nothing():
    assert not replay.replay_all(settings.MAILCONF_STATE_DIR / "nowhere")


def test_a_journal_that_cannot_be_removed_stops_nothing(monkeypatch, caplog):
    """As in a folder that has become read-only: what it says is recorded all the same, and once."""
    session = Session(a_profile())
    (message_id,) = queued()
    session.hear(*session.claim())
    session.die()

    def refuse(*_args, **_options):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", refuse)
        patched.setattr(os, "rename", refuse)
        assert replayed()
        for _look in range(3):
            assert not replayed()
        assert caplog.text.count("stays where it is: Read-only") == 1
        patched.setattr(records, "read", refuse)
        for _look in range(3):
            assert not replayed()
        assert caplog.text.count("cannot be played back") == 1
    assert state_of(message_id) is SmallState.SENT
    assert Message.objects.get(pk=message_id).attempts == 1
    assert "Read-only" in caplog.text
    assert replayed() is False
    assert not files()

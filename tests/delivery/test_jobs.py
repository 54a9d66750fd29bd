"""Jobs over many messages: which ones, in chunks that are all or nothing, each message once."""

import json
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from delivery import jobs, models, queue
from delivery.jobs import choosing, stepping
from delivery.queue import MessageState
from smtp_settings.models import Event
from tests.builders import a_user
from tests.delivery.queueing import (
    a_row_of_profile,
    claimed,
    composed,
    enqueued,
    in_threads,
    statements,
)

pytestmark = pytest.mark.django_db

FAILED, HELD, EXPIRED = (queue.SmallState[name] for name in ("FAILED", "HELD", "EXPIRED"))
RETRY, RELEASE, HOLD, CANCEL = (jobs.ACTS[name] for name in ("retry", "release", "hold", "cancel"))


def ended(state, count=1, *, cause="recipient", profile_id=None, uncertain=False, **options):
    """So many messages that ended so; their ids."""
    ids = enqueued(count, **options)
    queue.finish(
        None,
        [
            queue.Finished(message_id, state, 1, profile_id, 550, "5.1.1", "No", cause, uncertain=uncertain)
            for message_id in ids
        ],
    )
    return ids


def begun(act=RETRY, *, state=MessageState.FAILED, user_id=None, **options):
    """A job, begun; its number."""
    return jobs.start(act, jobs.Choice(state=state), user_id=user_id, **options)


def worked(mine=None):
    """Go on until nothing is due; how many chunks that took."""
    chunks = 0
    while (done := jobs.step(mine)).job_id is not None:
        mine, chunks = done.job_id, chunks + 1
    return chunks


def the_job(job_id):
    return models.BulkJob.objects.get(pk=job_id)


def queued_ids():
    return set(models.QueueEntry.objects.values_list("message_id", flat=True))


def test_a_job_does_all_that_its_filter_shows_and_nothing_else():
    failed, held = ended(FAILED, 3), ended(HELD, 2)

    job_id = begun()
    worked()

    assert queued_ids() == set(failed)
    job = the_job(job_id)
    assert (job.state, job.done, job.skipped, job.estimate) == ("done", 3, {}, 3)
    assert job.began_at
    assert job.ended_at
    assert set(models.Failure.objects.values_list("message_id", flat=True)) == set(held)


@pytest.mark.parametrize(
    ("act", "states"),
    [
        (RETRY, {"failed", "expired", "deferred"}),
        (RELEASE, {"held"}),
        (HOLD, {"queued", "deferred"}),
        (CANCEL, {"queued", "deferred", "held"}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_without_a_state_each_act_does_its_own_and_counts_the_others(act, states):
    lease = queue.register_worker()
    ended(FAILED), ended(HELD), ended(EXPIRED), ended(queue.SmallState.SENT)
    enqueued(2)
    _sending, deferred = (found.message_id for found in claimed(lease, 2))
    queue.settle(lease, [queue.Settled(deferred, 7, counted=1)])
    enqueued()

    job_id = begun(act, state=None)
    worked()

    job = the_job(job_id)
    others = {"failed", "held", "expired", "sending", "deferred", "queued"} - states
    assert job.done == len(states)
    assert job.skipped == dict.fromkeys(others, 1)


def test_a_chunk_holds_no_more_than_its_size_and_the_cursor_goes_on(monkeypatch):
    monkeypatch.setattr(stepping, "CHUNK", 10)
    ids = ended(FAILED, 25)

    job_id = begun()
    assert jobs.step(job_id).moved == 10
    assert queued_ids() == set(ids[:10])
    assert the_job(job_id).cursor_id == ids[9]
    worked(job_id)

    assert queued_ids() == set(ids)


def test_a_chunk_is_all_or_nothing(monkeypatch):
    """As after a kill: what the database had not committed was never begun."""
    monkeypatch.setattr(stepping, "CHUNK", 10)
    ids = ended(FAILED, 25)
    job_id = begun()
    jobs.step(job_id)

    with transaction.atomic():
        jobs.step(job_id)
        transaction.set_rollback(True)
    assert queued_ids() == set(ids[:10])
    worked(job_id)

    assert (queued_ids(), the_job(job_id).done) == (set(ids), 25)


def test_what_fails_again_meanwhile_and_what_fails_later_is_not_done_a_second_time(monkeypatch):
    monkeypatch.setattr(stepping, "CHUNK", 2)
    first, second, third = ended(FAILED, 3)
    job_id = begun()
    jobs.step(job_id)
    queue.finish(None, [queue.Finished(first, FAILED)])
    (later,) = ended(FAILED)
    worked(job_id)

    assert queued_ids() == {second, third}
    assert the_job(job_id).done == 3
    assert set(models.Failure.objects.values_list("message_id", flat=True)) == {first, later}


def test_a_stopped_job_leaves_the_rest(monkeypatch):
    monkeypatch.setattr(stepping, "CHUNK", 2)
    ids = ended(FAILED, 5)
    job_id = begun()
    jobs.step(job_id)

    assert jobs.stop(job_id, user_id=None)
    assert not jobs.stop(job_id, user_id=None)
    assert worked(job_id) == 0

    assert queued_ids() == set(ids[:2])
    assert the_job(job_id).state == "stopped"


def test_what_may_have_arrived_is_skipped_unless_it_is_wanted():
    (certain,), (doubtful,) = ended(FAILED), ended(FAILED, uncertain=True)

    first = begun()
    worked()
    assert queued_ids() == {certain}
    assert the_job(first).skipped == {"uncertain": 1}

    begun(with_uncertain=True)
    worked()
    assert queued_ids() == {certain, doubtful}


def test_what_may_have_arrived_is_cancelled_without_a_question():
    (message_id,) = ended(HELD, uncertain=True)

    begun(CANCEL, state=MessageState.HELD)
    worked()

    assert models.Message.objects.get(pk=message_id).state == queue.SmallState.CANCELLED


def test_a_message_without_content_is_skipped_for_that():
    ended(FAILED, sensitive=True)

    job_id = begun()
    worked()

    assert (the_job(job_id).done, the_job(job_id).skipped) == (0, {"content": 1})


def test_what_is_gone_or_elsewhere_by_now_is_counted_as_it_stands_now(monkeypatch):
    """Between the look and the act: another person's click, or retention."""
    cancelled, removed, sent, left = ended(HELD, 4)
    job_id = begun(RELEASE, state=MessageState.HELD)
    look = stepping.walk

    def and_then_something_happens(*args, **kwargs):
        found = look(*args, **kwargs)
        queue.cancel([cancelled])
        queue.put_back([sent])
        queue.finish(None, [queue.Finished(sent, queue.SmallState.SENT)])
        for model in (models.Failure, models.Content):
            model.objects.filter(pk=removed).delete()
        models.Message.objects.filter(pk=removed).delete()
        return found

    monkeypatch.setattr(stepping, "walk", and_then_something_happens)
    jobs.step(job_id)

    assert queued_ids() == {left}
    assert the_job(job_id).skipped == {"cancelled": 1, "removed": 1, "sent": 1}


def test_every_message_says_who_did_it_in_which_job():
    user = a_user()
    ids = ended(FAILED, 2)

    job_id = begun(user_id=user.pk)
    worked()

    noted = Event.objects.filter(kind="message.put_back").values_list("message_id", "user_id", "job_id")
    assert set(noted) == {(message_id, user.pk, job_id) for message_id in ids}
    assert [event.kind for event in Event.objects.filter(job_id=job_id, message_id=None).order_by("id")] == [
        "job.started",
        "job.done",
    ]
    assert Event.objects.get(kind="job.done").data == {"act": "retry", "done": 2, "skipped": 0}


@pytest.mark.parametrize("act", [RELEASE, HOLD, CANCEL], ids=lambda act: act.name)
def test_a_job_with_nothing_to_do_is_not_begun(act):
    ended(FAILED)

    with pytest.raises(jobs.NothingToDo):
        begun(act)
    assert not models.BulkJob.objects.exists()


# Which messages


def test_a_filter_narrows_by_cause_profile_recipient_number_and_age():
    one, two = a_row_of_profile("One"), a_row_of_profile("Two")
    a, b = ended(FAILED, cause="size", profile_id=one.pk), ended(FAILED, cause="relay", profile_id=two.pk)
    c = ended(FAILED, cause="size", profile_id=two.pk, composed=composed(rcpt_to=("d_1%x@example.com",)))
    every = {*a, *b, *c}

    def chosen(**fields):
        choice = jobs.Choice(state=MessageState.FAILED, **fields)
        return {found.id for found in choosing.walk(choice, after=0, upper=max(every), limit=100)}

    assert chosen() == every
    assert chosen(cause="size") == {*a, *c}
    assert chosen(profile_id=two.pk) == {*b, *c}
    assert chosen(cause="size", profile_id=two.pk) == {*c}
    assert chosen(recipient="BO@exa") == {*a, *b}
    assert chosen(recipient="d_1%") == {*c}
    assert chosen(recipient="_") == chosen(recipient="%") == set()
    assert chosen(recipient=f"#{b[0]}") == {*b}
    assert chosen(before=b[0]) == {*a}
    assert chosen(only_uncertain=True) == set()
    models.Failure.objects.filter(pk__in=a).update(code=451, at=timezone.now() - timedelta(hours=2))
    models.Failure.objects.filter(pk__in=b).update(code=None)
    assert chosen(since=timezone.now() - timedelta(hours=1)) == {*b, *c}
    assert (chosen(reply="4"), chosen(reply="5"), chosen(reply="550")) == ({*a}, {*c}, {*c})
    assert (chosen(reply="551"), chosen(reply="none")) == (set(), {*b})


def test_a_choice_is_stored_as_it_was_made_and_an_older_one_is_read():
    choice = jobs.Choice(state=MessageState.HELD, since=timezone.now(), reply="none", cause="")
    assert jobs.Choice.from_json(json.loads(json.dumps(choice.as_json()))) == choice
    assert jobs.Choice.from_json({"state": None, "recipient": "bo"}) == jobs.Choice(recipient="bo")


def test_a_choice_is_stored_and_read_back():
    choice = jobs.Choice(MessageState.HELD, "person", 3, "bo@", 12, only_uncertain=True, site_id=0)

    assert jobs.Choice.from_json(choice.as_json()) == choice
    assert jobs.Choice.from_json(jobs.Choice().as_json()) == jobs.Choice()


def test_an_estimate_counts_by_state_and_stops(monkeypatch):
    ended(FAILED, 3), ended(HELD, 2, uncertain=True), enqueued()
    newest = choosing.newest_id()

    found = jobs.estimate(jobs.Choice(), upper=newest)
    assert found.by_state == Counter(failed=3, held=2, queued=1)
    assert (found.uncertain, found.is_capped) == (2, False)

    monkeypatch.setattr(choosing, "COUNT_LIMIT", 3)
    with statements() as seen:
        assert jobs.estimate(jobs.Choice(), upper=newest).is_capped
    assert all("LIMIT" in sql for sql in seen)


def test_a_chunk_reads_by_the_key_however_many_there_are():
    for table in (models.Failure, models.QueueEntry):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            arms = choosing._arms(jobs.Choice(state=None))
            values = {"after": 1, "upper": 10**9, "limit": 500}
            cursor.execute(f"EXPLAIN {arms} ORDER BY message_id LIMIT 500", values)
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert f"{table._meta.db_table}_pkey" in plan


# Pace


def test_a_paced_job_does_a_breaths_worth_and_waits(monkeypatch):
    ids = ended(FAILED, 30)
    job_id = begun(per_minute=120)

    assert worked(job_id) == 1
    assert queued_ids() == set(ids[:10])

    a_moment_passes(job_id)
    assert worked(job_id) == 1
    assert queued_ids() == set(ids[:20])


def test_a_slow_pace_waits_longer_for_each_one():
    ended(FAILED, 3)
    job_id = begun(per_minute=2)

    assert worked(job_id) == 1
    job = the_job(job_id)
    assert job.done == 1
    assert (job.next_at - job.heartbeat_at).total_seconds() == pytest.approx(30)


def a_moment_passes(job_id):
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {models.BulkJob._meta.db_table} SET next_at = now() - interval '1s',"
            " heartbeat_at = now() - interval '1 min' WHERE id = %s",
            [job_id],
        )


# Several workers, several jobs


def test_a_job_another_worker_goes_on_with_is_left_to_it(monkeypatch):
    monkeypatch.setattr(stepping, "CHUNK", 2)
    ended(FAILED, 6)
    job_id = begun()
    jobs.step()

    assert jobs.step().job_id is None
    assert jobs.step(job_id).job_id == job_id

    a_moment_passes(job_id)  # its worker was killed
    assert jobs.step().job_id == job_id


@pytest.mark.django_db(transaction=True)
def test_two_workers_and_two_jobs_over_the_same_messages_put_each_back_once(monkeypatch):
    monkeypatch.setattr(stepping, "CHUNK", 7)
    monkeypatch.setattr(stepping, "_OTHERS", stepping.timedelta())
    ids = ended(FAILED, 100)
    pair = [begun(), begun()]

    in_threads(*[lambda: worked(pair[0]), lambda: worked(pair[1]), worked, worked])
    while worked():
        pass

    done = [the_job(job_id) for job_id in pair]
    assert [job.state for job in done] == ["done", "done"]
    assert sum(job.done for job in done) == 100
    assert queued_ids() == set(ids)
    assert Event.objects.filter(kind="message.put_back").count() == 100

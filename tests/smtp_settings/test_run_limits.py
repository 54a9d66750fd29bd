"""How many tests a person may start, and that two starts at once do not both get through."""

import threading
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection
from django.utils import timezone

from smtp_settings import test_send
from smtp_settings.models import Event, TestRun
from smtp_settings.test_send import TooManyTests
from tests.builders import a_profile, a_user, unsaved_profile

TO = ["inbox@example.com"]


def start(user, **options):
    return test_send.candidate(unsaved_profile(), None, user, TO, **options)


def ended(user, count, *, ago, **values):
    """So many tests of a person, ended."""
    at = timezone.now() - ago
    for _number in range(count):
        run = start(None)
        values = {"state": "failed", "finished_at": at} | values
        TestRun.objects.filter(pk=run.pk).update(user=user, created_at=at, **values)


def at_once(*starts):
    """Start in threads that meet right before; what each returned or raised."""
    meeting, found = threading.Barrier(len(starts)), []

    def one(begin):
        try:
            meeting.wait(60)
            found.append(begin())
        except TooManyTests as error:
            found.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(begin,)) for begin in starts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("_again", range(3))
def test_two_starts_of_one_person_at_the_same_moment_do_not_both_get_through(_again):
    ann = a_user()
    found = at_once(*[lambda: start(ann)] * 4)
    assert sorted(type(one).__name__ for one in found) == ["TestRun"] + ["TooManyTests"] * 3
    assert TestRun.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_starts_of_many_people_at_the_same_moment_leave_two():
    found = at_once(*[partial(start, a_user()) for _number in range(5)])
    assert sum(isinstance(one, TestRun) for one in found) == 2


@pytest.mark.django_db
def test_who_has_a_test_running_is_told_which():
    ann = a_user()
    run = start(ann)
    with pytest.raises(TooManyTests, match="still running") as wait:
        start(ann)
    assert wait.value.run == run


@pytest.mark.django_db
def test_the_sentence_says_how_long_to_wait():
    ann = a_user()
    ended(ann, 9, ago=timedelta(minutes=1))
    ended(ann, 1, ago=timedelta(minutes=7))
    with pytest.raises(TooManyTests, match=r"Ten tests in ten minutes\. Wait 3 minutes\."):
        start(ann)


@pytest.mark.django_db
def test_a_hundred_tests_are_enough_for_a_day():
    ann = a_user()
    ended(ann, 99, ago=timedelta(hours=20))
    run = start(ann)
    TestRun.objects.filter(pk=run.pk).update(state="passed", finished_at=timezone.now())
    with pytest.raises(TooManyTests, match=r"A hundred tests in a day\. Wait 4 hours\."):
        start(ann)
    assert start(a_user())


@pytest.mark.django_db
def test_a_connection_check_counts_as_a_test():
    ann = a_user()
    ended(ann, 10, ago=timedelta(minutes=1), kind="connect")
    with pytest.raises(TooManyTests, match="Ten tests"):
        start(ann, kind="connect")


@pytest.mark.django_db
def test_a_pass_between_refused_sign_ins_starts_the_count_anew():
    ann, refused = a_user(), {"failed_phase": "auth", "reply": "535 5.7.8 no"}
    ended(ann, 2, ago=timedelta(seconds=30), **refused)
    ended(ann, 1, ago=timedelta(seconds=20), state="passed")
    ended(ann, 1, ago=timedelta(seconds=10), **refused)
    assert start(ann)


@pytest.mark.django_db
def test_other_ends_between_refused_sign_ins_do_not():
    """Else a typo in the port now and then would open the door to guessing."""
    ann, refused = a_user(), {"failed_phase": "auth", "reply": "535 5.7.8 no"}
    ended(ann, 3, ago=timedelta(seconds=30), **refused)
    ended(ann, 1, ago=timedelta(seconds=10), failed_phase="connect")
    with pytest.raises(TooManyTests, match="refused three times"):
        start(ann)


@pytest.mark.django_db
def test_a_batch_counts_once():
    ann = a_user()
    ended(ann, 9, ago=timedelta(minutes=1))
    profiles = [a_profile() for _number in range(5)]
    batch = test_send.order(profiles, ann, TO)
    assert TestRun.objects.filter(batch=batch).count() == 5
    TestRun.objects.filter(batch=batch).update(state="passed", finished_at=timezone.now())
    with pytest.raises(TooManyTests, match="Ten tests"):
        test_send.order(profiles, ann, TO)


@pytest.mark.django_db
def test_a_batch_under_way_leaves_room_for_one_other_person():
    test_send.order([a_profile() for _number in range(3)], a_user(), TO)
    assert start(a_user())
    with pytest.raises(TooManyTests, match="Two other tests"):
        start(a_user())


@pytest.mark.django_db
def test_commands_have_no_limit():
    for _number in range(12):
        assert start(None)


@pytest.mark.django_db
def test_a_refused_start_leaves_nothing():
    ann = a_user()
    start(ann)
    with pytest.raises(TooManyTests):
        start(ann)
    assert TestRun.objects.count() == 1
    assert Event.objects.filter(kind="test.started").count() == 1

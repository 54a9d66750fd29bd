"""Who carries a test run out: a worker, or the web process, and one of them only."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from mailconf import servers
from smtp_settings import carrying, tasks, test_send, workers
from smtp_settings.models import TestRun
from tests.acceptance.processes import until
from tests.builders import a_profile, a_user, unsaved_profile
from tests.servers import smtp_server
from tests.wire.evil import evil_server_beside, hang

TO = ["inbox@example.com"]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    """Threads of a test have ended before the database is emptied for the next."""
    yield
    for thread in threading.enumerate():
        if thread.name == "mailconf-test":
            thread.join(60)


@pytest.fixture
def says_alive():
    """Say whether a worker is alive, whatever the queue knows."""
    yield lambda alive: workers.provide(lambda: alive)
    workers.provide(servers.worker_is_alive)


def a_run(server, **options):
    return test_send.candidate(unsaved_profile(port=server.port), None, None, TO, **options)


def final(run):
    until(lambda: TestRun.objects.get(pk=run.pk).finished_at)
    run.refresh_from_db()
    return run


@pytest.mark.django_db(transaction=True)
def test_without_a_worker_the_web_process_runs_the_test_at_once():
    with smtp_server() as server:
        run = a_run(server)
        carrying.start(run)
        server.wait_for(1)
        run = final(run)
    assert (run.state, run.ran_on) == (TestRun.State.PASSED, test_send.WEB)


@pytest.mark.django_db(transaction=True)
def test_a_test_starts_after_the_commit_only():
    with smtp_server() as server:
        with transaction.atomic():
            run = a_run(server)
            carrying.start(run)
            assert not [one for one in threading.enumerate() if one.name == "mailconf-test"]
        server.wait_for(1)
        final(run)


@pytest.mark.django_db(transaction=True)
def test_a_live_worker_is_told_and_the_web_process_leaves_the_run_alone(says_alive, monkeypatch):
    told = threading.Event()
    monkeypatch.setattr(tasks.run_test, "apply_async", lambda arguments, **options: told.set())
    says_alive(True)
    with smtp_server() as server:
        run = a_run(server)
        carrying.start(run)
        assert told.wait(60)
        assert carrying.look_after(run).state == TestRun.State.WAITING
        assert server.sessions == 0
        tasks.run_test(run.pk)
        assert len(server.wait_for(1)) == 1
    assert final(run).ran_on.startswith("worker ")


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_down_makes_the_web_process_run_the_test(says_alive, monkeypatch, caplog):
    def refuse(arguments, **options):
        raise ConnectionError("no broker")

    monkeypatch.setattr(tasks.run_test, "apply_async", refuse)
    says_alive(True)
    with smtp_server() as server:
        run = a_run(server)
        carrying.start(run)
        assert final(run).state == TestRun.State.PASSED
        assert len(server.wait_for(1)) == 1
    assert "could not be told" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_hangs_does_not_hold_the_start(says_alive, monkeypatch):
    let_go = threading.Event()
    monkeypatch.setattr(tasks.run_test, "apply_async", lambda arguments, **options: let_go.wait(20))
    says_alive(True)
    with smtp_server() as server:
        run = a_run(server)
        carrying.start(run)
        TestRun.objects.update(created_at=timezone.now() - carrying.TAKEN_WITHIN * 2)
        run.refresh_from_db()
        carrying.look_after(run)
        assert final(run).state == TestRun.State.PASSED
        let_go.set()
        assert len(server.wait_for(1)) == 1


@pytest.mark.django_db(transaction=True)
def test_a_run_no_worker_took_is_run_here_once_however_many_pages_look():
    with smtp_server() as server:
        run = a_run(server)
        TestRun.objects.update(created_at=timezone.now() - timedelta(seconds=6))
        pages = [TestRun.objects.get(pk=run.pk) for _number in range(3)]
        for page in pages:
            carrying.look_after(page)
        run = final(run)
        assert len(server.wait_for(1)) == 1
    assert (run.state, run.ran_on) == (TestRun.State.PASSED, test_send.WEB_IN_PLACE)


@pytest.mark.django_db(transaction=True)
def test_a_task_that_comes_late_finds_the_run_taken():
    with smtp_server() as server:
        run = a_run(server)
        carrying.start(run)
        final(run)
        tasks.run_test(run.pk)
        assert len(server.messages) == 1


@pytest.mark.django_db
def test_a_run_whose_process_was_killed_is_ended_by_the_page_that_looks():
    run = test_send.candidate(unsaved_profile(), None, None, TO)
    then = timezone.now() - timedelta(seconds=20)
    TestRun.objects.update(state="running", started_at=then, heartbeat_at=then)
    run.refresh_from_db()
    assert carrying.look_after(run).state == TestRun.State.STOPPED


# For pages that wait (without scripts)


@pytest.mark.django_db(transaction=True)
def test_a_page_that_waits_gets_what_a_worker_did(says_alive, monkeypatch):
    def worker():
        tasks.run_test(run.pk)
        connection.close()

    with smtp_server() as server:
        run = a_run(server)
        monkeypatch.setattr(
            tasks.run_test,
            "apply_async",
            lambda arguments, **options: threading.Thread(target=worker).start(),
        )
        says_alive(True)
        run = carrying.finished(run)
        assert len(server.messages) == 1
    assert run.state == TestRun.State.PASSED
    assert run.ran_on.startswith("worker ")


@pytest.mark.django_db(transaction=True)
def test_a_page_that_waits_runs_the_test_itself_when_no_worker_takes_it(says_alive, monkeypatch):
    monkeypatch.setattr(tasks.run_test, "apply_async", lambda arguments, **options: None)
    says_alive(True)
    with smtp_server() as server:
        run = a_run(server)
        TestRun.objects.update(created_at=timezone.now() - timedelta(seconds=6))
        run = carrying.finished(run)
        assert len(server.messages) == 1
    assert (run.state, run.ran_on) == (TestRun.State.PASSED, test_send.WEB_IN_PLACE)


# A batch


def profiles_at(server, count):
    return [a_profile(port=server.port, name=f"Profile {number} of {count}") for number in range(count)]


@pytest.mark.django_db(transaction=True)
def test_a_batch_is_carried_out_in_order_one_after_another():
    with smtp_server() as server:
        profiles = profiles_at(server, 4)
        batch = test_send.order(profiles, a_user(), TO)
        carrying.start_batch(batch)
        server.wait_for(4)
        until(lambda: not TestRun.objects.filter(batch=batch, finished_at=None).exists())
        assert server.most_talking == 1
    runs = TestRun.objects.filter(batch=batch).order_by("started_at")
    assert [run.profile_id for run in runs] == [profile.pk for profile in profiles]
    assert {run.state for run in runs} == {TestRun.State.PASSED}


@pytest.mark.django_db(transaction=True)
def test_two_at_work_on_one_batch_send_each_email_once_and_not_at_the_same_time():
    with smtp_server() as server:
        batch = test_send.order(profiles_at(server, 4), a_user(), TO)
        carrying.start_batch(batch)
        carrying.start_batch(batch)
        until(lambda: not TestRun.objects.filter(batch=batch, finished_at=None).exists())
        assert len(server.messages) == 4


@pytest.mark.django_db(transaction=True)
def test_a_stopped_run_of_a_batch_is_skipped_and_a_stopped_batch_ends():
    with evil_server_beside({"banner": [hang]}) as server:
        ann = a_user()
        batch = test_send.order(profiles_at(server, 4), ann, TO)
        runs = list(TestRun.objects.filter(batch=batch).order_by("id"))
        test_send.stop(runs[1], ann)
        carrying.start_batch(batch)
        until(lambda: server.open == 1)
        test_send.stop_batch(batch, ann)
        until(lambda: not TestRun.objects.filter(batch=batch, finished_at=None).exists())
        assert server.connections == 1
        assert not server.contents
    assert set(TestRun.objects.filter(batch=batch).values_list("state", flat=True)) == {"stopped"}


@pytest.mark.django_db(transaction=True)
def test_a_batch_whose_process_was_killed_is_gone_on_with():
    with smtp_server() as server:
        batch = test_send.order(profiles_at(server, 3), a_user(), TO)
        first, *_others = TestRun.objects.filter(batch=batch).order_by("id")
        then = timezone.now() - timedelta(seconds=30)
        TestRun.objects.filter(batch=batch).update(created_at=then)
        TestRun.objects.filter(pk=first.pk).update(state="running", started_at=then, heartbeat_at=then)
        carrying.look_after_batch(batch)  # ends the dead one
        TestRun.objects.filter(pk=first.pk).update(finished_at=then)
        carrying.look_after_batch(batch)
        until(lambda: not TestRun.objects.filter(batch=batch, finished_at=None).exists())
        assert len(server.messages) == 2


@pytest.mark.django_db
def test_a_batch_under_way_is_not_called_abandoned_however_long_its_runs_wait():
    batch = test_send.order([a_profile(), a_profile()], a_user(), TO)
    first, second = TestRun.objects.filter(batch=batch).order_by("id")
    TestRun.objects.update(created_at=timezone.now() - timedelta(minutes=5))
    TestRun.objects.filter(pk=first.pk).update(state="running", heartbeat_at=timezone.now())
    test_send.tidy_up()
    second.refresh_from_db()
    assert second.state == TestRun.State.WAITING
    TestRun.objects.filter(pk=first.pk).update(
        state="passed", finished_at=timezone.now() - timedelta(seconds=61)
    )
    test_send.tidy_up()
    second.refresh_from_db()
    assert second.state == TestRun.State.STOPPED


@pytest.mark.django_db
def test_a_batch_without_time_left_says_that_it_is_not_done():
    with smtp_server() as server:
        batch = test_send.order(profiles_at(server, 2), a_user(), TO)
        assert not test_send.run_batch(batch, seconds=-1)
        assert test_send.run_batch(batch)
        assert len(server.messages) == 2


@pytest.mark.django_db
def test_a_profile_whose_password_does_not_open_has_failed_at_once():
    profile = a_profile(password="c4nary-pa55")
    good = a_profile()
    profile.password = profile.password[:-1] + b"?"
    batch = test_send.order([profile, good], a_user(), TO)
    torn, other = TestRun.objects.filter(batch=batch).order_by("id")
    assert (torn.state, other.state) == (TestRun.State.FAILED, TestRun.State.WAITING)
    assert torn.sentence

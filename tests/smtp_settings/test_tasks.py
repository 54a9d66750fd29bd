"""The tasks on the queue `work`: a test carried out on a worker, and what is left of tests removed."""

from datetime import timedelta

import pytest
from django.utils import timezone

from mailconf.celery import app
from smtp_settings import test_send
from smtp_settings.models import TestRun
from smtp_settings.sealing import Secret
from smtp_settings.tasks import run_test, tidy_up
from tests.builders import evidence, unsaved_profile
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db


def test_a_worker_carries_a_run_out_once():
    with smtp_server() as server:
        run = test_send.candidate(unsaved_profile(port=server.port), None, None, ["inbox@example.com"])
        run_test(run.pk)
        run_test(run.pk)
        assert len(server.wait_for(1)) == 1
    run.refresh_from_db()
    assert run.state == TestRun.State.PASSED
    assert run.ran_on.startswith("worker ")


def test_a_run_that_is_gone_is_no_fault():
    run_test(123456)


def test_its_name_is_what_the_queues_are_routed_by():
    assert run_test.name == "mailconf.run_test"


def test_what_is_left_of_old_tests_is_removed_though_nobody_starts_another():
    long_ago = timezone.now() - timedelta(hours=1)
    profile = unsaved_profile(auth="password", username="shop", accepts_clear_auth=True)
    passed = evidence(profile, Secret("kanarienvogel"))
    dead = evidence(profile, Secret("kanarienvogel"), state="running")
    TestRun.objects.update(created_at=long_ago, started_at=long_ago)

    tidy_up()

    for run in (passed, dead):
        run.refresh_from_db()
    assert (passed.secret, passed.state) == (None, TestRun.State.PASSED)
    assert (dead.secret, dead.state) == (None, TestRun.State.STOPPED)


def test_beat_has_it_done_every_ten_minutes_on_the_queue_work():
    entry = next(one for one in app.conf.beat_schedule.values() if one["task"] == tidy_up.name)
    assert tidy_up.name in app.tasks
    assert (entry["schedule"], entry["options"]["queue"]) == (600, "work")

"""The task that carries a test out on a worker."""

import pytest

from smtp_settings import test_send
from smtp_settings.models import TestRun
from smtp_settings.tasks import run_test
from tests.builders import unsaved_profile
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

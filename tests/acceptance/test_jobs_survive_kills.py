"""A job over many messages whose worker is killed with -9: the next worker goes on, each message once."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from django.urls import reverse

from delivery import jobs
from delivery.models import BulkJob, Failure, QueueEntry
from delivery.queue import MessageState
from smtp_settings.models import Event
from tests.acceptance.processes import celery_worker, until
from tests.builders import a_user
from tests.delivery.test_jobs import FAILED, ended
from tests.pages import text_of

pytestmark = pytest.mark.django_db(transaction=True)

COUNT = 8_000


def killed(worker):
    """Kill a Celery worker and its children, all at once."""
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text(encoding="ascii").split()
    for pid in [worker.pid, *map(int, children)]:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.long  # 40 s; tests/delivery/test_jobs.py undoes chunks and goes on without workers
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_killed_job_is_gone_on_with_by_the_next_worker(client, process_environment, tmp_path):
    environment = {**process_environment, "REDIS_URL": ""}
    user = a_user("superuser")
    client.force_login(user)
    ids = ended(FAILED, COUNT)
    job_id = jobs.start(jobs.ACTS["retry"], jobs.Choice(state=MessageState.FAILED), user_id=user.pk)
    page = reverse("admin:delivery_bulkjob_change", args=[job_id])
    job = BulkJob.objects.filter(pk=job_id)

    with celery_worker(environment, queues="work", beat=tmp_path / "one") as worker:  # beat finds it
        until(lambda: job.get().done > 0, timeout=300)
        killed(worker)
    done = job.get().done
    assert job.get().state == BulkJob.State.RUNNING
    assert done < COUNT
    assert QueueEntry.objects.count() == done
    assert "done, 0 skipped" in text_of(client.get(page))

    with celery_worker(environment, queues="work", beat=tmp_path / "two"):
        until(lambda: job.get().state == BulkJob.State.DONE, timeout=300)

    assert (job.get().done, job.get().skipped) == (COUNT, {})
    assert set(QueueEntry.objects.values_list("message_id", flat=True)) == set(ids)
    assert not Failure.objects.exists()
    told = Counter(Event.objects.filter(kind="message.put_back").values_list("message_id", flat=True))
    assert told == Counter(ids)

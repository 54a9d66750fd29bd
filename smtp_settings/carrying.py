"""Who carries a test run out: a worker when one is alive, since mail leaves from there, else this process.

`start` answers at once: a thread tells the workers, or does the work itself when there are none or the broker
cannot be told. Whoever claims the row runs it, so that one email leaves however many try. A page that waits
calls `look_after`: a run that no worker took is carried out here, one that lost its process is ended.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

from celery import Task
from django.db import connections, transaction
from django.utils import timezone

from smtp_settings import tasks, test_send, workers
from smtp_settings.gate import RunState
from smtp_settings.models import TestRun
from smtp_settings.test_send import life

logger = logging.getLogger(__name__)

#: A worker that is alive and free takes a test well within a second (U: "No worker took the test").
TAKEN_WITHIN = timedelta(seconds=5)
#: Between two runs of a batch nothing may happen for this long, before another process goes on with it.
_GOES_ON_WITHIN = timedelta(seconds=15)
#: Nobody waits longer for a test; a task that is delivered later finds its run taken or ended.
_EXPIRES_SECONDS = 60
_LOOK_SECONDS = 0.2


def start(run: TestRun) -> None:
    """Have a run carried out, after the commit. Returns at once."""
    transaction.on_commit(partial(_in_a_thread, partial(_hand_over, run.pk)))


def start_batch(batch: UUID) -> None:
    """Have the runs of a batch carried out one after another, after the commit. Returns at once."""
    transaction.on_commit(partial(_in_a_thread, partial(_hand_over_batch, batch)))


def look_after(run: TestRun) -> TestRun:
    """Take a run that no worker took, end one that was left; return it as it is now.

    For every page that waits for the run: cheap while there is nothing to do.
    """
    if run.state == TestRun.State.WAITING and run.batch is not None:
        look_after_batch(run.batch)
    elif run.state == TestRun.State.WAITING and timezone.now() - run.created_at > TAKEN_WITHIN:
        claimed = life.claim(run.pk, test_send.WEB_IN_PLACE)
        if claimed is not None:
            _in_a_thread(partial(test_send.carry_out, claimed))
        run.refresh_from_db()
    elif run.state == TestRun.State.RUNNING and life.abandoned().filter(pk=run.pk).exists():
        life.end_abandoned(run)
    return run


def look_after_batch(batch: UUID) -> None:
    """Go on here with a batch that no worker began, or whose worker has gone."""
    for run in life.abandoned().filter(batch=batch, state=TestRun.State.RUNNING):
        life.end_abandoned(run)
    runs = TestRun.objects.filter(batch=batch)
    if runs.filter(state=TestRun.State.RUNNING).exists():
        return
    if not runs.filter(state=TestRun.State.WAITING).exists():
        return
    now = timezone.now()
    has_begun = runs.exclude(started_at=None).exists()
    is_new = runs.filter(created_at__gt=now - TAKEN_WITHIN).exists()
    if is_new or (has_begun and runs.filter(finished_at__gt=now - _GOES_ON_WITHIN).exists()):
        return
    _in_a_thread(partial(test_send.run_batch, batch, test_send.WEB_IN_PLACE))


def finished(run: TestRun) -> TestRun:
    """Have a run carried out and wait for its end, at most a minute: for pages without scripts.

    Open no transaction around it.
    """
    if not workers.worker_is_alive():
        return test_send.run(run, where=test_send.WEB)
    _in_a_thread(partial(_tell, tasks.run_test, run.pk))
    give_up_at = time.monotonic() + life.ABANDONED_AFTER.total_seconds()
    while not RunState(run.state).is_final and time.monotonic() < give_up_at:
        time.sleep(_LOOK_SECONDS)
        run.refresh_from_db()
        if run.state == TestRun.State.WAITING and timezone.now() - run.created_at > TAKEN_WITHIN:
            test_send.run(run, where=test_send.WEB_IN_PLACE)
        elif run.state == TestRun.State.RUNNING:
            look_after(run)
    return run


def _hand_over(pk: int) -> None:
    if not (workers.worker_is_alive() and _tell(tasks.run_test, pk)):
        test_send.run(TestRun.objects.get(pk=pk), where=test_send.WEB)


def _hand_over_batch(batch: UUID) -> None:
    if not (workers.worker_is_alive() and _tell(tasks.run_batch, str(batch))):
        test_send.run_batch(batch, test_send.WEB)


def _tell(task: Task[..., None], argument: int | str) -> bool:
    """Tell the workers; False when the broker cannot be told."""
    try:
        task.apply_async((argument,), expires=_EXPIRES_SECONDS, retry=False)
    except Exception as error:  # noqa: BLE001  # whatever a broker's client raises
        logger.warning("The workers could not be told of a test, it runs here: %s", error)
        return False
    return True


def _in_a_thread(work: Callable[[], object]) -> None:
    """Do something beside the request, with database connections of its own."""

    def whole() -> None:
        try:
            work()
        except Exception:
            logger.exception("A test was left because of a fault.")
        finally:
            connections.close_all()

    threading.Thread(target=whole, name="mailconf-test", daemon=True).start()

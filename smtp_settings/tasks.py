"""Celery tasks of the settings, on the queue `work`: ids in, nothing out."""

from platform import node
from uuid import UUID

from celery import shared_task

from smtp_settings import test_send
from smtp_settings.models import TestRun
from smtp_settings.test_send import rechecking

#: Far below the time limit of a task; then the batch goes on in another one.
_BATCH_SECONDS = 600.0


@shared_task(name="mailconf.run_test", ignore_result=True)
def run_test(run_id: int) -> None:
    """Carry a waiting test run out where the mail leaves from. A second delivery of the task does nothing."""
    run = TestRun.objects.filter(pk=run_id).first()
    if run is not None:
        test_send.run(run, where=_worker())


@shared_task(name="mailconf.run_batch", ignore_result=True)
def run_batch(batch: str) -> None:
    """Carry the runs of a batch out one after another."""
    if not test_send.run_batch(UUID(batch), where=_worker(), seconds=_BATCH_SECONDS):
        run_batch.delay(batch)


@shared_task(name="mailconf.check_daily", ignore_result=True)
def check_daily() -> None:
    """Check the servers that nobody looked at for a day."""
    rechecking.check_due(where=_worker(), seconds=_BATCH_SECONDS)


def _worker() -> str:
    return f"worker {node()}"


@shared_task(name="mailconf.tidy_up", ignore_result=True)
def tidy_up() -> None:
    """End runs whose process died and forget secrets that no longer count, when nobody starts a test."""
    test_send.tidy_up()

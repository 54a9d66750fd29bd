"""Celery tasks of the settings, on the queue `work`: ids in, nothing out."""

from platform import node

from celery import shared_task

from smtp_settings import test_send
from smtp_settings.models import TestRun


@shared_task(name="mailconf.run_test", ignore_result=True)
def run_test(run_id: int) -> None:
    """Carry a waiting test run out where the mail leaves from. A second delivery of the task does nothing."""
    run = TestRun.objects.filter(pk=run_id).first()
    if run is not None:
        test_send.run(run, where=f"worker {node()}")


@shared_task(name="mailconf.tidy_up", ignore_result=True)
def tidy_up() -> None:
    """End runs whose process died and forget secrets that no longer count, when nobody starts a test."""
    test_send.tidy_up()

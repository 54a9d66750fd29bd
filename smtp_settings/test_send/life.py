"""The life of a test run's row: claimed by one, kept alive, asked to stop, ended once.

Every move is an update guarded by the old state: whoever comes second changes nothing.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from smtp_settings.gate import EVIDENCE_AGE
from smtp_settings.models import Event, TestRun

#: One limit for a whole test, in seconds (V44).
LIMIT = 45.0
#: Who runs a test writes a heartbeat twice a second; so long a silence is a dead process.
SILENT_AFTER = timedelta(seconds=10)
#: A run that nobody took, or that keeps no heartbeat, has been left by then.
ABANDONED_AFTER = timedelta(seconds=LIMIT + 15)

#: Where a run is carried out, for `claim`; on a worker it is "worker" and the machine's name.
WEB = "web"
WEB_IN_PLACE = "web, not taken by a worker"
SHELL = "shell"

_GOING_ON = (TestRun.State.WAITING, TestRun.State.RUNNING)


def going_on() -> QuerySet[TestRun]:
    """Return the runs that have not ended."""
    return TestRun.objects.filter(state__in=_GOING_ON)


def claim(pk: int, where: str) -> TestRun | None:
    """Take a waiting run and return it; None when another took it, it was stopped, or its batch is busy."""
    busy = TestRun.objects.filter(batch=OuterRef("batch"), state=TestRun.State.RUNNING)
    taken = TestRun.objects.filter(~Exists(busy), pk=pk, state=TestRun.State.WAITING)
    if not taken.update(
        state=TestRun.State.RUNNING, started_at=timezone.now(), heartbeat_at=Now(), ran_on=where[:255]
    ):
        return None
    return TestRun.objects.select_related("user").get(pk=pk)


def beat(run: TestRun) -> bool:
    """Write a heartbeat; False when the run was asked to stop, or was ended by somebody else."""
    own = TestRun.objects.filter(pk=run.pk, state=TestRun.State.RUNNING, stop_asked_at=None)
    return bool(own.update(heartbeat_at=Now()))


def end(run: TestRun, state: str, **values: Any) -> bool:  # Any: columns of the row
    """End a running run, and say so in the event log; False, and nothing written, when it had ended."""
    values |= {"state": state, "finished_at": timezone.now()}
    if not TestRun.objects.filter(pk=run.pk, state=TestRun.State.RUNNING).update(**values):
        return False
    for name, value in values.items():
        setattr(run, name, value)
    record(f"test.{run.state}", run, phase=run.failed_phase, ran_on=run.ran_on)
    return True


def stop(run: TestRun, user: AbstractBaseUser | None) -> None:
    """End a waiting run, ask a running one to end; does nothing to one that has ended.

    Who runs it looks twice a second, and once more before the final dot.
    """
    now, row = timezone.now(), TestRun.objects.filter(pk=run.pk)
    waiting = row.filter(state=TestRun.State.WAITING)
    ended = waiting.update(
        state=TestRun.State.STOPPED, stop_asked_at=now, finished_at=now, sentence=_("The test was stopped.")
    )
    running = row.filter(state=TestRun.State.RUNNING, stop_asked_at=None)
    if ended or running.update(stop_asked_at=now):
        record("test.stopped" if ended else "test.stop_asked", run, user=user)
    run.refresh_from_db()


def stop_batch(batch: UUID, user: AbstractBaseUser | None) -> None:
    """Stop every run of a batch that has not ended."""
    for run in going_on().filter(batch=batch).order_by("-id"):  # the waiting ones first
        stop(run, user)


def own_run(uuid: UUID | str | None, user: AbstractBaseUser) -> TestRun | None:
    """Return a run of this user that is young enough to count, else None."""
    fresh = timezone.now() - EVIDENCE_AGE
    return TestRun.objects.filter(uuid=uuid, user_id=user.pk, created_at__gte=fresh).first() if uuid else None


def tidy_up() -> None:
    """End runs that were left, and forget the secrets of runs that no longer count."""
    for run in abandoned():
        end_abandoned(run)
    old = timezone.now() - EVIDENCE_AGE
    TestRun.objects.filter(secret__isnull=False, created_at__lt=old).update(secret=None)


def abandoned() -> QuerySet[TestRun]:
    """Return the runs nobody carries out any more, or ever will.

    A run of a batch may wait as long as the batch goes on.
    """
    left_at = timezone.now() - ABANDONED_AFTER
    sibling = TestRun.objects.filter(batch=OuterRef("batch"))
    goes_on = sibling.filter(Q(state=TestRun.State.RUNNING) | Q(finished_at__gte=left_at))
    silent = Q(heartbeat_at__lt=Now() - SILENT_AFTER) | Q(heartbeat_at=None, started_at__lt=left_at)
    forgotten = Q(created_at__lt=left_at) & (Q(batch=None) | ~Exists(goes_on))
    return TestRun.objects.filter(
        (Q(state=TestRun.State.RUNNING) & silent) | (Q(state=TestRun.State.WAITING) & forgotten)
    )


def end_abandoned(run: TestRun) -> None:
    """End a run nobody carries out; its secret goes with it."""
    sentence = (
        _("The test did not come to an end: the process that ran it was stopped.")
        if run.state == TestRun.State.RUNNING
        else _("The test was not begun: neither a worker nor the web server took it.")
    )
    ended = abandoned().filter(pk=run.pk, state=run.state)
    if ended.update(state=TestRun.State.STOPPED, finished_at=timezone.now(), secret=None, sentence=sentence):
        record("test.stopped", run, level="warning", ran_on=run.ran_on)
    run.refresh_from_db()


def record(
    kind: str,
    run: TestRun,
    *,
    user: AbstractBaseUser | None = None,
    level: str = "info",
    **data: Any,  # Any: JSON
) -> None:
    """Write an event about a run; `user` is who did it, by default who started the run."""
    event_of(kind, run, user=user, level=level, **data).save()


def event_of(
    kind: str,
    run: TestRun,
    *,
    user: AbstractBaseUser | None = None,
    level: str = "info",
    **data: Any,  # Any: JSON
) -> Event:
    """Return an event about a run, not saved; no values but the server's name and port."""
    values = run.settings
    return Event(
        kind=kind,
        level=level,
        profile_id=run.profile_id,
        user_id=user.pk if user is not None else run.user_id,
        data={
            "run": str(run.uuid),
            "name": values.get("name", ""),
            "server": f"{values['host']}:{values.get('port')}" if values.get("host") else "",
            **data,
        },
    )

"""How many tests one person, and all together, may start: no port scanner, no relay (V52, E24, E26, E29)."""

from datetime import datetime, timedelta

from django.contrib.auth.models import AbstractBaseUser
from django.db import connection
from django.db.models import Max, Min, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from smtp_settings.models import TestRun
from smtp_settings.test_send.life import going_on
from transports.base import Phase

_LOCK = 0x74657374  # advisory, "test": of two starts at once, the second sees the first

_SPAN, _IN_SPAN = timedelta(minutes=10), 10
_DAY, _IN_DAY = timedelta(days=1), 100
_AT_ONCE = 2
_REFUSALS, _PAUSE = 3, timedelta(minutes=1)


class TooManyTests(Exception):
    """This person has to wait before the next test; str() says for what.

    `run` is their own that still goes on, where that is the reason.
    """

    def __init__(self, sentence: str, run: TestRun | None = None) -> None:
        super().__init__(sentence)
        self.run = run


def admit(user: AbstractBaseUser | None) -> None:
    """Let a test or a batch of tests be started, or raise TooManyTests. Commands have no user and no limit.

    Call it in the transaction that saves the run: others wait for its end. A batch counts as one test.
    """
    if user is None:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    _one_at_a_time(user)
    own = TestRun.objects.filter(user_id=user.pk)
    _not_too_often(own)
    _not_after_refusals(own)


def _one_at_a_time(user: AbstractBaseUser) -> None:
    others = _newest_units(going_on(), _AT_ONCE + 1)
    if user.pk in (user_id for user_id, _at in others):
        raise TooManyTests(
            _("Another of your tests is still running."),
            going_on().filter(user_id=user.pk).order_by("-state", "id").first(),
        )
    if len(others) >= _AT_ONCE:
        raise TooManyTests(_("Two other tests are running. Try again in a minute."))


def _not_too_often(own: QuerySet[TestRun]) -> None:
    now = timezone.now()
    day = [at for _user_id, at in _newest_units(own.filter(created_at__gte=now - _DAY), _IN_DAY)]
    span = [at for at in day if at >= now - _SPAN]
    if len(span) >= _IN_SPAN:
        minutes = max(1, round((span[_IN_SPAN - 1] + _SPAN - now).total_seconds() / 60))
        sentence = ngettext(
            "Ten tests in ten minutes. Wait %(minutes)d minute.",
            "Ten tests in ten minutes. Wait %(minutes)d minutes.",
            minutes,
        )
        raise TooManyTests(sentence % {"minutes": minutes})
    if len(day) >= _IN_DAY:
        hours = max(1, round((day[-1] + _DAY - now).total_seconds() / 3600))
        sentence = ngettext(
            "A hundred tests in a day. Wait %(hours)d hour.",
            "A hundred tests in a day. Wait %(hours)d hours.",
            hours,
        )
        raise TooManyTests(sentence % {"hours": hours})


def _not_after_refusals(own: QuerySet[TestRun]) -> None:
    """Have a minute pass after three refused sign-ins without a pass between: accounts get locked."""
    recent = own.filter(finished_at__gte=timezone.now() - _SPAN)
    passed_at = recent.filter(state=TestRun.State.PASSED).aggregate(at=Max("finished_at"))["at"]
    refused = recent.filter(failed_phase=Phase.AUTH, reply__startswith="5").order_by("-finished_at")
    if passed_at is not None:
        refused = refused.filter(finished_at__gt=passed_at)
    times = list(refused.values_list("finished_at", flat=True)[:_REFUSALS])
    if len(times) == _REFUSALS and times[0] is not None and timezone.now() - times[0] < _PAUSE:
        raise TooManyTests(
            _("The sign-in was refused three times. Wait a minute, or the account may be locked.")
        )


def _newest_units(runs: QuerySet[TestRun], most: int) -> list[tuple[int | None, datetime]]:
    """Return who began what when, newest first; a batch counts as one."""
    units = (
        runs.annotate(unit=Coalesce("batch", "uuid")).values("unit", "user_id").annotate(at=Min("created_at"))
    )
    return [(unit["user_id"], unit["at"]) for unit in units.order_by("-at")[:most]]

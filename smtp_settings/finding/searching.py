"""A search as a test run: the same limits, claim, worker or web, stop and progress as any test."""

from collections.abc import Mapping
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.utils.translation import gettext as _

from smtp_settings import test_send, wire
from smtp_settings.finding import asking
from smtp_settings.finding.candidates import Wanted, read
from smtp_settings.finding.rows import Row, row_from
from smtp_settings.models import TestRun
from smtp_settings.test_send import life

#: Entries of the form a search keeps, so that what it proposes spares them.
HELD = ("name", "username", "from_address")


def order(text: str, user: AbstractBaseUser | None, *, held: Mapping[str, str] | None = None) -> TestRun:
    """Save a search for what was typed, ready to be run once, here or on a worker.

    `held` are the form's entries of `HELD`. Raises NothingToSearch and TooManyTests.
    """
    wanted = read(text)
    life.tidy_up()
    run = TestRun(
        kind=TestRun.Kind.SEARCH,
        profile_uuid=uuid4(),  # of no profile: a search is evidence for nothing
        user_id=user.pk if user is not None else None,
        settings={
            "search": text.strip(),
            "host": wanted.host or wanted.domain,
            "port": wanted.port or "",
            **{name: str((held or {}).get(name, "")) for name in HELD},
        },
        recipients=[],
    )
    test_send.register(run, user)
    return run


def carry_out(run: TestRun, *, limit: float) -> None:
    """Carry out a search that this thread has claimed; each row is written as it becomes known."""
    rows: dict[int, Row] = {}
    state, sentence = TestRun.State.STOPPED, _("The search was stopped before it came to an end.")
    try:
        was_stopped = False

        def goes_on() -> bool:
            nonlocal was_stopped
            was_stopped = not life.beat(run)
            return not was_stopped

        heard = asking.search(
            wanted_of(run),
            guard=wire.address_guard(),
            servers=settings.MAILCONF_DNS_SERVERS,
            goes_on=goes_on,
            limit=limit,
        )
        for known in heard:
            rows |= known
            TestRun.objects.filter(pk=run.pk).update(results=_json(rows))
        if was_stopped:
            sentence = _("The search was stopped.")
        else:
            found = any(row.answered for row in rows.values())
            state = TestRun.State.PASSED if found else TestRun.State.FAILED
            sentence = ""
    finally:  # also when the process is told to stop
        life.end(run, state, results=_json(rows), sentence=sentence)


def wanted_of(run: TestRun) -> Wanted:
    """Return what a search looks for."""
    return read(str(run.settings.get("search", "")))


def rows_of(run: TestRun) -> list[Row]:
    """Return what a search has found so far, in the order of its candidates."""
    return [row_from(values) for values in run.results]


def _json(rows: Mapping[int, Row]) -> list[dict[str, object]]:
    return [row.as_json() for _place, row in sorted(rows.items())]

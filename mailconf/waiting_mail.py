"""What settings pages ask of waiting mail: how much, end it, wake the workers, what passes a profile by.

The pages of the settings may not import the queue: they ask `smtp_settings.facts`, the project answers here.
"""

from collections.abc import Callable, Collection
from functools import partial

from django.db import connection, transaction
from django.urls import reverse

from delivery import queue, tasks
from delivery.queue.passed_by import count_passed_by
from delivery.queue.statements import named, run
from smtp_settings.facts import CAP, Mail, Passing

_MAY_MOVE = ("delivery.view_message", "delivery.move_message")

_COUNT = named("""
SELECT count(*) FROM (
  SELECT FROM {entry} e JOIN {pool} p ON p.id = e.pool_id
  WHERE coalesce(p.site_id, 0) = ANY(%(sites)s::int[]) LIMIT %(cap)s) counted
""")
_SOME = named("""
SELECT e.message_id FROM {entry} e JOIN {pool} p ON p.id = e.pool_id
WHERE coalesce(p.site_id, 0) = ANY(%(sites)s::int[]) AND e.lease_id IS NULL
ORDER BY e.message_id LIMIT 1000
""")


def waiting(sites: Collection[int | None]) -> int:
    """Count what waits of these sites, at most `CAP`."""
    return int(run(_COUNT, {"sites": _numbers(sites), "cap": CAP})[0][0])


def cancel(sites: Collection[int | None], user_id: int | None) -> int:
    """End what waits of these sites unsent, a thousand at a time; return how many."""
    done = 0
    while ids := [row_id for (row_id,) in run(_SOME, {"sites": _numbers(sites)})]:
        cancelled = queue.cancel(ids, user_id=user_id)
        if not cancelled:
            break
        done += len(cancelled)
    return done


def wake() -> None:
    """Let workers look once the transaction is committed."""
    transaction.on_commit(partial(tasks.ring), robust=True, using=connection.alias)


def passing(profile_id: int, may: Callable[[str], bool]) -> Passing:
    """Tell those who may move messages how much waits for that from the profile's sender domains."""
    if not all(map(may, _MAY_MOVE)):
        return Passing()
    count = count_passed_by(profile_id, most=CAP)
    return Passing(count, f"{reverse('admin:delivery_bulkjob_start')}?action=move&could={profile_id}&to=any")


def _numbers(sites: Collection[int | None]) -> list[int]:
    return [site or 0 for site in sites]


MAIL = Mail(waiting=waiting, cancel=cancel, wake=wake, passing=passing)

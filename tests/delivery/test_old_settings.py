"""A drain whose settings turn out to be old: what it does in the moment before it has read the new ones."""

import pytest
from django.db.models import F

from delivery import queue
from delivery.dispatcher import chores, database
from delivery.models import ProfileState
from delivery.queue import Paused
from smtp_settings.models import SMTPProfile
from tests.builders import a_profile
from tests.delivery.engine import drained, queued, until
from tests.delivery.queueing import in_threads
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("held_up", ["pause", "profile_states"])
def test_a_drain_until_empty_does_not_end_while_it_learns_that_its_settings_are_old(held_up, monkeypatch):
    """It looks for mail just then, finds a message, and nobody who may take it: it will know better soon.

    Old settings show when a pause is refused, and the server's row is read again for that. One of the two
    statements is held up until the drain has begun to look, with its profiles as they were.
    """
    call, asked, saved = database.Database.call, [], []
    held_up_for_real = getattr(queue, held_up)

    async def noted(self, work):
        asked.append(work)
        return await call(self, work)

    def after_the_look_began(*args, **options):
        if saved and held_up in saved:
            saved.remove(held_up)
            asked.clear()
            until(lambda: queue.ready_lanes in asked)
        return held_up_for_real(*args, **options)

    def answer(_argument):
        if saved:
            return None
        in_threads(lambda: SMTPProfile.objects.update(version=F("version") + 1))
        saved.extend(["profile", held_up])
        return "530 5.7.0 Sign in first"

    monkeypatch.setattr(database.Database, "call", noted)
    monkeypatch.setattr(queue, held_up, after_the_look_began)
    for name in ("STATS_SECONDS", "RECLAIM_SECONDS"):
        monkeypatch.setattr(chores, name, 300.0)  # they would wait for the statement that is held up
    with smtp_server(answers={"MAIL": answer}) as server:
        a_profile(host=server.host, port=server.port)
        queued()
        assert drained().sent == 1
    assert saved == ["profile"], "the moment was not met"
    assert ProfileState.objects.get().paused == Paused.NO

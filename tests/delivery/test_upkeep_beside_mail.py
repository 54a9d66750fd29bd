"""Upkeep in a drain: it happens, and mail neither waits for it nor fails with it."""

import asyncio
import logging
import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from delivery import models
from delivery.dispatcher import upkeep
from delivery.dispatcher.upkeep import Upkeep
from smtp_settings.models import Event
from tests.builders import a_profile
from tests.delivery.engine import draining, queued, state_of, until
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Upkeep begins with the drain."""
    monkeypatch.setattr(upkeep, "FIRST_SECONDS", 0.0)


@contextmanager
def draining_until_told():
    """Drain while the block runs, mail or no mail."""
    stop = threading.Event()
    with draining(until_empty=False, linger=600.0, stop=stop):
        try:
            yield
        finally:
            stop.set()


def old_events(count=5):
    Event.objects.bulk_create(Event(kind="profile.saved") for _ in range(count))
    Event.objects.update(at=timezone.now() - timedelta(days=3000))


def test_a_drain_removes_what_is_over():
    old_events()
    with draining_until_told():
        until(lambda: not Event.objects.exists(), timeout=120)


def test_a_drain_notes_how_much_waits():
    queued(3)
    with draining_until_told():
        until(lambda: list(models.Backlog.objects.values_list("waiting", flat=True)) == [3], timeout=120)


def test_mail_leaves_while_a_chunk_waits_for_a_lock():
    old_events()
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        later = timezone.now() + timedelta(hours=1)
        first = ("contents", "messages", "failures", "attempts")  # or they would come before the events
        models.Upkeep.objects.bulk_create(models.Upkeep(kind=name, due_at=later) for name in first)
        ids = queued(5)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE smtp_settings_event IN SHARE MODE")  # nobody deletes from it
            with draining():
                until(lambda: server.accepted == len(ids), timeout=120)

    assert [state_of(message_id) for message_id in ids] == [models.SmallState.SENT] * len(ids)


def test_upkeep_that_the_database_refuses_is_told_and_harms_no_mail(caplog):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE delivery_upkeep RENAME TO elsewhere")
    try:
        with smtp_server() as server:
            a_profile(host=server.host, port=server.port)
            ids = queued(3)
            with caplog.at_level(logging.WARNING), draining_until_told():
                until(lambda: "Upkeep is put off" in caplog.text, timeout=120)
                until(lambda: server.accepted == len(ids), timeout=120)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO delivery_upkeep")


def test_what_is_wrong_with_our_own_code_is_logged_and_tried_again_later(caplog, settings):
    settings.MAILCONF_KEEP_DAYS = {"nonsense": 1}

    async def one():
        work = Upkeep()
        work.go_on()
        await work.close()
        await asyncio.sleep(0)
        work.go_on()
        return work._chunk

    assert asyncio.run(one()) is None
    assert "Upkeep failed, for a reason of our own" in caplog.text

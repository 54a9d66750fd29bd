"""Limits of a profile over several workers, measured by the server's own clock."""

import time
from datetime import timedelta

import pytest

from delivery import pacing
from delivery.models import Rate
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import drains
from tests.builders import a_profile
from tests.delivery.engine import queued
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_send_offset_spaces_the_sends_of_four_workers(process_environment):
    offset, count = 1, 8
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port, max_connections=4, send_offset=offset)
        with drains(process_environment, 4):
            began = time.monotonic()
            queued(count)
            server.wait_for(count, timeout=240)
        assert_balanced(books([server]), enqueued=count, at_rest=True, duplicates=0)
    moments = [received.at for received in server.messages]
    grace = pacing.grace(timedelta(seconds=offset)).total_seconds()
    # A message may be late, by the grace and by what a loaded machine takes to write it; the moment of the
    # next one stays. So no single gap is strict, but none goes before its moment.
    early = [n for n, moment in enumerate(moments, start=1) if moment - began < n * offset - grace]
    assert not early, [moment - began for moment in moments]


@pytest.mark.long
def test_a_pace_per_minute_holds_over_four_workers(process_environment):
    per_minute, count = 300, 40
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port, max_connections=4, per_minute=per_minute)
        with drains(process_environment, 4):
            began = time.monotonic()
            queued(count)
            server.wait_for(count, timeout=240)
        assert_balanced(books([server]), enqueued=count, at_rest=True, duplicates=0)
    moments = [received.at for received in server.messages]
    at_once = per_minute // 60
    for n, moment in enumerate(moments, start=1):
        assert n <= at_once + (moment - began) * per_minute / 60 + 1, (n, moment - began)


@pytest.mark.long
def test_a_quota_per_hour_holds_over_four_workers(process_environment):
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port, max_connections=4, per_hour=100)
        with drains(process_environment, 4):
            began = time.monotonic()
            queued(60)
            server.wait_for(10, timeout=240)  # the tenth part at once, then one every forty seconds
            seconds = time.monotonic() - began
            accepted = server.accepted
        assert_balanced(books([server]), enqueued=60, at_rest=True, duplicates=0)
    assert accepted <= 10 + 1 + seconds / 40
    assert Rate.objects.get().kind == "hour"

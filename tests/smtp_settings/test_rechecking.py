"""The daily check: connects to each live server nobody looked at for a day, and sends nothing."""

from datetime import timedelta

import pytest
from django.utils import timezone

from smtp_settings.models import TestRun
from smtp_settings.test_send import rechecking
from tests.builders import a_draft, a_profile
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)


def check():
    return rechecking.check_due(where="worker zz", seconds=60)


def test_a_server_is_checked_once_a_day_without_sending():
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        a_draft()
        assert check() == 0  # tested just now
        TestRun.objects.update(created_at=timezone.now() - timedelta(days=2))
        assert check() == 1
        assert check() == 0
        assert server.accepted == 0

    run = TestRun.objects.order_by("-id").first()
    assert (run.kind, run.state, run.user) == ("connect", "passed", None)
    assert rechecking.failed_checks() == []


def test_a_check_that_fails_is_found():
    with smtp_server() as server:
        profile = a_profile(host=server.host, port=server.port)
    TestRun.objects.update(created_at=timezone.now() - timedelta(days=2))
    assert check() == 1

    assert [run.profile_id for run in rechecking.failed_checks()] == [profile.pk]

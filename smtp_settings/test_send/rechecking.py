"""The daily check: each live server is connected to and signed in at, to see what broke before mail does.

It sends nothing. Its run is kept like any other; the certificate it saw counts as the last one seen.
"""

import time
from datetime import datetime, timedelta

from django.db.models import F, Q
from django.db.models.fields.json import KT
from django.utils import timezone

from smtp_settings import facts, sealing
from smtp_settings.clearance.activation import is_live
from smtp_settings.clearance.candidate import stored_secret
from smtp_settings.models import DeliveryMethod, SMTPProfile, TestRun
from smtp_settings.test_send.orders import candidate
from smtp_settings.test_send.runs import run

#: A server that was tested or checked in this time is not checked.
EVERY = timedelta(days=1)
#: A check that failed longer ago says nothing of today.
_COUNTS = timedelta(days=2)

_ENDED = (TestRun.State.PASSED, TestRun.State.FAILED)
_LOOKS = (TestRun.Kind.SEND, TestRun.Kind.CONNECT)


def check_due(*, where: str, seconds: float, now: datetime | None = None) -> int:
    """Check the servers that are due, one after another, for about so many seconds; return how many."""
    give_up_at, checked = time.monotonic() + seconds, 0
    for profile in due_profiles(now or timezone.now()):
        if time.monotonic() >= give_up_at:
            break
        try:
            order = candidate(profile, stored_secret(profile), None, kind=TestRun.Kind.CONNECT)
        except sealing.SealingError:
            continue  # the pages say so
        run(order, where)
        checked += 1
    return checked


def due_profiles(now: datetime) -> list[SMTPProfile]:
    """Return the live SMTP profiles nobody looked at for a day; those that are down are tried by the mail."""
    recent = TestRun.objects.filter(kind__in=_LOOKS, created_at__gt=now - EVERY)
    rows = (
        SMTPProfile.objects.filter(enabled=True, is_draft=False, transport=DeliveryMethod.SMTP)
        .exclude(cleared_fingerprint="")
        .exclude(uuid__in=recent.values("profile_uuid"))
        .select_related("oauth_credential")
        .order_by("pk")
    )
    known = facts.facts_for([row.pk for row in rows])
    return [row for row in rows if is_live(row) and not known[row.pk].is_down]


def failed_checks(now: datetime | None = None) -> list[TestRun]:
    """Return the last look at each profile in use where that was a check, and failed; by profile."""
    young = (now or timezone.now()) - _COUNTS
    newest = (
        TestRun.objects.filter(
            Q(user=None) | Q(state=TestRun.State.PASSED),
            kind__in=_LOOKS,
            state__in=_ENDED,
            created_at__gt=young,
            profile__enabled=True,
            profile__is_draft=False,
        )
        .annotate(tested_host=KT("settings__host"))
        .filter(tested_host=F("profile__host"), created_at__gte=F("profile__changed_at"))
        .order_by("profile_id", "-id")
        .distinct("profile_id")
        .defer("secret", "transcript", "steps")
    )
    return [one for one in newest if one.state == TestRun.State.FAILED and one.kind == TestRun.Kind.CONNECT]

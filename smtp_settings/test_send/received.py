"""The link "I received it" in the test email: proof that it went the whole way, without reading a mailbox."""

from django.core import signing
from django.urls import reverse
from django.utils import timezone

from smtp_settings.models import TestRun
from smtp_settings.test_send import life

_SALT = "mailconf.test_send.received"


def link_for(run: TestRun) -> str:
    """Return the link for a run's email; "" when the run does not know this installation's address.

    Only who has the email, or the signing key, knows it.
    """
    if not run.link_base:
        return ""
    return run.link_base + reverse("test-received", args=[_signer().sign(run.uuid.hex)])


def known_base() -> str:
    """Return this installation's address as the last test that knew one was started from; "" for none."""
    runs = TestRun.objects.exclude(link_base="").order_by("-id")
    return runs.values_list("link_base", flat=True).first() or ""


def run_of(token: str) -> TestRun | None:
    """Return the run a link is about, None for a forged link and for a run that has been removed."""
    try:
        uuid = _signer().unsign(token)
    except signing.BadSignature:
        return None
    return TestRun.objects.defer("secret").filter(uuid=uuid).first()


def receive(run: TestRun) -> None:
    """Note that the email arrived; the first time counts."""
    now = timezone.now()
    if TestRun.objects.filter(pk=run.pk, received_at=None).update(received_at=now):
        run.received_at = now
        event = life.event_of("test.received", run)
        event.user = None  # whoever has the link
        event.save()


def _signer() -> signing.Signer:
    return signing.Signer(salt=_SALT)

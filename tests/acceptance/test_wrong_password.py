"""A password that is refused: tried once a worker, no message fails, and all leave when it is corrected."""

import pytest
from django.urls import reverse

from delivery.models import Message, ProfileState, QueueEntry, SmallState
from delivery.queue import Paused
from smtp_settings.clearance import activation
from smtp_settings.models import Event, SMTPProfile
from smtp_settings.sealing import Secret
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import drains, until
from tests.builders import a_profile, evidence
from tests.delivery.engine import queued
from tests.pages import client_of, text_of
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)


def corrected(profile, password):
    """Save the profile with another password through the gate, with a test that passed."""
    profile = SMTPProfile.objects.get(pk=profile.pk)
    effective = activation.effective_secret(profile, typed=Secret(password))
    run = evidence(profile, effective.secret)
    activation.save_profile(profile, effective, user=None, sites=(), run=run)


def test_a_thousand_messages_wait_for_the_right_password(process_environment):
    with smtp_server(auth=("shop", "new")) as server:
        profile = a_profile(host=server.host, port=server.port, password="old", max_connections=4)
        with drains(process_environment, 2):
            queued(1000)
            until(lambda: ProfileState.objects.filter(paused=Paused.FAULT).exists())
            until(lambda: not QueueEntry.objects.filter(lease_id__isnull=False).exists())
            server.wait_until_closed()
            assert server.verbs().count("AUTH") <= 2
            assert QueueEntry.objects.filter(attempts=0, drops=0).count() == 1000
            page = text_of(client_of("viewer").get(reverse("admin:index")))
            assert f"{profile.name} refuses the sign-in since " in page
            server.forget()

            corrected(profile, "new")

            until(lambda: Message.objects.filter(state=SmallState.SENT).count() == 1000, timeout=300)
        assert_balanced(books([server]), enqueued=1000, at_rest=True, duplicates=0)
    kinds = list(
        Event.objects.filter(kind__startswith="server.").order_by("id").values_list("kind", flat=True)
    )
    assert kinds[:4] == [
        "server.paused",
        "server.thawed",
        "server.breaker_half_open",
        "server.breaker_closed",
    ]
    # The other worker may still try the old password once; that pause ends with the look at the settings.
    assert kinds[4:] in ([], ["server.paused", "server.thawed"])
    assert not Message.objects.exclude(state=SmallState.SENT).exists()

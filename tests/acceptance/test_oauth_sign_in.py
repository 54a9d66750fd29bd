"""Mail through a server that takes access tokens alone: real workers, a real authorization server.

Tokens are asked for once however many workers want one, a refused token is renewed once, and a connection
that was revoked pauses the profile until somebody connects again; no message fails for it.
"""

from datetime import timedelta

import pytest
from django.utils import timezone

from delivery.models import Message, ProfileState, QueueEntry, SmallState
from delivery.queue import Paused
from smtp_settings import test_send
from smtp_settings.admin.panel.steps import step_rows
from smtp_settings.models import Event, OAuthCredential, TestRun
from smtp_settings.oauth import keeping
from smtp_settings.oauth.connecting import try_again
from smtp_settings.sealing import Secret
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import drains, until
from tests.authorization import authorization_server
from tests.builders import a_profile
from tests.delivery.engine import queued
from tests.servers import smtp_server
from tests.smtp_settings.oauth import connected
from transports.oauth import Tokens

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def provider():
    with authorization_server() as running:
        yield running


@pytest.fixture
def server(provider):
    with smtp_server(bearer=provider.accepts) as running:
        yield running


def signing_in(server, provider, credential, **values):
    return a_profile(
        host=server.host, port=server.port, auth="oauth2", username=provider.account,
        oauth_credential=credential, accepts_clear_auth=True, **values,
    )  # fmt: skip


def expire():
    """Let the access token have ended an hour ago."""
    OAuthCredential.objects.update(
        access_token_expires_at=timezone.now() - timedelta(hours=1),
        token_received_at=timezone.now() - timedelta(hours=2),
    )


def sent():
    return Message.objects.filter(state=SmallState.SENT).count()


def test_two_workers_and_eight_connections_share_one_new_token(provider, server, process_environment):
    signing_in(server, provider, connected(provider), max_connections=4)
    expire()
    with drains(process_environment, 2):
        queued(200)
        until(lambda: sent() == 200, timeout=300)
    assert len(provider.posts) == 1
    assert_balanced(books([server]), enqueued=200, at_rest=True, duplicates=0)


def test_a_token_that_ended_early_is_renewed_without_a_pause(provider, server, process_environment):
    signing_in(server, provider, connected(provider), max_connections=2)
    provider.access_tokens.clear()  # the mail server takes it no more, though it should hold for an hour
    with drains(process_environment, 1):
        queued(50)
        until(lambda: sent() == 50, timeout=300)
    assert [post["grant_type"] for post in provider.posts] == ["refresh_token"]
    assert not Event.objects.filter(kind="server.paused").exists()
    assert_balanced(books([server]), enqueued=50, at_rest=True, duplicates=0)


# Of the 35 s it takes on a busy machine all but five start the worker; half a second after the pause it holds
# no message any more. Quicker: test_oauth_tokens.py (asked once), test_oauth_admin.py (connected again).
@pytest.mark.long
def test_a_revoked_connection_pauses_and_all_leaves_after_it_is_connected_again(
    provider, server, process_environment
):
    credential = connected(provider)
    signing_in(server, provider, credential, max_connections=2)
    provider.revoke()
    expire()
    with drains(process_environment, 1):
        queued(100)
        until(lambda: ProfileState.objects.filter(paused=Paused.FAULT).exists(), timeout=300)
        until(lambda: not QueueEntry.objects.filter(lease_id__isnull=False).exists(), timeout=300)
        assert len(provider.posts) == 1
        assert "invalid_grant" in ProfileState.objects.get().reason
        assert QueueEntry.objects.filter(attempts=0).count() == 100
        assert Event.objects.filter(kind="oauth.refused").count() == 1
        assert server.sessions == 0  # no server is bothered for want of a token

        provider.refresh_tokens.add("refresh-again")
        row = OAuthCredential.objects.get()
        provider.access_tokens.add("access-again")
        tokens = Tokens(Secret("access-again"), 3600, Secret("refresh-again"))
        keeping.keep_tokens(row, tokens, now=timezone.now())
        try_again(row)

        until(lambda: sent() == 100, timeout=300)
    assert_balanced(books([server]), enqueued=100, at_rest=True, duplicates=0)


def a_test_of(profile):
    run = test_send.run(test_send.candidate(profile, None, None, ["inbox@example.com"]), where="web")
    return run, [(row.name, row.tone) for row in step_rows(run)]


def test_a_test_shows_how_the_token_was_got(provider, server):
    profile = signing_in(server, provider, connected(provider))
    run, steps = a_test_of(profile)
    assert run.state == TestRun.State.PASSED
    assert steps[0] == ("Get a token", "done")
    assert ("Sign in", "done") in steps
    assert len(steps) == 10


def test_a_test_without_a_token_says_what_to_do(provider, server):
    profile = signing_in(server, provider, connected(provider))
    provider.revoke()
    expire()
    run, steps = a_test_of(profile)
    assert run.state == TestRun.State.FAILED
    assert steps[0] == ("Get a token", "failed")
    assert run.sentence.startswith("The connection to ")
    assert run.reply.startswith("400 invalid_grant AADSTS700082")
    assert "refresh-first" not in str(run.steps) + str(run.transcript) + str(run.symptom)

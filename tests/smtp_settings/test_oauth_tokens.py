"""The access token of a credential: kept while it holds, renewed once by all (WIRE E33-E35, section 8)."""

import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from mailconf.env import BASE_DIR
from smtp_settings import sealing
from smtp_settings.models import Event, OAuthCredential
from smtp_settings.oauth import keeping
from smtp_settings.oauth.tokens import access_token, in_its_own_thread
from smtp_settings.sealing import SealBroken, Secret
from tests.acceptance.processes import until
from tests.authorization import authorization_server
from tests.smtp_settings.oauth import a_credential, connected, revealed
from transports.errors import TokenNotAvailable, TokenRefused

pytestmark = pytest.mark.django_db


@pytest.fixture
def provider():
    with authorization_server() as running:
        yield running


def fresh(row):
    return OAuthCredential.objects.get(pk=row.pk)


def pass_time(row, **span):
    """Let the credential's moments be so long ago."""
    row = fresh(row)
    names = ("access_token_expires_at", "token_received_at", "fault_at", "retry_at")
    for name in names:
        if getattr(row, name) is not None:
            setattr(row, name, getattr(row, name) - timedelta(**span))
    row.save(update_fields=names)


# Kept and renewed


def test_the_first_token_is_asked_for_and_kept_sealed(provider):
    row = a_credential(provider)
    token = access_token(row.pk).reveal()
    assert token in provider.access_tokens
    assert revealed(row, "access_token") == token
    assert token.encode() not in bytes(fresh(row).access_token)
    assert access_token(row.pk).reveal() == token
    assert len(provider.posts) == 1


@pytest.mark.parametrize(
    ("lifetime", "seconds", "posts"),
    [(3600, 3290, 0), (3600, 3310, 1), (120, 85, 0), (120, 95, 1), (3600, 4000, 1)],
)
def test_a_token_is_renewed_five_minutes_before_its_end(provider, lifetime, seconds, posts):
    row = connected(provider, lifetime=lifetime)
    pass_time(row, seconds=seconds)
    access_token(row.pk)
    assert len(provider.posts) == posts


def test_a_rotated_refresh_token_is_kept_before_its_access_token_is_given_out(provider):
    row = connected(provider)
    pass_time(row, hours=2)
    access_token(row.pk)
    (kept,) = provider.refresh_tokens
    assert revealed(row, "refresh_token") == kept != "refresh-first"
    pass_time(row, hours=2)
    access_token(row.pk)  # and works
    assert [post["refresh_token"] for post in provider.posts] == ["refresh-first", kept]


def test_the_old_refresh_token_stays_when_the_new_one_cannot_be_written(provider, monkeypatch):
    row = connected(provider)
    pass_time(row, hours=2)

    def full(*args, **options):
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(OAuthCredential, "save", full)
        with pytest.raises(OSError, match="disk full"):
            access_token(row.pk)
    assert revealed(row, "refresh_token") == "refresh-first"


def test_a_provider_that_keeps_its_refresh_token_is_believed(provider):
    provider.rotates = False
    row = connected(provider)
    pass_time(row, hours=2)
    access_token(row.pk)
    assert revealed(row, "refresh_token") == "refresh-first"


def test_a_token_a_server_refused_is_renewed_once(provider):
    row = connected(provider)
    first = access_token(row.pk)
    second = access_token(row.pk, refused=first)
    assert second.reveal() != first.reveal()
    assert access_token(row.pk, refused=first).reveal() == second.reveal()  # another worker, later
    assert len(provider.posts) == 1


def test_a_strange_lifetime_is_no_token_for_ever(provider):
    provider.expires_in = 1e99
    row = a_credential(provider)
    access_token(row.pk)
    assert fresh(row).access_token_expires_at <= timezone.now() + timedelta(hours=24)


# Refused, and no answer


def test_invalid_grant_is_kept_told_once_and_not_asked_for_again(provider):
    row = connected(provider)
    pass_time(row, hours=2)
    provider.revoke()
    for _turn in range(3):
        with pytest.raises(TokenRefused) as refused:
            access_token(row.pk)
        assert (refused.value.reason, refused.value.reply.code) == ("invalid_grant", 400)
        assert "AADSTS700082" in refused.value.reply.text
    assert len(provider.posts) == 1
    assert fresh(row).fault == "invalid_grant"
    (event,) = Event.objects.filter(kind="oauth.refused")
    assert (event.level, event.data["credential"], event.data["reason"]) == (
        "error", "Contoso", "invalid_grant",
    )  # fmt: skip


def test_after_a_while_or_for_a_person_it_is_asked_again(provider):
    row = a_credential(provider)
    provider.refuse("invalid_client", always=True)
    with pytest.raises(TokenRefused):
        access_token(row.pk)
    with pytest.raises(TokenRefused):
        access_token(row.pk, asks_again=True)
    assert len(provider.posts) == 2
    pass_time(row, minutes=6)
    provider.as_usual()
    access_token(row.pk)
    assert (fresh(row).fault, fresh(row).fault_at) == ("", None)
    assert Event.objects.filter(kind="oauth.answered").count() == 1


def test_nobody_has_signed_in_yet(provider):
    row = a_credential(provider, flow="browser")
    with pytest.raises(TokenRefused) as refused:
        access_token(row.pk)
    assert (refused.value.reason, provider.posts) == ("not-connected", [])


def test_a_provider_in_trouble_is_left_alone_longer_each_time(provider):
    row = a_credential(provider)
    provider.answer(503, "down", always=True)
    rests = []
    for _turn in range(9):
        with pytest.raises(TokenNotAvailable):
            access_token(row.pk)
        with pytest.raises(TokenNotAvailable) as error:
            access_token(row.pk)
        assert error.value.reason == "resting"
        rests.append(round((fresh(row).retry_at - timezone.now()).total_seconds(), -1))
        pass_time(row, hours=1)
    assert len(provider.posts) == 9
    assert rests[:4] == [10, 20, 40, 80]
    assert rests[-1] == 600
    provider.as_usual()
    access_token(row.pk)
    assert (fresh(row).tries, fresh(row).retry_at) == (0, None)


def test_a_wait_that_was_asked_for_is_kept(provider):
    row = a_credential(provider)
    provider.answer(429, "", {"Retry-After": "1800"})
    with pytest.raises(TokenNotAvailable):
        access_token(row.pk)
    assert fresh(row).retry_at > timezone.now() + timedelta(minutes=29)


def test_the_old_token_does_while_the_provider_is_down_and_it_holds(provider):
    row = connected(provider)
    pass_time(row, minutes=57)
    provider.answer(503, "down", always=True)
    assert access_token(row.pk).reveal() == access_token(row.pk).reveal() == "access-first"
    assert len(provider.posts) == 1
    pass_time(row, minutes=5)
    with pytest.raises(TokenNotAvailable):
        access_token(row.pk)


def test_less_than_was_asked_for_is_a_refusal(provider):
    row = a_credential(provider, scope="mail.send mail.read")
    with pytest.raises(TokenRefused) as refused:
        access_token(row.pk)
    assert refused.value.reason == "scope"
    assert revealed(row, "access_token") is None


# What is stored


@pytest.mark.parametrize("column", ["token_url", "client_id", "scope", "tenant", "provider"])
def test_a_credential_altered_past_the_form_opens_no_secret(provider, column):
    row = connected(provider)
    pass_time(row, hours=2)
    OAuthCredential.objects.filter(pk=row.pk).update(**{column: "google" if column == "provider" else "x"})
    with pytest.raises(SealBroken):
        access_token(row.pk)
    assert provider.posts == []


def test_a_token_of_another_credential_does_not_open(provider):
    row, other = connected(provider), a_credential(provider, name="Other")
    OAuthCredential.objects.filter(pk=other.pk).update(
        access_token=fresh(row).access_token,
        access_token_expires_at=fresh(row).access_token_expires_at,
        token_received_at=timezone.now(),
    )
    with pytest.raises(SealBroken):
        access_token(other.pk)


def test_no_secret_is_in_an_event(provider):
    row = connected(provider)
    pass_time(row, hours=2)
    provider.refuse("invalid_grant", "refresh-first is not known")
    with pytest.raises(TokenRefused):
        access_token(row.pk)
    said = str([event.data for event in Event.objects.all()]) + fresh(row).fault_words
    assert "refresh-first" not in said
    assert "<secret>" in said


# One refresher


@pytest.mark.django_db(transaction=True)
def test_twenty_threads_with_an_expired_token_make_one_post(provider):
    row = connected(provider)
    pass_time(row, hours=2)
    found, begun = [], threading.Barrier(20)

    def want():
        begun.wait(60)
        found.append(in_its_own_thread(row.pk).reveal())

    threads = [threading.Thread(target=want) for _ in range(20)]
    with provider.gate:  # nobody has an answer before everybody has asked or waits
        for thread in threads:
            thread.start()
        provider.wait_for_posts(1)
    for thread in threads:
        thread.join(60)
    assert len(found) == 20
    assert len(set(found)) == 1
    assert len(provider.posts) == 1


def somebody_waits_for_a_lock():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return cursor.fetchone()[0] == 1


_WANT = """
import sys, django
django.setup()
from smtp_settings.oauth.tokens import access_token
print("ready", flush=True)
sys.stdin.readline()
print(access_token(int(sys.argv[1])).reveal())
"""


@pytest.mark.django_db(transaction=True)
def test_two_processes_with_an_expired_token_make_one_post(provider, process_environment):
    row = connected(provider)
    pass_time(row, hours=2)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _WANT, str(row.pk)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=process_environment, cwd=BASE_DIR,
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    with provider.gate:
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        provider.wait_for_posts(1)
        until(somebody_waits_for_a_lock)
    found = {process.communicate(timeout=60)[0] for process in processes}
    assert len(found) == 1
    assert found.pop().strip() in provider.access_tokens
    assert len(provider.posts) == 1


def test_a_sealed_token_is_bound_to_its_number(provider):
    row = connected(provider)
    row.secret_version += 1
    row.save()
    with pytest.raises(SealBroken):
        access_token(row.pk)


def test_a_secret_is_sealed_for_the_row_as_it_is(provider):
    row = a_credential(provider)
    assert sealing.open_sealed(
        keeping.sealed(row, "access_token", Secret("x")), sealing.binding_for(row, "access_token")
    )

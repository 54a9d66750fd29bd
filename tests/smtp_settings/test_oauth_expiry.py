"""When a credential ends, and how early that is said."""

from datetime import UTC, datetime, timedelta

import pytest

from smtp_settings.models import OAuthCredential
from smtp_settings.oauth.expiry import What, endings_of, expiring

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def a_credential(**values):
    return OAuthCredential(
        pk=7, **{"name": "Contoso", "provider": "microsoft", "flow": "browser", "client_id": "1"} | values
    )


def days(number):
    return NOW + timedelta(days=number)


def test_a_client_secret_ends_when_it_was_said_to():
    (ending,) = endings_of(a_credential(flow="application", client_secret_expires_at=days(12)))
    assert (ending.credential_id, ending.name) == (7, "Contoso")
    assert (ending.what, ending.ends_at) == (What.CLIENT_SECRET, days(12))


@pytest.mark.parametrize(
    ("values", "ends_at"),
    [
        ({"provider": "microsoft", "token_received_at": NOW, "refresh_token": b"x"}, days(90)),
        ({"provider": "google", "token_received_at": NOW, "refresh_token": b"x"}, days(180)),
        (
            {"provider": "google", "token_received_at": NOW, "refresh_token_expires_at": days(7)},
            days(7),  # an app in "Testing"
        ),
        ({"provider": "other", "token_received_at": NOW, "refresh_token": b"x"}, None),
        ({"provider": "google", "token_received_at": NOW}, None),  # not connected
        ({"token_received_at": NOW, "refresh_token": b"x", "fault": "invalid_grant"}, None),
        ({"flow": "application", "token_received_at": NOW, "refresh_token": b"x"}, None),
    ],
)
def test_a_connection_ends_when_nobody_uses_it(values, ends_at):
    found = {ending.what: ending.ends_at for ending in endings_of(a_credential(**values))}
    assert found == ({} if ends_at is None else {What.CONNECTION: ends_at})


def test_a_month_ahead_is_soon_enough_and_the_soonest_comes_first():
    credentials = [
        a_credential(name=name, flow="application", client_secret_expires_at=days(number))
        for name, number in [("later", 31), ("soon", 30), ("ended", -1)]
    ]
    assert [ending.name for ending in expiring(credentials, now=NOW)] == ["ended", "soon"]

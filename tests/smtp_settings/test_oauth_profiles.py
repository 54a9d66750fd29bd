"""Profiles that sign in with OAuth 2.0: what is stored, what the wire gets, what presets propose."""

import pytest

from smtp_settings import presets, wire
from smtp_settings.clearance import activation
from smtp_settings.models import OAuthCredential, SMTPProfile
from smtp_settings.presets.filling import filled_by
from tests.builders import a_profile, evidence

pytestmark = pytest.mark.django_db


def a_credential():
    return OAuthCredential.objects.create(name="Contoso", provider="microsoft", flow="browser", client_id="1")


def test_a_stored_password_is_removed_when_the_profile_signs_in_with_oauth():
    a_profile(password="kanari")
    profile = SMTPProfile.objects.get()
    assert profile.password is not None
    profile.auth, profile.oauth_credential = "oauth2", a_credential()
    effective = activation.effective_secret(profile)
    assert effective.secret is None
    activation.save_profile(profile, effective, user=None, run=evidence(profile))
    assert SMTPProfile.objects.get().password is None
    assert activation.is_live(SMTPProfile.objects.get())


def test_the_wire_signs_in_with_a_token_and_knows_no_password():
    profile = a_profile(
        auth="oauth2",
        username="shop@contoso.example",
        oauth_credential=a_credential(),
        accepts_clear_auth=True,
    )
    settings = wire.transport_for(profile).settings
    assert (settings.auth, settings.username, settings.password) == ("oauth", "shop@contoso.example", None)
    assert settings.token is not None
    assert settings.renew_token is not None


def test_a_profile_with_a_password_has_no_token():
    settings = wire.transport_for(a_profile(password="kanari")).settings
    assert (settings.token, settings.renew_token) == (None, None)


@pytest.mark.parametrize("key", ["m365", "outlook-com"])
def test_microsoft_is_proposed_with_oauth_first(key):
    assert filled_by(presets.by_key(key))["auth"] == "oauth2"


def test_google_is_still_proposed_with_an_app_password():
    assert filled_by(presets.by_key("gmail"))["auth"] == "password"

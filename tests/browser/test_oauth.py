"""Connecting an OAuth credential in a real browser, with and without JavaScript, against a real provider."""

import pytest
from playwright.sync_api import expect

from smtp_settings.models import OAuthCredential
from tests.authorization import authorization_server
from tests.smtp_settings.oauth import revealed

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LIST = "/admin/smtp_settings/oauthcredential/"


@pytest.fixture
def provider(browser):
    with authorization_server() as running:
        yield running
        # The provider's own pages are the one place this journey leaves ours for.
        browser.complaints[:] = [one for one in browser.complaints if running.base not in one]


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])
def test_a_person_connects_a_credential_and_it_is_renewed(browser, provider, person, keep, javascript):
    page = browser.window(user=person, javascript=javascript)
    page.goto(LIST + "add/")
    page.fill("#id_name", "Contoso")
    page.check("#id_provider input[value=other]")
    page.check("#id_flow input[value=browser]")
    for name in ("client_id", "client_secret", "scope", "token_url", "authorize_url", "account"):
        page.fill(f"#id_{name}", getattr(provider, name))
    page.click("input[name=_save]")

    expect(page.locator("body")).to_contain_text("Saved. Now choose “Connect…” and sign in as the mailbox.")
    expect(page.locator("#mc-redirect")).to_have_text(f"{browser.base}{LIST}connected/")
    assert provider.client_secret not in page.content()
    page.get_by_role("button", name="Connect…").click()
    page.click("#mc-go")
    page.click("#allow")

    expect(page.locator("body")).to_contain_text(f"Connected as {provider.account}.")
    row = OAuthCredential.objects.get()
    assert revealed(row, "refresh_token") in provider.refresh_tokens
    page.get_by_role("button", name="Get a token now").click()
    expect(page.locator("body")).to_contain_text("A token was received.")
    provider.revoke()
    page.get_by_role("button", name="Get a token now").click()
    expect(page.locator("body")).to_contain_text("has expired or was revoked")
    expect(page.get_by_role("button", name="Connect again")).to_be_visible()
    keep(page, f"oauth-refused-{'js' if javascript else 'plain'}")

"""The pages of OAuth credentials, against a real authorization server (UX 3.7; WIRE E31, E32, section 8)."""

import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from django.test import Client
from django.utils import timezone

from smtp_settings.clearance import activation
from smtp_settings.models import Event, OAuthCredential, SMTPProfile
from smtp_settings.oauth.tokens import access_token
from tests.authorization import authorization_server
from tests.builders import a_profile, a_user
from tests.smtp_settings.oauth import a_credential, connected, revealed
from transports.errors import TokenRefused

pytestmark = pytest.mark.django_db

LIST = "/admin/smtp_settings/oauthcredential/"
ADD = LIST + "add/"


@pytest.fixture
def provider():
    with authorization_server() as running:
        yield running


@pytest.fixture
def admin():
    client = Client()
    client.user = a_user("administrator")
    client.force_login(client.user)
    return client


def change(row):
    return f"{LIST}{row.pk}/change/"


def values_of(provider, **more):
    return {
        "name": "Contoso",
        "provider": "other",
        "flow": "application",
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
        "scope": provider.scope,
        "token_url": provider.token_url,
        "account": provider.account,
        "version": "1",
    } | more


def kept(provider, row, **more):
    """The values of a saved credential as its form posts them: no secret."""
    names = ("name", "provider", "flow", "client_id", "scope", "token_url", "authorize_url", "account")
    row.refresh_from_db()
    return {name: getattr(row, name) for name in names} | {"version": str(row.version)} | more


def text_of(answer):
    return re.sub(r"\s+", " ", answer.content.decode())


def said(answer):
    return [str(one) for one in answer.context["messages"]]


# Saving: only with a token


def test_a_credential_is_saved_with_the_token_that_was_received(provider, admin):
    answer = admin.post(ADD, values_of(provider), follow=True)
    row = OAuthCredential.objects.get()
    assert "A token was received with these values." in said(answer)
    assert revealed(row, "client_secret") == provider.client_secret
    assert revealed(row, "access_token") in provider.access_tokens
    assert (row.secret_set_by, row.secret_version) == (admin.user, 1)
    (event,) = Event.objects.filter(kind="oauth.added")
    assert (event.user_id, event.data["credential"]) == (admin.user.pk, "Contoso")


def test_a_wrong_secret_is_not_saved_and_the_providers_words_are_shown(provider, admin):
    answer = admin.post(ADD, values_of(provider, client_secret="kanari-wrong"))
    page = text_of(answer)
    assert "The client secret is wrong or has expired." in page
    assert "<code>400 invalid_client AADSTS7000215: Invalid client secret provided.</code>" in page
    assert "kanari-wrong" not in page
    assert not OAuthCredential.objects.exists()


def test_a_new_secret_replaces_the_old_one_only_when_it_works(provider, admin):
    row = a_credential(provider)
    admin.post(change(row), kept(provider, row, client_secret="kanari-wrong"))
    assert revealed(row, "client_secret") == provider.client_secret
    provider.client_secret = "kanari-second"
    admin.post(change(row), kept(provider, row, client_secret="kanari-second"))
    row.refresh_from_db()
    assert (revealed(row, "client_secret"), row.secret_version) == ("kanari-second", 2)
    assert revealed(row, "access_token") in provider.access_tokens


def test_a_new_secret_of_a_connection_has_to_carry_it_on(provider, admin):
    row = connected(provider)
    admin.post(change(row), kept(provider, row, client_secret="kanari-wrong"))
    assert revealed(row, "client_secret") == provider.client_secret
    provider.client_secret = "kanari-second"
    admin.post(change(row), kept(provider, row, client_secret="kanari-second"))
    assert revealed(row, "client_secret") == "kanari-second"
    assert revealed(row, "refresh_token") in provider.refresh_tokens
    assert [post["grant_type"] for post in provider.posts] == ["refresh_token", "refresh_token"]


def test_a_name_alone_asks_nobody_and_keeps_everything(provider, admin):
    row = connected(provider)
    admin.post(change(row), kept(provider, row, name="Contoso, shop"))
    row.refresh_from_db()
    assert (row.name, row.version, provider.posts) == ("Contoso, shop", 2, [])
    assert revealed(row, "access_token") == "access-first"
    (event,) = Event.objects.filter(kind="oauth.saved")
    assert event.data["changed"] == ["name"]


@pytest.mark.parametrize("field", ["client_id", "token_url", "scope"])
def test_a_secret_entered_for_another_place_is_not_kept(provider, admin, field):
    row = a_credential(provider)
    value = provider.base + "/other" if field == "token_url" else "other"
    answer = admin.post(change(row), kept(provider, row, **{field: value}))
    assert "The saved secret was entered for other values. Enter it again." in text_of(answer)
    assert provider.posts == []


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"name": ""}, "Enter a name."),
        ({"client_id": ""}, "Enter the client ID."),
        ({"client_secret": ""}, "Enter the client secret or the key."),
        ({"token_url": "ftp://login.example.com/"}, "begins with https://"),
        ({"token_url": "https://ann:pw@login.example.com/"}, "without a user name"),
        ({"token_url": "https://169.254.169.254/token"}, "The token URL may not be asked."),
        ({"account": "not an address"}, "is not a mail address"),
        (
            {"flow": "service_account", "account": ""},
            "Enter the mailbox that the service account speaks for.",
        ),
        ({"flow": "browser", "authorize_url": ""}, "begins with https://"),
        ({"client_key": "x", "client_secret": ""}, "This is no key in PEM form"),
        ({"client_key": "x"}, "not both"),
        ({"provider": "microsoft", "flow": "service_account"}, "This provider has:"),
        ({"provider": "microsoft", "tenant": "common"}, "signs in to one tenant"),
        ({"provider": "microsoft", "tenant": "a/b"}, "The tenant is a directory id"),
        ({"provider": "google", "flow": "application"}, "This provider has:"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence_where_it_stands(provider, admin, more, sentence):
    answer = admin.post(ADD, values_of(provider) | more)
    assert sentence in text_of(answer)
    assert not OAuthCredential.objects.exists()
    assert provider.posts == []


def test_two_people_never_overwrite_each_other(provider, admin):
    row = a_credential(provider)
    mine = kept(provider, row, name="Mine")
    admin.post(change(row), kept(provider, row, name="Theirs"))
    answer = admin.post(change(row), mine)
    assert "Somebody changed this credential after you opened it." in text_of(answer)
    row.refresh_from_db()
    assert row.name == "Theirs"


# What stops profiles


def used(credential, **values):
    return a_profile(
        name="Office 365", auth="oauth2", username="shop@contoso.example", oauth_credential=credential,
        accepts_clear_auth=True, **values,
    )  # fmt: skip


def test_another_account_names_the_profiles_it_stops_and_wants_a_tick(provider, admin):
    row = a_credential(provider)
    profile = used(row)
    more = {"account": "other@contoso.example", "client_secret": provider.client_secret}
    answer = admin.post(change(row), kept(provider, row, **more))
    assert "1 profile signs in with this credential: Office 365. It stops sending until it has" in text_of(
        answer
    )
    assert activation.is_live(SMTPProfile.objects.get(pk=profile.pk))
    admin.post(change(row), kept(provider, row, **more, accepts_stop="on"))
    assert not activation.is_live(SMTPProfile.objects.get(pk=profile.pk))


def test_a_new_secret_or_token_stops_nobody(provider, admin):
    row = a_credential(provider)
    profile = used(row)
    provider.client_secret = "kanari-second"
    admin.post(change(row), kept(provider, row, client_secret="kanari-second"))
    admin.post(f"{LIST}{row.pk}/token/")
    assert activation.is_live(SMTPProfile.objects.get(pk=profile.pk))


def test_a_credential_in_use_is_not_deleted(provider, admin):
    row = a_credential(provider)
    profile = used(row)
    answer = admin.post(f"{LIST}{row.pk}/delete/", {"post": "yes"})
    assert "This credential cannot be deleted: Office 365 sign in with it." in text_of(answer)
    assert OAuthCredential.objects.exists()
    profile.delete()
    admin.post(f"{LIST}{row.pk}/delete/", {"post": "yes"})
    assert not OAuthCredential.objects.exists()
    assert Event.objects.filter(kind="oauth.deleted").count() == 1


# Connect


def go(admin, row):
    """Press Connect; the address of the provider's page."""
    answer = admin.post(f"{LIST}{row.pk}/connect/")
    return answer.context["url"]


def allow(url):
    """Sign in at the provider and agree; where it sends the person back to."""
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    base = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"
    assert httpx.get(url).status_code == 200
    return httpx.get(f"{base}/allow", params=asked).headers["Location"]


def test_a_person_connects_with_pkce(provider, admin):
    row = a_credential(provider, flow="browser")
    url = go(admin, row)
    asked = parse_qs(urlsplit(url).query)
    assert url.startswith(provider.authorize_url + "?")
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == ["http://testserver/admin/smtp_settings/oauthcredential/connected/"]
    assert asked["login_hint"] == [provider.account]
    answer = admin.get(allow(url), follow=True)
    assert f"Connected as {provider.account}." in said(answer)
    assert revealed(row, "refresh_token") in provider.refresh_tokens
    assert access_token(row.pk).reveal() in provider.access_tokens
    assert Event.objects.filter(kind="oauth.connected", user=admin.user).count() == 1


def test_the_first_who_signs_in_is_the_account(provider, admin):
    row = a_credential(provider, flow="browser", account="")
    admin.get(allow(go(admin, row)))
    row.refresh_from_db()
    assert row.account == provider.account


def test_another_account_is_not_taken(provider, admin):
    row = a_credential(provider, flow="browser", account="boss@contoso.example")
    answer = admin.get(allow(go(admin, row)), follow=True)
    assert "The token is of another account." in said(answer)[0]
    assert revealed(row, "refresh_token") is None


def test_an_answer_is_taken_once_and_by_the_session_that_asked(provider, admin):
    row = a_credential(provider, flow="browser")
    back = allow(go(admin, row))
    other = Client()
    other.force_login(a_user("superuser"))
    answer = other.get(back, follow=True)
    assert "belongs to no sign-in that was begun here" in said(answer)[0]
    assert provider.posts == []
    admin.get(back)
    answer = admin.get(back, follow=True)
    assert "belongs to no sign-in that was begun here" in said(answer)[-1]
    assert len(provider.posts) == 1


@pytest.mark.parametrize("state", ["", "x", "%00", "é"])
def test_a_forged_answer_changes_nothing(provider, admin, state):
    row = a_credential(provider, flow="browser")
    go(admin, row)
    answer = admin.get(f"{LIST}connected/", {"state": state, "code": "abc", "next": "https://evil.example/"})
    assert (answer.status_code, answer.headers["Location"]) == (302, LIST)
    assert (provider.posts, revealed(row, "refresh_token")) == ([], None)


def test_an_answer_for_a_credential_that_was_changed_meanwhile_is_not_taken(provider, admin):
    row = a_credential(provider, flow="browser")
    back = allow(go(admin, row))
    admin.post(change(row), kept(provider, row, name="Other"))
    answer = admin.get(back, follow=True)
    assert "The credential was changed during the sign-in." in said(answer)[-1]
    assert provider.posts == []


def test_an_answer_after_a_quarter_of_an_hour_is_not_taken(provider, admin):
    row = a_credential(provider, flow="browser")
    back = allow(go(admin, row))
    session = admin.session
    for one in session["oauth_connecting"].values():
        one["until"] -= 16 * 60
    session.save()
    assert "took too long" in said(admin.get(back, follow=True))[0]
    assert provider.posts == []


def test_a_person_who_says_no_is_told_so(provider, admin):
    row = a_credential(provider, flow="browser")
    state = parse_qs(urlsplit(go(admin, row)).query)["state"][0]
    answer = admin.get(f"{LIST}connected/", {"state": state, "error": "access_denied"}, follow=True)
    assert "No token." in said(answer)[0]
    assert provider.posts == []


def test_connecting_again_ends_the_pause_of_its_profiles(provider, admin):
    """A pause for a fault ends when the profile's version does."""
    row = connected(provider)
    profile = used(row)
    provider.revoke()
    OAuthCredential.objects.update(access_token_expires_at=timezone.now() - timedelta(hours=1))
    with pytest.raises(TokenRefused):
        access_token(row.pk)
    page = text_of(admin.get(change(row)))
    assert "Connect again" in page
    assert "invalid_grant" in page
    admin.get(allow(go(admin, row)))
    after = SMTPProfile.objects.get(pk=profile.pk)
    assert after.version == profile.version + 1
    assert activation.is_live(after)
    assert OAuthCredential.objects.get().fault == ""


# A token now


def test_a_token_is_got_by_hand_whatever_was_said_before(provider, admin):
    row = a_credential(provider)
    provider.refuse("invalid_client", "AADSTS7000222: The provided client secret keys are expired.")
    answer = admin.post(f"{LIST}{row.pk}/token/", follow=True)
    assert "The client secret is wrong or has expired." in said(answer)[0]
    assert "<code>400 invalid_client AADSTS7000222" in said(answer)[0]
    provider.as_usual()
    answer = admin.post(f"{LIST}{row.pk}/token/", follow=True)
    assert said(answer) == ["A token was received. Account and scope are right."]
    assert len(provider.posts) == 2


# What pages show


def test_the_list_says_how_each_does_and_who_uses_it(provider, admin):
    row = connected(provider)
    used(row)
    a_credential(provider, name="New", flow="browser")
    OAuthCredential.objects.filter(pk=a_credential(provider, name="Old").pk).update(fault="invalid_grant")
    soon = timezone.now() + timedelta(days=12, hours=1)
    a_credential(provider, name="Soon", client_secret_expires_at=soon)
    page = text_of(admin.get(LIST))
    for words in (
        "Connected until", "Not connected yet", "No token: <code>invalid_grant</code>",
        "Client secret expires in 12 days", ">Office 365</a>",
    ):  # fmt: skip
        assert words in page, words


def test_no_secret_and_no_token_is_on_any_page(provider, admin):
    row = connected(provider)
    for url in (LIST, change(row), f"{LIST}{row.pk}/history/", f"{LIST}{row.pk}/delete/"):
        page = admin.get(url).content.decode()
        for secret in (provider.client_secret, "access-first", "refresh-first"):
            assert secret not in page, url
    page = text_of(admin.get(change(row)))
    assert "•••••••• saved" in page


def test_a_viewer_sees_values_and_no_button(provider):
    client = Client()
    client.force_login(a_user("viewer"))
    row = connected(provider)
    page = text_of(client.get(change(row)))
    assert provider.client_id in page
    assert "Get a token now" not in page
    assert client.post(f"{LIST}{row.pk}/connect/").status_code == 403
    assert client.post(f"{LIST}{row.pk}/token/").status_code == 403
    assert provider.posts == []


@pytest.mark.parametrize("lookup", ["client_secret__startswith", "refresh_token__contains", "account"])
def test_a_secret_is_in_no_filter(provider, admin, lookup):
    a_credential(provider)
    assert admin.get(LIST, {lookup: "x"}).status_code in (302, 400)

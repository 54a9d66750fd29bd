"""A profile paused for a refused sign-in: the dashboard and the profile say it by the table of causes."""

import pytest
from django.urls import reverse

from delivery import queue
from delivery.models import ProfileState
from delivery.queue import Paused
from smtp_settings.diagnosis import Symptom
from tests.builders import a_profile
from tests.delivery.engine import drained, queued
from tests.pages import assert_strict, client_of, text_of
from tests.servers import smtp_server

REFUSAL = "535 5.7.8 Authentication failed"
HOME, LIST = reverse("admin:index"), reverse("admin:smtp_settings_smtpprofile_changelist")

pages = pytest.mark.django_db


def a_refused_profile(reason=REFUSAL):
    """A profile as a worker leaves it that was refused so."""
    queue.register_worker()
    profile = a_profile(name="EU relay")
    queue.pause(profile.pk, Paused.FAULT, reason=reason)
    return profile


def shown(address, role="operator"):
    response = client_of(role).get(address)
    assert_strict(response)
    return text_of(response)


@pages
def test_the_dashboard_says_since_when_and_what_waits():
    a_refused_profile()
    queued(3)
    page = shown(HOME)
    assert "EU relay refuses the sign-in since " in page
    assert "3 messages wait. Open profile" in page


@pages
def test_the_list_and_the_page_say_what_the_reply_means():
    profile = a_refused_profile("534 5.7.9 Application-specific password required")
    for address in (LIST, reverse("admin:smtp_settings_smtpprofile_change", args=[profile.pk])):
        page = shown(address, "viewer")
        assert "Paused: sign-in refused since " in page
        assert "Google wants an app password. (534 5.7.9 Application-specific password required)" in page


@pages
def test_a_provider_that_gives_no_token_is_a_refused_sign_in():
    profile = a_refused_profile("400 invalid_grant AADSTS700082: The refresh token has expired.")
    for address in (LIST, reverse("admin:smtp_settings_smtpprofile_change", args=[profile.pk])):
        page = shown(address, "viewer")
        assert "Paused: sign-in refused since " in page
    assert "has expired or was revoked. (400 invalid_grant AADSTS700082" in page


@pages
@pytest.mark.parametrize(
    "reason",
    ["The certificate expired.", "550 5.7.1 Blocked", "530 5.7.0 Must issue a STARTTLS command first"],
)
def test_any_other_fault_is_told_in_its_own_words(reason):
    a_refused_profile(reason)
    page = shown(HOME)
    assert f"EU relay: Paused: {reason.rstrip('.')} since " in page
    assert "refuses the sign-in" not in page


@pages
def test_a_profile_paused_by_a_person_refuses_nothing():
    profile, client = a_profile(name="EU relay"), client_of("operator")
    queue.pause(profile.pk, Paused.PERSON, reason=REFUSAL, user_id=client.user.pk)
    assert "refuse" not in shown(HOME)
    assert "refused the user name" not in shown(LIST)


@pytest.mark.django_db(transaction=True)
def test_a_worker_notes_the_refusal_with_its_codes():
    with smtp_server(security="none", auth=("shop", "right")) as server:
        a_profile(
            name="EU relay",
            host=server.host,
            port=server.port,
            auth="password",
            username="shop",
            password="wrong",
            accepts_clear_auth=True,
        )
        queued()
        drained()
    assert ProfileState.objects.get().reason.startswith("535 5.7.8 ")
    assert "EU relay refuses the sign-in since " in shown(HOME)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("535 5.7.8 No", (535, "5.7.8", "No")),
        ("535", (535, "", "")),
        ("550 No such user", (550, "", "No such user")),
        ("The certificate expired.", None),
        ("", None),
    ],
)
def test_a_reply_is_read_as_it_is_written(words, found):
    symptom = Symptom.of_words("auth", words)
    assert (symptom and (symptom.code, symptom.enhanced, symptom.text)) == found
    assert symptom is None or symptom.words == words

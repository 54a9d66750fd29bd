"""Every address of the admin for every role: what opens, what is refused, what asks to sign in.

The table has a row for each name in the admin's addresses, or this fails: a new page has to say who opens it.
"""

from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.contrib.sites.models import Site
from django.urls import URLPattern, URLResolver, reverse

from delivery import handover
from smtp_settings.models import Event
from tests.builders import a_profile, a_user, evidence
from tests.pages import client_of

pytestmark = pytest.mark.django_db

#: The columns: who asks.
ROLES = ("administrator", "operator", "viewer", "staff")

ALL = (200, 200, 200, 200)
NOBODY = (403, 403, 403, 403)
ADMINISTRATORS = (200, 403, 403, 403)
READERS = (200, 200, 200, 403)
MISSING = (404, 404, 404, 404)
TESTERS = (200, 200, 403, 403)

#: name -> (method, answers by role). A POST carries nothing: who may ask it gets anything but a 403.
TABLE = {
    "index": ("GET", ALL),
    "login": ("GET", (302, 302, 302, 302)),
    "logout": ("POST", ALL),
    "password_change": ("GET", ALL),
    "password_change_done": ("GET", ALL),
    "autocomplete": ("GET", NOBODY),
    "jsi18n": ("GET", ALL),
    "view_on_site": ("GET", MISSING),
    "app_list": ("GET", (200, 200, 200, 404)),
    "sandbox": ("GET", READERS),
    "sandbox_message": ("GET", (404, 403, 403, 403)),
    "sandbox_preview": ("GET", (404, 403, 403, 403)),
    "sandbox_attachment": ("GET", (404, 403, 403, 403)),
    "sandbox_download": ("GET", (404, 403, 403, 403)),
    # Profiles
    "smtp_settings_smtpprofile_changelist": ("GET", READERS),
    "smtp_settings_smtpprofile_add": ("GET", ADMINISTRATORS),
    "smtp_settings_smtpprofile_change": ("GET", READERS),
    "smtp_settings_smtpprofile_delete": ("GET", ADMINISTRATORS),
    "smtp_settings_smtpprofile_history": ("GET", READERS),
    "smtp_settings_smtpprofile_test": ("POST", (302, 302, 403, 403)),
    "smtp_settings_smtpprofile_pause": ("POST", (302, 302, 403, 403)),
    "smtp_settings_smtpprofile_resume": ("POST", (302, 302, 403, 403)),
    "smtp_settings_smtpprofile_try_now": ("POST", (302, 302, 403, 403)),
    "smtp_settings_smtpprofile_duplicate": ("POST", (302, 403, 403, 403)),
    "smtp_settings_smtpprofile_test_all": ("GET", TESTERS),
    "smtp_settings_smtpprofile_test_all_batch": ("GET", (404, 404, 403, 403)),
    "smtp_settings_smtpprofile_test_all_state": ("GET", (404, 404, 403, 403)),
    "smtp_settings_smtpprofile_test_all_stop": ("POST", (404, 404, 403, 403)),
    "smtp_settings_smtpprofile_hints": ("POST", ADMINISTRATORS),
    "smtp_settings_smtpprofile_fill": ("POST", ADMINISTRATORS),
    "smtp_settings_smtpprofile_dns": ("POST", ADMINISTRATORS),
    "smtp_settings_smtpprofile_find": ("POST", ADMINISTRATORS),
    "smtp_settings_smtpprofile_found": ("GET", (404, 403, 403, 403)),
    "smtp_settings_smtpprofile_find_stop": ("POST", (404, 403, 403, 403)),
    "smtp_settings_smtpprofile_offer": ("POST", ADMINISTRATORS),
    # Tests
    "smtp_settings_testrun_start": ("POST", ADMINISTRATORS),
    "smtp_settings_testrun_state": ("GET", (200, 403, 200, 403)),
    "smtp_settings_testrun_stop": ("POST", (200, 403, 403, 403)),
    # Test runs of somebody else, and the event log
    "smtp_settings_testrun_changelist": ("GET", READERS),
    "smtp_settings_testrun_add": ("GET", NOBODY),
    "smtp_settings_testrun_change": ("GET", (200, 302, 200, 403)),
    "smtp_settings_testrun_delete": ("GET", NOBODY),
    "smtp_settings_testrun_history": ("GET", (200, 302, 200, 302)),
    "smtp_settings_event_changelist": ("GET", READERS),
    "smtp_settings_event_add": ("GET", NOBODY),
    "smtp_settings_event_change": ("GET", (200, 302, 200, 403)),
    "smtp_settings_event_delete": ("GET", NOBODY),
    "smtp_settings_event_history": ("GET", (200, 302, 200, 302)),
    # Messages
    "delivery_message_changelist": ("GET", READERS),
    "delivery_message_change": ("GET", READERS),
    "delivery_message_content": ("GET", ADMINISTRATORS),
    "delivery_message_preview": ("GET", ADMINISTRATORS),
    "delivery_message_attachment": ("GET", (404, 403, 403, 403)),
    "delivery_message_download": ("GET", ADMINISTRATORS),
    "delivery_message_action": ("POST", (302, 302, 403, 403)),
    # Users, groups, sites
    "auth_user_changelist": ("GET", ADMINISTRATORS),
    "auth_user_add": ("GET", ADMINISTRATORS),
    "auth_user_change": ("GET", ADMINISTRATORS),
    "auth_user_delete": ("GET", ADMINISTRATORS),
    "auth_user_history": ("GET", ADMINISTRATORS),
    "auth_user_password_change": ("GET", ADMINISTRATORS),
    "auth_group_changelist": ("GET", ADMINISTRATORS),
    "auth_group_add": ("GET", ADMINISTRATORS),
    "auth_group_change": ("GET", ADMINISTRATORS),
    "auth_group_delete": ("GET", ADMINISTRATORS),
    "auth_group_history": ("GET", ADMINISTRATORS),
    "sites_site_changelist": ("GET", ADMINISTRATORS),
    "sites_site_add": ("GET", ADMINISTRATORS),
    "sites_site_change": ("GET", ADMINISTRATORS),
    "sites_site_delete": ("GET", ADMINISTRATORS),
    "sites_site_history": ("GET", ADMINISTRATORS),
}


def names_of(patterns):
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from names_of(pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield pattern.name


def test_every_address_has_its_row():
    assert set(names_of(admin.site.get_urls())) == set(TABLE)


@pytest.fixture
def house():
    """Something of everything, made by somebody else; what each name's address takes."""
    other = a_user("superuser", username="other")
    profile, site = a_profile(), Site.objects.create(domain="shop.example")
    run = evidence(profile, user=other)
    event = Event.objects.create(kind="server.paused", user_id=other.pk)
    mail = b"From: shop@example.com\r\nTo: bob@example.com\r\nSubject: Report\r\n\r\nNumbers.\r\n"
    message = handover.send(mail)
    return {
        "app_list": ["smtp_settings"],
        "view_on_site": [999_999, 1],
        "sandbox_message": ["none"],
        "sandbox_preview": ["none"],
        "sandbox_attachment": ["none", 0],
        "sandbox_download": ["none"],
        "smtp_settings_testrun_state": [run.uuid],
        "smtp_settings_testrun_stop": [run.uuid],
        "smtp_settings_smtpprofile_test_all": [],
        "smtp_settings_smtpprofile_test_all_": [uuid4()],
        "smtp_settings_smtpprofile_found": [uuid4()],
        "smtp_settings_smtpprofile_find_stop": [uuid4()],
        "smtp_settings_smtpprofile_": [profile.pk],
        "smtp_settings_testrun_": [run.pk],
        "smtp_settings_event_": [event.pk],
        "delivery_message_attachment": [message.id, 0],
        "delivery_message_action": [message.id, "hold"],
        "delivery_message_": [message.id],
        "auth_user_": [other.pk],
        "auth_group_": [Group.objects.get(name="mailconf viewers").pk],
        "sites_site_": [site.pk],
    }


_WITHOUT = ("_changelist", "_add", "_start", "_hints", "_fill", "_dns", "_find", "_offer")


def address(name, house):
    if name.endswith(_WITHOUT) and name not in house:
        return reverse(f"admin:{name}")
    exact = house.get(name)
    longest = max((key for key in house if key.endswith("_") and name.startswith(key)), key=len, default="")
    args = exact if exact is not None else house.get(longest, [])
    return reverse(f"admin:{name}", args=args)


def answer(client, name, method, house):
    url = address(name, house)
    return (client.post(url) if method == "POST" else client.get(url)).status_code


@pytest.mark.parametrize("role", ROLES)
def test_each_role_gets_what_the_table_says_at_every_address(role, house):
    column = ROLES.index(role)
    client, wrong = client_of(role), {}
    for name in sorted(TABLE, key=lambda one: one == "logout"):  # last: it ends the rest
        method, expected = TABLE[name]
        got = answer(client, name, method, house)
        if got != expected[column]:
            wrong[name] = (got, expected[column])
    assert wrong == {}


@pytest.mark.parametrize("role", ["nobody", "anonymous"])
def test_who_is_no_staff_is_asked_to_sign_in_everywhere(role, house):
    open_to_all = {"login": 200, "jsi18n": 302, "logout": 302}
    client = client_of(role)
    for name, (method, _expected) in TABLE.items():
        if name not in open_to_all:
            assert answer(client, name, method, house) == 302, name


@pytest.mark.parametrize("model", ["auth_user", "auth_group", "sites_site"])
@pytest.mark.parametrize("role", ["administrator", "viewer"])
@pytest.mark.parametrize("forged", ["x", "-1", "9" * 30, "' OR 1=1", "\x00"])
def test_a_forged_number_in_a_bulk_delete_is_no_fault_of_ours(model, role, forged):
    url = reverse(f"admin:{model}_changelist")
    data = {"action": "delete_selected", "_selected_action": [forged], "index": "0", "post": "yes"}
    client = client_of(role)
    client.raise_request_exception = False
    before = get_user_model().objects.count(), Group.objects.count(), Site.objects.count()
    response = client.post(url, data)
    assert response.status_code in ({302, 400, 404} if role == "administrator" else {403})
    assert (get_user_model().objects.count(), Group.objects.count(), Site.objects.count()) == before

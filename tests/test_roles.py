"""Who may open and do what: every address, by every role (UX 5, B57, traps 2 and 11).

An address that is not in the tables fails: whoever adds one says here who may use it.
"""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from delivery.models import BulkJob, Message
from smtp_settings.models import SMTPProfile, TestRun
from tests.builders import a_user
from tests.house import every_address, furnish

pytestmark = pytest.mark.django_db

ROLES = ("superuser", "administrator", "operator", "viewer", "staff", "nobody", "anonymous")

EVERYBODY = "+++++>>"
WHO_LOOKS = "++++->>"
WHO_CHANGES = "++--->>"
WHO_TESTS = "+++-->>"
NO_PAGE = ".....>>"
NONE = "----->>"

#: What GET answers to each role: + a page, - 403, > the sign-in, ~ the first page, ? 404, . 405.
PAGES = {
    "index": EVERYBODY,
    "login": "~~~~~++",
    "logout": ".....~~",
    "password_change": EVERYBODY,
    "password_change_done": EVERYBODY,
    "app_list": "++++?>>",
    "manual": EVERYBODY,
    "sandbox": WHO_LOOKS,
    "sandbox_message": "??--->>",
    "sandbox_preview": "??--->>",
    "sandbox_attachment": "??--->>",
    "sandbox_download": "??--->>",
    "test-received": "???????",  # no token of ours: nobody learns more
    "smtp_settings_testrun_changelist": WHO_LOOKS,
    "smtp_settings_testrun_add": NONE,
    "smtp_settings_testrun_history": "++~+~>>",
    "smtp_settings_testrun_delete": NONE,
    "smtp_settings_testrun_change": "++~+->>",  # operators: their own
    "smtp_settings_testrun_start": NO_PAGE,
    "smtp_settings_testrun_session": WHO_CHANGES,
    "smtp_settings_testrun_state": "++-+->>",
    "smtp_settings_testrun_stop": NO_PAGE,
    "smtp_settings_event_changelist": WHO_LOOKS,
    "smtp_settings_event_add": NONE,
    "smtp_settings_event_export": WHO_CHANGES,
    "smtp_settings_event_email_log": "??--->>",  # none is kept
    "smtp_settings_event_history": "++~+~>>",
    "smtp_settings_event_delete": NONE,
    "smtp_settings_event_change": "++~+->>",  # operators: their own
    "smtp_settings_notificationsettings_changelist": WHO_LOOKS,
    "smtp_settings_notificationsettings_add": NONE,
    "smtp_settings_notificationsettings_history": WHO_LOOKS,
    "smtp_settings_notificationsettings_delete": NONE,
    "smtp_settings_notificationsettings_change": WHO_LOOKS,
    "smtp_settings_notificationsettings_test": NO_PAGE,
    "smtp_settings_sendingpolicy_changelist": WHO_LOOKS,
    "smtp_settings_sendingpolicy_add": NONE,
    "smtp_settings_sendingpolicy_history": WHO_LOOKS,
    "smtp_settings_sendingpolicy_delete": NONE,
    "smtp_settings_sendingpolicy_change": WHO_LOOKS,
    "smtp_settings_sendingpolicy_site": WHO_LOOKS,
    "smtp_settings_sendingpolicy_place": NO_PAGE,
    "smtp_settings_oauthcredential_changelist": WHO_LOOKS,
    "smtp_settings_oauthcredential_add": WHO_CHANGES,
    "smtp_settings_oauthcredential_history": WHO_LOOKS,
    "smtp_settings_oauthcredential_delete": WHO_CHANGES,
    "smtp_settings_oauthcredential_change": WHO_LOOKS,
    "smtp_settings_oauthcredential_connect": NO_PAGE,
    "smtp_settings_oauthcredential_connected": WHO_CHANGES,  # back to the list: nothing was begun
    "smtp_settings_oauthcredential_token": NO_PAGE,
    "smtp_settings_smtpprofile_changelist": WHO_LOOKS,
    "smtp_settings_smtpprofile_add": WHO_CHANGES,
    "smtp_settings_smtpprofile_history": WHO_LOOKS,
    "smtp_settings_smtpprofile_delete": WHO_CHANGES,
    "smtp_settings_smtpprofile_change": WHO_LOOKS,
    "smtp_settings_smtpprofile_leak": WHO_CHANGES,
    "smtp_settings_smtpprofile_test": NO_PAGE,
    "smtp_settings_smtpprofile_pause": NO_PAGE,
    "smtp_settings_smtpprofile_resume": NO_PAGE,
    "smtp_settings_smtpprofile_try_now": NO_PAGE,
    "smtp_settings_smtpprofile_forget": NO_PAGE,
    "smtp_settings_smtpprofile_duplicate": NO_PAGE,
    "smtp_settings_smtpprofile_hints": NO_PAGE,
    "smtp_settings_smtpprofile_fill": NO_PAGE,
    "smtp_settings_smtpprofile_test_all": WHO_TESTS,
    "smtp_settings_smtpprofile_test_all_batch": "++?-->>",  # operators: their own
    "smtp_settings_smtpprofile_test_all_state": "++?-->>",
    "smtp_settings_smtpprofile_test_all_stop": NO_PAGE,
    "smtp_settings_smtpprofile_find": NO_PAGE,
    "smtp_settings_smtpprofile_found": "+?--->>",  # whoever asked for the search
    "smtp_settings_smtpprofile_find_stop": NO_PAGE,
    "smtp_settings_smtpprofile_dns": NO_PAGE,
    "smtp_settings_smtpprofile_offer": NO_PAGE,
    "delivery_message_changelist": WHO_LOOKS,
    "delivery_message_change": WHO_LOOKS,
    "delivery_message_route": WHO_LOOKS,
    "delivery_message_content": WHO_CHANGES,
    "delivery_message_preview": WHO_CHANGES,
    "delivery_message_attachment": "??--->>",
    "delivery_message_download": WHO_CHANGES,
    "delivery_message_action": NO_PAGE,
    "delivery_message_resend": WHO_CHANGES,
    "delivery_bulkjob_changelist": WHO_LOOKS,
    "delivery_bulkjob_start": "????->>",  # the address names no act
    "delivery_bulkjob_change": "++?+->>",  # operators: their own
    "delivery_bulkjob_state": "++?+->>",
    "delivery_bulkjob_stop": NO_PAGE,
}

#: Who may post; everybody else is refused. An address left out changes nothing by POST.
POSTS = {
    "smtp_settings_oauthcredential_add": WHO_CHANGES,
    "smtp_settings_oauthcredential_change": WHO_CHANGES,
    "smtp_settings_oauthcredential_delete": WHO_CHANGES,
    "smtp_settings_oauthcredential_connect": WHO_CHANGES,
    "smtp_settings_oauthcredential_token": WHO_CHANGES,
    "smtp_settings_smtpprofile_add": WHO_CHANGES,
    "smtp_settings_smtpprofile_change": WHO_CHANGES,
    "smtp_settings_smtpprofile_delete": WHO_CHANGES,
    "smtp_settings_smtpprofile_duplicate": WHO_CHANGES,
    "smtp_settings_smtpprofile_leak": WHO_CHANGES,
    "smtp_settings_smtpprofile_hints": WHO_CHANGES,
    "smtp_settings_smtpprofile_fill": WHO_CHANGES,
    "smtp_settings_smtpprofile_find": WHO_CHANGES,
    "smtp_settings_smtpprofile_find_stop": WHO_CHANGES,
    "smtp_settings_smtpprofile_dns": WHO_CHANGES,
    "smtp_settings_smtpprofile_offer": WHO_CHANGES,
    "smtp_settings_smtpprofile_test": WHO_TESTS,
    "smtp_settings_smtpprofile_pause": WHO_TESTS,
    "smtp_settings_smtpprofile_resume": WHO_TESTS,
    "smtp_settings_smtpprofile_try_now": WHO_TESTS,
    "smtp_settings_smtpprofile_forget": WHO_TESTS,
    "smtp_settings_smtpprofile_test_all": WHO_TESTS,
    "smtp_settings_smtpprofile_test_all_stop": WHO_CHANGES,  # and operators their own
    "smtp_settings_testrun_start": WHO_CHANGES,  # and operators saved settings
    "smtp_settings_testrun_stop": WHO_CHANGES,  # and operators their own
    "smtp_settings_testrun_add": NONE,
    "smtp_settings_testrun_change": NONE,
    "smtp_settings_testrun_delete": NONE,
    "smtp_settings_event_add": NONE,
    "smtp_settings_event_change": NONE,
    "smtp_settings_notificationsettings_add": NONE,
    "smtp_settings_notificationsettings_change": WHO_CHANGES,
    "smtp_settings_notificationsettings_delete": NONE,
    "smtp_settings_notificationsettings_test": WHO_CHANGES,
    "smtp_settings_event_delete": NONE,
    "smtp_settings_sendingpolicy_add": NONE,
    "smtp_settings_sendingpolicy_change": WHO_CHANGES,
    "smtp_settings_sendingpolicy_delete": NONE,
    "smtp_settings_sendingpolicy_place": WHO_CHANGES,
    "delivery_message_action": WHO_TESTS,
    "delivery_message_resend": WHO_CHANGES,
    "delivery_bulkjob_start": NONE,  # without an act
    "delivery_bulkjob_stop": WHO_CHANGES,  # and operators their own
}


def sign(answer):
    """How an address answered."""
    if answer.status_code == 302:
        to = answer.headers["Location"]
        if to.startswith("/admin/login/"):
            return ">"
        return "~" if to == "/admin/" else "+"
    return {200: "+", 403: "-", 404: "?", 405: "."}[answer.status_code]


def is_stock(name):
    """Pages about people and sites are Django's; administrators have them, nobody else."""
    return name.startswith(("auth_", "sites_"))


@pytest.fixture
def house():
    return furnish(a_user("superuser"))


def client_as(role, house):
    client = Client()
    if role == "superuser":
        client.force_login(house.person)
    elif role != "anonymous":
        client.force_login(a_user(role))
    return client


def test_every_address_opens_for_those_who_may(house):
    clients = [client_as(role, house) for role in ROLES]
    found, expected = {}, {}
    for address in every_address(house):
        found[address.name] = "".join(sign(client.get(address.url)) for client in clients)
        expected[address.name] = WHO_CHANGES if is_stock(address.name) else PAGES.get(address.name)

    assert found == expected


def what_is_there():
    """What no refused request may change."""
    rows = [
        list(model.objects.order_by("pk").values_list())
        for model in (SMTPProfile, TestRun, Message, BulkJob, User)
    ]
    return [*rows[:-1], len(rows[-1])]


@pytest.mark.parametrize("role", ROLES[1:])
def test_a_post_of_those_who_may_not_is_refused_and_changes_nothing(house, role):
    client, place = client_as(role, house), ROLES.index(role)
    before = what_is_there()
    for address in every_address(house):
        may = POSTS.get(address.name, WHO_CHANGES if is_stock(address.name) else "")
        if not may or may[place] == "+":
            continue
        answer = client.post(address.url, {"name": "zz", "post": "yes", "_saved": "", "_object_id": ""})
        assert sign(answer) in ("-", ">", "~", "?"), (address.name, answer.status_code)

    assert what_is_there() == before


def test_every_address_that_takes_a_post_says_who_may(house):
    """A view that is not in the table answers a superuser's POST with 405 or shows itself as a GET does."""
    client = client_as("superuser", house)
    unlisted = [
        one
        for one in every_address(house)
        if one.name not in POSTS and not is_stock(one.name) and one.name not in ("login", "logout")
    ]
    before = what_is_there()
    for address in unlisted:
        client.post(address.url, {"name": "zz", "post": "yes", "action": "delete_selected", "index": "0"})

    assert what_is_there() == before


def test_operators_find_only_their_own_events_and_runs(house):
    operator = client_as("operator", house)

    for path in ("smtp_settings/testrun", "smtp_settings/event"):
        assert operator.get(f"/admin/{path}/").context["cl"].result_count == 0, path

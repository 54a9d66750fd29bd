"""Presets, corrections and hints of the profile form over HTTP: nothing is saved, nothing typed is lost."""

import html as entities
from datetime import timedelta
from urllib.parse import parse_qs, urlencode

import pytest
from django.urls import reverse
from django.utils import timezone

from smtp_settings.clearance import activation
from smtp_settings.models import Event, SMTPProfile, TestRun
from tests.builders import a_profile, a_user
from tests.pages import assert_strict, client_of
from tests.servers import smtp_server
from tests.submitting import buttons_of, form_of

pytestmark = pytest.mark.django_db

ADD = "/admin/smtp_settings/smtpprofile/add/"
CANARY = "kanarienvogel-7Qz"


@pytest.fixture
def client(client):
    client.force_login(a_user("superuser"))
    return client


def change_url(profile):
    return reverse("admin:smtp_settings_smtpprofile_change", args=[profile.pk])


def hints_of(client, **values):
    """What the endpoint says about values typed into the empty form: field -> HTML."""
    posted = form_of(client.get(ADD)) | values
    answer = client.post(reverse("admin:smtp_settings_smtpprofile_hints"), posted)
    assert answer.status_code == 200
    return {hint["field"]: hint["html"] for hint in answer.json()["hints"]}


def filled(client, **values):
    """What the endpoint fills into the empty form with these values."""
    posted = form_of(client.get(ADD)) | values
    answer = client.post(reverse("admin:smtp_settings_smtpprofile_fill"), posted)
    assert answer.status_code == 200
    return answer.json()


def press(client, url, values, button, value="1"):
    return client.post(url, values | {button: value})


def shown(response):
    return entities.unescape(response.content.decode())


# Filling in


def test_a_preset_fills_what_nobody_has_typed_and_says_so(client):
    answer = filled(client, preset="sendgrid")

    assert answer["changes"] | {"name": ""} == {"host": "smtp.sendgrid.net", "username": "apikey", "name": ""}
    assert "Filled in for SendGrid: smtp.sendgrid.net, port 587, STARTTLS" in answer["sentence"]
    assert answer["note"] in entities.unescape(answer["html"])
    assert answer["focus"] == "password"


def test_a_preset_spares_what_a_person_typed(client):
    answer = filled(client, preset="sendgrid", username="shop", host="relay.example.com", name="My relay")

    assert not {"host", "username", "name"} & answer["changes"].keys()
    assert "Kept as you entered it" in answer["sentence"]


def test_a_name_is_proposed_from_the_preset_and_the_from_domain_and_is_not_taken(client):
    assert filled(client, preset="sendgrid", from_address="shop@example.com")["changes"]["name"] == (
        "SendGrid (example.com)"
    )
    a_profile(name="SendGrid (example.com)")
    assert filled(client, preset="sendgrid", from_address="shop@example.com")["changes"]["name"] == (
        "SendGrid (example.com) 2"
    )


def test_a_region_chooses_the_server(client):
    answer = filled(client, preset="ses")
    assert "host" not in answer["changes"]
    assert "Choose the region" in answer["html"]

    answer = filled(client, preset="ses", preset_region="eu-west-1")
    assert answer["changes"]["host"] == "email-smtp.eu-west-1.amazonaws.com"


def test_a_region_of_servers_is_shown_with_smtp_only(client):
    """Amazon's interface has a region of its own; profile.css hides what is of another method."""
    assert '<div class="mc-method is-smtp"><p class="mc-region">' in filled(client, preset="ses")["html"]
    assert '<div class="mc-method is-ses">' in (html := filled(client, preset="ses-api")["html"])
    assert "mc-region" not in html


@pytest.mark.parametrize("preset", ["", "no-such", "<script>", "x" * 1000])
def test_an_unknown_preset_fills_nothing(client, preset):
    assert filled(client, preset=preset)["changes"] == {}


def test_without_scripts_the_button_fills_in_and_undo_restores_exactly_what_was_there(client):
    before = form_of(client.get(ADD)) | {"notes": "keep me", "per_minute": "7"}

    page = press(client, ADD, before | {"preset": "m365"}, "_fill")
    after = form_of(page)
    assert (after["host"], after["max_connections"]) == ("smtp.office365.com", "2")
    assert (after["notes"], after["per_minute"]) == ("keep me", "7")
    assert "Filled in for Microsoft 365" in shown(page)
    assert "errorlist" not in shown(page)
    assert not SMTPProfile.objects.exists()
    assert_strict(page)

    undo = shown(page).split('name="_undo" value="', 1)[1].split('"', 1)[0]
    assert form_of(press(client, ADD, after, "_undo", undo)) == before


def test_the_next_preset_replaces_the_values_of_the_one_before(client):
    page = press(client, ADD, form_of(client.get(ADD)) | {"preset": "m365"}, "_fill")
    page = press(client, ADD, form_of(page) | {"preset": "sendgrid"}, "_fill")

    values = form_of(page)
    assert (values["host"], values["username"]) == ("smtp.sendgrid.net", "apikey")
    assert (values["max_connections"], values["per_minute"]) == ("4", "0")


def test_a_chosen_preset_is_saved_and_a_forged_one_is_not(client):
    values = form_of(client.get(ADD)) | {"name": "Relay", "preset": "sendgrid"}
    press(client, ADD, values, "_draft")
    assert SMTPProfile.objects.get().preset == "sendgrid"

    assert "errorlist" in shown(press(client, ADD, values | {"name": "B", "preset": "no-such"}, "_draft"))


def test_a_saved_preset_that_is_no_longer_known_is_kept(client):
    profile = a_profile(preset="gone-provider")
    values = form_of(client.get(change_url(profile)))
    assert values["preset"] == "gone-provider"

    assert press(client, change_url(profile), values | {"notes": "x"}, "_save").status_code == 302
    profile.refresh_from_db()
    assert (profile.preset, profile.notes) == ("gone-provider", "x")


def test_undo_puts_back_nothing_but_what_a_preset_fills(client):
    values = form_of(client.get(ADD)) | {"notes": "mine", "name": "Mine"}
    forged = urlencode(
        {"notes": "theirs", "password": CANARY, "enabled": "", "version": "9", "host": "x.example"}
    )

    after = form_of(press(client, ADD, values, "_undo", forged))

    assert after == values | {"host": "x.example"}
    assert form_of(press(client, ADD, values, "_undo", "host=" + "x" * 9000)) == values


def test_choosing_nothing_and_filling_in_asks_for_a_choice(client):
    assert "Choose a provider first." in shown(press(client, ADD, form_of(client.get(ADD)), "_fill"))


# Corrections


def test_a_hints_button_corrects_the_form_and_saves_nothing(client):
    values = form_of(client.get(ADD)) | {"host": "smtp.example.com", "port": "465"}
    page = press(client, ADD, values, "_send_test")
    fix = shown(page).split('name="_fix" value="', 1)[1].split('"', 1)[0]
    assert parse_qs(fix) == {"security": ["tls"]}

    after = form_of(press(client, ADD, values, "_fix", fix))

    assert after["security"] == "tls"
    assert after | {"security": "starttls"} == values
    assert not TestRun.objects.exists()


def test_a_correction_changes_only_what_corrections_may(client):
    profile = a_profile()
    values = form_of(client.get(change_url(profile)))
    forged = "enabled=on&password=x&name=evil&host=smtp.example.org"

    after = form_of(press(client, change_url(profile), values, "_fix", forged))

    assert after == values | {"host": "smtp.example.org"}
    profile.refresh_from_db()
    assert profile.host == "127.0.0.1"


def test_apply_corrects_and_tests_again(client):
    with smtp_server(security="none") as server:
        values = form_of(client.get(ADD)) | {
            "name": "EU relay", "host": server.host, "port": "1", "security": "none", "auth": "none",
            "from_address": "shop@example.com",
        }  # fmt: skip
        page = press(client, ADD, values, "_apply", f"port={server.port}")

    assert form_of(page)["port"] == str(server.port)
    assert TestRun.objects.get().state == TestRun.State.PASSED
    assert not SMTPProfile.objects.exists()


# Hints


@pytest.mark.parametrize(
    ("values", "field", "sentence"),
    [
        ({"host": "smtp.gmial.com"}, "host", "Did you mean smtp.gmail.com?"),
        ({"port": "465"}, "port", "normally expects TLS from the first byte"),
        ({"port": "26"}, "port", "Port 26 is not allowed here. An operator can add it."),
        ({"security": "none"}, "security", "Nothing is encrypted"),
        ({"verification": "none"}, "verification", "The certificate is not checked."),
        ({"_password_length": "5", "_password_space": "start"}, "password", "starts with a space"),
        ({"_password_length": "5", "_password_same": "on", "username": "x"}, "password", "are the same"),
        ({"retry_delay": "10"}, "retry_delay", "greylist"),
        ({"per_minute": "25"}, "per_minute", "1,500"),
    ],
)
def test_what_is_odd_is_said_beside_its_field(client, values, field, sentence):
    assert sentence in entities.unescape(hints_of(client, **values)[field])


def test_the_same_hints_are_on_the_page_without_scripts(client):
    profile = a_profile(host="smtp.gmial.com", port=587)
    page = shown(client.get(change_url(profile)))

    assert 'aria-describedby="id_host_hint"' in page
    assert "Did you mean smtp.gmail.com?" in page.split('id="id_host_hint"', 1)[1].split("</div>", 1)[0]


def test_another_profile_with_the_same_from_address_is_named_but_not_oneself(client):
    other = a_profile(name="EU relay", from_address="shop@example.com")
    assert (
        "EU relay sends as this address, too."
        in hints_of(client, from_address="Shop@example.com")["from_address"]
    )

    assert "sends as this address" not in shown(client.get(change_url(other)))


def test_a_from_domain_that_passed_a_test_there_is_not_asked_to_be_verified(client):
    values = {"host": "smtp.sendgrid.net", "from_address": "shop@example.com"}
    assert "Verify example.com at SendGrid first." in hints_of(client, **values)["from_address"]

    TestRun.objects.create(
        profile_uuid="0" * 32, state="passed", fingerprint="f", recipients=[], settings=values
    )
    assert "from_address" not in hints_of(client, **values)


def test_what_is_typed_comes_back_escaped(client):
    html = str(hints_of(client, host="<script>alert(1)</script>.example.com", username="<b>x"))

    assert "<script>" not in html
    assert "<b>" not in html


@pytest.mark.parametrize(
    "junk",
    [
        {"port": "9" * 400, "per_minute": "-1", "retry_cap": "1e9"},
        {"_password_length": "x", "_password_start": CANARY},
        {"host": "\x00\u202e", "from_address": "@", "username": "%s{}"},
        {"preset": "\x00", "preset_region": "../"},
    ],
)
def test_hostile_values_get_an_answer(client, junk):
    assert CANARY not in str(hints_of(client, **junk))
    assert filled(client, **junk | {"preset": "ses"})["sentence"]


def test_the_password_is_in_no_answer(client, caplog):
    values = form_of(client.get(ADD)) | {"password": CANARY, "username": CANARY[:4], "preset": "sendgrid"}
    answers = [
        client.post(reverse(f"admin:smtp_settings_smtpprofile_{name}"), values) for name in ("hints", "fill")
    ]
    answers += [press(client, ADD, values, "_fill"), press(client, ADD, values, "_fix", "port=465")]

    assert all(answer.status_code == 200 for answer in answers)
    assert not [answer for answer in answers if CANARY in answer.content.decode()]
    assert CANARY not in caplog.text
    assert "Enter it again: a typed password is not sent back." in shown(answers[-1])


@pytest.mark.parametrize("name", ["hints", "fill"])
def test_an_answer_is_for_those_who_may_save_the_form(name):
    url = reverse(f"admin:smtp_settings_smtpprofile_{name}")
    profile = a_profile()
    for role, status in (("administrator", 200), ("operator", 403), ("viewer", 403), ("staff", 403)):
        client = client_of(role)
        for id_ in ("", str(profile.pk)):
            answer = client.post(url, {"_object_id": id_, "preset": "sendgrid"})
            assert answer.status_code == status, (role, id_)
    assert client_of("anonymous").post(url).status_code == 302


@pytest.mark.parametrize("name", ["hints", "fill"])
def test_an_answer_is_not_kept_and_comes_only_to_a_post_of_ones_own_page(client, name):
    url = reverse(f"admin:smtp_settings_smtpprofile_{name}")

    assert "no-store" in client.post(url, {}).headers["Cache-Control"]
    assert client.get(url).status_code == 405
    assert client.post(url, {"_object_id": "999999"}).status_code == 403
    assert client.post(url, {"_object_id": "x' OR 1"}).status_code == 403
    assert client_of("superuser", enforce_csrf_checks=True).post(url, {}).status_code == 403


# The server's name and the password


@pytest.mark.parametrize(
    ("typed", "host", "port"),
    [
        ("smtp.example.com:2525", "smtp.example.com", "2525"),
        (" [2001:db8::1]:465\r\n", "2001:db8::1", "465"),
        ("smtps://smtp.example.com", "smtp.example.com", "465"),
        ("smtp.example.com ", "smtp.example.com", "587"),
    ],
)
def test_a_pasted_server_goes_into_both_fields(client, typed, host, port):
    values = form_of(client.get(ADD)) | {"name": "Relay", "host": typed}
    press(client, ADD, values, "_draft")

    profile = SMTPProfile.objects.get()
    assert (profile.host, str(profile.port)) == (host, port)


def test_a_refused_server_comes_with_a_button_for_the_one_that_was_meant(client):
    values = form_of(client.get(ADD)) | {"name": "Relay", "host": "https://smtp.example.com/inbox"}
    page = shown(press(client, ADD, values, "_save"))

    hint = page.split('id="id_host_hint">', 1)[1].split("</div>", 1)[0]
    assert "Enter only the host name: smtp.example.com" in page
    assert "Enter only" not in hint  # the error has said it
    assert 'name="_fix" value="host=smtp.example.com"' in hint


def test_a_port_that_is_not_allowed_starts_no_test_and_is_no_fault_of_a_draft(client):
    values = form_of(client.get(ADD)) | {
        "name": "Relay", "host": "smtp.example.com", "port": "26", "auth": "none",
    }  # fmt: skip
    sentence = "Port 26 is not allowed here. An operator can add it."

    assert sentence in shown(press(client, ADD, values, "_send_test"))
    assert sentence in shown(press(client, ADD, values, "_save"))
    assert not TestRun.objects.exists()
    assert press(client, ADD, values, "_draft").status_code == 302


@pytest.mark.parametrize(
    ("typed", "host", "kept"),
    [
        ("abcd efgh ijkl mnop", "smtp.gmail.com", "abcdefghijklmnop"),
        ("abcd efgh ijkl mnop", "smtp.example.com", "abcd efgh ijkl mnop"),
        ("SG.x\r\n", "smtp.sendgrid.net", "SG.x"),
    ],
)
def test_a_pasted_password_is_cleaned_as_its_provider_shows_it(client, typed, host, kept):
    values = form_of(client.get(ADD)) | {"name": "Relay", "host": host, "username": "shop", "password": typed}
    press(client, ADD, values, "_draft")

    assert activation.effective_secret(SMTPProfile.objects.get()).secret.reveal() == kept


def test_a_password_of_nothing_but_line_breaks_is_none(client):
    values = form_of(client.get(ADD)) | {
        "name": "R",
        "host": "a.example",
        "username": "x",
        "password": "\r\n",
    }

    assert "Enter the password, or choose “None”." in shown(press(client, ADD, values, "_save"))


def test_an_old_password_is_named_with_its_age(client, settings):
    profile = a_profile(password=CANARY)
    assert "days old" not in shown(client.get(change_url(profile)))
    SMTPProfile.objects.update(secret_set_at=timezone.now() - timedelta(days=118))
    assert "The saved password is 118 days old." in shown(client.get(change_url(profile)))

    settings.MAILCONF_PASSWORD_AGE_DAYS = 0
    assert "days old" not in shown(client.get(change_url(profile)))


def test_what_a_kept_password_was_entered_for_goes_with_the_page_and_the_password_does_not(client):
    profile = a_profile(password=CANARY, host="smtp.example.com")
    data = client.get(change_url(profile)).context["form_data"]

    assert data["kept"][0]["values"]["host"] == "smtp.example.com"
    assert data["kept"][0]["sentence"] == (
        "The saved password was entered for smtp.example.com. Enter the password again."
    )
    assert CANARY not in str(data)


# The page


def test_subjects_are_marked_off_production_only(client, settings):
    for environment, prefix in (("Staging", "[STAGING] "), ("Production", ""), ("", "")):
        settings.MAILCONF_ENVIRONMENT = environment
        assert form_of(client.get(ADD))["subject_prefix"] == prefix


def test_the_preset_stands_first_and_enter_still_saves(client):
    page = client.get(ADD)
    assert buttons_of(page)[0] == "_save"
    names = [name for name in form_of(page) if not name.startswith("_") and name != "version"]
    assert names[:2] == ["preset", "name"]


def test_the_groups_of_presets_are_those_a_person_looks_for(client):
    page = shown(client.get(ADD))
    groups = [part.split('"', 1)[0] for part in page.split('<optgroup label="')[1:]]

    assert groups == ["Sending services", "Mailbox providers", "Own servers", "Other methods", "Development"]
    assert "Other / own server" in page


def test_each_input_is_described_by_its_help_its_hints_and_its_error(client):
    page = shown(press(client, ADD, form_of(client.get(ADD)) | {"from_address": "x"}, "_draft"))

    assert 'aria-describedby="id_from_address_helptext id_from_address_error id_from_address_hint"' in page
    for part in ("helptext", "error", "hint"):
        assert page.count(f'id="id_from_address_{part}"') == 1
    assert 'role="radiogroup" aria-labelledby="id_security_label"' in page


def test_a_change_of_limits_leaves_no_trace_of_hints(client):
    hints_of(client, host="smtp.gmial.com")
    assert not Event.objects.filter(kind__startswith="profile").exists()

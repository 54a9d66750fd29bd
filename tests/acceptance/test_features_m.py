"""Every promise M of the list of features, through the pages, a command or a worker."""

import email
import email.policy
from datetime import timedelta
from io import StringIO

import pytest
from django.core.mail import EmailMessage
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from delivery import handover
from delivery.models import Message, SmallState
from mailconf.env import BASE_DIR
from smtp_settings.clearance import activation
from smtp_settings.clearance.candidate import stored_secret
from smtp_settings.models import Event, SMTPProfile, TestRun
from tests.acceptance.feature_fixtures import *  # noqa: F403  # server, client
from tests.acceptance.features import (
    ADD,
    answering,
    change_url,
    entries_for,
    form_of,
    press,
    profile_of,
    state_of,
    text_of,
    worked,
)
from tests.acceptance.profile_features import (
    RIGHT,
    SIGNS_IN,
    Place,
    a_closed_port,
    a_silent_port,
    filled,
    hints_of,
    tried,
)
from tests.builders import a_profile
from tests.delivery.engine import queued
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db
committing = pytest.mark.django_db(transaction=True)  # what a worker reads

DOCS = (BASE_DIR / "docs" / "providers.md").read_text(encoding="utf-8")


def parsed(received):
    return email.message_from_bytes(received.content, policy=email.policy.default)


@committing
def test_m1_m4_any_mail_leaves_through_any_server(server):
    profile_of(server)
    for tag in ("licence", "ticket", "payment"):
        handover.send(EmailMessage(tag, "x", "shop@example.com", ["ann@example.com"]), tag=tag)
    worked()
    assert {parsed(message)["Subject"] for message in server.wait_for(3)} == {"licence", "ticket", "payment"}


def test_m2_m3_m63_the_form_goes_from_method_to_server_to_sign_in_to_test_and_save(client):
    page = client.get(ADD).content.decode()
    places = [
        page.index(part) for part in ('name="transport"', 'name="host"', 'name="auth"', 'name="_send_test"')
    ]
    assert places == sorted(places)
    for method in ("smtp", "sendmail", "mailgun", "ses", "pickup"):
        assert f'value="{method}"' in page
    assert page.rindex('name="_save"') > places[2]
    assert "/admin/smtp_settings/smtpprofile/" in client.get("/admin/").content.decode()


def test_m5_sendmail_wants_a_program_of_the_list_and_is_tested_like_any_other(client, settings, tmp_path):
    program = tmp_path / "sendmail"
    program.write_text(f"#!/bin/sh\ncat > {tmp_path}/mail\n")
    program.chmod(0o755)
    settings.MAILCONF_SENDMAIL_PROGRAMS = (str(program),)
    fields = {"transport": "sendmail", "host": "", "program": str(program)}
    run, _page = tried(client, Place("", 587), **fields)
    assert run.state == TestRun.State.PASSED, run.sentence
    assert b"mailconf test" in (tmp_path / "mail").read_bytes()
    page = press(
        client, ADD, entries_for(client, Place("", 587), **fields | {"program": "/bin/sh"}), "_send_test"
    )
    assert "/bin/sh" in page.content.decode()
    assert TestRun.objects.count() == 1


@pytest.mark.parametrize(
    ("preset", "method", "words"),
    [("mailgun-api", "mailgun", "domain must be verified"), ("ses-api", "ses", "out of the sandbox")],
)
def test_m6_m7_mailgun_and_ses_can_be_chosen_with_what_they_need(client, preset, method, words):
    changes, said = filled(client, preset)
    assert changes["transport"] == method
    assert words in said
    values = entries_for(client, Place("", 587), transport=method, host="")
    page = press(client, ADD, values, "_send_test")
    assert not TestRun.objects.exists()  # something it needs is missing, and the form says what
    assert "errorlist" in page.content.decode()


def test_m8_m25_m29_m41_m53_m56_m59_m60_m61_the_manual_says_which_how_and_what_is_wrong(client):
    for part in ("A sending service", "A mailbox", "Your own server", "two-step verification", "app password",
                 "**SendGrid.**", "**Amazon SES.**", "**Mailgun.**", "**Postmark.**", "TLS or STARTTLS",
                 "In the spam folder?", "via other.example", "noreply@", "500 messages a day",
                 "postmaster@mg"):  # fmt: skip
        assert part in DOCS, part
    assert filled(client, "gmail")[0]["per_day"] == "500"


def test_m9_the_server_is_required_and_a_local_one_is_a_preset(client):
    assert form_of(client.get(ADD))["host"] == ""
    page = press(client, ADD, entries_for(client, Place("", 587)), "_send_test")
    assert "Enter the server." in text_of(page)
    assert filled(client, "local")[0]["host"] == "localhost"


PRESETS = {
    "gmail": ("smtp.gmail.com", "587"),
    "m365": ("smtp.office365.com", "587"),
    "sendgrid": ("smtp.sendgrid.net", "587"),
    "mailgun": ("smtp.mailgun.org", "587"),
    "postmark": ("smtp.postmarkapp.com", "587"),
    "sparkpost": ("smtp.sparkpostmail.com", "587"),
}


def test_m10_m19_m48_every_provider_has_its_server_its_ports_and_its_rule(client):
    for preset, (host, port) in PRESETS.items():
        changes, said = filled(client, preset, port="")
        assert (changes["host"], changes.get("port", "587")) == (host, port)
        assert len(said) > 80, preset
    assert "verified" in filled(client, "sendgrid")[1]
    assert "48 hours" in filled(client, "mailgun")[1]
    assert "sandbox" in filled(client, "ses")[1]
    hints = hints_of(client, host="smtp.postmarkapp.com", port="465", security="tls", username="t")
    assert "does not list port 465" in hints["port"]


def test_m11_a_near_miss_an_address_and_another_region_are_noticed(client):
    assert "smtp.gmail.com" in hints_of(client, host="smtp.gmial.com")["host"]
    assert "Certificates are for names" in hints_of(client, host="192.0.2.7")["host"]
    other = {"host": "email-smtp.us-east-1.amazonaws.com", "preset": "ses", "preset_region": "eu-west-1"}
    assert "eu-west-1" in hints_of(client, **other)["host"]


def test_m12_m13_m54_an_unknown_name_and_a_closed_port_are_causes_of_their_own(client):
    unknown, _page = tried(client, Place("no-such-host.invalid", 2525))
    with a_closed_port() as place:
        closed, _page = tried(client, place)
    assert (unknown.failed_phase, closed.failed_phase) == ("dns", "connect")
    assert unknown.sentence != closed.sentence


def test_m14_m15_m16_m20_the_default_port_is_587_and_465_is_an_equal_choice(client):
    assert form_of(client.get(ADD))["port"] == "587"
    assert form_of(client.get(ADD))["security"] == "starttls"
    for port, security in (("587", "starttls"), ("465", "tls"), ("2525", "starttls")):
        said = hints_of(client, host="smtp.example.com", username="a", port=port, security=security)
        assert not {"port", "security"} & said.keys()
    page = text_of(client.get(ADD))
    assert "465" in page
    assert "legacy" not in page.lower()


def test_m17_m37_m40_no_encryption_warns_wants_a_tick_and_is_kept_in_the_log(client, server):
    said = hints_of(client, host="smtp.example.com", port="25", security="none", auth="none")
    assert "anyone on the way can read" in said["security"]
    values = entries_for(client, server, **SIGNS_IN) | {"password": "x"}
    values.pop("accepts_clear_auth")
    assert "Tick this" in text_of(press(client, ADD, values, "_send_test"))
    with smtp_server(auth=RIGHT) as secured:
        values = entries_for(client, secured, **SIGNS_IN)
        page = press(client, ADD, values, "_send_test")
        press(client, ADD, form_of(page) | {"password": values["password"]}, "_save")
    assert "accepts_clear_auth" in Event.objects.get(kind="profile.saved").data["fields"]
    assert "Not encrypted" in text_of(client.get("/admin/smtp_settings/smtpprofile/"))


def test_m18_m21_a_port_that_does_not_answer_leads_to_another(client):
    with a_silent_port() as place:
        run, page = tried(client, place, connect_timeout="1")
    assert run.failed_phase == "connect"
    assert "2525" in page or "port" in page
    assert TestRun.objects.filter(pk=run.pk, state="failed").exists()  # the record


@committing
def test_m22_a_command_tests_too_and_its_exit_code_says_how(server):
    profile_of(server, name="Good")
    a_profile(name="Bad", host="127.0.0.1", port=1)
    call_command("test_profile", "Good", stdout=StringIO())
    with pytest.raises(CommandError) as failed:
        call_command("test_profile", "Bad", stdout=StringIO())
    assert failed.value.returncode == 1


USERS = [
    ("smtp.gmail.com", "alex", "full address"),
    ("smtp.office365.com", "alex", "full address"),
    ("smtp.sendgrid.net", "alex", "always apikey"),
    ("smtp.sendgrid.net", "SG.abcdef", "belongs in Password"),
]


def test_m23_m24_m26_m27_m28_user_names_and_keys_are_checked_by_the_providers_rule(client, server):
    page = press(client, ADD, entries_for(client, server, auth="password", username=""), "_send_test")
    assert "Enter the user name" in text_of(page)
    for host, user, words in USERS:
        assert words in hints_of(client, host=host, username=user)["username"]
    assert "OAuth 2.0" in hints_of(client, host="smtp.office365.com", username="a@example.com")["auth"]
    key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    said = hints_of(client, host="email-smtp.eu-west-1.amazonaws.com", username="AKIAX", password=key)
    assert "secret access key" in said["password"]
    assert key not in str(said)


def test_m30_a_password_older_than_90_days_is_named_on_the_dashboard(client):
    profile = a_profile(name="Old", password="right-7Qz")
    long_ago = timezone.now() - timedelta(days=91)
    SMTPProfile.objects.filter(pk=profile.pk).update(secret_set_at=long_ago)
    assert "91 days" in text_of(client.get("/admin/"))


def test_m31_m43_m46_m49_what_receivers_and_readers_dislike_in_a_sender_is_said(client):
    personal = {"host": "smtp.gmail.com", "username": "a@gmail.com", "from_address": "a@gmail.com"}
    assert "personal mailbox" in hints_of(client, **personal)["from_address"]
    foreign = {"host": "smtp.sendgrid.net", "username": "apikey", "from_address": "shop@gmail.com"}
    assert "DMARC" in hints_of(client, **foreign)["from_address"]
    base = {"host": "smtp.example.com", "username": "a"}
    assert (
        "Nobody can answer" in hints_of(client, from_address="no-reply@example.com", **base)["from_address"]
    )
    assert "from_name" in hints_of(client, from_name="BUY NOW", **base)
    assert "from_name" not in hints_of(client, from_name="Example Shop", **base)


def test_m32_m33_m34_a_password_is_cleaned_sealed_and_never_shown_again(client):
    place = Place("smtp.gmail.com", 587)
    fields = SIGNS_IN | {"security": "starttls", "username": "a@gmail.com", "password": "abcd efgh ijkl mnop"}
    page = client.get(ADD).content.decode()
    assert 'autocomplete="new-password"' in page
    press(client, ADD, entries_for(client, place, **fields), "_draft")
    profile = SMTPProfile.objects.get()
    assert stored_secret(profile).reveal() == "abcdefghijklmnop"
    assert b"abcdefghijklmnop" not in bytes(profile.password)
    page = client.get(change_url(profile)).content.decode()
    assert "abcdefghijklmnop" not in page
    assert "app password" in filled(client, "gmail")[1]
    assert ".env" in (BASE_DIR / ".gitignore").read_text(encoding="utf-8")


def test_m35_a_leaked_password_is_out_of_use_in_one_step(client):
    profile = a_profile(password="right-7Qz")
    url = reverse("admin:smtp_settings_smtpprofile_leak", args=[profile.pk])
    assert "provider" in text_of(client.get(url))
    client.post(url)
    profile.refresh_from_db()
    assert profile.password is None
    assert not activation.is_live(profile)


def test_m36_m38_m55_password_sign_in_and_sending_are_steps_in_their_order(client):
    with smtp_server(security="starttls", auth=RIGHT) as server:
        fields = SIGNS_IN | {"security": "starttls", "ca": server.ca_pem}
        run, _page = tried(client, server, **fields)
        phases = [step["phase"] for step in run.steps]
        wanted = ["connect", "tls", "auth", "mail", "rcpt", "dot"]
        assert [phase for phase in phases if phase in wanted] == wanted
        wrong, _page = tried(client, server, **fields | {"password": "wrong"})
    assert (wrong.failed_phase, wrong.state) == ("auth", TestRun.State.FAILED)


def test_m39_tls_from_the_first_byte_works_and_nothing_older_than_1_2_can_be_chosen(client):
    with smtp_server(security="tls") as server:
        run, _page = tried(client, server, security="tls", ca=server.ca_pem)
    assert run.state == TestRun.State.PASSED
    page = client.get(ADD).content.decode()
    assert 'value="1.2"' in page
    assert 'value="1.1"' not in page


def test_m42_m44_m45_the_sender_is_checked_and_any_script_may_stand_in_its_name(client, server):
    page = press(client, ADD, entries_for(client, server, from_name="x" * 65), "_send_test")
    assert "64" in text_of(page)
    page = press(client, ADD, entries_for(client, server, from_address="shop at example"), "_send_test")
    assert "is not a mail address" in text_of(page)
    run, _page = tried(client, server, from_name="例え Müller", from_address="shop@bücher.example")
    assert run.state == TestRun.State.PASSED
    [message] = server.wait_for(1)
    assert message.content.isascii()
    assert parsed(message)["From"].addresses[0].display_name == "例え Müller"
    assert message.mail_from == "shop@xn--bcher-kva.example"


def test_m47_dns_is_advice_and_blocks_nothing(client, server):
    run, page = tried(client, server)
    assert run.state == TestRun.State.PASSED
    assert "SPF" in page
    assert "You can save" in page


def test_m50_m51_m52_the_test_mail_says_what_was_tested_and_carries_a_link(client, server):
    _run, page = tried(client, server, name="EU relay")
    [message] = server.wait_for(1)
    mail = parsed(message)
    text = mail.get_body(("plain",)).get_content()
    assert "mailconf test: EU relay" in mail["Subject"]
    assert mail["Auto-Submitted"] == "auto-generated"
    for part in (
        f"Server: {server.host}",
        f"Port: {server.port}",
        "Encryption:",
        "UTC",
        "I received it",
        "no answer",
    ):
        assert part in text, part
    assert mail.get_body(("html",)) is not None
    assert "Accepted is not the same as delivered" in page


def test_m57_m58_several_recipients_and_the_queue_id_to_quote(client, server):
    run, page = tried(client, server, test_to="ann@example.com, bob@example.com")
    assert run.recipients == ["ann@example.com", "bob@example.com"]
    assert "queue id" in page
    assert "000001" in page
    assert run.state == TestRun.State.PASSED


@committing
def test_m62_a_change_touches_what_waits_and_never_what_was_sent(client, server):
    profile = profile_of(server, from_address="shop@example.com")
    [sent] = queued(1)
    worked()
    before = Message.objects.values().get(pk=sent)
    with answering(server, RCPT="451 4.3.0 later"):
        page = client.get(change_url(profile))
        press(client, change_url(profile), form_of(page) | {"subject_prefix": "[New] "}, "_save")
    [waiting] = queued(1)
    worked()
    assert (state_of(sent), state_of(waiting)) == (SmallState.SENT, SmallState.SENT)
    assert Message.objects.values().get(pk=sent) == before
    subjects = [parsed(message)["Subject"].startswith("[New]") for message in server.wait_for(2)]
    assert subjects == [False, True]

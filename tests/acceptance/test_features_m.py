"""Every promise M of the list of features, through the pages, a command or a worker."""

import email
import email.policy
import html
import re
import threading
from datetime import timedelta
from functools import partial
from io import StringIO

import pytest
from django.core.mail import EmailMessage
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from delivery import handover
from delivery.models import Message, SmallState
from mailconf.env import BASE_DIR
from smtp_settings import methods
from smtp_settings.admin.panel.causes import cause_of
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
    page_of_message,
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
    in_the_manual,
    tried,
)
from tests.builders import a_profile
from tests.delivery.engine import draining, due_again, queued, until
from tests.servers import smtp_server
from tests.transports.ways import ACCESS_KEY_ID, DOMAIN, KEY, an_http_server, mailgun_takes, ses_takes
from transports import mailgun
from transports.ses import SESSettings

pytestmark = pytest.mark.django_db
committing = pytest.mark.django_db(transaction=True)  # what a worker reads


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
    program.write_text("#!/bin/sh\ncat > /dev/null\nexit 75\n")  # EX_TEMPFAIL of sysexits.h
    refused, told = tried(client, Place("", 587), **fields)
    assert refused.state == TestRun.State.FAILED
    assert "75" in told
    page = press(
        client, ADD, entries_for(client, Place("", 587), **fields | {"program": "/bin/sh"}), "_send_test"
    )
    assert "/bin/sh" in page.content.decode()
    assert TestRun.objects.count() == 2


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


def saved_after_its_test(client, **fields):
    """Test the entries of a method without a server, and save them; what the test's page says."""
    entries = entries_for(client, Place("", 587), host="", **fields)
    page = press(client, ADD, entries, "_send_test")
    assert TestRun.objects.latest("id").state == TestRun.State.PASSED, TestRun.objects.latest("id").sentence
    kept = {name: fields[name] for name in ("password",) if name in fields}
    assert press(client, ADD, form_of(page) | kept, "_save").status_code == 302
    return text_of(page)


@committing
def test_m6_mailgun_is_tested_saved_and_carries_mail_whose_number_there_is_kept(client, monkeypatch):
    fields = {"transport": "mailgun", "api_domain": DOMAIN, "region": "eu", "password": KEY}
    fields["from_address"] = f"shop@{DOMAIN}"
    with an_http_server(mailgun_takes) as there:
        monkeypatch.setitem(mailgun.BASES, "eu", there.url)
        said = saved_after_its_test(client, **fields)
        [message] = queued()
        worked()
    assert "Domain ready" in said
    assert [one.rcpt_to for one in there.messages][1:] == [("bo@example.com",)]
    assert b"Hello." in there.messages[1].content
    assert "2026.2@" in page_of_message(client, message)


@committing
def test_m7_ses_is_tested_with_its_quota_saved_and_carries_mail(client, monkeypatch):
    fields = {"transport": "ses", "region": "eu-west-1", "username": ACCESS_KEY_ID, "password": KEY}
    fields["from_address"] = "shop@example.org"
    with an_http_server(ses_takes) as there:
        monkeypatch.setattr(methods, "SESSettings", partial(SESSettings, endpoint=there.url))
        said = saved_after_its_test(client, **fields)
        [message] = queued()
        worked()
    assert "Sender verified" in said
    assert "50000" in said.replace(",", "")  # what the account may send in a day
    assert [one.rcpt_to for one in there.messages][1:] == [("bo@example.com",)]
    assert "0100-2" in page_of_message(client, message)


def test_m8_each_method_says_what_it_is_for_and_links_the_comparison(client):
    page = client.get(ADD).content.decode()
    for method in ("smtp", "sendmail", "pickup", "mailgun", "ses"):
        assert re.search(rf'<p class="mc-method is-{method} help">[^<]{{40,}}', page), method
    compared = in_the_manual(client, page, "Which one to take")
    for part in (
        "A sending service",
        "A mailbox",
        "Your own server",
        "mail to customers",
        "Limits are small",
    ):
        assert part in compared, part


def test_m25_gmail_wants_an_app_password_says_so_when_refused_and_tells_five_steps(client):
    _changes, said = filled(client, "gmail")
    steps = in_the_manual(client, said, "Set-up, step by step")
    assert steps.count("<li>") == 5
    for part in ("two-step verification", "app password", "16 letters"):
        assert part in steps, part
    reply = "534 5.7.9 Application-specific password required."
    with smtp_server(auth=RIGHT, answers={"AUTH": reply}) as server:
        run, page = tried(client, server, **SIGNS_IN)
    assert run.failed_phase == "auth"
    assert "app password" in page


def test_m29_the_user_of_mailgun_is_the_domains_not_the_accounts(client):
    _changes, said = filled(client, "mailgun")
    assert "those of the sending domain" in said
    assert "not those of the account" in in_the_manual(client, said, "Set-up, step by step")


def test_m41_the_form_leads_to_the_encryption_to_take_in_each_case(client):
    advice = in_the_manual(client, client.get(ADD).content.decode(), "TLS or STARTTLS?")
    for case, take in (("on the internet", "STARTTLS on 587"), ("An old system", "465"), ("Inside", "CA")):
        line = next(row for row in advice.split("<tr>") if case in row)
        assert take in line, case


def test_m53_each_bad_sign_of_a_test_email_is_explained_where_the_test_is_kept(client, server):
    run, _page = tried(client, server)
    kept = client.get(reverse("admin:smtp_settings_testrun_change", args=[run.pk])).content.decode()
    for part in ("It did not arrive", "It is in spam", "Look in the spam folder.", "Try another recipient."):
        assert part in kept, part
    explained = in_the_manual(client, kept, "More about being believed")
    for part in ("spam folder", "via other.example", "A warning beside the message", "Not there at all"):
        assert part in explained, part


@committing
def test_m56_a_daily_limit_warms_a_domain_up_and_mail_of_a_new_domain_is_advised_on(client, server):
    profile = profile_of(server)
    page = client.get(change_url(profile))
    press(client, change_url(profile), form_of(page) | {"per_day": "1"}, "_save")
    first, second = queued(2)
    stop = threading.Event()
    with draining(until_empty=False, stop=stop):
        until(lambda: state_of(first) is SmallState.SENT)
        until(lambda: "at most 1 a day" in page_of_message(client, second))
        stop.set()
    assert (len(server.messages), state_of(second)) == (1, SmallState.QUEUED)

    _run, page = tried(client, server, name="Another")
    assert "Look at DNS for the From domain: SPF, DKIM, DMARC." in page
    assert "New domains start slowly." in page


@pytest.mark.parametrize("preset", ["gmail", "m365", "sendgrid", "ses", "mailgun"])
def test_m59_each_large_provider_has_its_steps_behind_its_note(client, preset):
    steps = in_the_manual(client, filled(client, preset)[1], "Set-up, step by step")
    assert steps.count("<li>") >= 3
    assert "Test, then save." in steps


def test_m60_free_gmail_is_for_tests_and_its_500_a_day_become_the_profiles_limit(client):
    changes, said = filled(client, "gmail")
    assert "Good for tests only" in said
    place = Place(changes["host"], changes.get("port", "587"))
    press(client, ADD, entries_for(client, place, **changes), "_draft")
    assert SMTPProfile.objects.get().per_day == 500
    which = in_the_manual(client, client.get(ADD).content.decode(), "Which one to take")
    assert "may flag the account" in which


def test_m61_the_usual_questions_are_answered_and_lead_to_more(client):
    page = client.get(reverse("admin:manual", args=["providers"])).content.decode()
    assert '<a href="#questions">Questions</a>' in page
    answers = page.partition('id="questions"')[2].partition("<h3")[0]
    for question in ("TLS or SSL?", "Is my set-up right?", "land in spam?", "noreply@?"):
        assert question in answers, question
    for anchor in re.findall(r'href="#([^"]+)"', answers):
        assert f'id="{anchor}"' in page


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
        closed, page = tried(client, place)
    assert (unknown.failed_phase, closed.failed_phase) == ("dns", "connect")
    assert "no-such-host.invalid" in unknown.sentence
    assert f"Nothing listens on port {place.port} of this machine." in page


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


SENDGRID = {"host": "smtp.sendgrid.net", "port": 587, "security": "starttls", "preset": "sendgrid"}


def offered(page):
    """The values of the buttons that apply a change and test again."""
    return [html.unescape(one) for one in re.findall(r'name="_apply" value="([^"]+)"', page)]


def test_m18_m21_a_port_that_does_not_answer_offers_the_next_to_apply_and_test_again(client, server):
    with a_silent_port() as place:
        values = entries_for(client, place, connect_timeout="1")
        page = press(client, ADD, values, "_send_test")
    silent = TestRun.objects.get()
    assert (silent.failed_phase, silent.state) == ("connect", "failed")
    assert "Apply and test again" in text_of(page)
    assert "port=587&security=starttls" in offered(page.content.decode())
    # A provider's own list says 2525 where 587 does not answer (that host is in no test's reach).
    silent.settings |= SENDGRID
    ways = cause_of(silent).buttons
    assert [button.value for button in ways][:1] == ["port=2525&security=starttls"]

    # What the button carries is applied, and a test begins with it; here with the port of a real server.
    client.post(ADD, form_of(page) | {"_apply": f"port={server.port}"})
    again = TestRun.objects.latest("id")
    assert (again.state, again.settings["port"]) == (TestRun.State.PASSED, server.port)
    page = client.get(reverse("admin:smtp_settings_testrun_changelist"))  # the record of both
    assert len(page.context["cl"].result_list) == 2


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
        [waiting] = queued(1)
        worked()
    page = client.get(change_url(profile))
    press(client, change_url(profile), form_of(page) | {"subject_prefix": "[New] "}, "_save")
    assert state_of(waiting) is SmallState.QUEUED
    due_again(waiting)
    worked()
    assert (state_of(sent), state_of(waiting)) == (SmallState.SENT, SmallState.SENT)
    assert Message.objects.values().get(pk=sent) == before
    subjects = [parsed(message)["Subject"].startswith("[New]") for message in server.wait_for(2)]
    assert subjects == [False, True]

"""Every promise N of the list of features, through the pages, a command or a worker; two servers for all."""

import asyncio
import json
import re
import threading

import pytest
from django.contrib.sites.models import Site
from django.core import mail
from django.core.management import call_command
from django.urls import reverse

from delivery import jobs, queue
from delivery.handover import NotSent
from delivery.models import Message, QueueEntry, SmallState
from smtp_settings.clearance import activation
from smtp_settings.models import Event, OAuthCredential, SMTPProfile, TestRun
from tests.acceptance.features import (
    ADD,
    answering,
    change_url,
    entries_for,
    form_of,
    page_of_message,
    press,
    profile_of,
    save,
    state_of,
    text_of,
    try_out,
    worked,
)
from tests.acceptance.processes import celery_worker, drains, until
from tests.acceptance.profile_features import Place, checked, filled, hints_of, tried
from tests.authorization import authorization_server
from tests.builders import a_profile, a_user
from tests.delivery.engine import attempts_of, drained, queued
from tests.delivery.policies import policy, site_policy
from tests.servers import smtp_server
from tests.smtp_settings.oauth import connected

pytestmark = pytest.mark.django_db(transaction=True)

DASHBOARD = reverse("admin:index")
MESSAGES = reverse("admin:delivery_message_changelist")
PROFILES = reverse("admin:smtp_settings_smtpprofile_changelist")


@pytest.fixture(scope="module")
def the_servers():
    with smtp_server() as first, smtp_server() as second:
        yield first, second


@pytest.fixture
def servers(the_servers):
    for server in the_servers:
        server.forget()
    return the_servers


@pytest.fixture
def server(servers):
    return servers[0]


@pytest.fixture
def client(client):
    client.force_login(a_user("superuser"))
    return client


@pytest.mark.usefixtures("through_our_backend")
def test_n1_any_mail_of_django_goes_and_tag_and_priority_tell_it_apart(client, server):
    profile_of(server)
    letter = mail.EmailMessage("News", "Hello.", "shop@example.com", ["bo@example.com"])
    letter.mailconf = {"tag": "newsletter", "priority": "low"}
    letter.send()
    mail.send_mail("Order", "Thanks.", "shop@example.com", ["cy@example.com"])

    worked()

    assert len(server.wait_for(2)) == 2
    shown = page_of_message(client, Message.objects.get(tag="newsletter").pk)
    assert "newsletter" in shown
    assert "Priority Low" in shown


def test_n2_without_a_server_mail_waits_and_the_dashboard_and_the_check_say_so(client, capsys):
    (message_id,) = queued()
    worked()

    assert state_of(message_id) is SmallState.QUEUED
    assert "Add your mail server" in text_of(client.get(DASHBOARD))
    call_command("check", databases=["default"])
    assert "No profile is live" in capsys.readouterr().err


def test_n3_n26_the_default_server_is_the_first_choice_whatever_the_others_priority(servers):
    other, default = servers
    profile_of(other, name="High", priority="high")
    profile_of(default, name="Default", priority="low", is_default=True)
    queued()

    worked()

    assert (len(other.messages), len(default.messages)) == (0, 1)


def test_n3_a_site_has_a_default_of_its_own(servers):
    site = Site.objects.create(domain="shop.example.com", name="Shop")
    everywhere, of_site = servers
    profile_of(everywhere, name="Default", is_default=True)
    profile_of(of_site, name="Of the shop", is_default=True, sites=[site])
    queued(site="shop.example.com")
    queued()

    worked()

    assert (len(everywhere.messages), len(of_site.messages)) == (1, 1)


def test_n4_n21_a_profile_of_a_site_carries_that_sites_mail_only_and_lists_say_the_site(client, servers):
    site = Site.objects.create(domain="shop.example.com", name="Shop")
    of_site, everywhere = servers
    profile_of(of_site, name="Of the shop", priority="high", sites=[site])
    profile_of(everywhere, name="Global", priority="low")
    (of_shop,) = queued(site="shop.example.com")
    queued()

    worked()

    assert (len(of_site.messages), len(everywhere.messages)) == (1, 1)
    assert "Site shop.example.com" in page_of_message(client, of_shop)
    narrowed = client.get(PROFILES, {"site": site.pk})
    assert "Of the shop" in text_of(narrowed)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_n5_a_server_is_a_name_or_an_address_and_localhost_is_this_machine(server, host):
    a_profile(host=host, port=server.port)
    queued()

    worked()

    assert len(server.messages) == 1


def test_n6_the_test_finds_encryption_offers_it_at_one_click_and_never_falls_back(client):
    with smtp_server(security="starttls") as server:
        page = press(client, ADD, entries_for(client, server, ca=server.ca_pem), "_send_test")
        assert "though the server offers STARTTLS" in text_of(page)
        [(value, label)] = re.findall(r'name="_apply" value="([^"]+)"[^>]*>([^<]+)<', page.content.decode())
        assert label == "Use STARTTLS"

        page = client.post(ADD, form_of(page) | {"_apply": value})
        assert press(client, ADD, form_of(page), "_save").status_code == 302
        profile = SMTPProfile.objects.get()
        assert (profile.security, activation.is_live(profile)) == ("starttls", True)
        queued()
        worked()
        assert len(server.messages) == 3
        assert server.verbs().count("STARTTLS") >= 2

        server.security = "none"
        (late,) = queued()
        worked()
        assert (len(server.messages), state_of(late)) == (3, SmallState.QUEUED)


def test_n7_host_and_port_pasted_together_go_into_both_fields_and_587_is_the_default(client, server):
    assert form_of(client.get(ADD))["port"] == "587"
    values = entries_for(client, server, host="127.0.0.1:2587", port="587")

    press(client, ADD, values, "_draft")

    saved = SMTPProfile.objects.get()
    assert (saved.host, saved.port) == ("127.0.0.1", 2587)


def test_n8_the_server_user_signs_in():
    with smtp_server(auth=("shop", "open sesame")) as closed:
        profile_of(closed, password="open sesame")
        queued()
        worked()
        assert len(closed.messages) == 1
        assert "AUTH" in closed.verbs()


@pytest.fixture
def provider():
    with authorization_server() as running:
        yield running


def by_oauth(provider, credential):
    """What of the form signs in with a credential."""
    return {
        "auth": "oauth2",
        "username": provider.account,
        "oauth_credential": str(credential.pk),
        "accepts_clear_auth": "on",
    }


def test_n9_the_type_is_basic_or_oauth_and_who_ends_basic_is_warned_with_the_date(client):
    page = client.get(ADD).content.decode()
    assert all(f'name="auth" value="{kind}"' in page for kind in ("password", "oauth2", "none"))
    changes, _said = filled(client, "m365")
    assert (changes["host"], changes["auth"]) == ("smtp.office365.com", "oauth2")
    hints = hints_of(
        client, preset="m365", host="smtp.office365.com", auth="password", username="a@b.example"
    )
    assert "December 2026" in " ".join(hints.values())
    mailbox = {"preset": "m365", "host": "smtp.office365.com", "username": "ann@contoso.example"}
    for kind, is_warned in (("password", True), ("oauth2", False)):
        said = " ".join(hints_of(client, **mailbox, auth=kind).values())
        assert ("December 2026" in said) is is_warned


def test_n10_a_stored_password_is_removed_when_the_profile_is_saved_with_oauth(client, provider):
    with smtp_server(bearer=provider.accepts) as server:
        profile = profile_of(server, password="kanari-7Qz")
        url = change_url(profile)
        entries = form_of(client.get(url)) | by_oauth(provider, connected(provider))
        assert press(client, url, try_out(client, url, entries), "_save").status_code == 302
        profile.refresh_from_db()
        assert (profile.auth, profile.password) == ("oauth2", None)

        queued()
        worked()

        assert len(server.messages) == 2  # the test email was the first
    assert "•" not in client.get(url).content.decode()


def test_n12_credentials_have_pages_of_their_own_and_profiles_share_them(client, provider):
    names = ("client_id", "client_secret", "scope", "token_url", "account")
    values = {name: getattr(provider, name) for name in names} | {"name": "Contoso", "version": "1"}
    add, page = (reverse(f"admin:smtp_settings_oauthcredential_{one}") for one in ("add", "changelist"))
    client.post(add, values | {"provider": "other", "flow": "application"})
    credential = OAuthCredential.objects.get()
    with smtp_server(bearer=provider.accepts) as one, smtp_server(bearer=provider.accepts) as two:
        for name, server in (("One", one), ("Two", two)):
            entries = entries_for(client, server, **by_oauth(provider, credential), name=name)
            assert press(client, ADD, try_out(client, ADD, entries), "_save").status_code == 302
        listed = text_of(client.get(page))
        assert all(words in listed for words in ("Contoso", "One", "Two"))
        for name in ("One", "Two"):
            queued(profile=name)
        worked()
        assert [len(server.messages) for server in (one, two)] == [2, 2]
    assert len(provider.posts) == 1  # one token does for both


def test_n11_a_saved_password_shows_the_same_mask_whatever_its_length(client):
    masks = set()
    for password in ("~x!", "a much longer password of many words"):
        with smtp_server(auth=("shop", password)) as closed:
            profile = profile_of(closed, password=password)
        page = client.get(change_url(profile)).content.decode()
        assert password not in page
        masks |= set(re.findall(r'placeholder="([^"]*[•●*]+[^"]*)"|([•●]{4,})', page))
    assert len(masks) == 1


def test_n13_n27_another_server_is_used_when_the_default_is_busy(client, process_environment, servers):
    _default, extra = servers
    opened = threading.Event()

    async def held(_content):
        while not opened.is_set():  # noqa: ASYNC110  # opened in another thread
            await asyncio.sleep(0.01)

    with smtp_server(at_dot=held) as busy:
        profile_of(busy, name="Default", is_default=True, max_connections=1)
        profile_of(extra, name="Extra")
        with drains(process_environment, 1):
            queued()
            until(lambda: "DATA" in busy.verbs())
            queued()
            extra.wait_for(1)
            assert "1 of 1" in text_of(client.get(DASHBOARD))
            opened.set()
            busy.wait_for(1)


def test_n13_another_server_is_used_while_the_default_is_paused(client, servers):
    default, extra = servers
    first = profile_of(default, name="Default", is_default=True)
    profile_of(extra, name="Extra")
    client.post(reverse("admin:smtp_settings_smtpprofile_pause", args=[first.pk]), {"reason": "moving"})
    queued()

    worked()

    assert (len(default.messages), len(extra.messages)) == (0, 1)


def test_n14_a_profile_is_made_edited_disabled_enabled_and_deleted_but_not_while_mail_waits(client, server):
    tested = try_out(client, ADD, entries_for(client, server))
    assert press(client, ADD, tested, "_save").status_code == 302
    profile = SMTPProfile.objects.get()
    assert save(client, profile, description="Of the shop").status_code == 302
    values = form_of(client.get(change_url(profile)))
    values.pop("enabled", None)
    press(client, change_url(profile), values, "_save")
    profile.refresh_from_db()
    assert not profile.enabled
    save(client, profile, enabled="on")
    profile.refresh_from_db()
    assert profile.enabled
    assert activation.is_live(profile)

    delete = reverse("admin:smtp_settings_smtpprofile_delete", args=[profile.pk])
    (message_id,) = queued(profile=profile.name)
    client.post(delete, {"post": "yes"})
    assert SMTPProfile.objects.exists()
    queue.cancel([message_id])
    client.post(delete, {"post": "yes"})
    assert not SMTPProfile.objects.exists()


def test_n14_what_waits_for_a_profile_is_moved_to_another_which_then_lets_it_go(client, servers):
    old, new = (profile_of(server, name=name) for server, name in zip(servers, ("Old", "New"), strict=True))
    ids, (failed,) = queued(3, profile="Old"), queued(profile="Old")
    with answering(servers[0], RCPT="550 5.1.1 No such user"):
        queue.hold(ids)
        worked()
        queue.put_back(ids)
    assert state_of(failed) == SmallState.FAILED
    delete = reverse("admin:smtp_settings_smtpprofile_delete", args=[old.pk])
    refused = client.post(delete, {"post": "yes"})
    assert "3 messages are waiting for it. Move them to another profile or cancel them first." in text_of(
        refused
    )

    shown = client.get(refused.context["messages_url"])
    assert {row.pk for row in shown.context["cl"].result_list} == {*ids, failed}
    (move,) = [one.url for one in shown.context["for_all"] if one.action.name == "move"]
    question = client.get(move)
    assert "“Move to another profile” for 4 messages?" in text_of(question)
    begun = client.post(move, {"to": new.pk})
    while jobs.step().job_id is not None:
        pass
    assert "4 messages were moved." in text_of(client.get(begun.headers["Location"]))
    client.post(reverse("admin:delivery_message_action", args=[failed, "retry"]))
    worked()

    assert [server.accepted for server in servers] == [0, 4]
    assert "Moved to New" in page_of_message(client, failed)
    client.post(delete, {"post": "yes"})
    assert not SMTPProfile.objects.filter(pk=old.pk).exists()


def test_n15_n16_one_form_for_every_server_and_smtp_is_the_method_to_begin_with(client, server):
    default, extra = profile_of(server, name="A", is_default=True), profile_of(server, name="B")
    names = [set(form_of(client.get(change_url(one)))) - {"is_default"} for one in (default, extra)]
    assert names[0] == names[1]
    assert form_of(client.get(ADD))["transport"] == "smtp"


def a_pickup(directory, **fields):
    """What of the form hands mail to a directory."""
    return {"transport": "pickup", "host": "", "directory": str(directory), **fields}


def test_n17_a_pickup_directory_is_looked_at_by_the_test_and_gets_whole_files(client, tmp_path):
    run, _page = checked(client, Place("", 587), **a_pickup(tmp_path))
    assert [step["phase"] for step in run.steps] == ["find", "permission", "space"]
    assert list(tmp_path.glob("*.eml")) == []
    entries = entries_for(client, Place("", 587), **a_pickup(tmp_path, file_style="x-sender"))
    assert press(client, ADD, try_out(client, ADD, entries), "_save").status_code == 302
    [tested] = tmp_path.glob("*.eml")
    tested.unlink()
    queued(to=["bo@example.com", "cy@example.com"])

    worked()

    [file] = tmp_path.glob("*.eml")
    front = b"X-Sender: shop@example.com\r\nX-Receiver: bo@example.com\r\nX-Receiver: cy@example.com\r\n"
    assert file.read_bytes().startswith(front)
    assert list((tmp_path / ".mailconf").iterdir()) == []


def test_n18_the_preset_of_microsofts_service_fills_the_style_and_says_feature_and_permission(client):
    changes, said = filled(client, "pickup-iis")
    assert (changes["transport"], changes["file_style"]) == ("pickup", "x-sender")
    assert "IIS SMTP feature" in said
    assert "NETWORK SERVICE" in said


def test_n19_a_folder_the_worker_cannot_see_fails_the_test_with_that_reason(client, tmp_path):
    run, page = tried(client, Place("", 587), **a_pickup(tmp_path / "elsewhere"))
    assert (run.state, run.failed_phase) == (TestRun.State.FAILED, "find")
    assert str(tmp_path / "elsewhere") in page
    assert "worker" in run.sentence + page
    assert "containers" in filled(client, "pickup")[1]


def test_n20_n26_high_comes_before_normal_before_low(servers):
    low, high = servers
    profile_of(low, name="Low", priority="low")
    high_profile = profile_of(high, name="High", priority="high")
    queued()
    worked()
    assert (len(low.messages), len(high.messages)) == (0, 1)

    SMTPProfile.objects.filter(pk=high_profile.pk).update(enabled=False)
    queued()
    worked()
    assert (len(low.messages), len(high.messages)) == (1, 1)


def test_n22_emails_are_enabled_for_all_and_for_each_site_and_off_loses_none(client, server):
    Site.objects.get_or_create(domain="shop.example.com", defaults={"name": "Shop"})
    profile_of(server)
    site_policy("shop.example.com", emails_enabled=False)
    (of_shop,), (other,) = queued(site="shop.example.com"), queued()
    worked()
    assert (state_of(of_shop), state_of(other)) == (SmallState.QUEUED, SmallState.SENT)

    site_policy("shop.example.com", emails_enabled=None)
    policy(emails_enabled=False)
    queued()
    worked()
    assert QueueEntry.objects.count() == 2
    policy()
    worked()
    assert QueueEntry.objects.count() == 0


def test_n23_with_the_queue_off_mail_is_sent_in_the_callers_process_and_errors_reach_the_caller(
    client, server
):
    profile_of(server)
    page = reverse("admin:smtp_settings_sendingpolicy_change", args=[policy().pk])
    values = form_of(client.get(page), "sendingpolicy_form")
    assert values.pop("queue_enabled")
    press(client, page, values, "_save")

    (sent,) = queued()
    assert (len(server.messages), state_of(sent)) == (1, SmallState.SENT)
    with answering(server, MAIL="451 4.3.0 Come again later"), pytest.raises(NotSent, match="Come again"):
        queued()

    assert not QueueEntry.objects.exists()
    failed = Message.objects.exclude(pk=sent).get()
    assert state_of(failed.pk) is SmallState.FAILED
    assert "Come again later" in page_of_message(client, failed.pk)


def test_n24_a_worker_is_woken_at_the_commit(process_environment, server):
    profile_of(server)
    with drains(process_environment, 1):
        for count in range(1, 4):
            queued()
            server.wait_for(count)


def test_n25_a_batch_after_the_other_until_the_queue_is_empty(server):
    profile_of(server, max_connections=2)
    policy(batch_size=7)
    queued(40)

    worked()

    assert len(server.wait_for(40)) == 40
    assert not QueueEntry.objects.exists()


def test_n28_the_batch_size_of_the_page_is_what_a_worker_takes_at_once(client, server):
    profile_of(server)
    page = reverse("admin:smtp_settings_sendingpolicy_change", args=[policy().pk])
    assert "Messages a worker takes at once" in text_of(client.get(page))
    values = form_of(client.get(page), "sendingpolicy_form")
    assert press(client, page, values | {"batch_size": "1001"}, "_save").status_code == 200
    statements = []
    for size in ("1", "100"):
        values = form_of(client.get(page), "sendingpolicy_form")
        press(client, page, values | {"batch_size": size}, "_save")
        queued(30)
        statements.append(drained().statements)

    assert not QueueEntry.objects.exists()
    assert statements[0] > statements[1]  # small: more queries


def test_n29_the_test_page_sends_through_each_profile_that_is_ticked(client, servers):
    ticked = [profile_of(one, name=name).pk for one, name in zip(servers, ("One", "Two"), strict=True)]
    page = reverse("admin:smtp_settings_smtpprofile_test_all")

    started = client.post(page, {"profile": ticked, "recipients": "qa@example.com"})
    batch = started.url.rstrip("/").rpartition("/")[2]
    until(
        lambda: client.get(started.url) and not TestRun.objects.filter(batch=batch, finished_at=None).exists()
    )

    assert [len(one.messages) for one in servers] == [1, 1]


def test_n30_n31_a_file_beside_the_messages_has_a_line_with_who_what_and_when(server, settings, tmp_path):
    settings.MAILCONF_EMAIL_LOG = str(tmp_path / "mail.log")
    profile = profile_of(server)
    (message_id,) = queued(to=["bo@example.com"])

    worked()

    [line] = [json.loads(one) for one in (tmp_path / "mail.log").read_text("ascii").splitlines()]
    assert (line["event"], line["message"], line["recipients"]) == ("sent", message_id, ["bo@example.com"])
    assert (line["sender"], line["subject"], line["charset"]) == ("shop@example.com", "Report 0", "utf-8")
    assert (line["profile"], line["message_id"]) == (profile.name, Message.objects.get().message_id)
    assert "Hello." not in json.dumps(line)


def test_n32_n33_log_only_sends_nothing_and_has_an_event_for_each_recipient(client, server):
    profile_of(server)
    policy(debug_mode="log")
    before = server.sessions
    (message_id,) = queued(to=["bo@example.com", "cy@example.com"])

    worked()

    assert (server.sessions, state_of(message_id)) == (before, SmallState.SUPPRESSED)
    log = text_of(client.get(reverse("admin:smtp_settings_event_changelist")))
    assert "bo@example.com" in log
    assert "cy@example.com" in log
    assert "Information" in log


def test_n34_simulated_failures_take_the_real_path_of_retries(server):
    policy(debug_mode="log", simulated_failures=100)
    (message_id,) = queued()

    worked()

    assert state_of(message_id) is SmallState.QUEUED
    assert [one.outcome for one in attempts_of(message_id)] == ["retry"]
    assert Event.objects.filter(kind="message.simulated_failure", level="error").count() == 1


def test_n35_what_failed_is_sent_again_by_itself_by_cause_and_as_a_copy(
    client, process_environment, server, tmp_path
):
    profile_of(server)
    with answering(server, RCPT="550 5.1.1 No such user"):
        one, two, three = queued(3)
        worked()
    for act, message_id in (("retry", one), ("send_again", two)):
        client.post(reverse("admin:delivery_message_action", args=[message_id, act]))
    worked()
    assert len(server.wait_for(2)) == 2

    group = client.get(MESSAGES, {"state": "failed"}).context["groups"][0]
    assert group.count == 2
    started = client.post(group.acts[0].url)
    with celery_worker({**process_environment, "REDIS_URL": ""}, queues="work", beat=tmp_path / "beat"):
        until(lambda: "job goes on" not in text_of(client.get(started.url)))
    worked()
    assert {state_of(each) for each in (one, two, three)} == {SmallState.SENT}

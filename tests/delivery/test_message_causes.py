"""What a message's page says of the cause: by the table of tests, without a secret or a blind name."""

import re
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from delivery import jobs, queue
from delivery.models import Message
from delivery.queue import MessageState, SmallState
from smtp_settings.models import Event, SMTPProfile
from tests.delivery.queueing import a_row_of_profile, claimed, state_of, statements
from tests.delivery.test_admin_messages import a_message, url
from tests.pages import assert_strict, client_of, text_of

pytestmark = pytest.mark.django_db

UNKNOWN = (550, "5.1.1", "No such user here")
REFUSED = (535, "5.7.8", "Authentication failed")


def failed(reply=UNKNOWN, *, phase="rcpt", cause="recipient", message_id=None, verdicts=None, **profile):
    """A message given up at its first try, with the attempt that says where; its id."""
    code, enhanced, words = reply
    row = a_row_of_profile(name="EU relay", auth="password", username="shop-user", **profile)
    lease = queue.register_worker()
    message_id = message_id or a_message()
    claimed(lease, profile_id=row.pk)
    queue.record([queue.Tried(message_id, lease, row.pk, 1, phase, "failed", *reply, 20, cause)])
    ended = queue.Finished(
        message_id, SmallState.FAILED, 1, row.pk, code, enhanced, words, cause, verdicts=verdicts
    )
    queue.finish(lease, [ended])
    assert state_of(message_id) == SmallState.FAILED
    return message_id


def put_off(reply, *, phase="rcpt", outcome="retry", tries=1, **profile):
    """A message that waits after so many tries, all with this reply; its id."""
    row = a_row_of_profile(name="EU relay", auth="password", username="shop-user", **profile)
    lease = queue.register_worker()
    message_id = a_message()
    claimed(lease, profile_id=row.pk)
    queue.record(
        [queue.Tried(message_id, lease, row.pk, n, phase, outcome, *reply) for n in range(1, tries + 1)]
    )
    queue.settle(lease, [queue.Settled(message_id, row.pk, timedelta(minutes=12), counted=1)])
    return message_id


def page_of(message_id, role="administrator", **more):
    response = client_of(role, **more).get(url("change", message_id))
    assert_strict(response)
    return response


def test_a_message_too_large_for_every_server_says_by_how_much_and_what_helps():
    words = "attachments 14.2 MB; EU relay takes 10 MB, Backup takes 12 MB"
    text = text_of(page_of(failed((None, None, words), phase="", cause="too_large")))
    assert f"It is larger than the servers take that may carry it: {words} Raise the limit" in text


def test_an_unknown_recipient_is_told_as_one_with_the_servers_words_and_what_helps():
    assert (
        "Given up. The server does not know this recipient: 550 5.1.1 No such user here "
        "Retrying will not help unless the address is corrected."
    ) in text_of(page_of(failed(), "viewer"))


@pytest.mark.parametrize(
    ("reply", "phase", "cause", "words"),
    [
        (
            (552, "5.2.2", "Over quota"),
            "rcpt",
            "mailbox_full",
            "Given up. The recipient's mailbox is full: 552 5.2.2 Over quota Retry when the recipient has"
            " made room.",
        ),
        (
            (550, "5.7.60", "SendAsDenied"),
            "dot",
            "policy",
            "Given up. shop-user may not send as ana@example.org in Microsoft 365: 550 5.7.60 SendAsDenied",
        ),
        (
            (550, "5.7.1", "Blocked, see our web page"),
            "rcpt",
            "relay",
            "Given up. The receiving side refuses us or the recipient: 550 5.7.1 Blocked, see our web page",
        ),
        (
            (554, "5.7.1", "Relay access denied"),
            "rcpt",
            "relay",
            "Given up. The server does not relay for this account: 554 5.7.1 Relay access denied",
        ),
        (
            (554, "5.7.1", "Spam"),
            "dot",
            "policy",
            "Given up. The server refused the message by its own rules: 554 5.7.1 Spam",
        ),
    ],
    ids=["full", "send-as", "blocked", "relay", "nothing-more-is-known"],
)
def test_a_refusal_is_told_by_the_table_of_causes(reply, phase, cause, words):
    assert words in text_of(page_of(failed(reply, phase=phase, cause=cause), "viewer"))


def test_a_deferred_message_says_when_it_is_tried_again_and_what_the_answer_means():
    page = text_of(page_of(put_off((451, "4.7.0", "Daily sending quota exceeded"))))
    assert "The server asked to wait: 451 4.7.0 Daily sending quota exceeded The daily quota is used" in page


def test_an_answer_that_only_asks_to_wait_is_not_explained_twice():
    page = text_of(page_of(put_off((450, "4.2.0", "Greylisted, try again in 5 minutes"))))
    assert "The server asked to wait: 450 4.2.0 Greylisted, try again in 5 minutes" in page
    assert "asks to try again" not in page


@pytest.mark.parametrize(
    ("reply", "cause", "first"),
    [
        (UNKNOWN, "recipient", "Send to others…"),
        ((552, "5.3.4", "Message too big"), "size", None),
        ((451, "4.3.0", "Local problem"), "retries", "Retry now"),
    ],
)
def test_the_first_button_is_the_one_that_may_help(reply, cause, first):
    html = page_of(failed(reply, cause=cause)).content.decode()
    found = re.findall(r'class="mc-button is-primary"[^>]*>([^<]+)<', html)
    assert found == ([first] if first else [])


def test_nobody_is_told_to_retry_what_is_tried_again():
    page = text_of(page_of(put_off((452, "4.2.2", "Mailbox full"))))
    assert "452 4.2.2 Mailbox full The recipient's mailbox is full." in page
    assert "Retry when" not in page


def test_a_refused_sign_in_did_not_ask_to_wait():
    page = text_of(page_of(put_off(REFUSED, phase="auth", outcome="released")))
    assert (
        "Last answer: 535 5.7.8 Authentication failed The server refused the user name or password." in page
    )
    assert "asked to wait" not in page


@pytest.mark.parametrize("role", ["administrator", "viewer"])
def test_only_who_may_change_the_profile_gets_links_to_its_fields(role):
    message_id = put_off(REFUSED, phase="auth", outcome="released")
    page = page_of(message_id, role)
    address = reverse("admin:smtp_settings_smtpprofile_change", args=[SMTPProfile.objects.get().pk])
    html = page.content.decode()
    assert "Look at: User name , Password" in text_of(page)
    for field in ("username", "password"):
        assert (f'href="{address}#id_{field}"' in html) is (role == "administrator")


def test_a_recipient_is_no_field_of_the_profile():
    assert "Look at" not in text_of(page_of(failed()))


def test_who_may_not_see_profiles_is_told_nothing_of_one():
    permissions = ["delivery.view_message"]
    secretive = text_of(
        page_of(
            failed((550, "5.7.60", "SendAsDenied"), phase="dot", cause="policy"),
            "staff",
            permissions=permissions,
        )
    )
    assert "shop-user" not in secretive
    assert "Look at" not in secretive
    assert "The server refused the message by its own rules: 550 5.7.60 SendAsDenied" in secretive


TOO_LARGE = (None, None, "attachments 14.2 MB; EU relay takes 10 MB, Backup takes 12 MB")


@pytest.mark.parametrize("is_sent", [False, True])
@pytest.mark.parametrize(("reply", "cause"), [(UNKNOWN, "recipient"), (TOO_LARGE, "too_large")])
def test_who_may_not_see_profiles_reads_the_name_of_none_on_any_page(is_sent, reply, cause):
    message_id = failed(reply, cause=cause, is_default=True)
    profile = SMTPProfile.objects.get()
    if is_sent:
        Message.objects.update(state=SmallState.SENT, pinned_profile=profile)
    choice = jobs.Choice(state=MessageState.FAILED, profile_id=profile.pk)
    job_id = jobs.start(jobs.ACTS["retry"], choice, user_id=None)
    queue.add_event("test.failed", profile_id=profile.pk, data={"name": "EU relay"})
    queue.add_event("server.paused", profile_id=profile.pk, data={"reason": "EU relay says no"})
    queue.add_event("profile.saved", profile_id=99, data={"name": "EU relay", "default_lost_by": "EU relay"})
    messages = reverse("admin:delivery_message_changelist")
    log = reverse("admin:smtp_settings_event_changelist")
    pages = [
        log,
        f"{log}?q=EU+relay",
        *(reverse("admin:smtp_settings_event_change", args=[event.pk]) for event in Event.objects.all()[:3]),
        url("change", message_id),
        messages,
        f"{messages}?state=failed",
        f"{messages}?state=failed&profile={profile.pk}",
        reverse("admin:index"),
        reverse("admin:delivery_bulkjob_change", args=[job_id]),
    ]
    may = ["delivery.view_message", "delivery.view_bulkjob"]
    may += ["smtp_settings.view_event", "smtp_settings.export_event"]
    looker = client_of("staff", permissions=may)
    everybody = client_of("superuser")

    for page in pages:
        cache.clear()
        assert "EU relay" in text_of(everybody.get(page)), page
        cache.clear()
        answer = looker.get(page)
        assert answer.status_code == 200, page
        assert not re.search("EU relay|Backup", answer.content.decode()), page
    table = b"".join(looker.get(reverse("admin:smtp_settings_event_export")).streaming_content).decode()
    assert "Profile 99" in table
    assert "EU relay" not in table
    if is_sent:
        html = everybody.get(url("change", message_id)).content.decode()
        assert "Send again as a copy" in html
        assert "is-primary" not in html, "nothing is to be done about it"
        assert "Accepted by a server." in text_of(looker.get(url("change", message_id)))


def test_a_cause_in_the_recipient_is_told_without_the_profile():
    message_id = failed()
    SMTPProfile.objects.all().delete()
    assert "The server does not know this recipient:" in text_of(page_of(message_id))


def test_a_profile_changed_since_is_told_so():
    message_id = failed((554, "5.7.1", "Relay access denied"), cause="relay")
    told = "The profile was changed after this attempt."
    SMTPProfile.objects.update(changed_at=timezone.now() - timedelta(hours=1))
    assert told not in text_of(page_of(message_id))
    SMTPProfile.objects.update(changed_at=timezone.now() + timedelta(minutes=1))
    assert told in text_of(page_of(message_id))


def test_what_a_rule_of_the_profile_decided_is_not_explained_by_the_table():
    page = text_of(page_of(failed(cause="override")))
    assert "A rule of the profile about replies says that this one is final:" in page
    assert "does not know this recipient" not in page


def test_the_timeline_says_the_cause_of_each_attempt():
    message_id = put_off((451, "4.7.0", "Daily sending quota exceeded"), tries=3)
    assert text_of(page_of(message_id)).count("The daily quota is used up.") == 1 + 3


def test_no_attempt_costs_a_statement_of_its_own():
    reply = (451, "4.7.0", "Daily sending quota exceeded")
    counts = []
    client = client_of("administrator")
    for tries in (1, 40):
        message_id = put_off(reply, tries=tries)
        SMTPProfile.objects.filter(name="EU relay").update(name=f"{tries} tries")
        client.get(url("change", message_id))
        with statements() as seen:
            client.get(url("change", message_id))
        counts.append(len(seen))
    assert counts[0] == counts[1]


def test_no_sealed_secret_is_read_for_a_message_that_waits_no_more():
    client = client_of("administrator")
    failed((550, "5.1.1", "No such user"))
    message_id = Message.objects.get().pk
    with statements() as seen:
        client.get(url("change", message_id))
    assert not any('"smtp_settings_smtpprofile"."password"' in sql for sql in seen)


@pytest.mark.parametrize(("role", "sees"), [("viewer", False), ("administrator", True)])
def test_a_blind_recipient_is_named_by_no_reply_and_no_cause(role, sees):
    refusal = "SES failed the check in region EU-WEST-1: di@example.com"
    message_id = a_message(to=["bo@example.com"], bcc=["di@example.com"])
    verdicts = {"bo@example.com": {"state": "failed", "code": 554, "reply": refusal}}
    failed((554, "", refusal), phase="dot", cause="content", message_id=message_id, verdicts=verdicts)
    SMTPProfile.objects.update(host="email-smtp.eu-west-1.amazonaws.com")
    text = text_of(page_of(message_id, role))
    assert Message.objects.get(pk=message_id).reply == refusal
    assert ("di@example.com" in text) is sees
    assert ("(blind recipient) is not verified" in text) is not sees

"""The pages of messages: who may see and do what, and that strangers' words stay words."""

import re
from datetime import timedelta

import django
import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.sites.models import Site
from django.core.cache import cache
from django.core.mail import EmailMultiAlternatives
from django.urls import reverse

from delivery import jobs, queue
from delivery.admin import searching
from delivery.admin.actions import ACTIONS
from delivery.composing import compose_message
from delivery.models import BulkJob, Content, Failure, Message, QueueEntry
from delivery.queue import SmallState
from smtp_settings.admin.records import bounded
from smtp_settings.models import Event
from tests.delivery.queueing import a_row_of_profile, claimed, enqueued, state_of, statements
from tests.pages import ROLES, assert_strict, client_of, inline_in, policy_of, text_of

pytestmark = pytest.mark.django_db

LIST = reverse("admin:delivery_message_changelist")
HOSTILE = '<script>alert(1)</script>\u202egnp.exe\x1b[31m" onload="x'
HTML = '<p id="inner">Hello</p><script>alert(1)</script><img src="https://tracker.example/x.png">'


def url(name, message_id, *more):
    return reverse(f"admin:delivery_message_{name}", args=[message_id, *more])


def a_message(*, subject="Report", html=HTML, files=(("report.pdf", b"%PDF-", "application/pdf"),), **fields):
    """Queue a message with a body, a picture of it in HTML, and attachments; its id."""
    message = EmailMultiAlternatives(
        subject,
        "The secret link\r\n",
        "Ana <ana@example.org>",
        fields.pop("to", ["bo@example.com"]),
        **fields,
    )
    if html:
        message.attach_alternative(html, "text/html")
    for name, data, kind in files:
        message.attach(name, data, kind)
    return queue.enqueue([queue.Handover(compose_message(message))])[0].id


def tried(message_id, *, reply="Try again later", code=451, outcome="retry", lease=None, profile_id=None):
    queue.record([queue.Tried(message_id, lease, profile_id, 1, "rcpt", outcome, code, "4.7.1", reply, 1800)])


def deferred(**fields):
    """A message that was tried once; its id."""
    profile = a_row_of_profile()
    lease = queue.register_worker()
    message_id = fields.pop("message_id", None) or a_message(**fields)
    claimed(lease, profile_id=profile.pk)
    tried(message_id, lease=lease, profile_id=profile.pk)
    queue.settle(lease, [queue.Settled(message_id, profile.pk, timedelta(minutes=12), counted=1)])
    return message_id


def ended(state, *, reply="No such user", cause="recipient", uncertain=False, message_id=None):
    """A message that ended so; its id."""
    profile = a_row_of_profile(name=f"Profile {state}")
    lease = queue.register_worker()
    message_id = message_id or a_message()
    claimed(lease, profile_id=profile.pk)
    if uncertain:
        queue.settle(lease, [queue.Settled(message_id, profile.pk, timedelta(0), counted=1, uncertain=True)])
        claimed(lease, profile_id=profile.pk)
    queue.finish(lease, [queue.Finished(message_id, state, 1, profile.pk, 550, "5.1.1", reply, cause)])
    assert state_of(message_id) == state
    return message_id


# Who may do what (V53)

PAGES = {  # name -> who gets 200
    "change": {"superuser", "administrator", "operator", "viewer"},
    "content": {"superuser", "administrator"},
    "preview": {"superuser", "administrator"},
    "attachment": {"superuser", "administrator"},
    "download": {"superuser", "administrator"},
}
DOERS = {"superuser", "administrator", "operator"}


def expected_status(role, allowed):
    if role in {"anonymous", "nobody"}:
        return 302  # to the sign-in
    return 200 if role in allowed else 403


@pytest.mark.parametrize("role", ROLES)
def test_each_page_opens_for_those_who_may_see_it_and_no_one_else(role):
    message_id = a_message()
    client = client_of(role)

    assert client.get(LIST).status_code == expected_status(role, PAGES["change"])
    for name, allowed in PAGES.items():
        address = url(name, message_id, *([0] if name == "attachment" else []))
        assert client.get(address).status_code == expected_status(role, allowed), name


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("action", ["retry", "send_again", "release", "hold", "cancel"])
def test_each_action_is_a_post_by_those_who_may_do_it(role, action):
    message_id = a_message()
    client = client_of(role)
    before = list(Message.objects.values()), list(QueueEntry.objects.values())

    assert client.get(url("action", message_id, action)).status_code in (
        {302} if role in {"anonymous", "nobody"} else {405}
    )
    status = client.post(url("action", message_id, action)).status_code
    assert status == (302 if role in DOERS | {"anonymous", "nobody"} else 403)
    if role not in DOERS:
        assert (list(Message.objects.values()), list(QueueEntry.objects.values())) == before


@pytest.mark.parametrize("role", ["operator", "viewer", "staff"])
def test_an_action_on_the_list_asks_for_the_same_permission(role):
    message_id = a_message()
    client = client_of(role)

    response = client.post(LIST, {"action": "cancel", "index": "0", "_selected_action": [message_id]})

    assert (state_of(message_id) == SmallState.CANCELLED) == (role == "operator")
    assert response.status_code == {"operator": 302, "viewer": 302, "staff": 403}[role]


@pytest.mark.parametrize(
    ("tab", "offered"),
    [
        ("queued", {"send_again", "hold", "cancel", "move"}),
        ("sending", set()),
        ("deferred", {"retry", "send_again", "hold", "cancel", "move"}),
        ("sent", {"send_again"}),
        ("failed", {"retry", "send_again", "move"}),
        ("held", {"send_again", "release", "cancel", "move"}),
        ("cancelled", {"send_again"}),
        ("expired", {"retry", "send_again", "move"}),
        ("", {action.name for action in ACTIONS}),
        ("nonsense", {action.name for action in ACTIONS}),
    ],
)
def test_a_tab_offers_what_can_be_done_there(rf, tab, offered):
    request = rf.get(LIST, {"state": tab})
    request.user = get_user_model().objects.create_superuser("super")

    assert set(admin.site.get_model_admin(Message).get_actions(request)) == offered


def test_what_was_ticked_on_a_tab_is_taken_whatever_it_has_become():
    message_id = deferred()
    posted = {"action": "hold", "index": "0", "_selected_action": [message_id]}

    assert client_of("superuser").post(f"{LIST}?state=failed", posted).status_code == 302


@pytest.mark.parametrize("permissions", [[], ["delivery.retry_message"]])
def test_an_action_on_the_list_that_is_not_permitted_says_so(permissions):
    message_id = a_message()
    client = client_of("staff", permissions=["delivery.view_message", *permissions])

    page = client.post(LIST, {"action": "hold", "index": "0", "_selected_action": [message_id]}, follow=True)

    assert "Nothing was done. It needs the permission “Can hold and release messages”." in text_of(page)
    assert state_of(message_id) == SmallState.QUEUED


@pytest.mark.parametrize("permission", ["retry", "cancel", "hold", "resend"])
def test_one_permission_gives_one_action(permission):
    message_id = deferred()
    client = client_of("staff", permissions=["delivery.view_message", f"delivery.{permission}_message"])
    allowed = {
        "retry": {"retry"},
        "cancel": {"cancel"},
        "hold": {"hold", "release"},
        "resend": {"send_again"},
    }

    for action in ("retry", "send_again", "release", "hold", "cancel"):
        may = action in allowed[permission]
        assert client.post(url("action", message_id, action)).status_code == (302 if may else 403), action
        text = client.get(url("change", message_id)).content.decode()
        assert may or url("action", message_id, action) not in text


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_pages_only_read(method):
    message_id = a_message()
    client = client_of("superuser")

    for name in PAGES:
        address = url(name, message_id, *([0] if name == "attachment" else []))
        assert getattr(client, method)(address).status_code == 405, name
    assert Event.objects.count() == 0


def test_looking_changes_nothing_but_the_note_of_who_looked():
    message_id = deferred()
    client = client_of("administrator")

    def rows():
        return [list(model.objects.values()) for model in (Message, QueueEntry, Failure)]

    before = rows()
    client.get(LIST)
    client.get(LIST, {"state": "deferred"})
    client.get(url("change", message_id))
    assert Event.objects.count() == 0
    for name in ("content", "preview", "download"):
        client.get(url(name, message_id))
    client.get(url("attachment", message_id, 0))

    assert rows() == before
    assert list(Event.objects.order_by("pk").values_list("kind", "message_id", "user_id", "data__part")) == [
        ("message.content_read", message_id, client.user.pk, part)
        for part in ("page", "preview", "download", "attachment 0")
    ]


def test_a_forged_request_is_refused():
    message_id = a_message()
    client = client_of("superuser", enforce_csrf_checks=True)

    response = client.post(url("action", message_id, "cancel"))
    assert response.status_code == 403
    assert "This page was open for too long." in text_of(response)
    assert (
        client.post(LIST, {"action": "cancel", "index": "0", "_selected_action": [message_id]}).status_code
        == 403
    )
    assert state_of(message_id) == SmallState.QUEUED


@pytest.mark.parametrize("address", ["add/", "{}/delete/", "{}/history/", "{}/change/"])
def test_there_are_no_forms_for_messages(address):
    message_id = a_message()
    assert client_of("superuser").get(LIST + address.format(message_id)).status_code == 404


def test_a_message_that_is_gone_is_404_with_a_sentence():
    response = client_of("superuser").get(url("change", 12))
    assert response.status_code == 404
    assert "This message does not exist. It may have been removed" in text_of(response)
    assert client_of("superuser").get(url("change", 2**64)).status_code == 404
    assert client_of("superuser").post(url("action", a_message(), "no-such")).status_code == 404


# Strangers' words


def test_hostile_words_stay_words_on_every_page():
    message_id = deferred(subject="x")
    Message.objects.filter(pk=message_id).update(
        subject=HOSTILE,
        mail_from=HOSTILE,
        from_header=HOSTILE,
        tag=HOSTILE,
        message_id=HOSTILE,
        rcpt_to=[HOSTILE, "b@example.org"],
        verdicts={HOSTILE: {"state": "failed", "reply": HOSTILE}},
    )
    tried(message_id, reply=HOSTILE)
    client = client_of("viewer")

    for address in (LIST, url("change", message_id)):
        response = client.get(address)
        assert_strict(response)
        page = response.content.decode()
        assert "<script>alert" not in page
        assert "\u202e" not in page
        assert "\x1b" not in page
        assert "<script>alert(1)</script>\\u202egnp.exe\\x1b[31m" in text_of(response)


def test_hostile_content_stays_words_and_runs_only_in_the_sandbox():
    message_id = a_message(subject="<b>Hi</b>", html=HTML, files=[("../<b>.txt", b"x", "text/html")])
    client = client_of("administrator")

    page = client.get(url("content", message_id))
    assert_strict(page)
    assert '<p id="inner">' not in page.content.decode()
    assert '<p id="inner">Hello</p><script>alert(1)</script>' in text_of(page)
    assert 'sandbox loading="lazy"' in page.content.decode()

    preview = client.get(url("preview", message_id))
    assert '<p id="inner">' in preview.content.decode()
    assert policy_of(preview) == {
        "sandbox",
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "frame-ancestors 'self'",
    }
    assert preview.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert {"no-store", "private"} <= set(preview.headers["Cache-Control"].split(", "))
    assert preview.headers["X-Content-Type-Options"] == "nosniff"


def test_files_are_downloads_with_safe_names():
    text = b"<script>1</script>\r\n"  # ends its last line, as Django 6 sees to
    message_id = a_message(files=[("../../a\u202egnp.html", text, "text/html")])
    client = client_of("administrator")

    file = client.get(url("attachment", message_id, 0))
    assert file.content == text
    assert file.headers["Content-Type"] == "application/octet-stream"
    assert file.headers["Content-Disposition"] == 'attachment; filename="agnp.html"'
    assert file.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in policy_of(file)
    assert client.get(url("attachment", message_id, 1)).status_code == 404

    whole = client.get(url("download", message_id))
    assert whole.headers["Content-Disposition"] == f'attachment; filename="message-{message_id}.eml"'
    assert whole.content.startswith(b"From: Ana <ana@example.org>\r\nSubject: Report\r\n")
    assert b"The secret link" in whole.content


def test_a_message_that_cannot_be_shown_can_be_downloaded():
    message_id = a_message(html="", files=[(f"f{n}.txt", b"x", "text/plain") for n in range(310)])
    client = client_of("administrator")

    assert "too many parts to be shown here" in text_of(client.get(url("content", message_id)))
    assert client.get(url("download", message_id)).status_code == 200
    assert client.get(url("preview", message_id)).status_code == 404


def test_a_message_without_a_sender_is_shown_without_one():
    profile = a_row_of_profile(from_address="shop@example.com", from_name="The Shop")
    waits, broken = a_message(), a_message()
    Message.objects.filter(pk=waits).update(from_header=None)
    Message.objects.filter(pk=broken).update(from_header="\u00e4@example.org")
    client = client_of("administrator")

    assert client.get(url("download", waits)).content.startswith(b"Subject: Report\r\n")
    Message.objects.filter(pk=waits).update(profile_id=profile.pk)
    assert client.get(url("download", waits)).content.startswith(b"From: The Shop <shop@example.com>\r\n")
    assert b"The secret link" in client.get(url("download", broken)).content


def test_content_that_is_gone_is_said_to_be():
    message_id = a_message()
    queue.cancel([message_id])
    Content.objects.filter(pk=message_id).delete()
    client = client_of("administrator")

    assert "has been removed; it is kept for 7 days." in text_of(client.get(url("content", message_id)))
    assert client.get(url("download", message_id)).status_code == 404
    Message.objects.filter(pk=message_id).update(sensitive=True)
    assert "sensitive: its content was removed" in text_of(client.get(url("content", message_id)))


def test_a_viewer_sees_no_body_and_no_blind_recipient():
    message_id = a_message(to=["bo@example.com"], cc=["cy@example.com"], bcc=["blind@example.com"])
    page = text_of(client_of("viewer").get(url("change", message_id)))

    assert "The secret link" not in page
    assert "blind@example.com" not in page
    assert "1 blind recipient is not shown." in page
    assert "cy@example.com" in page
    assert "You may see the delivery details but not the content." in page
    assert "blind@example.com" in text_of(client_of("administrator").get(url("change", message_id)))


# What the page says


@pytest.mark.parametrize(
    ("state", "cause", "words"),
    [
        (SmallState.SENT, "", "Accepted by the server of Profile 2. Accepted is not the same as delivered."),
        (
            SmallState.FAILED,
            "recipient",
            "Given up. The server does not accept this recipient: 550 5.1.1 No such user",
        ),
        (SmallState.FAILED, "compose", "Given up. It could not be put together: 550 5.1.1 No such user"),
        (SmallState.FAILED, "retries", "Given up after 1 try. Last answer: 550 5.1.1 No such user"),
        (SmallState.HELD, "crashes", "Three workers stopped while sending this message."),
        (SmallState.HELD, "uncertain", "It may have been delivered. It is held: decide below."),
        (SmallState.EXPIRED, "gave_up", "Given up: it could not be sent for too long."),
        (SmallState.EXPIRED, "expires_at", "its sender wanted it sent no later"),
        (SmallState.CANCELLED, "", "Cancelled by a person. It was not sent."),
        (SmallState.SUPPRESSED, "", "Debug mode was on. This message was not sent."),
    ],
)
def test_one_sentence_says_how_a_message_ended(state, cause, words):
    message_id = ended(state, cause=cause)
    assert words in text_of(client_of("viewer").get(url("change", message_id)))


@pytest.mark.parametrize("state", [SmallState.EXPIRED, SmallState.FAILED])
def test_one_that_was_never_answered_leads_over_to_no_answer(state):
    message_id = ended(state, cause="gave_up")
    Message.objects.update(code=None, enhanced=None, reply=None)
    page = text_of(client_of("viewer").get(url("change", message_id)))
    assert "Given up" in page
    assert "Last answer:" not in page


def test_one_sentence_says_what_an_open_message_waits_for():
    client = client_of("viewer")
    waiting = a_message()
    assert "This message is due and waits to be sent." in text_of(client.get(url("change", waiting)))
    put_off = deferred(message_id=waiting)
    page = text_of(client.get(url("change", put_off)))
    assert "Tried 1 time. Next try at" in page
    assert "(in 12 minutes)" in page
    assert "The server asked to wait: 451 4.7.1 Try again later" in page
    assert "Attempt 1 by worker" in page
    assert "1.8 s" in page


def test_an_uncertain_message_says_that_it_may_have_arrived():
    profile, lease, message_id = a_row_of_profile(), queue.register_worker(), a_message()
    claimed(lease, profile_id=profile.pk)
    queue.settle(
        lease, [queue.Settled(message_id, profile.pk, timedelta(minutes=10), counted=1, uncertain=True)]
    )
    page = text_of(client_of("viewer").get(url("change", message_id)))
    assert "It may have been delivered. It will be sent again at" in page
    assert "Uncertain" in page


def test_each_recipient_has_its_verdict():
    message_id = a_message(to=["bo@example.com", "cy@example.com"])
    lease = queue.register_worker()
    claimed(lease)
    refusal = {"state": "failed", "code": 550, "enhanced": "5.1.1", "reply": "No such user"}
    queue.finish(
        lease,
        [queue.Finished(message_id, SmallState.SENT, 1, None, 250, verdicts={"cy@example.com": refusal})],
    )
    page = text_of(client_of("viewer").get(url("change", message_id)))
    assert "bo@example.com Sent" in page
    assert "cy@example.com Failed 550 5.1.1 No such user" in page


# Actions


def test_retry_takes_what_failed_and_what_waits_and_says_what_was_skipped():
    failed = ended(SmallState.FAILED)
    sent = ended(SmallState.SENT)
    waits = deferred()
    client = client_of("operator")

    response = client.post(
        LIST, {"action": "retry", "index": "0", "_selected_action": [failed, sent, waits]}, follow=True
    )

    assert "2 messages will be tried again now. 1 was skipped: 1 sent." in text_of(response)
    assert state_of(failed) == SmallState.QUEUED
    assert state_of(sent) == SmallState.SENT
    assert {ready.oldest_ready_at for ready in queue.ready_lanes()}


def test_hold_release_and_cancel_follow_the_state():
    message_id = a_message()
    client = client_of("operator")

    def do(action):
        return text_of(client.post(url("action", message_id, action), follow=True))

    assert "1 message is held now." in do("hold")
    assert state_of(message_id) == SmallState.HELD
    assert "1 was skipped: 1 held." in do("retry")
    assert "1 message was released." in do("release")
    assert state_of(message_id) == SmallState.QUEUED
    assert "1 message was cancelled." in do("cancel")
    assert "1 was skipped: 1 cancelled." in do("release")


def test_send_again_makes_a_new_message_linked_to_the_old():
    sent = ended(SmallState.SENT, cause="")
    client = client_of("operator")

    client.post(url("action", sent, "send_again"))

    copy = Message.objects.exclude(pk=sent).get()
    assert copy.copy_of_id == sent
    assert f"Copy of #{sent}" in text_of(client.get(url("change", copy.pk)))


def test_a_message_in_a_workers_hands_is_left_alone():
    message_id = a_message()
    claimed(queue.register_worker())
    client = client_of("operator")

    for action in ("retry", "send_again", "release", "hold", "cancel"):
        page = text_of(client.post(url("action", message_id, action), follow=True))
        assert "1 was skipped: 1 sending." in page
    assert QueueEntry.objects.get().lease_id is not None


@pytest.mark.parametrize("action", ["retry", "send_again"])
def test_an_uncertain_message_is_sent_again_only_after_a_question(action):
    message_id = ended(SmallState.FAILED, uncertain=True)
    client = client_of("operator")

    page = client.post(url("action", message_id, action))
    assert_strict(page)
    assert "The server may already have accepted this message." in text_of(page)
    assert Message.objects.count() == 1
    assert state_of(message_id) == SmallState.FAILED

    client.post(url("action", message_id, action), {"confirmed": "1"})
    assert QueueEntry.objects.count() == 1


def test_the_question_on_the_list_keeps_the_choice():
    message_id = ended(SmallState.FAILED, uncertain=True)
    client = client_of("operator")
    chosen = {"action": "retry", "_selected_action": [message_id]}

    page = client.post(LIST, chosen | {"index": "0"}).content.decode()
    assert f'name="_selected_action" value="{message_id}"' in page
    client.post(LIST, chosen | {"confirmed": "1"})
    assert state_of(message_id) == SmallState.QUEUED


@pytest.mark.parametrize(
    "junk", ["abc", "", "-1", "1.5", " ", "\0", "\u0663", str(2**63), "9" * 5000, "1 OR 1=1", "None"]
)
def test_a_chosen_number_that_is_none_is_ignored(junk):
    message_id, other = a_message(), a_message()
    client = client_of("operator")

    def cancel(*chosen, **options):
        data = {"action": "cancel", "_selected_action": chosen} | options
        return text_of(client.post(LIST, data, follow=True))

    assert "Nothing was done: no message was chosen." in cancel(junk, index="0")
    assert "Nothing was done: no message was chosen." in cancel(junk, confirmed="1")
    assert state_of(message_id) == state_of(other) == SmallState.QUEUED
    assert "1 message was cancelled." in cancel(junk, message_id, index="0")
    assert (state_of(message_id), state_of(other)) == (SmallState.CANCELLED, SmallState.QUEUED)


def test_an_action_that_is_for_no_message_any_more_says_so():
    a_message()
    client = client_of("operator")
    page = client.post(LIST, {"action": "hold", "index": "0", "_selected_action": [2**63 - 1]}, follow=True)
    assert "Nothing was done: the chosen messages are not in this list any more." in text_of(page)


@pytest.mark.parametrize("name", ["no-such", ""])
def test_an_unknown_action_on_the_list_says_so(name):
    message_id = a_message()
    page = client_of("operator").post(
        LIST, {"action": name, "index": "0", "_selected_action": [message_id]}, follow=True
    )
    assert "Nothing was done: no action was chosen." in text_of(page)


def test_all_matching_cannot_be_forged():
    ids = enqueued(3)
    client = client_of("operator")
    client.post(LIST, {"action": "cancel", "index": "0", "select_across": "1", "_selected_action": ids[:1]})
    assert [state_of(i) for i in ids] == [SmallState.CANCELLED, SmallState.QUEUED, SmallState.QUEUED]


# The list


def test_tabs_show_each_message_under_its_state():
    waits, put_off = None, deferred()
    failed = ended(SmallState.FAILED)
    sent = ended(SmallState.SENT)
    held = a_message()
    queue.hold([held])
    cancelled = a_message()
    queue.cancel([cancelled])
    sending = a_message()
    claimed(queue.register_worker())
    waits = a_message()
    client = client_of("viewer")

    for state, message_id in {
        "queued": waits,
        "sending": sending,
        "deferred": put_off,
        "sent": sent,
        "failed": failed,
        "held": held,
        "cancelled": cancelled,
    }.items():
        shown = client.get(LIST, {"state": state}).context["cl"].result_list
        assert [message.pk for message in shown] == [message_id], state
        assert shown[0].line.standing.state == state
    assert client.get(LIST, {"state": "expired"}).context["cl"].result_list == []
    assert len(client.get(LIST, {"state": "no-such"}).context["cl"].result_list) == 7


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("bo@", True),
        ("BO@EXAMPLE", True),
        ("cy@", False),
        ("{id}", True),
        ("#{id}", True),
        ("%", False),
        ("9" * 40, False),
    ],
)
def test_search_finds_the_start_of_the_address_or_the_number(term, found):
    message_id = a_message(to=["Bo@example.com", "cy@example.com"])
    shown = client_of("viewer").get(LIST, {"q": term.format(id=message_id)}).context["cl"].result_list
    assert bool(shown) == found


@pytest.mark.parametrize("written", ["{}", " {} ", "<{}>"])
def test_a_bounce_leads_to_its_message_by_the_message_id(monkeypatch, written):
    monkeypatch.setattr(bounded, "WINDOW", 2)
    bounced, *_others = (a_message() for _ in range(4))
    name = Message.objects.values_list("message_id", flat=True).get(pk=bounced).strip("<>")
    client = client_of("viewer")

    assert listed(client, q=written.format(name)) == [bounced]
    assert listed(client, q=written.format(name.upper()), state="queued") == [bounced]
    Message.objects.filter(pk=bounced).update(message_id="<another@example.org>")
    assert listed(client, q=written.format(name)) == []


@pytest.mark.parametrize("state", [{}, {"state": "queued"}, {"state": "cancelled"}])
def test_an_address_is_found_however_old_its_messages_are(monkeypatch, state):
    monkeypatch.setattr(bounded, "WINDOW", 2)
    old = [a_message(to=["bo@example.com"]) for _ in range(3)]
    for _ in range(5):
        a_message(to=["cy@example.com"])
    if state.get("state") == "cancelled":
        queue.cancel(old)
    client = client_of("viewer")

    with statements() as seen:
        assert listed(client, q="bo@", **state) == old[::-1]
    asked = [sql for sql in seen if "rcpt_first" in sql and "ORDER BY" in sql]
    assert asked
    assert all("= ANY(ARRAY(" in sql for sql in asked)  # never a walk from the newest on
    assert listed(client, q=f"#{old[0]}", **state) == [old[0]]


def test_messages_of_a_common_start_are_sought_among_the_newest_and_the_rest_is_a_link_away(monkeypatch):
    monkeypatch.setattr(bounded, "WINDOW", 2)
    monkeypatch.setattr(searching, "CANDIDATES", 3)
    client = client_of("viewer")
    old = [a_message(to=["bo@example.com"]) for _ in range(4)]
    cy, bo = a_message(to=["cy@example.com"]), a_message(to=["bo@example.com"])

    page = client.get(LIST, {"q": "bo@"})
    assert [message.pk for message in page.context["cl"].result_list] == [bo]
    assert "The newest 2 rows were looked through." in text_of(page)
    assert listed(client, q="bo@", before=cy) == [old[3], old[2]]
    assert listed(client, q="cy@") == [cy]


@pytest.mark.parametrize("state", [{}, {"state": "queued"}, {"state": "held"}, {"state": "cancelled"}])
def test_a_number_is_found_though_it_is_old_and_many_addresses_begin_so(monkeypatch, state):
    monkeypatch.setattr(bounded, "WINDOW", 2)
    monkeypatch.setattr(searching, "CANDIDATES", 1)
    old = a_message(to=["bo@example.com"])
    left, *newer = [a_message(to=[f"{old}{name}@example.com"]) for name in "abc"]
    for act in [queue.hold] * (state.get("state") == "held") + [queue.cancel] * (
        "cancelled" in state.values()
    ):
        act([old, left, *newer])
    client = client_of("viewer")

    assert listed(client, q=str(old), **state) == [*newer[::-1], old]  # not the one behind the window
    assert listed(client, q=str(old), before=newer[0], **state) == [left, old]


@pytest.mark.parametrize(
    "lookup",
    [
        "subject__icontains",
        "rcpt_to__contains",
        "mail_from__startswith",
        "reply__regex",
        "profile__password__isnull",
        "status",
        "id__exact",
        "pk",
        "nothing__at__all",
    ],
)
def test_no_other_column_can_be_searched_by_the_address_line(lookup):
    a_message()
    a_message()
    response = client_of("viewer").get(LIST, {lookup: "x"})
    assert len(response.context["cl"].result_list) == 2
    assert f"{lookup}=x" not in response.content.decode()


def test_an_unknown_filter_leaves_the_known_ones_alone():
    a_message()
    held = a_message()
    queue.hold([held])
    listed = client_of("viewer").get(LIST, {"state": "held", "status": "bogus", "q": "bo@"}).context["cl"]
    assert [message.pk for message in listed.result_list] == [held]
    assert listed.get_query_string() in {"?state=held&q=bo%40", "?q=bo%40&state=held"}


def test_a_list_page_costs_a_fixed_number_of_statements_and_reads_no_content():
    deferred()
    ended(SmallState.FAILED)
    for number in range(60):
        a_message(to=[f"u{number}@example.com"])
    client = client_of("viewer")
    client.get(LIST)  # the counts are cached

    with statements() as seen:
        response = client.get(LIST)

    assert len(response.context["cl"].result_list) == 50
    assert len(seen) <= 10, seen
    assert not any(re.search(r"\bdata\b", sql) for sql in seen), seen
    assert not any('"delivery_message"."verdicts"' in sql for sql in seen)
    assert "Messages 1 to 50 of 62." in text_of(response)


def test_counts_are_capped_and_older_messages_are_reached_by_their_number(monkeypatch):
    monkeypatch.setattr(bounded, "COUNT_LIMIT", 100)
    enqueued(151)
    client = client_of("viewer")

    with statements() as seen:
        page = client.get(LIST, {"p": 2})
    assert "Messages 51 to 100 of more than 100. Narrow the list to see older ones." in text_of(page)
    counts = [sql for sql in seen if "COUNT(" in sql.upper() and "delivery_message" in sql]
    assert counts
    assert all("LIMIT" in sql for sql in counts)
    link, _ = page.context["cl"].next_messages
    older = client.get(LIST + link).context["cl"].result_list
    assert len(older) == 50
    assert older[0].pk == page.context["cl"].result_list[-1].pk - 1


def test_an_empty_list_says_what_to_do():
    client = client_of("viewer")
    empty = text_of(client.get(LIST))
    assert "Nothing has been queued yet." in empty
    assert ("MAILERS = {" if django.VERSION >= (6, 1) else "EMAIL_BACKEND = ") in empty
    assert '"delivery.email_backend.EmailBackend"' in empty
    filtered = client.get(LIST, {"state": "held"})
    assert "No message matches these filters." in text_of(filtered)
    assert inline_in(filtered.content.decode()) == []


def test_buttons_a_viewer_may_not_use_are_not_there():
    a_message()
    page = client_of("viewer").get(LIST).content.decode()
    assert 'name="action"' not in page
    assert 'name="action"' in client_of("operator").get(LIST).content.decode()


def test_uncertain_messages_are_found_by_their_mark():
    waits = ended(SmallState.FAILED, uncertain=True)
    a_message()
    client = client_of("viewer")

    shown = client.get(LIST, {"uncertain": "1"}).context["cl"].result_list
    assert [message.pk for message in shown] == [waits]
    assert "Uncertain" in text_of(client.get(LIST, {"uncertain": "1"}))
    assert len(client.get(LIST, {"uncertain": "x"}).context["cl"].result_list) == 2


def test_what_cannot_be_done_after_all_is_counted_not_forced():
    message_id = ended(SmallState.FAILED)
    Content.objects.filter(pk=message_id).delete()
    page = text_of(client_of("operator").post(url("action", message_id, "retry"), follow=True))
    assert "1 was skipped: 1 changed meanwhile or without content." in page
    assert state_of(message_id) == SmallState.FAILED


def of_sites():
    """A message that waits for each of two sites and for none; their sites' ids and theirs."""
    one, two = (Site.objects.create(domain=name, name=name) for name in ("one.example", "two.example"))
    cache.clear()  # what is offered is kept for seconds
    ids = [enqueued(site_id=site_id)[0] for site_id in (one.pk, two.pk, None)]
    return one, two, ids


def listed(client, **asked):
    return [message.pk for message in client.get(LIST, asked).context["cl"].result_list]


@pytest.mark.parametrize("state", [{}, {"state": "queued"}, {"state": "held"}])
def test_the_chip_of_a_site_shows_the_mail_of_that_site_or_of_none(state):
    one, two, (of_one, of_two, of_none) = of_sites()
    if state.get("state") == "held":
        queue.hold([of_one, of_two, of_none])
    client = client_of("viewer")

    assert listed(client, site=one.pk, **state) == [of_one]
    assert listed(client, site=two.pk, **state) == [of_two]
    assert listed(client, site="none", **state) == [of_none]
    assert listed(client, site=2**31 - 1, **state) == []
    for word in ("", "0", "x", "-1", "9" * 30):
        assert len(listed(client, site=word, **state)) == 3, word
    page = client.get(LIST, {"site": one.pk, **state})
    assert "Site: one.example" in text_of(page)


def test_a_sites_messages_are_sought_among_the_newest_and_the_rest_is_a_link_away(monkeypatch):
    monkeypatch.setattr(bounded, "WINDOW", 2)
    one, _two, (of_one, _of_two, _of_none) = of_sites()
    client = client_of("viewer")

    for state in ({}, {"state": "queued"}):
        with statements() as seen:
            page = client.get(LIST, {"site": one.pk, **state}).context["cl"]
        assert list(page.result_list) == []
        entries = [sql for sql in seen if "delivery_queueentry" in sql and "site_id" in sql]
        assert all('"message_id" > %s' in sql for sql in entries)  # no table is read as a whole
        assert bool(entries) == bool(state)

        assert listed(client, site=one.pk, before=page.floor + 1, **state) == [of_one]


def test_what_is_done_to_all_of_a_sites_list_is_done_to_that_site_only():
    one, _two, (of_one, _of_two, of_none) = of_sites()
    client = client_of("operator")

    for chosen, message_id, words in ((str(one.pk), of_one, "one.example"), ("none", of_none, "No site")):
        shown = client.get(LIST, {"state": "queued", "site": chosen})
        address = next(act.url for act in shown.context["for_all"] if act.action.name == "hold")
        question = client.get(address)
        assert words in text_of(question)
        assert question.context["fitting"] == 1
        client.post(address)
        choice = jobs.choice_of(BulkJob.objects.latest("pk").filter)
        assert [found.id for found in jobs.choosing.walk(choice, after=0, upper=2**62, limit=9)] == [
            message_id
        ]


def test_the_list_by_site_costs_no_more_statements_and_no_whole_count():
    one, _two, _ids = of_sites()
    enqueued(60, site_id=one.pk)
    client = client_of("viewer")
    client.get(LIST)

    with statements() as seen:
        response = client.get(LIST, {"site": one.pk, "state": "queued"})

    assert len(response.context["cl"].result_list) == 50
    assert len(seen) <= 10, seen
    assert all("LIMIT" in sql for sql in seen if "COUNT(" in sql.upper() and '"delivery_message"' in sql)

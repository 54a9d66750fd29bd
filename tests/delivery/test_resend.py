"""A message sent to other people than it was written to: its fields untouched, an envelope of its own."""

import email
from email import policy

import pytest
from django.urls import reverse

from delivery import queue
from delivery.models import Blob, Content, Message, QueueEntry
from delivery.queue import SmallState, WhyNot
from smtp_settings.models import Event
from tests.delivery.queueing import composed, enqueued, entry, in_threads
from tests.delivery.test_admin_messages import a_message
from tests.delivery.test_jobs import FAILED, ended
from tests.pages import ROLES, assert_strict, client_of, text_of

pytestmark = pytest.mark.django_db

SENT = SmallState.SENT


def url(message_id, name="resend"):
    return reverse(f"admin:delivery_message_{name}", args=[message_id])


def sent(**fields):
    """A message that was sent; its id."""
    message_id = a_message(**fields)
    queue.finish(None, [queue.Finished(message_id, SENT, 1)])
    return message_id


def headers_of(message_id):
    data = bytes(Content.objects.get(pk=message_id).data)
    return email.message_from_bytes(data, policy=policy.default)


def test_the_fields_stay_and_the_new_envelope_is_its_own():
    old = sent(to=["bo@example.com"], cc=["cy@example.com"], bcc=["dee@example.com"])

    made = queue.resend(old, ["new@example.org", "other@example.org"])

    before, after = Message.objects.get(pk=old), Message.objects.get(pk=made.id)
    assert after.rcpt_to == ["new@example.org", "other@example.org"]
    assert (after.copy_of_id, after.subject, after.from_header) == (old, before.subject, before.from_header)
    was, now = headers_of(old), headers_of(made.id)
    resent = {name: value for name, value in now.items() if name.startswith("Resent-")}
    assert [(k, v) for k, v in now.items() if k not in resent] == list(was.items())
    assert (now["Message-ID"], now["To"], now["Cc"]) == (
        was["Message-ID"],
        "bo@example.com",
        "cy@example.com",
    )
    assert resent["Resent-From"] == "ana@example.org"
    assert resent["Resent-To"] == "new@example.org, other@example.org"
    assert resent["Resent-Message-ID"] != was["Message-ID"]
    assert "Resent-Date" in resent
    assert now.get_body().get_content() == was.get_body().get_content()


def test_a_large_part_is_shared_and_stands_where_it_stood():
    data = b"X-Own: 1\r\n\r\nHello.\r\n"
    own = composed(data=data, cuts=(len(data),), blobs=(b"blob\r\n",))
    [old] = enqueued(composed=own)
    queue.finish(None, [queue.Finished(old, SENT)])

    made = queue.resend(old, ["new@example.org"])

    was, now = Content.objects.get(pk=old), Content.objects.get(pk=made.id)
    assert now.blob_ids == was.blob_ids
    assert len(now.data) - now.cuts[0] == len(was.data) - was.cuts[0]
    assert bytes(now.data).endswith(bytes(was.data))


def test_the_route_priority_and_tag_are_those_of_the_message():
    [old] = enqueued(priority=1, tag="report")
    queue.finish(None, [queue.Finished(old, SENT)])

    made = queue.resend(old, ["new@example.org"])

    assert entry(made.id).pool_id == queue.pools()[0].id
    assert (Message.objects.get(pk=made.id).tag, entry(made.id).priority) == ("report", 1)


@pytest.mark.parametrize(
    ("why", "options"),
    [
        (WhyNot.SENSITIVE, {"sensitive": True}),
        (WhyNot.SENDER, {"composed": composed(from_header=None)}),
    ],
)
def test_some_messages_are_not_sent_to_others(why, options):
    [old] = enqueued(**options)

    with pytest.raises(queue.CannotResend) as refused:
        queue.resend(old, ["new@example.org"])

    assert refused.value.why is why
    assert Message.objects.count() == 1


@pytest.mark.parametrize("gone", [Content, Blob])
def test_what_has_no_content_any_more_is_not_sent(gone):
    [old] = enqueued(composed=composed(cuts=(10,), blobs=(b"blob\r\n",)))
    gone.objects.all().delete()

    with pytest.raises(queue.CannotResend) as refused:
        queue.resend(old, ["new@example.org"])

    assert refused.value.why is WhyNot.CONTENT


# The page


@pytest.mark.parametrize("role", ROLES)
def test_only_who_may_read_content_and_send_it_elsewhere_does(role):
    message_id = sent()
    client = client_of(role)

    answers = [client.get(url(message_id)), client.post(url(message_id), {"recipients": "new@example.org"})]

    may = role in {"superuser", "administrator"}
    codes = [200, 302] if may else [302, 302] if role in {"anonymous", "nobody"} else [403, 403]
    assert [answer.status_code for answer in answers] == codes
    assert Message.objects.count() == (2 if may else 1)


@pytest.mark.parametrize(
    "permissions", [["delivery.resend_elsewhere"], ["delivery.view_message_body"]], ids=["send", "read"]
)
def test_one_of_the_two_permissions_is_not_enough(permissions):
    message_id = sent()
    client = client_of("staff", permissions=["delivery.view_message", *permissions])

    assert client.post(url(message_id), {"recipients": "me@example.org"}).status_code == 403
    assert Message.objects.count() == 1


def test_both_messages_tell_it_with_who_and_lead_to_each_other():
    old = sent()
    client = client_of("administrator")
    assert "Send to others…" in text_of(client.get(url(old, "change")))
    assert_strict(client.get(url(old)))

    answer = client.post(url(old), {"recipients": "new@example.org; third@example.org"}, follow=True)

    made = Message.objects.get(copy_of_id=old)
    assert f"Queued as #{made.pk}." in text_of(answer)
    on_old, on_new = client.get(url(old, "change")), client.get(url(made.pk, "change"))
    assert f'<a href="{url(made.pk, "change")}">#{made.pk}</a>' in on_old.content.decode()
    assert f'<a href="{url(old, "change")}">#{old}</a>' in on_new.content.decode()
    for page, title in ((on_old, "Sent to others"), (on_new, "Made as a copy")):
        told = next(moment for moment in page.context["page"].timeline if moment.title == title)
        assert told.who == client.user.username
    assert Event.objects.get(kind="message.resent").data == {"copy": made.pk, "rcpt_count": 2}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "Enter an address."),
        ("nobody", "is not of the form name@domain"),
        ("a@example.com\r\nBcc: b@example.com", "Bcc:"),
        (",".join(f"a{n}@example.com" for n in range(21)), "At most 20 addresses are possible."),
    ],
)
def test_addresses_are_looked_at_before_anything_is_queued(typed, said):
    message_id = sent()

    answer = client_of("administrator").post(url(message_id), {"recipients": typed})

    assert said in text_of(answer)
    assert Message.objects.count() == 1


def test_a_sensitive_or_removed_content_is_refused_with_a_sentence():
    [sensitive] = ended(FAILED, sensitive=True)
    removed, waiting = sent(), a_message()
    Content.objects.filter(pk=removed).delete()
    client = client_of("administrator")
    wanted = {"recipients": "new@example.org"}

    assert "is not sent to anybody else" in text_of(client.post(url(sensitive), wanted))
    assert "The content of this message has been removed" in text_of(client.post(url(removed), wanted))
    assert "This message has not ended" in text_of(client.post(url(waiting), wanted))
    assert Message.objects.count() == 3
    assert "Send to others…" not in text_of(client.get(url(sensitive, "change")))


# What people did, on the page of the message


def test_the_timeline_says_who_held_released_and_cancelled_it():
    client = client_of("operator")
    message_id = a_message()
    for action in ("hold", "release", "cancel"):
        client.post(reverse("admin:delivery_message_action", args=[message_id, action]))

    timeline = client.get(url(message_id, "change")).context["page"].timeline

    told = [(str(moment.title), moment.who) for moment in timeline]
    who = client.user.username
    assert told == [
        ("Cancelled by a person", who),
        ("Queued again", who),
        ("Held by a person", who),
        ("Handed over", ""),
    ]


@pytest.mark.django_db(transaction=True)
def test_content_that_goes_meanwhile_makes_no_half_message():
    """Retention and a person at once: either a whole message, or a refusal."""
    message_id = sent()

    def remove():
        Content.objects.filter(pk=message_id).delete()

    def again():
        try:
            return queue.resend(message_id, ["new@example.org"]).id
        except queue.CannotResend:
            return None

    made, _nothing = in_threads(again, remove)

    assert QueueEntry.objects.count() == Content.objects.count() == (0 if made is None else 1)

"""The emails to the notify user: what they say, who gets them, that they stay few and tell of no other."""

from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import default

import pytest
from django.contrib.sites.models import Site
from django.db import transaction
from django.utils import timezone

from delivery import notices, queue
from delivery.models import Content, Message, Notice, ProfileState, SmallState
from delivery.notices.letter import letter_of
from delivery.notices.posting import way_around
from delivery.notices.readers import Keeper, reader
from delivery.queue import Breaker, DueNotice, NoticeFacts, Paused, ProfileStateRow
from smtp_settings.models import TestRun
from tests.builders import a_profile, a_user
from tests.delivery.engine import drained, queued
from tests.delivery.queueing import a_handover, claimed, enqueued, in_threads, statements
from tests.delivery.works import WAY
from tests.servers import smtp_server

# Who is told


def a_keeper(profile_id, address="", *, is_default=False, sites=()):
    return Keeper(profile_id, is_default, frozenset(sites), address)


@pytest.mark.parametrize(
    ("keepers", "profile_id", "site_id", "told"),
    [
        pytest.param([a_keeper(1, "own"), a_keeper(2, "d", is_default=True)], 1, None, "own", id="its own"),
        pytest.param([a_keeper(1), a_keeper(2, "d", is_default=True)], 1, None, "d", id="the default's"),
        pytest.param(
            [a_keeper(1), a_keeper(2, "d", is_default=True), a_keeper(3, "s", is_default=True, sites=[5])],
            1, 5, "s", id="the site's default before the global one",
        ),
        pytest.param(
            [a_keeper(1), a_keeper(3, "s", is_default=True, sites=[5])], 1, 6, "", id="not another site's"
        ),
        pytest.param([a_keeper(1), a_keeper(2, "other")], 1, None, "", id="no other profile's"),
        pytest.param([a_keeper(2, "d", is_default=True)], None, None, "d", id="never tried"),
        pytest.param([], 1, 5, "", id="no profile left"),
    ],
)  # fmt: skip
def test_the_notify_user_of_the_profile_is_told_else_that_of_a_default(keepers, profile_id, site_id, told):
    assert reader(keepers, profile_id, site_id) == told


# Which way


def a_way(profile_id, **changes):
    sender = replace(WAY.sender, from_address=changes.pop("from_address", "shop@example.com"))
    return replace(WAY, profile_id=profile_id, sender=sender, **changes)


@pytest.mark.parametrize(
    ("ways", "states", "chosen"),
    [
        pytest.param([a_way(1), a_way(2)], {}, 2, id="another one"),
        pytest.param([a_way(1)], {}, None, id="no other: any way"),
        pytest.param([a_way(2), a_way(3, is_default=True)], {}, 3, id="in the order of use"),
        pytest.param([a_way(2, from_address="")], {}, None, id="one that has a sender"),
        pytest.param([a_way(2)], {2: {"paused": Paused.FAULT}}, None, id="not a paused one"),
        pytest.param([a_way(2)], {2: {"breaker": Breaker.OPEN}}, None, id="not one that is down"),
        pytest.param([a_way(2, site_ids=frozenset({5}))], {}, None, id="not one of another site"),
    ],
)
def test_a_notice_goes_around_the_profile_it_is_about(ways, states, chosen):
    rows = {way.profile_id: ProfileStateRow(way.profile_id, **states.get(way.profile_id, {})) for way in ways}
    assert way_around({1}, ways, rows, None) == chosen


# What it says


def a_fact(message_id=1, *, subject="Invoice 7", sensitive=False, cause="too_large", state=SmallState.FAILED):
    return NoticeFacts(message_id, None, 7, int(state), subject, sensitive, cause)


def a_letter(facts=(), *, count=None, paused=(), refusing=(), base="https://mail.example.com"):
    given_up = len(facts) if count is None else count
    due = DueNotice("ann@example.com", given_up, [], list(paused), list(refusing))
    return letter_of(due, list(facts), profiles={3: "EU relay"}, base=base)


def test_a_notice_names_the_message_why_it_was_given_up_and_its_page():
    letter = a_letter([a_fact()])
    assert letter.subject == "mailconf: 1 message was not sent"
    for text in (letter.text(), letter.html()):
        assert "#1 Invoice 7: its attachments are too large" in text
        assert "https://mail.example.com/admin/delivery/message/1/" in text


def test_a_notice_does_not_name_the_subject_of_sensitive_mail():
    letter = a_letter([a_fact(sensitive=True, subject="Your code is 123456")])
    assert "123456" not in letter.subject + letter.text() + letter.html()
    assert "#1: its attachments are too large" in letter.text()


def test_a_notice_about_many_counts_those_it_does_not_name():
    letter = a_letter([a_fact(n) for n in range(20)], count=1000)
    assert letter.subject == "mailconf: 1000 messages were not sent"
    assert "and 980 more" in letter.text()


def test_a_notice_of_a_pause_names_the_server_and_its_page():
    letter = a_letter(paused=[3])
    assert letter.subject == "mailconf: the server EU relay is paused"
    assert "https://mail.example.com/admin/smtp_settings/smtpprofile/3/" in letter.text()


@pytest.mark.parametrize(
    ("paused", "refusing", "subject"),
    [
        ((), (3,), "the server EU relay refuses this machine"),
        ((), (3, 4), "2 servers refuse this machine"),
        ((3,), (3, 4), "2 servers do not work"),
    ],
)
def test_a_notice_of_a_refusal_names_the_server_and_what_to_do(paused, refusing, subject):
    letter = a_letter(paused=paused, refusing=refusing)
    assert letter.subject == f"mailconf: {subject}"
    assert "EU relay" in letter.text()
    assert "allow this machine's address" in letter.text()


def test_a_notice_tells_of_servers_and_messages_in_one():
    text = a_letter([a_fact()], paused=[3, 4]).text()
    assert text.index("EU relay") < text.index("a removed profile") < text.index("#1 Invoice 7")


def test_what_strangers_wrote_is_text_in_a_notice():
    letter = a_letter([a_fact(subject='<a href="https://evil.example">\u202epay</a>\r\nX: y')])
    assert "<a href" not in letter.html().replace('<a href="https://mail.example.com', "")
    assert "\u202e" not in letter.text()
    assert "\nX: y" not in letter.text()


def test_without_a_known_address_a_notice_has_no_links():
    assert "http" not in a_letter([a_fact()], count=30, paused=[3], base="").text()


# From the outcome to the queue


def told():
    """The notices in the queue, oldest first."""
    return list(Message.objects.filter(tag=queue.NOTICE_TAG).order_by("pk"))


def written(message):
    """A notice as a mail program reads it, but for From and Subject."""
    return message_from_bytes(bytes(Content.objects.get(pk=message.pk).data), policy=default)


def failed(lease, count=1, *, cause="recipient", profile_id=None, **options):
    """Enqueue messages and end them as failed; their ids."""
    ids = enqueued(count, **options)
    held = claimed(lease, count + 50)
    done = [
        queue.Finished(one.message_id, SmallState.FAILED, profile_id=profile_id, cause=cause)
        for one in held
        if one.message_id in ids
    ]
    with transaction.atomic():
        ended = queue.finish(lease, done)
        notices.message_given_up(dict.fromkeys(ended, profile_id))
    queue.release_others(lease, ())
    assert ended == set(ids)
    return ids


@pytest.fixture
def lease(transactional_db):
    return queue.register_worker()


def pretend_it_was_a_quarter_of_an_hour_ago():
    Notice.objects.update(mailed_at=timezone.now() - queue.NOTICE_PERIOD)


def test_the_notify_user_gets_one_email_about_a_failed_message(lease):
    user = a_user(email="ann@example.com")
    profile = a_profile(notify_user=user)
    TestRun.objects.update(link_base="https://mail.example.com")
    (message_id,) = failed(lease, profile_id=profile.pk)
    (notice,) = told()
    assert notice.rcpt_to == ["ann@example.com"]
    assert notice.priority == queue.MessagePriority.HIGH
    mail = written(notice)
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_body(("plain",)).get_content()
    assert f"https://mail.example.com/admin/delivery/message/{message_id}/" in text
    assert mail.get_body(("html",)) is not None
    assert not list(mail.iter_attachments())


def test_a_thousand_failures_make_one_email_and_then_one_more(lease):
    profile = a_profile(notify_user=a_user())
    for _ in range(20):
        failed(lease, 50, profile_id=profile.pk)
    assert len(told()) == 1
    assert notices.send_due() == 0
    pretend_it_was_a_quarter_of_an_hour_ago()
    assert notices.send_due() == 1
    assert notices.send_due() == 0
    first, second = told()
    # the first came at once, with the first group
    assert (first.subject, second.subject) == (
        "mailconf: 50 messages were not sent",
        "mailconf: 950 messages were not sent",
    )
    assert "and 930 more" in written(second).get_body(("plain",)).get_content()


def test_a_notice_that_fails_makes_no_notice(lease):
    profile = a_profile(notify_user=a_user())
    failed(lease, profile_id=profile.pk)
    pretend_it_was_a_quarter_of_an_hour_ago()
    for _ in range(3):
        held = claimed(lease, 10)
        with transaction.atomic():
            ended = queue.finish(lease, [queue.Finished(one.message_id, SmallState.FAILED) for one in held])
            notices.message_given_up(dict.fromkeys(ended, profile.pk))
    notices.send_due()
    assert len(told()) == 1


def test_a_notice_is_undone_with_the_outcome_it_is_about(lease):
    profile = a_profile(notify_user=a_user())
    (message_id,) = enqueued()
    claimed(lease)

    class PowerCut(Exception):
        pass

    def give_up_without_power():
        with transaction.atomic():
            queue.finish(lease, [queue.Finished(message_id, SmallState.FAILED, profile_id=profile.pk)])
            notices.message_given_up({message_id: profile.pk})
            assert told()
            raise PowerCut

    with pytest.raises(PowerCut):
        give_up_without_power()
    assert not told()
    assert not Notice.objects.exists()


def test_without_a_notify_user_nobody_is_told(lease):
    profile = a_profile()
    failed(lease, profile_id=profile.pk)
    assert not told()


@pytest.mark.parametrize("fields", [{"is_active": False}, {"email": ""}, {"email": "no address"}])
def test_who_cannot_be_written_to_is_not_told(lease, fields):
    profile = a_profile(notify_user=a_user(**fields))
    failed(lease, profile_id=profile.pk)
    assert not told()
    assert not Notice.objects.exists()


def test_a_server_that_pauses_is_told_through_another(lease):
    paused, other = a_profile(notify_user=a_user()), a_profile()
    notices.server_paused(paused.pk, "535 5.7.8 the server's own words")
    (notice,) = told()
    assert notice.pinned_profile_id == other.pk
    assert "own words" not in bytes(Content.objects.get(pk=notice.pk).data).decode()


def test_a_refused_recipient_is_told_through_any_server(lease):
    profile = a_profile(notify_user=a_user())
    a_profile()
    failed(lease, profile_id=profile.pk, cause="recipient")
    assert [notice.pinned_profile_id for notice in told()] == [None]


def test_a_message_of_a_site_is_told_by_a_server_of_the_site(lease):
    site = Site.objects.create(domain="shop.example", name="Shop")
    profile = a_profile(notify_user=a_user(), sites=[site])
    failed(lease, profile_id=profile.pk, site_id=site.pk)
    assert [notice.site_id for notice in told()] == [site.pk]


def test_two_workers_tell_one_reader_once(lease):
    profile = a_profile(notify_user=a_user())
    ids = [*enqueued(40)]
    queue.claim(lease, [queue.Lane(ready.pool.id, ready.priority) for ready in queue.ready_lanes()], [7] * 40)
    with transaction.atomic():
        queue.finish(lease, [queue.Finished(one, SmallState.FAILED, profile_id=profile.pk) for one in ids])

    def tell(part):
        def run():
            for message_id in part:
                with transaction.atomic():
                    notices.message_given_up({message_id: profile.pk})

        return run

    in_threads(tell(ids[:20]), tell(ids[20:]))
    assert len(told()) == 1
    assert Notice.objects.get().given_up == 39


def test_what_goes_wrong_with_a_notice_leaves_the_outcome_alone(lease, caplog, settings):
    settings.ROOT_URLCONF = "tests.no_such_urls"
    profile = a_profile(notify_user=a_user())
    TestRun.objects.update(link_base="https://mail.example.com")
    (message_id,) = failed(lease, profile_id=profile.pk)
    assert Message.objects.get(pk=message_id).state == SmallState.FAILED
    assert not told()
    assert "A notice could not be written" in caplog.text


def test_asking_what_is_due_costs_one_statement(lease):
    with statements() as seen:
        assert notices.send_due() == 0
    assert len(seen) == 1


def test_the_first_that_waits_is_told_when_the_time_has_come(lease):
    profile = a_profile(notify_user=a_user())
    failed(lease, profile_id=profile.pk)
    failed(lease, profile_id=profile.pk)
    Notice.objects.update(mailed_at=timezone.now() - queue.NOTICE_PERIOD + timedelta(minutes=2))
    assert notices.send_due() == 0
    pretend_it_was_a_quarter_of_an_hour_ago()
    assert notices.send_due() == 1


def test_an_application_may_use_the_tag_and_then_nobody_is_told(lease):
    profile = a_profile(notify_user=a_user())
    message = queue.enqueue([a_handover(tag=queue.NOTICE_TAG)])[0]
    claimed(lease)
    queue.finish(lease, [queue.Finished(message.id, SmallState.FAILED, profile_id=profile.pk)])
    notices.message_given_up({message.id: profile.pk})
    assert len(told()) == 1  # itself


def test_a_refused_password_pauses_the_server_and_is_told_through_the_other(lease):
    with smtp_server(auth=("shop", "right")) as refusing, smtp_server() as other:
        profile = {"priority": "high", "password": "wrong", "notify_user": a_user(email="ann@example.com")}
        a_profile(name="EU relay", host=refusing.host, port=refusing.port, **profile)
        a_profile(host=other.host, port=other.port)
        queued(3)
        drained()
        (notice,) = [one for one in other.messages if one.rcpt_to == ("ann@example.com",)]
    assert b"EU relay" in notice.content
    assert b"535" not in notice.content
    assert other.accepted == 4


@pytest.mark.parametrize(("greeting", "mails"), [("554 5.7.1 Go away", 1), ("421 Later", 0)])
def test_a_server_that_refuses_us_at_its_greeting_is_told_once_through_the_other(lease, greeting, mails):
    with smtp_server(answers={"BANNER": greeting}) as refusing, smtp_server() as other:
        fields = {"priority": "high", "notify_user": a_user(email="ann@example.com")}
        relay = a_profile(name="EU relay", host=refusing.host, port=refusing.port, **fields)
        a_profile(host=other.host, port=other.port)
        queued(3)
        drained()
        ProfileState.objects.filter(profile=relay).update(open_until=timezone.now())
        pretend_it_was_a_quarter_of_an_hour_ago()
        queued(3)
        drained()  # tried again, and refused again: no news
        assert ProfileState.objects.get(profile=relay).penalty == 2
        notices = [one for one in other.messages if one.rcpt_to == ("ann@example.com",)]
    assert len(notices) == mails
    assert all(b"EU relay" in one.content and b"Go away" not in one.content for one in notices)


def test_a_message_given_up_by_a_worker_is_told_by_the_same_worker(lease):
    answers = {"RCPT": lambda to: "550 5.1.1 No such user" if "bo@" in to else None}
    with smtp_server(answers=answers) as server:
        a_profile(host=server.host, port=server.port, notify_user=a_user(email="ann@example.com"))
        queued()
        drained()
        (notice,) = server.messages
    assert notice.rcpt_to == ("ann@example.com",)
    assert b"the recipient was refused" in notice.content.replace(b"=\r\n", b"")

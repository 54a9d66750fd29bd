"""The card "Why is it not sent yet?" and the routing simulator's page: what they say, and to whom."""

from datetime import timedelta

import pytest
from django.contrib.sites.models import Site
from django.urls import reverse
from django.utils import timezone

from delivery import queue
from delivery.composing import Composed
from delivery.models import ProfileState
from delivery.queue import Breaker, Finished, Paused, SmallState, Tried
from smtp_settings.models import SMTPProfile
from tests.builders import a_profile, a_user
from tests.delivery.engine import queued
from tests.delivery.queueing import a_handover, composed
from tests.house import crowd
from tests.pages import assert_strict, client_of, text_of
from tests.statements import fewest_asked

pytestmark = pytest.mark.django_db

LIST = reverse("admin:delivery_message_changelist")
ROUTE = reverse("admin:delivery_message_route")
TITLE = "Why is it not sent yet?"
SECRET = "hidden@example.com"


def page(client, message_id):
    return client.get(reverse("admin:delivery_message_change", args=[message_id]))


def looker(*permissions):
    """Somebody who sees messages and nothing else but these."""
    return client_of("staff", permissions=["delivery.view_message", *permissions])


@pytest.fixture
def message_id():
    """A message whose first server is paused and whose second one rests, for a reason that names a secret."""
    queue.register_worker()
    relay = a_profile(name="EU relay", is_default=True)
    queue.pause(relay.pk, Paused.PERSON, user_id=a_user(username="berta").pk)
    backup = a_profile(name="Backup")
    ProfileState.objects.create(
        profile_id=backup.pk, breaker=Breaker.OPEN, open_until=timezone.now() + timedelta(minutes=9),
        reason=f"421 4.3.2 <{SECRET}> <script>alert(1)</script>",
    )  # fmt: skip
    a_profile(name="Other shop", sender_domains=["other.example"])
    mail = composed(rcpt_to=("bo@example.com", SECRET))
    assert isinstance(mail, Composed)
    return queue.enqueue([a_handover(composed=mail)])[0].id


def test_a_waiting_message_says_why_first_and_then_each_server(message_id):
    answer = page(client_of("superuser"), message_id)
    text = text_of(answer)

    assert_strict(answer)
    assert TITLE in text
    card = answer.context["page"].why
    assert card.first.text.startswith("Backup: Breaker open until ")
    assert [line.name for line in card.servers] == ["EU relay", "Backup"]
    assert "Paused by berta since " in text
    assert "1 other profile may not: it serves other sites or senders." in text
    assert f"421 4.3.2 <{SECRET}>" in text


def test_a_message_for_one_profile_says_nothing_of_the_sites_of_others(message_id):
    relay = SMTPProfile.objects.get(name="EU relay")
    pinned = queue.enqueue([a_handover(profile_id=relay.pk)])[0].id

    text = text_of(page(client_of("superuser"), pinned))

    assert "Only EU relay may send it." in text
    assert "other sites or senders" not in text


def test_to_hold_a_waiting_message_is_not_what_its_page_proposes(message_id):
    answer = page(client_of("superuser"), message_id).content.decode()

    assert ">Hold</button>" in answer
    assert "mc-button is-primary" not in answer


def test_who_may_not_see_profiles_is_told_no_name(message_id):
    text = text_of(page(looker(), message_id))

    assert TITLE in text
    assert "Breaker open until " in text
    assert not any(word in text for word in ("EU relay", "Backup", "Other shop", "berta", "421", "Simulate"))


def test_a_servers_words_name_no_blind_recipient_to_those_who_may_not_read_the_message(message_id):
    text = text_of(page(looker("smtp_settings.view_smtpprofile"), message_id))

    assert "421 4.3.2 <(blind recipient)>" in text
    assert SECRET not in text


@pytest.mark.parametrize("state", [SmallState.CANCELLED, SmallState.HELD, SmallState.SENT])
def test_a_message_that_does_not_wait_has_no_such_card(message_id, state):
    queue.finish(None, [Finished(message_id, state, cause="person")])
    answer = page(client_of("superuser"), message_id)
    assert answer.context["page"].why is None
    assert TITLE not in text_of(answer)


def test_a_message_in_a_workers_hands_names_it(message_id):
    lease = queue.register_worker()
    lanes = [queue.Lane(ready.pool.id, ready.priority) for ready in queue.ready_lanes()]
    queue.claim(lease, lanes, [7])
    assert f"Worker {lease} on " in text_of(page(client_of("superuser"), message_id))


def test_nobody_draining_is_said_first():
    a_profile(name="One")
    (waiting,) = queued(1)
    card = page(client_of("superuser"), waiting).context["page"].why
    assert card.first.text == "Nobody is sending: no worker has ever reported."


@pytest.mark.parametrize("role", ["superuser", "viewer"])
def test_a_waiting_message_costs_ten_queries_with_two_hundred_profiles(role):
    owner = a_user("superuser")
    crowd(profiles=200, runs=1, events=1, user=owner)
    site = Site.objects.get_or_create(domain="shop.example.com")[0]
    lease, profile = queue.register_worker(), a_profile(name="One")
    (waiting,) = queued(1, site=site.domain)
    lanes = [queue.Lane(ready.pool.id, ready.priority) for ready in queue.ready_lanes()]
    queue.claim(lease, lanes, [profile.pk])
    queue.record([Tried(waiting, lease, profile.pk, 1, "rcpt", "retry", 451, "4.7.1", "Later", 9)])
    queue.settle(lease, [queue.Settled(waiting, profile.pk, timedelta(minutes=12), counted=1)])
    client = client_of(role)

    statements, answer = fewest_asked(lambda: page(client, waiting))

    assert f"by worker {lease} on " in text_of(answer)
    assert len(answer.context["page"].why.servers) == 20
    assert "181 more profiles may send it." in text_of(answer)
    assert len(statements) <= 10, statements


# The list


def test_the_lists_last_reply_names_no_further_recipient_to_those_who_may_not_read_messages(message_id):
    words = f"550 5.1.1 <{SECRET}> is not here, bo@example.com is"
    queue.record([Tried(message_id, None, None, 1, "rcpt", "retry", 550, "5.1.1", words, 9)])

    assert f"<{SECRET}> is not here" in text_of(client_of("administrator").get(LIST))
    text = text_of(client_of("viewer").get(LIST))
    assert SECRET not in text
    assert "550 5.1.1 <(blind recipient)> is not here, bo@example.com is" in text


def test_an_attempt_without_a_reply_keeps_its_own_sentence_in_the_list(message_id):
    queue.record([Tried(message_id, None, None, 1, "", "lost")])
    for role in ("administrator", "viewer"):
        assert "Worker lost" in text_of(client_of(role).get(LIST))


# The simulator


def test_the_simulator_names_who_takes_it_and_why_the_others_do_not(message_id):
    a_profile(name="Low", priority="low")
    answer = client_of("viewer").get(ROUTE, {"sender": "shop@example.com"})
    text = text_of(answer)

    assert_strict(answer)
    assert "Low takes it." in text
    assert "1 due message of its route goes before it." in text
    assert [line.name for line in answer.context["servers"]] == ["EU relay", "Backup", "Low", "Other shop"]
    assert [line.place for line in answer.context["servers"]] == [1, 2, 3, None]
    assert "It serves other From domains only." in text


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"sender": "x@other.example"}, "Other shop takes it."),
        ({"sender": "shop@example.com"}, "No server takes it now."),
        ({"sender": "shop@example.com", "size": "1e3"}, "Too large: 1000.0 MB"),
        ({"sender": "shop"}, "Enter a valid email address."),
        ({"site": "1"}, "Enter the address it is from."),
        ({"sender": "a@b.example", "site": "987"}, "Select a valid choice."),
        ({"sender": "a@b.example", "profile": "x"}, "Select a valid choice."),
        ({"sender": "a@b.example", "priority": "9"}, "Select a valid choice."),
        ({"sender": "a@b.example", "size": "-1"}, "Ensure this value is greater than or equal to 0."),
        ({"sender": "a@b.example", "size": "nan"}, "Enter a number."),
        ({}, "Nothing is handed over and nothing changes"),
    ],
)
def test_the_simulator_answers_or_says_what_is_wrong(message_id, asked, expected):
    answer = client_of("superuser").get(ROUTE, asked)
    assert answer.status_code == 200
    assert expected in text_of(answer)


def test_the_simulator_is_for_those_who_may_see_profiles():
    assert looker().get(ROUTE).status_code == 403
    assert looker("smtp_settings.view_smtpprofile").get(ROUTE).status_code == 200
    assert client_of("staff", permissions=["smtp_settings.view_smtpprofile"]).get(ROUTE).status_code == 200
    assert client_of("superuser").post(ROUTE).status_code == 405
    assert ROUTE in looker("smtp_settings.view_smtpprofile").get(LIST).content.decode()
    assert ROUTE not in looker().get(LIST).content.decode()


def test_the_message_leads_to_the_same_question(message_id):
    text = page(client_of("superuser"), message_id).content.decode()
    assert f"{ROUTE}?sender=ana%40example.org&amp;priority=2" in text


def test_an_answer_costs_ten_queries_with_two_hundred_profiles(message_id):
    crowd(profiles=200, runs=1, events=1, user=a_user("superuser"))
    client = client_of("viewer")
    question = {"sender": "shop@example.com", "priority": "1", "size": "2"}

    statements, answer = fewest_asked(lambda: client.get(ROUTE, question))

    assert len(answer.context["servers"]) == 203
    assert len(statements) <= 10, statements


def test_the_simulated_route_is_below_the_messages_where_the_navigation_has_it():
    html = looker("smtp_settings.view_smtpprofile").get(ROUTE).content.decode()
    crumbs = html.partition('<div class="breadcrumbs">')[2].partition("</div>")[0]
    assert f'<a href="{LIST}">Messages</a>' in crumbs
    assert "SMTP profiles" not in crumbs
    assert f'<a href="{LIST}" aria-current="page">' in html

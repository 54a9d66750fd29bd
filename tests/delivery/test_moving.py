"""Move to another profile: the question, who may, what is offered and told, and what comes in between."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from delivery import jobs, models, queue
from delivery.admin import moving
from delivery.jobs import choosing
from delivery.queue import MessageState, Paused
from delivery.waiting import Breaker, PausedBy, ServerFacts
from smtp_settings.models import Event, SMTPProfile
from tests.builders import a_draft, a_profile, a_user
from tests.delivery.queueing import claimed, composed, enqueued
from tests.delivery.test_admin_jobs import LIST, asked, page_of, started
from tests.delivery.test_jobs import FAILED, HELD, ended, the_job, worked
from tests.delivery.test_queue_moving import way_of
from tests.house import crowd
from tests.pages import ROLES, assert_strict, client_of, text_of
from tests.statements import asked as statements_asked

pytestmark = pytest.mark.django_db


def of_one(message_id, action="move"):
    return reverse("admin:delivery_message_action", args=[message_id, action])


def chosen(client, ids, **fields):
    """Choose rows of the list and press the button."""
    data = {"action": "move", "_selected_action": ids, "index": "0", "select_across": "0"}
    return client.post(LIST, data | fields, follow=True)


def answered(client, ids, to):
    """Answer the question as the page's form does; the list with its notice."""
    return client.post(LIST, {"action": "move", "_selected_action": ids, "to": to}, follow=True)


def offered(page):
    """The values and words of the question's select."""
    (select,) = re.findall(r'<select name="to".*?</select>', page.content.decode(), re.DOTALL)
    return re.findall(r'<option value="([^"]*)"[^>]*>([^<]*)</option>', select)


def only_moves(*more):
    """Somebody who may look at messages and move them, and nothing else."""
    return client_of("staff", permissions=["delivery.view_message", "delivery.move_message", *more])


# The question


def test_the_list_asks_where_to_and_moves_what_was_ticked():
    one, two = a_profile(name="One"), a_profile(name="Two")
    client, ids = client_of("operator"), enqueued(2, profile_id=one.pk)
    (sent,) = ended(queue.SmallState.SENT)
    assert (
        'value="move" class="mc-button">Move to another profile…</button>'
        in client.get(LIST).content.decode()
    )

    question = chosen(client, [*ids, sent])

    assert_strict(question)
    assert "“Move to another profile” for 2 messages?" in text_of(question)
    assert "Others are skipped: 1 sent." in text_of(question)
    assert [way_of(message_id)[2] for message_id in ids] == [one.pk] * 2
    answer = answered(client, [*ids, sent], two.pk)
    assert "2 messages were moved. 1 was skipped: 1 sent." in text_of(answer)
    assert [way_of(message_id)[2:] for message_id in ids] == [(two.pk, two.pk)] * 2


def test_the_page_of_a_message_asks_the_same_and_says_afterwards_what_it_waits_for():
    one, two = a_profile(name="One"), a_profile(name="Two")
    client, (message_id,) = client_of("operator"), enqueued(profile_id=one.pk)
    queue.pause(two.pk, Paused.PERSON, user_id=client.user.pk)
    queue.register_worker()
    assert "Move to another profile…" in text_of(
        client.get(reverse("admin:delivery_message_change", args=[message_id]))
    )

    question = client.post(of_one(message_id))
    assert_strict(question)
    assert "“Move to another profile” for 1 message?" in text_of(question)
    page = client.post(of_one(message_id), {"to": two.pk}, follow=True)

    assert "1 message was moved." in text_of(page)
    assert "only through Two" in text_of(page)
    assert page.context["page"].why.first.text.startswith("Only Two may send it. Paused by operator")
    told = next(moment for moment in page.context["page"].timeline if moment.who)
    assert (told.title, told.who) == ("Moved to Two", client.user.username)
    page = client.post(of_one(message_id), {"to": "any"}, follow=True)
    assert "Moved to any server that serves its site" in text_of(page)
    assert way_of(message_id)[2:] == (None, None)


@pytest.mark.parametrize(
    ("state", "is_offered"),
    [
        *((state, True) for state in ("queued", "deferred", "failed", "held", "expired")),
        *((state, False) for state in ("sending", "sent", "cancelled", "suppressed")),
    ],
)
def test_each_tab_offers_it_for_all_where_messages_can_be_moved(state, is_offered):
    page = client_of("superuser").get(LIST, {"state": state})

    assert ("move" in [one.action.name for one in page.context["for_all"]]) is is_offered


def test_only_live_profiles_are_offered_and_a_paused_one_says_so():
    one, two = a_profile(name="zeta"), a_profile(name="Alpha")
    a_draft(name="Draft"), a_profile(name="Off", enabled=False)
    SMTPProfile.objects.filter(pk=a_profile(name="Untested").pk).update(host="other.example")
    queue.pause(one.pk, Paused.PERSON)

    question = chosen(client_of("operator"), enqueued())

    assert offered(question) == [
        ("", "Choose"),
        ("any", "Any server that serves its site"),
        (str(two.pk), "Alpha"),
        (str(one.pk), "zeta (paused)"),
    ]


@pytest.mark.parametrize(
    ("facts", "label"),
    [
        ({}, "One"),
        ({"paused": PausedBy.PERSON}, "One (paused)"),
        ({"paused": PausedBy.FAULT, "breaker": Breaker.OPEN}, "One (paused)"),
        ({"breaker": Breaker.OPEN}, "One (breaker open)"),
        ({"breaker": Breaker.HALF_OPEN}, "One"),
    ],
)
def test_a_profile_is_named_with_what_keeps_it_from_sending(facts, label):
    assert moving._label(ServerFacts(7, name="One", **facts)) == label


def test_nothing_chosen_or_forged_moves_nothing():
    one, two = a_profile(name="One"), a_draft(name="Draft")
    client, ids = client_of("operator"), enqueued(profile_id=one.pk)

    assert "Choose where the messages go." in text_of(answered(client, ids, ""))
    for forged in (two.pk, 999_999, "x", "-1", "٣"):
        page = answered(client, ids, forged)
        assert "That profile cannot be chosen any more" in text_of(page)
    assert way_of(ids[0])[2] == one.pk
    assert not Event.objects.filter(kind="message.moved").exists()


@pytest.mark.parametrize("change", ["deleted", "disabled", "paused"])
def test_what_becomes_of_the_profile_between_the_question_and_the_answer(change):
    two, client, ids = a_profile(name="Two"), client_of("operator"), enqueued()
    chosen(client, ids)
    match change:
        case "deleted":
            SMTPProfile.objects.filter(pk=two.pk).delete()
        case "disabled":
            SMTPProfile.objects.filter(pk=two.pk).update(enabled=False)
        case "paused":
            queue.pause(two.pk, Paused.PERSON)

    page = answered(client, ids, two.pk)

    if change == "paused":  # it was seen and may be wanted: the message waits for it, and says so
        assert "1 message was moved." in text_of(page)
        assert way_of(ids[0])[2] == two.pk
    else:
        assert "That profile cannot be chosen any more" in text_of(page)
        assert way_of(ids[0])[2] is None


def test_what_cannot_be_moved_is_counted_with_its_reason():
    two = a_profile(name="Two", from_address="")
    (there,), (nameless,) = enqueued(profile_id=two.pk), enqueued(composed=composed(from_header=None))
    (taken,) = enqueued()
    client = client_of("operator")
    models.QueueEntry.objects.filter(pk=taken).update(lease_id=queue.register_worker())

    text = text_of(answered(client, [there, nameless, taken], two.pk))

    assert "3 were skipped:" in text
    for reason in (
        "1 on that way already",
        "1 without a From address, and that profile has none either",
        "1 sending",
    ):
        assert reason in text


def test_when_none_can_be_moved_nothing_is_asked():
    sent = ended(queue.SmallState.SENT)

    page = chosen(client_of("operator"), sent)

    assert "1 was skipped: 1 sent." in text_of(page)
    assert "Where to" not in text_of(page)


# Who may


@pytest.mark.parametrize("role", ROLES)
def test_it_has_a_permission_of_its_own_in_the_list_and_on_the_page(role):
    two, ids = a_profile(name="Two"), enqueued(2)
    client = client_of(role)
    may = role in {"superuser", "administrator", "operator"}

    client.post(LIST, {"action": "move", "_selected_action": ids[:1], "to": two.pk})
    answer = client.post(of_one(ids[1]), {"to": two.pk})

    code = 302 if may or role in {"anonymous", "nobody"} else 403
    assert answer.status_code == code
    assert [way_of(message_id)[2] for message_id in ids] == [two.pk if may else None] * 2


def test_no_other_permission_over_messages_is_enough():
    two, ids = a_profile(name="Two"), enqueued()
    others = [f"delivery.{name}_message" for name in ("view", "retry", "hold", "cancel", "resend")] + [
        "smtp_settings.view_smtpprofile"
    ]
    client = client_of("staff", permissions=others)

    page = client.get(LIST)
    refused = answered(client, ids, two.pk)

    assert "Move to another profile" not in text_of(page)
    assert "It needs the permission “Can move messages to another profile”" in text_of(refused)
    assert client.post(of_one(ids[0]), {"to": two.pk}).status_code == 403
    assert client.post(asked("move"), {"to": two.pk}).status_code == 403
    assert way_of(ids[0])[2] is None


def test_who_may_not_see_profiles_sets_messages_free_and_learns_no_name():
    one, two = a_profile(name="zzOne"), a_profile(name="zzTwo")
    client = only_moves("delivery.view_bulkjob", "smtp_settings.view_event")
    (message_id,) = enqueued(profile_id=one.pk)
    other = client_of("operator")

    question = client.post(of_one(message_id))
    assert offered(question) == [("", "Choose"), ("any", "Any server that serves its site")]
    client.post(of_one(message_id), {"to": two.pk})
    assert way_of(message_id)[2] == one.pk
    answered(other, [message_id], two.pk)
    job = started(other, asked("move"), to=one.pk)
    worked()
    pages = [
        client.get(url)
        for url in (
            reverse("admin:delivery_message_change", args=[message_id]),
            f"{LIST}?pinned={one.pk}",
            page_of(job.pk),
            asked("move", pinned=one.pk),
            reverse("admin:smtp_settings_event_changelist"),
        )
    ]
    assert [page.status_code for page in pages] == [200] * 5
    assert "zz" not in " ".join(map(text_of, pages))
    assert "Moved to another profile" in text_of(pages[0])
    assert f"Only through #{one.pk}" in text_of(pages[2])
    client.post(of_one(message_id), {"to": "any"})
    assert way_of(message_id)[2] is None


# Many at once


def test_all_that_a_list_shows_is_moved_by_a_job_that_says_where_to():
    one, two = a_profile(name="One"), a_profile(name="Two")
    waiting, failed, free = enqueued(3, profile_id=one.pk), ended(FAILED, profile_id=one.pk), enqueued(2)
    queue.move(failed, to=one.pk)
    client = client_of("operator")
    shown = client.get(LIST, {"pinned": one.pk})
    assert {row.pk for row in shown.context["cl"].result_list} == {*waiting, *failed}
    assert "Move all to another profile…" in text_of(shown)
    (address,) = [each.url for each in shown.context["for_all"] if each.action.name == "move"]

    question = client.get(address)
    assert_strict(question)
    assert "“Move to another profile” for 4 messages?" in text_of(question)
    assert "Only through One" in text_of(question)
    assert "Choose where the messages go." in text_of(client.post(address, {"to": ""}))
    assert "cannot be chosen any more" in text_of(client.post(address, {"to": "999999"}))
    assert not models.BulkJob.objects.exists()
    job = started(client, address, to=two.pk)
    assert "Where to Only through Two" in text_of(client.get(page_of(job.pk)))
    worked()

    page = client.get(page_of(job.pk))
    assert "4 messages were moved." in text_of(page)
    assert {way_of(message_id)[2] for message_id in (*waiting, *failed)} == {two.pk}
    assert {way_of(message_id)[2] for message_id in free} == {None}
    noted = Event.objects.filter(kind="message.moved", job_id=job.pk)
    assert set(noted.values_list("user_id", flat=True)) == {client.user.pk}


def test_10_001_messages_want_the_number_typed_and_the_permission(monkeypatch):
    monkeypatch.setattr(jobs, "COUNT_LIMIT", 3)
    monkeypatch.setattr(choosing, "COUNT_LIMIT", 3)
    two = a_profile(name="Two")
    ids = enqueued(5)

    refused = client_of("operator").post(asked("move"), {"to": two.pk, "confirm": "3"})
    assert "Nothing was begun. It needs the permission" in text_of(refused)
    client = client_of("administrator")
    untyped = client.post(asked("move"), {"to": two.pk})
    assert "Type 3 to say" in text_of(untyped)
    assert (str(two.pk), "Two") in offered(untyped)
    assert f'<option value="{two.pk}" selected>' in untyped.content.decode()
    assert not models.BulkJob.objects.exists()
    started(client, asked("move"), to=two.pk, confirm="3")
    worked()
    assert {way_of(message_id)[2] for message_id in ids} == {two.pk}


def test_a_job_counts_what_it_leaves_by_its_reason():
    one, two = a_profile(name="One"), a_profile(name="Two", from_address="")
    enqueued(2, profile_id=two.pk), enqueued(composed=composed(from_header=None)), enqueued(profile_id=one.pk)
    claimed(queue.register_worker(), 1, profile_id=two.pk)
    client = client_of("operator")

    job = started(client, asked("move"), to=two.pk)
    worked()

    assert (the_job(job.pk).done, the_job(job.pk).skipped) == (1, {"there": 1, "no_from": 1, "sending": 1})
    text = text_of(client.get(page_of(job.pk)))
    assert "1 on that way already" in text
    assert "1 without a From address, and that profile has none either" in text


def test_a_job_whose_profile_is_deleted_meanwhile_moves_no_more_and_says_why():
    two, ids = a_profile(name="Two"), enqueued(2)
    client = client_of("operator")
    job = started(client, asked("move"), to=two.pk)
    SMTPProfile.objects.filter(pk=two.pk).delete()
    worked()

    assert the_job(job.pk).skipped == {"no_profile": 2}
    assert "2 for a profile that is no more" in text_of(client.get(page_of(job.pk)))
    assert [way_of(message_id)[2] for message_id in ids] == [None, None]


def test_a_job_that_does_not_say_where_to_moves_nothing():
    """As one that a later version of mailconf may have begun otherwise."""
    enqueued()
    job_id = jobs.start(jobs.ACTS["move"], jobs.Choice(), user_id=None)
    worked()

    assert (the_job(job_id).state, the_job(job_id).done) == ("done", 0)
    with pytest.raises(TypeError):
        jobs.ACTS["move"].moves[MessageState.QUEUED]([1])


def test_the_list_of_jobs_and_the_event_log_say_what_was_moved_where():
    two, client = a_profile(name="Two"), client_of("superuser")
    enqueued()
    started(client, asked("move"), to=two.pk)
    worked()

    text = text_of(client.get(reverse("admin:delivery_bulkjob_changelist")))
    assert "Moving messages" in text
    assert f"Where to: Only through #{two.pk}" in text
    assert "1 message was moved." in text
    log = text_of(client.get(reverse("admin:smtp_settings_event_changelist")))
    assert "Message moved to another profile" in log
    assert "to Two" in log
    assert "Move messages to another profile" in log


# The list of what is for one profile alone


def test_the_list_of_one_profiles_own_messages_holds_in_every_tab_where_it_means_something():
    one, two = a_profile(name="One"), a_profile(name="Two")
    (waiting,), (held,), (other,) = (
        enqueued(profile_id=one.pk), ended(HELD, profile_id=one.pk), enqueued(profile_id=two.pk)
    )  # fmt: skip
    queue.move([held], to=one.pk)
    client = client_of("viewer")

    def shown(**asked):
        return {row.pk for row in client.get(LIST, asked).context["cl"].result_list}

    assert shown(pinned=one.pk) == {waiting, held}
    assert shown(pinned=one.pk, state="queued") == {waiting}
    assert shown(pinned=one.pk, state="held") == {held}
    assert shown(pinned=two.pk) == {other}
    assert shown(pinned="x") == shown(pinned="9" * 30) == {waiting, held, other}
    queue.cancel([other])
    assert shown(pinned=one.pk, state="cancelled") == {other}
    page = client.get(LIST, {"pinned": one.pk})
    assert "One" in text_of(page)
    assert '<a class="mc-button is-plain" href="?">Clear filters</a>' in page.content.decode()


def test_its_choice_is_stored_read_and_walked():
    one = a_profile(name="One")
    (waiting,), (_free,) = enqueued(profile_id=one.pk), enqueued()
    choice = jobs.Choice(pinned_id=one.pk)

    assert jobs.Choice.from_json(choice.as_json()) == choice
    assert [found.id for found in choosing.walk(choice, after=0, upper=2**62, limit=9)] == [waiting]


# What it costs


def test_the_questions_need_no_more_than_ten_queries_however_many_profiles():
    crowd(profiles=12, runs=0, events=0, user=a_user("superuser"))
    ids, client = enqueued(50), client_of("administrator")
    client.get(asked("move"))
    for ask in (lambda: client.post(of_one(ids[0])), lambda: client.get(asked("move"))):
        with CaptureQueriesContext(connection) as seen:
            answer = ask()
        assert len(offered(answer)) == 14
        assert len(statements_asked(seen)) <= 10, statements_asked(seen)


def test_the_list_of_one_profiles_own_messages_needs_no_more_than_ten_queries_either():
    one = a_profile(name="One")
    enqueued(3, profile_id=one.pk)
    queue.move(ended(FAILED), to=one.pk)
    client = client_of("administrator")
    for narrowed in ("", "&state=queued", "&state=failed"):
        address = f"{LIST}?pinned={one.pk}{narrowed}"
        client.get(address)  # as a person does; what is kept for seconds is kept
        with CaptureQueriesContext(connection) as seen:
            assert client.get(address).context["cl"].result_count
        assert len(statements_asked(seen)) <= 10, statements_asked(seen)

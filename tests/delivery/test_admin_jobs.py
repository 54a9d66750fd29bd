"""The pages of jobs: the question, who may begin and stop one, what is told of it."""

import re
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from delivery import jobs, models
from delivery.admin import job_words
from delivery.jobs import choosing
from smtp_settings.models import Event
from tests.delivery.queueing import a_row_of_profile, enqueued
from tests.delivery.test_jobs import FAILED, HELD, ended, queued_ids, the_job, worked
from tests.pages import ROLES, assert_strict, client_of, text_of

pytestmark = pytest.mark.django_db

LIST = reverse("admin:delivery_message_changelist")
START = reverse("admin:delivery_bulkjob_start")
JOBS = reverse("admin:delivery_bulkjob_changelist")


def page_of(job_id, name="change"):
    return reverse(f"admin:delivery_bulkjob_{name}", args=[job_id])


def asked(action="retry", **choice):
    return START + "?" + "&".join(f"{name}={value}" for name, value in {"action": action, **choice}.items())


def started(client, address, **fields):
    """Post the question; the job it began."""
    answer = client.post(address, fields)
    assert answer.status_code == 302, text_of(answer)
    return models.BulkJob.objects.latest("pk")


# The question


def test_the_list_leads_to_a_question_for_all_it_shows_and_the_answer_begins_a_job():
    ended(FAILED, 3), ended(HELD)
    client = client_of("operator")

    shown = client.get(LIST, {"state": "failed"})
    (address,) = re.findall(r'id="mc-for-all".*?href="([^"]+)"', shown.content.decode(), re.DOTALL)
    question = client.get(address.replace("&amp;", "&"))

    assert_strict(question)
    assert "“Retry now” for 3 messages?" in text_of(question)
    assert not models.BulkJob.objects.exists()
    job = started(client, address.replace("&amp;", "&"))
    assert (job.action, job.filter["state"], job.user_id) == ("retry", "failed", client.user.pk)


@pytest.mark.parametrize(
    ("state", "acts"),
    [
        ("failed", ["retry", "move"]),
        ("expired", ["retry", "move"]),
        ("held", ["release", "cancel", "move"]),
        ("queued", ["hold", "cancel", "move"]),
        ("deferred", ["retry", "hold", "cancel", "move"]),
        ("sent", []),
        ("sending", []),
    ],
)
def test_a_tab_offers_what_its_messages_can_take(state, acts):
    response = client_of("superuser").get(LIST, {"state": state})

    assert [one.action.name for one in response.context["for_all"]] == acts


@pytest.mark.parametrize("action", ["retry", "release", "hold", "cancel"])
@pytest.mark.parametrize("role", ROLES)
def test_each_act_has_its_permission(role, action):
    ended(FAILED), ended(HELD), enqueued()
    client = client_of(role)
    may = role in {"superuser", "administrator", "operator"}

    answers = [client.get(asked(action)), client.post(asked(action))]

    codes = [200, 302] if may else [302, 302] if role in {"anonymous", "nobody"} else [403, 403]
    assert [answer.status_code for answer in answers] == codes
    assert models.BulkJob.objects.exists() == may


def test_a_forged_act_is_no_page():
    client = client_of("superuser")

    assert [client.post(asked(action)).status_code for action in ("send_again", "delete", "")] == [404] * 3


def test_only_what_the_filter_shows_is_meant():
    one = a_row_of_profile("One")
    wanted = ended(FAILED, 2, cause="relay", profile_id=one.pk)
    ended(FAILED, cause="size", profile_id=one.pk)
    client = client_of("operator")

    question = client.get(asked(state="failed", cause="relay", profile=one.pk))
    assert "The server does not relay for this sender" in text_of(question)
    assert "Profile One" in text_of(question)
    started(client, asked(state="failed", cause="relay", profile=one.pk))
    worked()

    assert queued_ids() == set(wanted)


def test_a_period_and_a_reply_narrow_the_list_and_its_job():
    one = a_row_of_profile("One")
    wanted, older, refused = (ended(FAILED, cause="relay", profile_id=one.pk) for _ in range(3))
    models.Failure.objects.filter(pk__in=[*wanted, *older]).update(code=451)
    models.Failure.objects.filter(pk__in=older).update(at=timezone.now() - timedelta(days=2))
    client = client_of("operator")
    shown = client.get(LIST, {"state": "failed", "since": "hour", "reply": "4", "profile": one.pk})
    assert_strict(shown)
    assert {row.pk for row in shown.context["cl"].result_list} == {*wanted}
    assert {"Last hour", "4xx: temporary", "One"} <= set(chips_of(shown))

    [retry] = [one.url for one in shown.context["for_all"] if one.action.name == "retry"]
    question = client.get(retry)
    assert "since " in text_of(question)
    assert "4xx: temporary" in text_of(question)
    job = started(client, retry)
    worked()
    assert queued_ids() == {*wanted}
    assert not {*older, *refused} & queued_ids()
    shown = client.get(job_words.list_of(jobs.choice_of(job.filter)))
    assert {"since", "reply", "profile"} <= shown.context["cl"].params.keys()


def chips_of(answer):
    """The words of what the chips of a list have chosen."""
    return re.findall(r'aria-current="true">([^<]+)</a>', answer.content.decode())


@pytest.mark.parametrize(
    ("since", "reply"), [("x", "x"), ("2026-11-22", "45"), ("2026-11-22T10:00:00", "٣"), ("9" * 30, "-5")]
)
def test_a_period_or_reply_that_is_none_narrows_nothing(since, reply):
    ended(FAILED)
    shown = client_of("viewer").get(LIST, {"state": "failed", "since": since, "reply": reply})
    assert shown.context["cl"].result_count == 1
    assert client_of("viewer").get(LIST, {"state": "sent", "since": "hour"}).status_code == 200


def test_doubtful_messages_are_named_and_go_only_when_ticked():
    (doubtful,) = ended(FAILED, uncertain=True)
    client = client_of("operator")
    assert "can deliver it twice" in text_of(client.get(asked(state="failed")))

    started(client, asked(state="failed"))
    worked()
    assert queued_ids() == set()

    started(client, asked(state="failed"), with_uncertain="on")
    worked()
    assert queued_ids() == {doubtful}


@pytest.mark.parametrize("pace", ["fast", "-1", "0", "1e3", "99999999999"])
def test_a_pace_is_a_number_or_nothing(pace):
    ended(FAILED)

    answer = client_of("operator").post(asked(state="failed"), {"per_minute": pace})

    assert "Nothing was begun. The pace is a whole number" in text_of(answer)
    assert not models.BulkJob.objects.exists()


def test_more_than_can_be_counted_needs_a_permission_and_the_number_typed(monkeypatch):
    monkeypatch.setattr(jobs, "COUNT_LIMIT", 3)
    monkeypatch.setattr(choosing, "COUNT_LIMIT", 3)
    ended(FAILED, 5)

    refused = client_of("operator").post(asked(state="failed"), {"confirm": "3"})
    assert "Nothing was begun. It needs the permission" in text_of(refused)
    client = client_of("administrator")
    assert "for more than 3 messages?" in text_of(client.get(asked(state="failed")))
    assert "Type 3 to say" in text_of(client.post(asked(state="failed")))
    assert not models.BulkJob.objects.exists()

    job = started(client, asked(state="failed"), confirm="3")
    assert "0 of more than 3 done" in text_of(client.get(page_of(job.pk)))


def test_when_nothing_is_left_to_do_no_job_is_begun():
    ended(FAILED)
    client = client_of("operator")
    client.get(asked(state="failed"))
    models.Failure.objects.all().delete()

    answer = client.post(asked(state="failed"), follow=True)

    assert "Nothing was done: no message of this list stands so any more." in text_of(answer)


# Its page


def test_the_page_follows_a_job_to_its_end_and_says_what_was_skipped_with_links():
    ended(FAILED, 2), ended(FAILED, uncertain=True), ended(FAILED, sensitive=True)
    client = client_of("operator")
    job = started(client, asked(state="failed"))

    before = client.get(page_of(job.pk))
    assert_strict(before)
    assert "0 of 4 done, 0 skipped" in text_of(before)
    assert '<meta http-equiv="refresh" content="3">' in before.content.decode()
    worked()
    after = client.get(page_of(job.pk))
    state = client.get(page_of(job.pk, "state"), {"seq": before.context["progress"].seq}).json()

    assert "2 messages will be tried again now. 2 were skipped." in text_of(after)
    assert '<a href="/admin/delivery/message/?uncertain=1">1 may have arrived</a>' in after.content.decode()
    assert "1 without content" in text_of(after)
    assert "http-equiv" not in after.content.decode()
    assert state["done"]
    assert "2 were skipped" in state["html"]
    assert "html" not in client.get(page_of(job.pk, "state"), {"seq": state["seq"]}).json()


def test_a_job_no_worker_takes_says_so():
    ended(FAILED)
    client = client_of("operator")
    job = started(client, asked(state="failed"))
    assert "No worker" not in text_of(client.get(page_of(job.pk)))

    models.BulkJob.objects.update(created_at=Now() - timedelta(minutes=1))

    shown = text_of(client.get(page_of(job.pk)))
    assert "No worker has begun with it" in shown
    assert "It begins as soon as one runs." in shown


def test_a_job_whose_worker_is_gone_says_since_when():
    ended(FAILED, 30)
    client = client_of("operator")
    job = started(client, asked(state="failed"), per_minute="60")
    jobs.step()
    assert "60 a minute at most." in text_of(client.get(page_of(job.pk)))

    long_ago = Now() - timedelta(minutes=1)
    models.BulkJob.objects.update(heartbeat_at=long_ago, next_at=long_ago)

    assert "It goes on as soon as one runs." in text_of(client.get(page_of(job.pk)))


def test_stop_leaves_the_rest_and_says_so():
    ids = ended(FAILED, 30)
    client = client_of("operator")
    job = started(client, asked(state="failed"), per_minute="60")
    jobs.step()

    answer = client.post(page_of(job.pk, "stop"), follow=True)
    assert "It was stopped; what was done stays done." in text_of(answer)
    assert 0 < len(queued_ids()) < len(ids)
    assert "It was over already." in text_of(client.post(page_of(job.pk, "stop"), follow=True))
    assert Event.objects.get(kind="job.stopped").user_id == client.user.pk


def test_operators_find_their_own_jobs_only_and_administrators_stop_any():
    ended(FAILED)
    owner, other = client_of("operator"), client_of("operator")
    job = started(owner, asked(state="failed"))

    assert other.get(JOBS).context["cl"].result_count == 0
    assert [other.get(page_of(job.pk, name)).status_code for name in ("change", "state")] == [404, 404]
    assert other.post(page_of(job.pk, "stop")).status_code == 404
    assert client_of("viewer").get(page_of(job.pk)).status_code == 200
    assert client_of("viewer").post(page_of(job.pk, "stop")).status_code == 403
    assert the_job(job.pk).state == "running"
    assert client_of("administrator").post(page_of(job.pk, "stop")).status_code == 302
    assert the_job(job.pk).state == "stopped"


def test_the_list_of_jobs_says_what_who_and_how_far():
    ended(FAILED, 2)
    client = client_of("operator")
    started(client, asked(state="failed"))
    worked()

    shown = client.get(JOBS)

    assert_strict(shown)
    assert "Retrying messages" in text_of(shown)
    assert client.user.username in text_of(shown)
    assert "2 messages will be tried again now." in text_of(shown)


def test_the_event_log_names_jobs_and_what_they_did():
    ended(FAILED)
    client = client_of("superuser")
    started(client, asked(state="failed"))
    worked()

    shown = text_of(client.get(reverse("admin:smtp_settings_event_changelist")))

    assert "Job begun" in shown
    assert "Job done" in shown
    assert f"Job {models.BulkJob.objects.get().pk}" in shown


# Failures by cause


def test_failures_are_grouped_by_cause_each_with_one_release_at_a_pace():
    one = a_row_of_profile("EU relay")
    ended(FAILED, 3, cause="relay", profile_id=one.pk), ended(FAILED, 1, cause="size", profile_id=one.pk)
    client = client_of("operator")

    shown = client.get(LIST, {"state": "failed"})
    relay, size = shown.context["groups"]

    assert_strict(shown)
    assert (relay.count, relay.profile, size.count) == (3, "EU relay", 1)
    assert "The server does not relay for this sender" in text_of(shown)
    narrowed = client.get(relay.url)
    assert narrowed.context["cl"].result_count == 3
    assert "Cause: The server does not relay for this sender" in text_of(narrowed)
    assert narrowed.context["groups"] == []
    question = client.get(relay.acts[0].url)
    assert question.context["per_minute"] == "100"
    assert question.context["fitting"] == 3


def test_held_messages_are_grouped_too_and_released():
    ended(HELD, 2, cause="crashes")

    (group,) = client_of("operator").get(LIST, {"state": "held"}).context["groups"]

    assert group.cause.startswith("Three workers stopped while sending this message")
    assert [one.action.name for one in group.acts] == ["release"]


@pytest.mark.parametrize("state", ["", "queued", "sent"])
def test_a_cause_narrows_no_list_that_has_none(state):
    enqueued(2)

    shown = client_of("viewer").get(LIST, {"state": state, "cause": "relay", "profile": "1"})

    assert shown.context["cl"].result_count == (0 if state == "sent" else 2)
    assert "cause=relay" not in shown.content.decode()


@pytest.mark.parametrize("profile", ["x", "-1", "9" * 30, "2147483648"])
def test_a_profile_that_is_none_narrows_nothing(profile):
    ended(FAILED)

    shown = client_of("viewer").get(LIST, {"state": "failed", "profile": profile})

    assert shown.context["cl"].result_count == 1


def test_viewers_see_the_causes_and_no_acts():
    ended(FAILED, cause="relay")

    shown = client_of("viewer").get(LIST, {"state": "failed"})

    assert shown.context["groups"][0].acts == shown.context["for_all"] == []

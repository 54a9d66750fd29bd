"""What is done from the list: pause, resume, try now, duplicate, the ticked, deleting; nothing forged."""

from datetime import timedelta

import pytest
from django.contrib.sites.models import Site
from django.urls import reverse

from delivery import queue
from delivery.models import ProfileState
from delivery.queue import Paused
from smtp_settings.admin.profiles import SMTPProfileAdmin
from smtp_settings.clearance import activation
from smtp_settings.models import Event, SMTPProfile
from tests.builders import a_draft, a_profile
from tests.delivery.queueing import enqueued
from tests.delivery.test_jobs import FAILED, ended
from tests.pages import assert_strict, client_of, text_of

pytestmark = pytest.mark.django_db
LIST = reverse("admin:smtp_settings_smtpprofile_changelist")
ACTS = ("pause", "resume", "try_now", "duplicate")


def act(client, name, profile, **options):
    url = reverse(f"admin:smtp_settings_smtpprofile_{name}", args=[getattr(profile, "pk", profile)])
    return client.post(url, **options)


def bulk(client, name, *profiles, **more):
    data = {"action": name, "_selected_action": [profile.pk for profile in profiles], "index": "0"}
    return client.post(LIST, data | {"select_across": "0"} | more, follow=True)


def buttons(client):
    (row, *_rest) = client.get(LIST).context["cl"].result_list
    return [address.rstrip("/").rpartition("/")[2] for address, _label, _described in row.listed_buttons]


# One row


def test_an_operator_pauses_and_resumes_and_the_row_offers_the_other():
    profile, client = a_profile(name="EU relay"), client_of("operator")
    assert buttons(client) == ["test", "pause"]

    paused = act(client, "pause", profile, follow=True)
    assert "“EU relay” is paused." in text_of(paused)
    assert ProfileState.objects.get().paused == Paused.PERSON
    assert buttons(client) == ["test", "resume"]

    resumed = act(client, "resume", profile, follow=True)
    assert "“EU relay” is used again." in text_of(resumed)
    assert buttons(client) == ["test", "pause"]
    assert list(Event.objects.filter(user=client.user).values_list("kind", "ip")) == [
        ("server.resumed", "127.0.0.1"),
        ("server.paused", "127.0.0.1"),
    ]


def test_an_open_breaker_is_tried_now():
    profile, client = a_profile(name="EU relay"), client_of("operator")
    queue.open_breaker(profile.pk, at_least=timedelta(hours=1))
    assert buttons(client) == ["test", "try-now", "pause"]
    assert "is tried now" in text_of(act(client, "try_now", profile, follow=True))


def test_what_is_so_already_is_said():
    profile, client = a_profile(name="EU relay"), client_of("administrator")
    assert "is not paused" in text_of(act(client, "resume", profile, follow=True))
    assert "waits for no next try" in text_of(act(client, "try_now", profile, follow=True))
    act(client, "pause", profile)
    assert "is paused already" in text_of(act(client, "pause", profile, follow=True))


def test_viewers_have_no_buttons_and_a_draft_no_test():
    a_profile()
    assert buttons(client_of("viewer")) == []
    SMTPProfile.objects.all().delete()
    a_draft()
    assert buttons(client_of("administrator")) == ["duplicate"]


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("nobody", 302), ("anonymous", 302)])
def test_an_act_without_its_permission_is_refused_and_changes_nothing(name, role, status):
    profile = a_profile()
    assert act(client_of(role), name, profile).status_code == status
    assert not ProfileState.objects.exists()
    assert SMTPProfile.objects.count() == 1


@pytest.mark.parametrize("name", ACTS)
def test_an_act_is_a_post_with_a_token_on_a_profile_that_exists(name):
    profile, client = a_profile(), client_of("administrator")
    url = reverse(f"admin:smtp_settings_smtpprofile_{name}", args=[profile.pk])
    assert client.get(url).status_code == 405
    assert act(client, name, 2**31 - 1).status_code == 404
    strict = client_of("administrator", enforce_csrf_checks=True)
    assert strict.post(url).status_code == 403
    assert not ProfileState.objects.exists()


def test_an_act_goes_back_to_the_list_as_it_was_narrowed_and_nowhere_else():
    profile, client = a_profile(), client_of("operator")
    narrowed = act(client, "pause", profile, headers={"referer": f"http://testserver{LIST}?health=idle"})
    assert narrowed.url == f"{LIST}?health=idle"
    elsewhere = act(client, "resume", profile, headers={"referer": f"http://evil.example{LIST}?x=1"})
    assert elsewhere.url == LIST


# A second profile like the first


def test_a_duplicate_is_a_draft_without_secret_ticks_and_clearance():
    site = Site.objects.create(domain="shop.example")
    profile = a_profile(name="EU relay", password="s3cret", is_default=True, per_minute=25, sites=[site])
    client = client_of("administrator")

    page = act(client, "duplicate", profile, follow=True)

    copy = SMTPProfile.objects.exclude(pk=profile.pk).get()
    assert (copy.name, copy.is_draft, copy.enabled, copy.is_default) == (
        "EU relay (copy)",
        True,
        False,
        False,
    )
    assert (copy.host, copy.per_minute, list(copy.sites.all())) == (profile.host, 25, [site])
    assert (copy.password, copy.cleared_fingerprint, copy.accepts_clear_auth) == (None, "", False)
    assert copy.uuid != profile.uuid
    assert not activation.is_live(copy)
    assert "The password was not copied: enter it, then test and save." in text_of(page)
    assert SMTPProfile.objects.get(pk=profile.pk).is_default
    event = Event.objects.get(kind="profile.draft")
    assert (event.data["copy_of"], event.user_id) == ("EU relay", client.user.pk)


def test_duplicates_get_names_that_are_free():
    profile, client = a_profile(name="N" * 100), client_of("administrator")
    act(client, "duplicate", profile)
    act(client, "duplicate", profile)
    names = set(SMTPProfile.objects.values_list("name", flat=True))
    assert names == {"N" * 100, "N" * 93 + " (copy)", "N" * 91 + " (copy 2)"}


# The ticked ones


def test_the_ticked_are_paused_and_resumed_and_counted():
    first, second, draft, client = a_profile(), a_profile(), a_draft(), client_of("operator")
    page = bulk(client, "pause_selected", first, second, draft)
    assert "2 profiles are paused. 1 was left as it is." in text_of(page)
    assert ProfileState.objects.filter(paused=Paused.PERSON).count() == 2
    assert "1 profile is used again." in text_of(bulk(client, "resume_selected", first))


def test_nothing_ticked_or_chosen_says_so():
    profile, client = a_profile(), client_of("operator")
    assert "no profile was chosen" in text_of(bulk(client, "pause_selected"))
    assert "no action was chosen" in text_of(bulk(client, "", profile))
    assert "no action was chosen" in text_of(bulk(client, "change_selected", profile, post="yes"))
    administrator = client_of("administrator")  # Django's own confirmation is none of ours
    assert "Delete 1 profile?" in text_of(bulk(administrator, "delete_selected", profile, post="yes"))
    assert SMTPProfile.objects.count() == 1


def test_all_matching_is_never_offered_and_a_forged_one_refused_and_written_down():
    profile, client = a_profile(), client_of("operator")
    assert "select-across" in client.get(LIST).content.decode()
    refused = bulk(client, "pause_selected", profile, select_across="1")
    assert refused.status_code == 403
    assert not ProfileState.objects.exists()
    event = Event.objects.get(kind="act.refused")
    assert (event.user_id, event.level, event.data["why"]) == (client.user.pk, "warning", "select_across")


@pytest.mark.parametrize("name", ["pause_selected", "resume_selected", "test_selected"])
def test_a_forged_act_without_permission_is_refused_and_written_down(name):
    profile, client = a_profile(), client_of("viewer")
    assert bulk(client, name, profile).status_code == 403
    event = Event.objects.get(kind="act.refused")
    assert (event.user_id, event.data) == (client.user.pk, {"act": name, "why": "permission"})


# Deleting


def test_deleting_is_refused_with_the_count_and_links_while_messages_wait_for_it_alone():
    profile, client = a_profile(name="EU relay"), client_of("administrator")
    enqueued(3, profile_id=profile.pk)
    url = reverse("admin:smtp_settings_smtpprofile_delete", args=[profile.pk])
    for page in (client.get(url), client.post(url, {"post": "yes"})):
        assert_strict(page)
        assert (
            "This profile cannot be deleted: 3 messages are waiting for it. "
            "Move them to another profile or cancel them first."
        ) in text_of(page)
        assert f"{reverse('admin:delivery_message_changelist')}?pinned={profile.pk}" in page.content.decode()
    assert SMTPProfile.objects.filter(pk=profile.pk).exists()


def test_deleting_is_refused_while_failed_messages_are_for_it_alone():
    profile, client = a_profile(name="EU relay"), client_of("administrator")
    ended(FAILED)
    url = reverse("admin:smtp_settings_smtpprofile_delete", args=[profile.pk])
    assert client.get(url).status_code == 200
    queue.move(ended(FAILED), to=profile.pk)

    for page in (client.get(url), client.post(url, {"post": "yes"})):
        assert "messages that are being sent, failed or are held are for it alone" in text_of(page)
    assert SMTPProfile.objects.filter(pk=profile.pk).exists()


def test_a_message_that_comes_between_the_question_and_the_answer_is_not_left_behind(monkeypatch):
    profile, client = a_profile(name="EU relay"), client_of("administrator")
    ids = enqueued(3)
    decided = SMTPProfileAdmin.log_deletions

    def then_somebody_moves_three(*args):
        decided(*args)
        queue.move(ids, to=profile.pk)

    monkeypatch.setattr(SMTPProfileAdmin, "log_deletions", then_somebody_moves_three)
    url = reverse("admin:smtp_settings_smtpprofile_delete", args=[profile.pk])

    assert "This profile cannot be deleted" in text_of(client.post(url, {"post": "yes"}))
    assert SMTPProfile.objects.filter(pk=profile.pk).exists()
    assert not Event.objects.filter(kind="profile.deleted").exists()


def test_deleting_says_what_goes_another_way_and_is_an_event():
    profile, client = a_profile(name="EU relay"), client_of("administrator")
    enqueued(2)
    url = reverse("admin:smtp_settings_smtpprofile_delete", args=[profile.pk])
    assert "2 messages would go this way next." in text_of(client.get(url))
    client.post(url, {"post": "yes"})
    assert not SMTPProfile.objects.exists()
    event = Event.objects.get(kind="profile.deleted")
    assert (event.data["name"], event.user_id, event.level) == ("EU relay", client.user.pk, "warning")

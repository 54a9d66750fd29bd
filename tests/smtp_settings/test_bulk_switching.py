"""Enabling and disabling the ticked profiles: through the gate, counted, and what was left is named (N14)."""

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from delivery import queue
from smtp_settings.admin.records import event_words
from smtp_settings.clearance import activation
from smtp_settings.models import Event, SMTPProfile
from tests.builders import a_draft, a_profile, evidence
from tests.delivery.queueing import enqueued
from tests.pages import assert_strict, client_of, text_of
from tests.smtp_settings.test_acts import LIST, bulk

pytestmark = pytest.mark.django_db


def enable(client, *profiles, **more):
    return text_of(bulk(client, "enable_selected", *profiles, **more))


def disable(client, *profiles, **more):
    return text_of(bulk(client, "disable_selected", *profiles, **more))


def is_enabled(profile):
    return SMTPProfile.objects.get(pk=profile.pk).enabled


# Enabling


def test_the_ticked_are_enabled_and_live_again_and_counted():
    first, second = a_profile(enabled=False), a_profile(enabled=False, password="s3cret")
    client = client_of("administrator")

    assert "2 profiles are enabled." in enable(client, first, second)

    for profile in (first, second):
        row = SMTPProfile.objects.get(pk=profile.pk)
        assert (row.enabled, activation.is_live(row), row.changed_by_id) == (True, True, client.user.pk)
        assert (row.version, row.secret_version) == (profile.version + 1, profile.secret_version)


def test_a_draft_an_untested_one_and_one_enabled_already_are_left_and_named():
    draft, running, off = a_draft(name="Sketch"), a_profile(name="Running"), a_profile(enabled=False)
    moved = a_profile(name="Moved", enabled=False)
    SMTPProfile.objects.filter(pk=moved.pk).update(host="elsewhere.example")

    page = bulk(client_of("administrator"), "enable_selected", draft, running, off, moved)

    assert_strict(page)
    assert "1 profile is enabled." in text_of(page)
    assert "“ Sketch ” was left as it is. A draft is tested and saved first." in text_of(page)
    assert "“ Running ” was left as it is. Enabled already." in text_of(page)
    assert (
        "“ Moved ” was left as it is. These connection settings have not passed a test. "
        "Choose “Send test email”, then save."
    ) in text_of(page)
    assert not is_enabled(draft)
    assert not is_enabled(moved)


def test_what_was_left_for_the_same_reason_is_one_notice_that_leads_to_each():
    drafts = [a_draft(name=f"Draft {number}") for number in range(10)]
    page = bulk(client_of("administrator"), "enable_selected", *drafts)
    assert text_of(page).count("were left as they are. A draft is tested and saved first.") == 1
    assert "“ Draft 7 ” and 2 more were left" in text_of(page)
    assert reverse("admin:smtp_settings_smtpprofile_change", args=[drafts[0].pk]) in page.content.decode()


def test_a_name_in_a_notice_is_text_and_no_markup():
    draft = a_draft(name="<b>%(names)s{}</b>")
    page = bulk(client_of("administrator"), "enable_selected", draft)
    assert "“ <b>%(names)s{}</b> ” was left" in text_of(page)


def test_where_every_save_wants_a_test_enabling_wants_one_of_this_person(settings):
    settings.MAILCONF_TEST_BEFORE_SAVE = "always"
    client = client_of("administrator")
    tested, untested = a_profile(enabled=False), a_profile(name="Untested", enabled=False)
    evidence(tested, user=client.user)

    assert "1 profile is enabled. “ Untested ” was left" in enable(client, tested, untested)
    assert is_enabled(tested)
    assert not is_enabled(untested)


def test_saved_settings_that_passed_this_persons_test_go_live_as_with_the_form():
    client, moved = client_of("administrator"), a_profile(enabled=False)
    SMTPProfile.objects.filter(pk=moved.pk).update(host="127.0.0.2")
    evidence(SMTPProfile.objects.get(pk=moved.pk), user=client.user)

    assert "1 profile is enabled." in enable(client, moved)
    assert activation.is_live(SMTPProfile.objects.get(pk=moved.pk))


def test_what_the_form_would_refuse_today_is_not_enabled_from_the_list(settings):
    barred = a_profile(name="Barred", enabled=False)
    settings.MAILCONF_ALLOWED_PORTS = (25, 587)
    program = a_profile(name="Program", enabled=False)
    SMTPProfile.objects.filter(pk=program.pk).update(transport="sendmail", program="/bin/sh")

    said = enable(client_of("administrator"), barred, program)

    assert "“ Barred ” was left as it is. " in said
    assert "“ Program ” was left as it is. This program may not be run here." in said
    assert (is_enabled(barred), is_enabled(program)) == (False, False)


def test_a_secret_that_does_not_open_keeps_a_profile_off():
    profile = a_profile(name="Moved", enabled=False, password="s3cret")
    SMTPProfile.objects.filter(pk=profile.pk).update(host="evil.example")
    said = enable(client_of("administrator"), profile)
    assert "“ Moved ” was left as it is." in said
    assert "Enter the password again" in said
    assert not is_enabled(profile)


# Disabling


def test_the_ticked_are_disabled_and_counted_and_stay_cleared():
    first, second, off = a_profile(), a_profile(), a_profile(name="Off", enabled=False)
    a_profile()
    client = client_of("administrator")

    said = disable(client, first, second, off)

    assert "2 profiles are disabled. “ Off ” was left as it is. Not enabled." in said
    row = SMTPProfile.objects.get(pk=first.pk)
    assert (row.enabled, row.version, row.changed_by_id) == (False, first.version + 1, client.user.pk)
    assert "2 profiles are enabled." in enable(client, first, second)


def test_what_is_not_live_is_disabled_without_a_test(settings):
    settings.MAILCONF_TEST_BEFORE_SAVE = "always"
    moved = a_profile()
    SMTPProfile.objects.filter(pk=moved.pk).update(host="elsewhere.example")
    assert "1 profile is disabled." in disable(client_of("administrator"), moved)
    assert not is_enabled(moved)


def test_after_the_last_live_profile_it_is_said_that_messages_wait():
    first, last, client = a_profile(), a_profile(is_default=True), client_of("administrator")
    a_draft()
    assert "No profile is live" not in disable(client, first)  # the other still carries mail
    page = bulk(client, "disable_selected", last)
    assert "1 profile is disabled. No profile is live now. Nothing is being sent; messages wait." in text_of(
        page
    )
    assert '<li class="warning">1 profile is disabled.' in page.content.decode()


def test_of_the_default_server_and_of_messages_for_it_alone_it_is_said_what_becomes_of_them():
    relay, client = a_profile(name="EU relay", is_default=True), client_of("administrator")
    a_profile()
    enqueued(3, profile_id=relay.pk)
    said = disable(client, relay)
    assert "The default server is “EU relay”: its messages go another way, or wait." in said
    assert "3 messages may go no other way: they wait until their profile is enabled again." in said
    assert SMTPProfile.objects.get(pk=relay.pk).is_default


# What is written down, and who may


@pytest.mark.parametrize(("act", "was"), [("enable", False), ("disable", True)])
def test_each_is_an_event_and_a_line_of_its_history(act, was):
    profile, client = a_profile(name="EU relay", enabled=was), client_of("administrator")
    Event.objects.all().delete()

    bulk(client, f"{act}_selected", profile)

    event = Event.objects.get()
    assert (event.kind, event.user_id, event.profile_id, event.data["name"]) == (
        "profile.saved",
        client.user.pk,
        profile.pk,
        "EU relay",
    )
    assert event.data["changes"] == [{"field": "enabled", "old": was, "new": not was}]
    assert f"Changed Enabled: {'Yes → No' if was else 'No → Yes'}" in event_words.details_of(event)
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.get_change_message()) == (str(profile.pk), "Changed Enabled.")


def test_a_form_opened_before_is_told_that_the_profile_was_changed():
    profile, client = a_profile(), client_of("administrator")
    secret = activation.effective_secret(profile)
    disable(client, profile)
    with pytest.raises(activation.StaleProfile):
        activation.save_profile(profile, secret, user=client.user)


@pytest.mark.parametrize("act", ["enable_selected", "disable_selected", "delete_selected"])
@pytest.mark.parametrize("role", ["operator", "viewer"])
def test_who_may_not_is_offered_no_button_and_a_forged_request_is_refused_and_written_down(act, role):
    profile, client = a_profile(enabled=act != "enable_selected"), client_of(role)
    assert f'value="{act}"' not in client.get(LIST).content.decode()
    assert bulk(client, act, profile, confirmed="1").status_code == 403
    assert SMTPProfile.objects.get(pk=profile.pk).version == profile.version
    event = Event.objects.get(kind="act.refused")
    assert (event.user_id, event.data) == (client.user.pk, {"act": act, "why": "permission"})


def test_each_act_asks_for_its_own_permission():
    profile = a_profile()
    may_change = ("smtp_settings.view_smtpprofile", "smtp_settings.change_smtpprofile")
    may_delete = ("smtp_settings.view_smtpprofile", "smtp_settings.delete_smtpprofile")
    changer = client_of("staff", permissions=may_change)
    assert bulk(changer, "delete_selected", profile, confirmed="1").status_code == 403
    assert bulk(client_of("staff", permissions=may_delete), "disable_selected", profile).status_code == 403
    assert is_enabled(profile)
    assert "1 profile is disabled." in disable(changer, profile)


@pytest.mark.parametrize("act", ["enable_selected", "disable_selected", "delete_selected"])
def test_all_matching_is_refused(act):
    profile, client = a_profile(enabled=act != "enable_selected"), client_of("administrator")
    assert bulk(client, act, profile, select_across="1", confirmed="1").status_code == 403
    assert SMTPProfile.objects.get(pk=profile.pk).version == profile.version


def test_a_list_of_the_ticked_without_a_token_changes_nothing():
    profile, client = a_profile(), client_of("administrator", enforce_csrf_checks=True)
    assert bulk(client, "disable_selected", profile).status_code == 403
    assert is_enabled(profile)


def test_a_paused_profile_stays_paused_while_it_is_switched_off_and_on():
    profile, client = a_profile(), client_of("administrator")
    queue.pause(profile.pk, queue.Paused.PERSON, user_id=client.user.pk)
    disable(client, profile)
    said = enable(client, profile)
    assert "Paused by" in said

"""Notes: what will stop working one day although it works now."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from smtp_settings.advice.notes import notes_for, notes_of
from smtp_settings.models import SMTPProfile, TestRun
from tests.builders import a_profile, evidence, unsaved_profile

EXPIRES = "The certificate of the server expires on "
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def run_that_saw(expires_at):
    return TestRun(steps=[{"phase": "dns"}, {"evidence": {"certificate_expires_at": expires_at}}])


def ending(**delta):
    return run_that_saw((NOW + timedelta(**delta)).isoformat())


@pytest.mark.parametrize(
    ("run", "tone", "sentence"),
    [
        (
            ending(days=29, hours=1),
            "is-info",
            EXPIRES + "19 December 2026, in 29 days.",
        ),
        (
            ending(days=13),
            "is-warn",
            EXPIRES + "3 December 2026, in 13 days.",
        ),
        (
            ending(days=1),
            "is-warn",
            EXPIRES + "21 November 2026, in 1 day.",
        ),
        (ending(seconds=-1), "is-warn", "The certificate of the server expired on 20 November 2026."),
    ],
)
def test_a_certificate_that_ends_soon_is_told(run, tone, sentence):
    (note,) = notes_for(unsaved_profile(), run, now=NOW)
    assert (note.kind, note.tone) == ("certificate", tone)
    assert note.sentence.removesuffix(" Its owner has to renew it.") == sentence


@pytest.mark.parametrize(
    "run",
    [
        None,
        TestRun(),
        ending(days=30),
        run_that_saw(""),
        run_that_saw("soon"),
        run_that_saw("2026-11-21T00:00:00"),
        TestRun(steps=[{"evidence": None}]),
    ],
)
def test_a_certificate_that_is_good_or_unknown_is_not_told(run):
    assert notes_for(unsaved_profile(), run, now=NOW) == ()


def test_an_old_password_is_told_and_one_that_is_not_used_is_not(settings):
    settings.MAILCONF_PASSWORD_AGE_DAYS = 90
    set_at = NOW - timedelta(days=91)
    (note,) = notes_for(unsaved_profile(auth="password", secret_set_at=set_at), now=NOW)
    assert note.sentence == (
        "The password was set 91 days ago. Make a new one at the provider and enter it here."
    )
    assert note.field == "password"
    assert notes_for(unsaved_profile(auth="none", secret_set_at=set_at), now=NOW) == ()
    assert notes_for(SMTPProfile(auth="password", secret_set_at=NOW), now=NOW) == ()


@pytest.mark.parametrize(
    ("day", "sentence"),
    [
        (20, "Microsoft turns off password sign-in by default at the end of December 2026."),
        (
            60,
            "Microsoft turned off password sign-in by default at the end of December 2026. "
            "An administrator can turn it on again.",
        ),
    ],
)
def test_a_sign_in_that_the_provider_ends_is_told_before_and_after(day, sentence):
    profile = unsaved_profile(host="smtp.office365.com", auth="password")
    (note,) = notes_for(profile, now=NOW + timedelta(days=day))
    assert (note.kind, note.tone, note.sentence) == ("sign-in", "is-warn", sentence)
    assert notes_for(unsaved_profile(host="smtp.office365.com", auth="oauth2"), now=NOW) == ()
    assert notes_for(unsaved_profile(host="smtp.gmail.com", auth="password"), now=NOW) == ()


@pytest.mark.django_db
def test_notes_of_many_profiles_take_the_last_passed_test_of_each_in_one_query(django_assert_num_queries):
    soon, fine = a_profile(), a_profile()
    for profile, days in ((soon, 100), (soon, 5), (fine, 5), (fine, 100)):
        run = evidence(profile)
        run.steps = run_ending_in(days).steps
        run.save()
    failed = evidence(fine, state="failed")
    failed.steps = run_ending_in(1).steps
    failed.save()
    with django_assert_num_queries(1):
        notes = notes_of([soon, fine])
    assert [note.kind for note in notes[soon.pk]] == ["certificate"]
    assert notes[fine.pk] == ()


def run_ending_in(days):
    return run_that_saw((timezone.now() + timedelta(days=days)).isoformat())

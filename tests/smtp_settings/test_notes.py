"""Notes: what will stop working one day although it works now."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from smtp_settings.advice.notes import notes_for, notes_of
from smtp_settings.models import SMTPProfile, TestRun
from tests.builders import a_profile, evidence, unsaved_profile

CERTIFICATE = "Certificate of relay.example.com "
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def run_that_saw(expires_at, finished_at=NOW):
    steps = [{"phase": "dns"}, {"evidence": {"certificate_expires_at": expires_at}}]
    return TestRun(settings={"host": "relay.example.com"}, steps=steps, finished_at=finished_at)


def ending(**delta):
    return run_that_saw((NOW + timedelta(**delta)).isoformat())


@pytest.mark.parametrize(
    ("run", "tone", "sentence"),
    [
        (
            ending(days=29, hours=1),
            "is-info",
            CERTIFICATE + "expires in 29 days, on 19 December 2026.",
        ),
        (
            ending(days=13),
            "is-warn",
            CERTIFICATE + "expires in 13 days, on 3 December 2026.",
        ),
        (
            ending(days=1),
            "is-warn",
            CERTIFICATE + "expires in 1 day, on 21 November 2026.",
        ),
        (ending(hours=20), "is-warn", CERTIFICATE + "expires within a day, on 21 November 2026."),
        (ending(seconds=-1), "is-warn", CERTIFICATE + "expired on 20 November 2026."),
    ],
)
def test_a_certificate_that_ends_soon_is_told(run, tone, sentence):
    (note,) = notes_for(unsaved_profile(), run, now=NOW)
    assert (note.kind, note.tone) == ("certificate", tone)
    assert note.sentence == f"{sentence} Tell the server's owner."


def test_a_certificate_seen_long_ago_may_have_been_renewed():
    run = run_that_saw((NOW - timedelta(days=3)).isoformat(), finished_at=NOW - timedelta(days=80))
    (note,) = notes_for(unsaved_profile(), run, now=NOW)
    assert note.sentence == (
        CERTIFICATE
        + "expired on 17 November 2026. A test saw it on 1 September 2026; a new one shows whether "
        "it was renewed."
    )


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
    saved = {"password": b"sealed", "secret_set_at": set_at}
    (note,) = notes_for(unsaved_profile(auth="password", **saved), now=NOW)
    assert note.sentence == (
        "The saved password is 91 days old. Make a new one at the provider and replace it."
    )
    assert note.field == "password"
    assert notes_for(unsaved_profile(auth="none", **saved), now=NOW) == ()
    assert notes_for(unsaved_profile(auth="password", secret_set_at=set_at), now=NOW) == ()
    assert notes_for(SMTPProfile(auth="password", **saved | {"secret_set_at": NOW}), now=NOW) == ()


@pytest.mark.parametrize(
    ("day", "tone", "sentence"),
    [
        (0, "is-info", "Microsoft turns off password sign-in by default at the end of December 2026."),
        (20, "is-warn", "Microsoft turns off password sign-in by default at the end of December 2026."),
        (
            60,
            "is-warn",
            "Microsoft turned off password sign-in by default at the end of December 2026. "
            "An administrator can turn it on again.",
        ),
    ],
)
def test_a_sign_in_that_the_provider_ends_is_told_before_and_after(day, tone, sentence):
    profile = unsaved_profile(host="smtp.office365.com", auth="password")
    (note,) = notes_for(profile, now=NOW + timedelta(days=day))
    assert (note.kind, note.tone, note.sentence) == ("sign-in", tone, sentence)
    assert notes_for(unsaved_profile(host="smtp.office365.com", auth="oauth2"), now=NOW) == ()
    assert notes_for(unsaved_profile(host="smtp.gmail.com", auth="password"), now=NOW) == ()


@pytest.mark.django_db
def test_notes_of_many_profiles_take_the_last_passed_test_of_each_in_one_query(django_assert_num_queries):
    soon, fine = a_profile(), a_profile()
    for profile, days in ((soon, 100), (soon, 5), (fine, 5), (fine, 100)):
        run = evidence(profile)
        run.steps = run_ending_in(days).steps
        run.save()
    elsewhere = evidence(fine)
    elsewhere.steps, elsewhere.settings["host"] = run_ending_in(1).steps, "never-saved.example"
    elsewhere.save()
    failed = evidence(fine, state="failed")
    failed.steps = run_ending_in(1).steps
    failed.save()
    with django_assert_num_queries(1):
        notes = notes_of([soon, fine])
    (note,) = notes[soon.pk]
    assert note.sentence.startswith(f"Certificate of {soon.host} expires in ")
    assert notes[fine.pk] == ()


def run_ending_in(days):
    return run_that_saw((timezone.now() + timedelta(days=days)).isoformat())

"""What is wrong is seen, told once by mail around it and by webhook, and its end told once."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.core import management
from django.utils import timezone

from delivery import notices, queue, stats, tasks
from delivery.incidents import Condition, Kind
from delivery.incidents import Incident as Stored
from delivery.models import (
    Backlog,
    Content,
    Failure,
    Incident,
    Message,
    ProfileState,
    SmallState,
    Upkeep,
    WebhookCall,
    Worker,
)
from delivery.notices import watching
from delivery.notices.incident_words import Told, kind_label, sentence_of, subject_of
from delivery.queue import Paused
from smtp_settings import policy
from smtp_settings.advice import leftover
from smtp_settings.models import (
    Event,
    NotificationSettings,
    OAuthCredential,
    SMTPProfile,
    TestRun,
    Whereabouts,
)
from smtp_settings.webhook import notification_settings
from tests.builders import a_profile, a_user, evidence
from tests.delivery.queueing import a_handover, enqueued, in_threads, statements
from tests.pages import client_of, text_of

pytestmark = pytest.mark.django_db

HOOK = "https://hooks.example.com/zz"
ANN = "ann@example.com"


def wanted(**fields):
    """Ann and a webhook are told."""
    return NotificationSettings.objects.create(
        **{"recipients": [ANN], "webhook_url": HOOK, "secret_version": 1} | fields
    )


def told():
    """The notifications in the queue, oldest first: subject and the profile that carries it."""
    rows = Message.objects.filter(tag=queue.NOTICE_TAG).order_by("pk")
    return [(row.subject, row.pinned_profile_id) for row in rows]


def calls():
    """The bodies of the calls stored, oldest first."""
    return [json.loads(row.body) for row in WebhookCall.objects.order_by("pk")]


def paused(profile, reason="535 5.7.8 zzwords"):
    return queue.pause(profile.pk, Paused.FAULT, reason=reason, version="1")


def watch(times=3):
    """Look several times, as several workers do."""
    return sum(notices.watch() for _ in range(times))


def later(kind, **span):
    """Let an incident have begun so long ago."""
    at = timezone.now() - timedelta(**span)
    ProfileState.objects.update(changed_at=at)
    Incident.objects.filter(kind=kind).update(began_at=at)


def test_a_paused_server_is_told_once_through_another_and_once_again_when_it_works():
    wanted()
    relay, backup = a_profile(name="EU relay"), a_profile(name="Backup")
    paused(relay)
    watch()
    queue.thaw(relay.pk, version="2")  # one try, which fails
    watch()
    ProfileState.objects.update(paused=Paused.FAULT)
    watch()

    [(subject, way)] = told()
    assert subject.startswith("mailconf: EU relay is paused since ")
    assert way == backup.pk
    [call] = calls()
    assert (call["event"], call["kind"], call["name"], call["about"]) == (
        "began", "paused", "EU relay", f"profile {relay.pk}",
    )  # fmt: skip

    queue.resume(relay.pk)
    watch()
    assert [subject.partition(",")[0] for subject, _way in told()][1:] == ["mailconf: EU relay works again"]
    assert [(call["event"], call["is_recovered"]) for call in calls()][1:] == [("ended", True)]


def test_no_words_of_a_server_leave_in_a_notification():
    wanted()
    a_profile(name="Backup")
    paused(a_profile(name="EU relay"))
    watch()

    texts = bytes(Content.objects.get().data).decode() + WebhookCall.objects.get().body
    assert "zzwords" not in texts


def test_the_only_server_does_not_carry_the_news_of_itself():
    wanted()
    relay = a_profile()
    paused(relay)
    watch()

    assert told() == []
    assert len(calls()) == 1
    assert Event.objects.filter(kind="notification.no_way", profile_id=relay.pk).count() == 1

    queue.resume(relay.pk)
    watch()
    assert len(told()) == 1  # it works, so it can say so


def test_a_server_that_falls_while_it_carries_the_news_of_another_makes_no_loop():
    wanted()
    relay, backup, third = a_profile(name="Relay"), a_profile(name="Backup"), a_profile(name="Third")
    for profile in (relay, backup, third):
        paused(profile)
        watch()

    # Of the last one nothing is told by mail: nobody is left to carry it.
    assert [way for _subject, way in told()] == [backup.pk, third.pk]
    assert len(calls()) == 3
    assert watch(10) == 0


def test_a_breaker_is_told_when_it_is_open_for_its_minutes_and_not_when_it_closes_before():
    wanted(breaker_minutes=10)
    relay, _backup = a_profile(name="Relay"), a_profile()
    queue.open_breaker(relay.pk, reason="no answer")
    watch()
    assert told() == []

    later("breaker", minutes=9)
    watch()
    assert told() == []
    later("breaker", minutes=11)
    watch()
    assert [subject.partition(" since")[0] for subject, _way in told()] == ["mailconf: Relay does not answer"]

    queue.resume(relay.pk)
    watch()
    assert len(told()) == 2

    queue.open_breaker(relay.pk, reason="no answer")
    watch()
    queue.resume(relay.pk)
    watch()
    assert len(told()) == 2
    assert Incident.objects.filter(ended_at=None).count() == 0


def test_a_server_that_refuses_everybody_is_not_told_of_as_one_that_does_not_answer():
    wanted()
    relay, _backup = a_profile(name="Relay"), a_profile()
    queue.open_breaker(relay.pk, reason="554 5.7.1 zzwords")
    later("breaker", minutes=11)
    watch()
    queue.resume(relay.pk)
    watch()

    assert [subject.partition(" since")[0] for subject, _way in told()] == [
        "mailconf: Relay turns us away",
        "mailconf: Relay can be used again",
    ]
    assert "zzwords" not in json.dumps(calls())


def test_a_person_who_takes_a_faulty_server_out_ends_the_incident_in_other_words():
    wanted()
    relay, _backup = a_profile(name="Relay"), a_profile()
    paused(relay)
    watch()
    queue.pause(relay.pk, Paused.PERSON)
    watch()

    assert calls()[-1]["is_recovered"] is False
    assert calls()[-1]["text"] == "Relay is out of use now, so this is over: a server is paused for a fault."


def test_a_pause_by_a_person_is_no_news():
    wanted()
    queue.pause(a_profile().pk, Paused.PERSON)

    assert watch() == 0


def test_the_notify_user_hears_of_the_pause_once():
    ann = a_user(email=ANN)
    wanted(recipients=[ANN, "ops@example.com"])
    relay, _backup = a_profile(notify_user=ann), a_profile()
    paused(relay)
    notices.server_paused(relay.pk)
    watch()

    heard = [row.rcpt_to for row in Message.objects.filter(tag=queue.NOTICE_TAG).order_by("pk")]
    assert heard == [[ANN], ["ops@example.com"]]


def fails(cause, state, count=1):
    for _ in range(count):
        [message] = queue.enqueue([a_handover()])
        Failure.objects.create(message_id=message.id, state=state, cause=cause, pool_id=1, priority=2)


def test_held_messages_are_told_once_and_their_end_as_well():
    wanted(recipients=[])
    a_profile()
    fails("person", SmallState.HELD)
    assert watch() == 0
    fails("crashes", SmallState.HELD, 3)
    watch()
    fails("uncertain", SmallState.HELD)
    watch()
    Failure.objects.all().delete()
    watch()

    assert [(call["event"], call["text"]) for call in calls()] == [
        ("began", "3 messages are held and wait for a person."),
        ("ended", "No message is held any more."),
    ]


def test_attachments_too_large_are_told_once_an_hour():
    wanted(recipients=[])
    a_profile()
    fails("recipient", SmallState.FAILED)
    assert watch() == 0
    fails("too_large", SmallState.FAILED)
    watch()
    fails("size", SmallState.FAILED)
    watch()
    Failure.objects.update(at=timezone.now() - timedelta(minutes=61))
    watch()
    assert [call["kind"] for call in calls()] == ["too_large"]

    fails("too_large", SmallState.FAILED)
    watch()
    assert [call["kind"] for call in calls()] == ["too_large", "too_large"]


def test_no_worker_is_told_after_its_minutes_and_when_one_is_back():
    wanted(worker_minutes=5)
    a_profile()
    assert watch() == 0  # there never was one: the first steps say it
    lease = queue.register_worker()
    Worker.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=4))
    assert watch() == 0
    Worker.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=6))
    watch()
    queue.heartbeat(lease, wants=[])
    watch()

    assert [(call["event"], call["kind"]) for call in calls()] == [
        ("began", "no_worker"), ("ended", "no_worker"),
    ]  # fmt: skip


def test_what_is_muted_is_stored_for_the_pages_and_told_to_nobody():
    wanted(muted=["paused"])
    paused(a_profile())
    a_profile()
    assert watch() == 0
    assert Incident.objects.get().told_at is None


def test_without_anybody_to_tell_nothing_is_queued():
    paused(a_profile())
    a_profile()
    watch()

    assert (told(), calls()) == ([], [])
    assert Incident.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_workers_that_look_at_once_tell_once():
    wanted()
    relay, _backup = a_profile(), a_profile()
    paused(relay)
    in_threads(*[notices.watch] * 8)
    assert (len(told()), len(calls())) == (1, 1)

    queue.resume(relay.pk)
    in_threads(*[notices.watch] * 8)
    assert (len(told()), len(calls())) == (2, 2)


def test_a_look_at_a_house_in_order_asks_a_handful_of_questions():
    wanted()
    a_profile()
    notices.watch()
    with statements() as seen:
        notices.watch()
    assert len(seen) <= 9


# Files that nobody takes


def a_file(folder, *, minutes):
    """A file of ours, of so many minutes ago."""
    written = int((time.time() - 60 * minutes) * 1e9)
    (folder / f"{written}-7-0123abcd.eml").touch()


def look_into_directories():
    Upkeep.objects.filter(kind="pickups").delete()
    return notices.watch()


def test_files_that_nobody_takes_are_told_once_and_shown_and_so_is_that_they_were_taken(tmp_path):
    wanted()
    a_profile(name="Backup")
    profile = a_profile(name="Exchange", transport="pickup", host="", directory=str(tmp_path))
    for stranger in ("old.eml", "1-2-3.eml", ".mailconf"):
        (tmp_path / stranger).touch()
    a_file(tmp_path, minutes=14)
    assert look_into_directories() == 0

    a_file(tmp_path, minutes=40)
    assert (look_into_directories(), look_into_directories(), notices.watch()) == (1, 0, 0)
    assert calls()[0]["kind"] == "pickup"
    numbers = stats.profile_facts([profile.pk])[profile.pk]
    assert timedelta(minutes=39) < timezone.now() - numbers.files_since < timedelta(minutes=41)
    client = client_of("superuser")
    for page in ("/admin/", f"/admin/smtp_settings/smtpprofile/{profile.pk}/change/"):
        assert "Files stay in the directory since" in text_of(client.get(page)), page
    for page in ("/admin/", "/admin/smtp_settings/smtpprofile/"):
        assert "Nobody takes its files since" in text_of(client.get(page)), page

    tmp_path.rename(tmp_path.parent / "away")  # as one sees it who has not mounted it
    assert look_into_directories() == 0
    assert Incident.objects.filter(ended_at=None, kind="pickup").exists()

    tmp_path.mkdir()
    assert look_into_directories() == 1
    assert [call["event"] for call in calls()] == ["began", "ended"]
    assert stats.profile_facts([profile.pk])[profile.pk].files_since is None


def test_a_directory_that_cannot_be_seen_is_no_news():
    wanted()
    a_profile(transport="pickup", host="", directory="/no/such/directory")
    assert look_into_directories() == 0
    assert not Incident.objects.exists()


def test_a_share_that_is_away_holds_nobody(monkeypatch, tmp_path):
    stuck = threading.Event()
    monkeypatch.setattr(leftover.pickup, "oldest_left", lambda _directory: stuck.wait(60))
    monkeypatch.setattr(leftover, "_LOOK_SECONDS", 0.01)
    a_profile(transport="pickup", host="", directory=str(tmp_path))
    try:
        now = timezone.now()
        assert [one.since for _ in range(2) for one in leftover.leftovers(now)] == [None, None]
        assert len(leftover._looking) == 1
    finally:
        [thread] = leftover._looking.values()
        stuck.set()
        thread.join(20)


# What ends one day


def look_ahead(days=0):
    return watching.look_ahead(notification_settings(), timezone.now() + timedelta(days=days))


def certificate(profile, *, ends_in):
    """The last test of a profile saw a certificate that ends so soon."""
    run = evidence(profile)
    ends_at = timezone.now() + ends_in
    steps = [{"phase": "tls", "evidence": {"certificate_expires_at": ends_at.isoformat()}}]
    TestRun.objects.filter(pk=run.pk).update(steps=steps)


def test_a_certificate_is_told_of_at_thirty_seven_and_one_day_and_when_it_is_renewed():
    wanted(recipients=[])
    relay = a_profile(name="Relay")
    certificate(relay, ends_in=timedelta(days=60) - timedelta(minutes=1))
    heard = {}
    for day in range(62):
        if look_ahead(day):
            heard[60 - day] = calls()[-1]["event"]
    assert heard == {30: "began", 7: "nearer", 1: "nearer", 0: "nearer"}

    certificate(relay, ends_in=timedelta(days=150))
    look_ahead()
    assert (calls()[-1]["event"], calls()[-1]["text"]) == ("ended", "The certificate of Relay was renewed.")


def test_passwords_are_told_of_before_the_day_they_are_old(settings):
    settings.MAILCONF_PASSWORD_AGE_DAYS = 90
    wanted(recipients=[])
    relay = a_profile(name="Relay", password="zz")
    assert look_ahead() == 0
    SMTPProfile.objects.update(secret_set_at=timezone.now() - timedelta(days=84))
    assert look_ahead() == 1
    assert calls()[-1]["kind"] == "password"
    assert calls()[-1]["about"] == f"profile {relay.pk}"
    assert calls()[-1]["text"].startswith("The password of Relay should be replaced by ")

    settings.MAILCONF_PASSWORD_AGE_DAYS = 0
    look_ahead()
    assert calls()[-1]["event"] == "ended"


def test_the_end_of_password_sign_in_at_a_provider_is_told(settings):
    settings.MAILCONF_PASSWORD_AGE_DAYS = 0
    wanted(recipients=[])
    a_profile(name="Office", host="smtp.office365.com", port=587, security="starttls", password="x")
    end = datetime(2026, 12, 31, tzinfo=UTC)  # smtp_settings/presets/providers.toml
    for days in (40, 31, 30, 20, 7, 2, 1, 0, -5):
        watching.look_ahead(notification_settings(), end - timedelta(days=days))

    assert [(call["kind"], call["event"]) for call in calls()] == [
        ("sign_in", "began"), ("sign_in", "nearer"), ("sign_in", "nearer"), ("sign_in", "nearer"),
    ]  # fmt: skip


def test_credentials_of_profiles_in_use_are_told_of():
    wanted(recipients=[])
    soon = timezone.now() + timedelta(days=6)
    used = OAuthCredential.objects.create(
        name="Mail app", provider="other", flow="application", client_secret_expires_at=soon
    )
    OAuthCredential.objects.create(name="Nobody's", provider="other", flow="application",
                                   client_secret_expires_at=soon)  # fmt: skip
    profile = a_profile()
    SMTPProfile.objects.filter(pk=profile.pk).update(auth="oauth2", oauth_credential=used)

    assert look_ahead() == 1
    assert (calls()[0]["kind"], calls()[0]["name"]) == ("oauth", "Mail app")


def test_a_daily_check_that_fails_is_told_and_when_it_passes_again():
    wanted(recipients=[])
    relay = a_profile(name="Relay")

    def check(state):
        run = evidence(relay)
        TestRun.objects.filter(pk=run.pk).update(kind="connect", state=state, user=None)

    check("failed")
    assert look_ahead() == 1
    assert look_ahead() == 0
    check("passed")
    assert look_ahead() == 1
    assert [(call["event"], call["kind"]) for call in calls()] == [("began", "check"), ("ended", "check")]


# The command


def test_the_command_says_what_is_not_well_and_its_status_does_too(capsys):
    wanted()
    a_profile()
    management.call_command("watch")
    paused(a_profile(name="Relay"))
    with pytest.raises(SystemExit) as ended:
        management.call_command("watch")

    assert ended.value.code == 1
    assert "Relay" in capsys.readouterr().out


@pytest.mark.parametrize("look", [tasks.watch, partial(management.call_command, "watch")])
def test_who_watches_where_no_drain_does_notes_how_much_waits(look):
    enqueued(2)
    look()
    assert Backlog.objects.get().waiting == 2


def test_every_kind_has_its_words():
    now = timezone.now()
    for kind in Kind:
        began = Told.of_condition(1, Condition(kind, "x", "Relay", "3", None, now, now), now)
        ended = Told.of_end(Stored(1, kind, "x", "Relay", "", None, now, now, 7, now), is_recovered=True)
        end = [] if kind is Kind.TOO_LARGE else [sentence_of(ended)]
        for said in (kind_label(kind), sentence_of(began), subject_of(began), *end):
            assert said, kind
            assert "%(" not in said, kind


# A copy of the database


def moved_elsewhere():
    """Let the database have woken up in another place than the one that was confirmed."""
    policy.policies()
    row = Whereabouts.objects.get()
    Whereabouts.objects.filter(pk=row.pk).update(digest="zz", facts=row.facts | {"server": "another"})


def test_a_copy_of_the_database_tells_that_it_is_one_and_nothing_else():
    wanted(recipients=[])
    policy.policies()
    paused(a_profile(name="Relay"))
    queue.add_call('{"kind":"paused"}')
    moved_elsewhere()
    watch()

    assert [call["kind"] for call in calls()] == ["paused", "clone"]
    notices.call_due(seconds=0)
    assert WebhookCall.objects.filter(due_at__isnull=False).count() == 1

    Whereabouts.objects.update(confirmed_at=timezone.now())
    watch()
    assert [(call["kind"], call.get("event")) for call in calls()[2:]] == [
        ("clone", "ended"), ("paused", "began"),
    ]  # fmt: skip

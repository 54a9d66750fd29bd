"""Saving through the gate: what becomes live, what is refused, and what a save leaves behind."""

import threading
from datetime import timedelta

import pytest
from django.contrib.sites.models import Site
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from smtp_settings import sealing
from smtp_settings.clearance import activation
from smtp_settings.clearance.activation import NO_SECRET, GateShut, PasswordNeeded, StaleProfile
from smtp_settings.clearance.candidate import adopt_uuid, stored_secret
from smtp_settings.gate import Reason
from smtp_settings.models import Event, KeyCheck, OAuthCredential, SMTPProfile
from smtp_settings.sealing import Secret
from smtp_settings.secret_source import SecretSource
from tests.builders import a_draft, a_profile, a_user, evidence, unsaved_profile

pytestmark = pytest.mark.django_db


def save(profile, *, user=None, run=None, typed=None, remove=False, sites=None):
    effective = activation.effective_secret(
        profile, typed=Secret(typed) if typed else None, remove=remove, run=run
    )
    return activation.save_profile(profile, effective, user=user, run=run, sites=sites)


def fresh(profile):
    return SMTPProfile.objects.get(pk=profile.pk)


def test_a_tested_profile_is_saved_and_live():
    ann = a_user()
    profile = unsaved_profile()
    evidence(profile, user=ann)
    assert save(profile, user=ann).reason is Reason.PASSED
    row = fresh(profile)
    assert activation.is_live(row)
    assert (row.cleared_by, row.created_by, row.changed_by) == (ann, ann, ann)
    assert row.cleared_at
    assert row.version == 1


def test_an_untested_profile_is_not_saved():
    with pytest.raises(GateShut) as shut:
        save(unsaved_profile(), user=a_user())
    assert shut.value.verdict.reason is Reason.NEVER
    assert not SMTPProfile.objects.exists()


def test_a_failed_test_does_not_save():
    ann, profile = a_user(), unsaved_profile()
    evidence(profile, user=ann, state="failed")
    with pytest.raises(GateShut) as shut:
        save(profile, user=ann)
    assert shut.value.verdict.reason is Reason.FAILED


def test_anothers_test_does_not_save():
    ann, bob, profile = a_user(), a_user(), unsaved_profile()
    evidence(profile, user=bob)
    with pytest.raises(GateShut) as shut:
        save(profile, user=ann)
    assert shut.value.verdict.reason is Reason.ANOTHER_USER
    assert shut.value.verdict.tested_by == bob.pk


def test_the_test_of_another_profile_with_the_same_values_does_not_save():
    ann, first = a_user(), unsaved_profile(name="First")
    evidence(first, user=ann)
    with pytest.raises(GateShut) as shut:
        save(unsaved_profile(name="First"), user=ann)
    assert shut.value.verdict.reason is Reason.NEVER


def test_a_test_of_31_minutes_ago_does_not_save():
    ann, profile = a_user(), unsaved_profile()
    evidence(profile, user=ann, finished_at=timezone.now() - timedelta(minutes=31))
    with pytest.raises(GateShut) as shut:
        save(profile, user=ann)
    assert shut.value.verdict.reason is Reason.EXPIRED


def test_values_changed_after_the_test_are_named():
    ann, profile = a_user(), unsaved_profile()
    evidence(profile, user=ann)
    profile.host, profile.port = "127.0.0.2", 2526
    with pytest.raises(GateShut) as shut:
        save(profile, user=ann)
    assert shut.value.verdict.changed == ("host", "port")


def test_another_password_after_the_test_is_named():
    ann = a_user()
    profile = unsaved_profile(auth="password", username="shop", accepts_clear_auth=True)
    evidence(profile, Secret("tested"), user=ann)
    with pytest.raises(GateShut) as shut:
        save(profile, user=ann, typed="another")
    assert shut.value.verdict.changed == ("secret",)


def test_a_run_without_a_user_is_evidence_only_for_the_command_that_made_it():
    profile = unsaved_profile()
    run = evidence(profile)
    with pytest.raises(GateShut):
        activation.save_profile(profile, NO_SECRET, user=None)
    assert activation.save_profile(profile, NO_SECRET, user=None, run=run).is_open


def test_a_new_profile_takes_the_identity_of_its_test():
    ann, tested = a_user(), unsaved_profile(name="Shop")
    run = evidence(tested, user=ann)
    posted = unsaved_profile(name="Shop")
    adopt_uuid(posted, run)
    assert save(posted, user=ann).is_open


def test_a_profile_does_not_take_the_identity_of_a_saved_ones_test():
    profile = a_profile()
    run = evidence(profile)
    other = unsaved_profile()
    before = other.uuid
    adopt_uuid(other, run)
    assert other.uuid == before


def test_limits_and_names_are_saved_without_a_new_test():
    profile = a_profile()
    profile.name, profile.max_connections, profile.notes = "Renamed", 9, "new"
    assert save(profile).reason is Reason.UNCHANGED
    assert activation.is_live(fresh(profile))
    assert fresh(profile).version == 2


def test_with_always_every_save_wants_a_test(settings):
    profile = a_profile()
    settings.MAILCONF_TEST_BEFORE_SAVE = "always"
    profile.notes = "new"
    with pytest.raises(GateShut) as shut:
        save(profile)
    assert shut.value.verdict.reason is Reason.NEVER
    assert save(profile, run=evidence(profile)).reason is Reason.PASSED


def test_editing_a_live_profile_changes_nothing_until_it_is_saved():
    profile = a_profile()
    profile.host = "127.0.0.2"
    with pytest.raises(GateShut):
        save(profile)
    assert activation.is_live(fresh(profile))
    assert fresh(profile).host == "127.0.0.1"


# The password


def test_an_empty_field_keeps_the_stored_password():
    profile = a_profile(password="s3cret")
    profile.notes = "new"
    save(profile)
    row = fresh(profile)
    assert stored_secret(row).reveal() == "s3cret"
    assert row.secret_version == 1
    assert activation.is_live(row)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", "127.0.0.2"),
        ("port", 2526),
        ("security", "starttls"),
        ("verification", "none"),
        ("username", "other"),
        ("mechanism", "login"),
        ("ca", "pem"),
        ("region", "eu"),
        ("api_domain", "mg.example.com"),
    ],
)
def test_the_stored_password_does_not_follow_a_changed_destination(field, value):
    profile = a_profile(password="s3cret")
    setattr(profile, field, value)
    with pytest.raises(PasswordNeeded) as needed:
        activation.effective_secret(profile)
    assert needed.value.host == "127.0.0.1"
    kept = activation.EffectiveSecret(SecretSource.STORED, Secret("s3cret"))  # a caller that insists
    with pytest.raises((PasswordNeeded, GateShut)):
        activation.save_profile(profile, kept, user=None, run=evidence(profile, Secret("s3cret")))
    assert stored_secret(fresh(profile)).reveal() == "s3cret"


def test_a_typed_password_replaces_the_stored_one():
    ann = a_user()
    profile = a_profile(password="old")
    evidence(profile, Secret("new"), user=ann)
    save(profile, user=ann, typed="new")
    row = fresh(profile)
    assert stored_secret(row).reveal() == "new"
    assert (row.secret_version, row.secret_set_by) == (2, ann)
    assert activation.is_live(row)


def test_a_typed_mask_is_a_password():
    profile = unsaved_profile(auth="password", username="shop", accepts_clear_auth=True)
    run = evidence(profile, Secret("••••••••"))
    save(profile, typed="••••••••", run=run)
    assert stored_secret(fresh(profile)).reveal() == "••••••••"


def test_an_empty_field_after_a_test_means_the_tested_password():
    ann = a_user()
    profile = unsaved_profile(auth="password", username="shop", accepts_clear_auth=True)
    run = evidence(profile, Secret("tested"), user=ann)
    save(profile, user=ann, run=run)
    assert stored_secret(fresh(profile)).reveal() == "tested"


def test_a_tested_password_wins_over_the_stored_one_of_the_same_server():
    profile = a_profile(password="old")
    run = evidence(profile, Secret("new"))
    assert activation.effective_secret(profile, run=run).source is SecretSource.TESTED
    run = evidence(profile, Secret("old"))
    assert activation.effective_secret(profile, run=run).source is SecretSource.STORED


def test_a_run_of_another_profile_lends_no_password():
    profile, other = a_profile(password="mine"), a_profile(password="theirs")
    run = evidence(other, Secret("theirs"))
    assert activation.effective_secret(profile, run=run).secret.reveal() == "mine"


def test_an_old_run_lends_no_password():
    profile = unsaved_profile(auth="password", username="shop", accepts_clear_auth=True)
    run = evidence(profile, Secret("tested"))
    run.created_at = timezone.now() - timedelta(minutes=31)
    assert activation.effective_secret(profile, run=run).secret is None


def test_a_removed_password_is_gone():
    profile = a_profile(password="s3cret")
    profile.auth = "none"
    save(profile, remove=True, run=evidence(profile))
    assert fresh(profile).password is None
    assert fresh(profile).secret_version == 2


def test_a_sign_in_without_password_drops_the_stored_one():
    profile = a_profile(password="s3cret")
    profile.auth = "none"
    save(profile, run=evidence(profile))
    assert fresh(profile).password is None


def test_with_a_lost_key_a_typed_password_is_enough(settings):
    profile = a_profile(password="old")
    settings.MAILCONF_KEYS = sealing.new_key()
    with pytest.raises(sealing.KeyMissing):
        activation.effective_secret(profile)
    assert not activation.is_live(fresh(profile))
    save(profile, typed="new", run=evidence(profile, Secret("new")))
    assert activation.is_live(fresh(profile))
    assert stored_secret(fresh(profile)).reveal() == "new"


def test_nothing_is_sealed_with_a_key_that_was_mixed_up(settings):
    profile = a_profile(password="old")
    kid = KeyCheck.objects.get().kid
    settings.MAILCONF_KEYS = f"{kid}:{sealing.new_key().partition(':')[2]}"
    run = evidence(profile, Secret("new"))
    with pytest.raises(sealing.WrongKey, match=kid):
        save(profile, typed="new", run=run)


# Drafts, and saving without a test


def test_a_draft_needs_no_test_and_is_not_live():
    draft = a_draft(host="", from_address="")
    row = fresh(draft)
    assert row.is_draft
    assert not row.enabled
    assert not activation.is_live(row)


def test_a_draft_becomes_live_by_a_test():
    draft = a_draft()
    draft.enabled = True
    save(draft, run=evidence(draft))
    row = fresh(draft)
    assert not row.is_draft
    assert row.enabled
    assert activation.is_live(row)


def test_a_draft_of_a_live_profile_takes_it_off_the_air():
    profile = a_profile()
    activation.save_draft(profile, NO_SECRET, user=None)
    row = fresh(profile)
    assert (row.cleared_fingerprint, row.enabled, row.is_default) == ("", False, False)
    profile.is_draft, profile.enabled = False, True
    with pytest.raises(GateShut):
        save(profile)


def test_saving_without_a_test_is_live_and_recorded_with_its_reason():
    ann, profile = a_user(), unsaved_profile()
    activation.save_untested(profile, NO_SECRET, user=ann, reason=" The server is only reachable at night. ")
    row = fresh(profile)
    assert activation.is_live(row)
    assert row.cleared_without_test == "The server is only reachable at night."
    event = Event.objects.get(kind="profile.saved_untested")
    assert (event.user, event.level) == (ann, "warning")


def test_saving_without_a_test_needs_a_reason():
    with pytest.raises(ValueError, match="reason"):
        activation.save_untested(unsaved_profile(), NO_SECRET, user=a_user(), reason="  ")


def test_the_reason_stays_until_a_test_passes():
    ann, profile = a_user(), unsaved_profile()
    activation.save_untested(profile, NO_SECRET, user=ann, reason="No network here today.")
    profile.notes = "x"
    save(profile, user=ann)
    activation.clear(profile, run=None, user=ann)
    assert fresh(profile).cleared_without_test
    evidence(profile, user=ann)
    assert save(fresh(profile), user=ann).reason is Reason.PASSED
    assert not fresh(profile).cleared_without_test


def test_the_event_of_a_new_profile_names_what_differs_from_the_defaults():
    a_profile(auth="none")
    fields = Event.objects.get(kind="profile.saved").data["fields"]
    assert {"name", "host", "port", "auth"} <= set(fields)
    assert "retry_delay" not in fields


# Two people


def test_a_save_of_an_older_version_is_refused():
    profile = a_profile()
    mine, theirs = fresh(profile), fresh(profile)
    theirs.notes = "theirs"
    save(theirs)
    mine.notes = "mine"
    with pytest.raises(StaleProfile) as stale:
        save(mine)
    assert stale.value.current.notes == "theirs"
    assert fresh(profile).notes == "theirs"


def test_a_deleted_profile_is_not_saved_again():
    profile = a_profile()
    mine = fresh(profile)
    SMTPProfile.objects.all().delete()
    with pytest.raises(StaleProfile):
        save(mine)


def test_the_same_new_profile_sent_twice_is_saved_once():
    profile = unsaved_profile()
    run = evidence(profile)
    twin = unsaved_profile(name="Another name", uuid=profile.uuid)
    save(profile, run=run)
    with pytest.raises(StaleProfile):
        save(twin, run=run)


@pytest.mark.django_db(transaction=True)
def test_of_two_saves_at_once_one_wins():
    profile = a_profile()
    outcomes = []

    def edit(text):
        row = fresh(profile)
        row.notes = text
        barrier.wait()
        try:
            save(row)
            outcomes.append("saved")
        except StaleProfile:
            outcomes.append("stale")
        connection.close()

    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=edit, args=[text]) for text in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["saved", "stale"]


def test_clear_makes_a_saved_row_live_again():
    profile = a_profile()
    SMTPProfile.objects.filter(pk=profile.pk).update(host="127.0.0.2")
    profile = fresh(profile)
    assert not activation.is_live(profile)
    with pytest.raises(GateShut):
        activation.clear(profile, run=None, user=None)
    activation.clear(profile, run=evidence(profile), user=None)
    assert activation.is_live(profile)
    assert activation.is_live(fresh(profile))


def test_clear_of_a_profile_that_is_gone_is_refused():
    with pytest.raises(StaleProfile):
        activation.clear(unsaved_profile(), run=None, user=None)


# The default server


def defaults():
    return set(SMTPProfile.objects.filter(is_default=True).values_list("name", flat=True))


def test_a_new_default_takes_it_from_the_old_one():
    first = a_profile(name="First", is_default=True)
    second = unsaved_profile(name="Second", is_default=True)
    assert [one.name for one in activation.loses_default(second, None)] == ["First"]
    save(second, run=evidence(second))
    assert defaults() == {"Second"}
    assert activation.is_live(fresh(first))
    with pytest.raises(StaleProfile):  # an open form must not bring it back
        save(first)


def test_the_default_of_a_site_and_the_global_one_live_side_by_side():
    shop, blog = Site.objects.create(domain="shop.example"), Site.objects.create(domain="blog.example")
    a_profile(name="Global", is_default=True)
    a_profile(name="Shop", is_default=True, sites=[shop])
    a_profile(name="Blog", is_default=True, sites=[blog])
    assert defaults() == {"Global", "Shop", "Blog"}
    a_profile(name="Shop 2", is_default=True, sites=[shop])
    assert defaults() == {"Global", "Shop 2", "Blog"}


def test_sites_left_out_stay_as_they_are():
    shop = Site.objects.create(domain="shop.example")
    profile = a_profile(sites=[shop])
    profile.notes = "new"
    save(profile)
    assert list(fresh(profile).sites.all()) == [shop]
    save(fresh(profile), sites=[])
    assert not fresh(profile).sites.exists()


# What is recorded


def test_a_save_is_an_event_that_names_fields_and_no_values():
    ann = a_user()
    profile = a_profile(password="c4nary")
    profile.notes = "private note"
    save(profile, user=ann)
    event = Event.objects.filter(kind="profile.saved").latest("id")
    assert event.user == ann
    assert event.data["fields"] == ["notes"]
    assert "private note" not in str(event.data)


def test_only_the_server_owns_the_columns_of_the_gate():
    profile = a_profile()
    before = fresh(profile)
    profile.cleared_fingerprint, profile.cleared_at, profile.password = "f" * 64, None, b"forged"
    profile.secret_version, profile.cleared_without_test = 99, "forged"
    save(profile)
    after = fresh(profile)
    for name in ("cleared_fingerprint", "cleared_at", "password", "secret_version", "cleared_without_test"):
        assert getattr(after, name) == getattr(before, name), name


# OAuth credentials are part of what is cleared


def test_a_changed_oauth_credential_takes_its_profile_off_the_air():
    credential = OAuthCredential.objects.create(
        name="Contoso", provider="microsoft", flow="browser", client_id="1"
    )
    profile = a_profile(auth="oauth2", username="shop", oauth_credential=credential, accepts_clear_auth=True)
    assert activation.is_live(fresh(profile))
    OAuthCredential.objects.update(account="other@contoso.example")
    assert not activation.is_live(fresh(profile))


def test_a_refreshed_token_does_not():
    credential = OAuthCredential.objects.create(
        name="Contoso", provider="microsoft", flow="browser", client_id="1"
    )
    profile = a_profile(auth="oauth2", username="shop", oauth_credential=credential, accepts_clear_auth=True)
    credential.access_token = sealing.seal(Secret("token"), sealing.binding_for(credential, "access_token"))
    credential.save()
    assert activation.is_live(fresh(profile))


def test_a_tested_password_is_enough_when_the_stored_one_does_not_open(settings):
    profile = a_profile(password="old")
    settings.MAILCONF_KEYS = sealing.new_key()
    run = evidence(profile, Secret("new"))
    effective = activation.effective_secret(profile, run=run)
    assert (effective.source, effective.secret.reveal()) == (SecretSource.TESTED, "new")


def test_an_instance_that_borrows_anothers_identity_keeps_its_own():
    profile, other = a_profile(), a_profile()
    uuid = profile.uuid
    profile.uuid, profile.host = other.uuid, "127.0.0.2"
    run = evidence(profile)  # of the other profile's identity, with these values
    with pytest.raises(GateShut):
        save(profile, run=run)
    assert fresh(profile).uuid == uuid


def test_a_value_that_reads_back_differently_is_not_cleared():
    profile = unsaved_profile(port="2525")
    run = evidence(profile)
    with pytest.raises(GateShut):
        save(profile, run=run)
    assert not SMTPProfile.objects.exists()


def test_a_failed_save_changes_nothing():
    profile = a_profile(name="Shop")
    a_profile(name="Taken")
    before = SMTPProfile.objects.values().get(pk=profile.pk)
    events = Event.objects.count()
    profile.name = "Taken"
    with pytest.raises(IntegrityError), transaction.atomic():
        save(profile)
    assert SMTPProfile.objects.values().get(pk=profile.pk) == before
    assert Event.objects.count() == events

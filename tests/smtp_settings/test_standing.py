"""Why a profile is not live: its settings, its password, or the key."""

import pytest
from django.db import connection

from smtp_settings import sealing
from smtp_settings.clearance import standing
from smtp_settings.clearance.standing import Cause
from smtp_settings.models import OAuthCredential, SMTPProfile
from tests.builders import a_profile
from tests.house import a_credential

pytestmark = pytest.mark.django_db


def cause_of(profile):
    found = standing.standing_of(SMTPProfile.objects.get(pk=profile.pk))
    return found.cause, found.kid


def use_keys(settings, *keys):
    settings.MAILCONF_KEYS_FILE, settings.MAILCONF_KEYS = "", ",".join(keys)


def test_a_profile_as_it_was_cleared_is_live():
    assert cause_of(a_profile(password="s3cret")) == (Cause.LIVE, "")


def test_settings_changed_behind_the_gate_are_told_from_a_missing_key():
    plain, signing_in = a_profile(), a_profile(password="s3cret")
    SMTPProfile.objects.update(host="127.0.0.2")
    assert cause_of(plain) == (Cause.DIFFERS, "")
    assert cause_of(signing_in) == (Cause.DIFFERS, "")


def test_a_password_sealed_with_a_missing_key_names_the_key(settings):
    kid = sealing.current_keyring().primary.kid
    profile = a_profile(password="s3cret")
    use_keys(settings, sealing.new_key())
    assert cause_of(profile) == (Cause.UNREADABLE, kid)


def test_another_key_under_the_same_name_cannot_read_the_password_either(settings):
    kid = sealing.current_keyring().primary.kid
    profile, plain = a_profile(password="s3cret"), a_profile()
    use_keys(settings, f"{kid}:{sealing.new_key().partition(':')[2]}")
    assert cause_of(profile) == (Cause.UNREADABLE, kid)
    assert cause_of(plain) == (Cause.OTHER_KEY, kid)


def test_without_a_password_the_key_of_the_clearance_is_what_is_missing(settings):
    kid = sealing.current_keyring().primary.kid
    profile = a_profile()
    use_keys(settings, sealing.new_key())
    assert cause_of(profile) == (Cause.OTHER_KEY, kid)


def test_without_any_key_there_is_no_name_to_tell(settings):
    profile = a_profile(password="s3cret")
    use_keys(settings)
    assert cause_of(profile) == (Cause.NO_KEY, "")


def test_a_saved_profile_keeps_the_key_of_its_clearance_until_it_is_cleared_again(settings):
    profile = a_profile()
    before = profile.cleared_key
    use_keys(settings, sealing.new_key(), settings.MAILCONF_KEYS)
    profile.notes = "new"
    from smtp_settings.clearance import activation

    activation.save_profile(profile, activation.NO_SECRET, user=None)
    assert SMTPProfile.objects.get().cleared_key == before
    assert cause_of(profile) == (Cause.LIVE, "")


# By the versions of rows


def versions():
    """What a page knows of every profile without reading the whole row."""
    version = standing.row_version("p", "c")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT p.id, {version} FROM {SMTPProfile._meta.db_table} p"
            f" LEFT JOIN {OAuthCredential._meta.db_table} c ON c.id = p.oauth_credential_id"
        )
        return dict(cursor.fetchall())


def test_whole_rows_are_read_once_for_each_version(django_assert_num_queries):
    profiles = [a_profile(password="s3cret"), a_profile()]
    live = dict.fromkeys([one.pk for one in profiles], standing.Standing(Cause.LIVE))
    now = versions()

    with django_assert_num_queries(1):
        assert standing.standings_of_versions(now) == live
    with django_assert_num_queries(0):
        assert standing.standings_of_versions(now) == live


def test_a_row_that_was_written_is_judged_again():
    profile = a_profile()
    standing.standings_of_versions(versions())
    for host, cause in [("127.0.0.2", Cause.DIFFERS), (profile.host, Cause.LIVE)]:
        SMTPProfile.objects.update(host=host)
        assert standing.standings_of_versions(versions())[profile.pk].cause is cause


def test_a_credential_that_was_written_counts_too():
    credential = OAuthCredential.objects.get(pk=a_credential())
    a_profile(auth="oauth2", username="shop", oauth_credential=credential, accepts_clear_auth=True)
    standing.standings_of_versions(versions())
    OAuthCredential.objects.update(tenant="elsewhere.example.com")
    (found,) = standing.standings_of_versions(versions()).values()
    assert found.cause is Cause.DIFFERS


def test_other_keys_are_asked_anew_and_no_key_is_said(settings):
    a_profile(password="s3cret")
    standing.standings_of_versions(versions())
    for keys, cause in [((sealing.new_key(),), Cause.UNREADABLE), ((), Cause.NO_KEY)]:
        use_keys(settings, *keys)
        (found,) = standing.standings_of_versions(versions()).values()
        assert found.cause is cause


def test_a_profile_that_is_gone_by_now_is_left_out():
    assert standing.standings_of_versions({1: "0 (0,0)"}) == {}

"""Keys change: everything moves, nothing gets lost, nothing stops sending."""

from io import StringIO

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from smtp_settings import rotation, sealing, wire
from smtp_settings.clearance import activation
from smtp_settings.clearance.candidate import run_binding, stored_secret
from smtp_settings.fields import SealedField
from smtp_settings.models import OAuthCredential, SMTPProfile, TestRun
from smtp_settings.sealing import Secret, new_key
from tests.builders import a_draft, a_profile, evidence

pytestmark = pytest.mark.django_db

OLD, NEW = new_key(), new_key()
OLD_KID, NEW_KID = OLD.partition(":")[0], NEW.partition(":")[0]


@pytest.fixture(autouse=True)
def _old_key(settings):
    settings.MAILCONF_KEYS_FILE, settings.MAILCONF_KEYS = "", OLD


def rotate(**options):
    out, err = StringIO(), StringIO()
    try:
        call_command("rotate_keys", stdout=out, stderr=err, **options)
        return out.getvalue() + err.getvalue(), ""
    except CommandError as error:
        return out.getvalue() + err.getvalue(), str(error)


def verify():
    out, err = StringIO(), StringIO()
    try:
        call_command("verify_secrets", stdout=out, stderr=err)
        return out.getvalue() + err.getvalue(), ""
    except CommandError as error:
        return out.getvalue() + err.getvalue(), str(error)


def live():
    return {way.name for way in wire.ways_out()}


def a_credential():
    credential = OAuthCredential(name="Contoso", provider="microsoft", flow="browser", client_id="1")
    for column in ("client_secret", "access_token", "refresh_token"):
        setattr(credential, column, sealing.seal(Secret(column), sealing.binding_for(credential, column)))
    credential.save()
    return credential


def test_every_sealed_column_is_known_to_the_rotation():
    found = {
        (model, field.name)
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, SealedField)
    }
    assert found == {(model, column) for model, columns in rotation.SEALED for column in columns}


def test_everything_moves_to_the_primary_key_and_stays_live(settings):
    with_password, without = a_profile(name="With", password="s3cret"), a_profile(name="Without")
    credential, run = a_credential(), evidence(with_password, Secret("s3cret"))
    settings.MAILCONF_KEYS = f"{NEW},{OLD}"
    assert live() == {"With", "Without"}  # before the command, too
    printed, fault = rotate()
    assert fault == ""
    assert f"{NEW_KID}: 6 (primary)" in printed  # two runs, a password, three of the credential
    assert OLD_KID not in printed
    settings.MAILCONF_KEYS = NEW
    assert live() == {"With", "Without"}
    assert stored_secret(SMTPProfile.objects.get(pk=with_password.pk)).reveal() == "s3cret"
    credential.refresh_from_db()
    binding = sealing.binding_for(credential, "refresh_token")
    assert sealing.open_sealed(credential.refresh_token, binding).reveal() == "refresh_token"
    run.refresh_from_db()
    assert sealing.open_sealed(run.secret, run_binding(run)).reveal() == "s3cret"
    assert activation.is_live(SMTPProfile.objects.get(pk=without.pk))


def test_a_second_rotation_writes_nothing(settings):
    a_profile(password="s3cret")
    settings.MAILCONF_KEYS = f"{NEW},{OLD}"
    rotate()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        printed, _fault = rotate()
    assert "0 sealed anew" in printed
    written = ('UPDATE "smtp_settings_smtpprofile"', "INSERT")
    assert not [query for query in queries if query["sql"].startswith(written)]


def test_it_goes_on_where_it_was_stopped(settings):
    for _number in range(5):
        a_profile(password="s3cret")
    TestRun.objects.all().delete()
    settings.MAILCONF_KEYS = f"{NEW},{OLD}"
    next(rotation.reseal_all(batch=2))
    assert rotation.count_by_kid() == {NEW_KID: 2, OLD_KID: 3}
    assert len(live()) == 5
    printed, fault = rotate()
    assert (fault, "3 sealed anew" in printed) == ("", True)
    assert rotation.count_by_kid() == {NEW_KID: 5}


def test_what_does_not_open_is_named_and_the_rest_moves(settings):
    a_profile(name="Good", password="s3cret")
    bad = a_profile(name="Bad", password="s3cret")
    TestRun.objects.all().delete()
    SMTPProfile.objects.filter(pk=bad.pk).update(host="127.0.0.2")
    settings.MAILCONF_KEYS = f"{NEW},{OLD}"
    printed, fault = rotate()
    assert "“Bad”" in printed
    assert "“Good”" not in printed
    assert "1 secret is still on another key" in fault
    assert rotation.count_by_kid() == {NEW_KID: 1, OLD_KID: 1}


def test_a_rotation_makes_nothing_live(settings):
    profile, draft = a_profile(name="Edited", password="s3cret"), a_draft(name="Draft")
    SMTPProfile.objects.filter(pk=profile.pk).update(from_address="other@example.com")
    SMTPProfile.objects.filter(pk=draft.pk).update(is_draft=False, enabled=True)
    settings.MAILCONF_KEYS = f"{NEW},{OLD}"
    rotate()
    assert live() == set()


def test_a_rotation_with_a_mixed_up_key_writes_nothing(settings):
    profile = a_profile(password="s3cret")
    before = SMTPProfile.objects.get(pk=profile.pk).password
    settings.MAILCONF_KEYS = f"{NEW},{OLD_KID}:{new_key().partition(':')[2]}"
    _printed, fault = rotate()
    assert "is not the key" in fault
    assert SMTPProfile.objects.get(pk=profile.pk).password == before


def test_without_a_key_both_commands_say_how_to_make_one(settings):
    settings.MAILCONF_KEYS = ""
    assert "generate_key" in rotate()[1]
    assert "generate_key" in verify()[1]


def test_verify_opens_everything_and_prints_no_secret():
    a_profile(password="c4nary")
    a_credential()
    printed, fault = verify()
    assert fault == ""
    assert "All 5 secrets open." in printed
    assert "c4nary" not in printed


def test_verify_names_what_does_not_open():
    a_profile(name="Good", password="s3cret")
    bad = a_profile(name="Bad", password="s3cret")
    SMTPProfile.objects.filter(pk=bad.pk).update(username="other")
    printed, fault = verify()
    assert "SMTP profile “Bad”, password: " in printed
    assert "Good" not in printed
    assert fault == "1 of 4 secrets do not open."


def test_verify_finds_junk_in_a_sealed_column():
    profile = a_profile(password="s3cret")
    TestRun.objects.all().delete()
    SMTPProfile.objects.filter(pk=profile.pk).update(password=b"junk")
    assert verify()[1] == "1 of 1 secrets do not open."
    assert rotation.count_by_kid() == {"?": 1}


def test_verify_tells_a_mixed_up_key(settings):
    a_profile(password="s3cret")
    settings.MAILCONF_KEYS = f"{OLD_KID}:{new_key().partition(':')[2]}"
    assert f"The key named “{OLD_KID}” is not the key" in verify()[1]


class Terminal(StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_the_progress_is_shown():
    a_profile(password="s3cret")
    out = Terminal()
    call_command("rotate_keys", stdout=out)
    assert "2 of 2" in out.getvalue()


def test_what_does_not_open_under_the_primary_key_is_reported_too():
    profile = a_profile(name="Bad", password="s3cret")
    SMTPProfile.objects.filter(pk=profile.pk).update(host="127.0.0.2")
    assert rotate()[1] == "1 secret does not open. Enter it again."

"""Every way around the gate: none puts untested settings on the wire or sends a password elsewhere."""

import asyncio
from io import StringIO

import pytest
from django.core.exceptions import FieldError
from django.core.management import call_command
from django.core.serializers.base import DeserializationError
from django.db import connection

from smtp_settings import sealing, wire
from smtp_settings.clearance import activation
from smtp_settings.clearance.candidate import stored_secret
from smtp_settings.fingerprint import shaping_fields
from smtp_settings.models import SMTPProfile
from smtp_settings.sealing import SealBroken, Secret
from tests.builders import a_draft, a_profile, evidence
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db

CHANGED = {
    "uuid": "7d444840-9dc0-11d1-b245-5ffdce74fad2",
    "transport": "sendmail",
    "port": 2526,
    "security": "starttls",
    "verification": "none",
    "minimum_tls": "1.3",
    "ip_version": "4",
    "auth": "none",
    "mechanism": "login",
    "pipelining": "sequential",
    "accepts_clear_auth": False,
}
COLUMNS = [name for name in shaping_fields("smtp") if name not in ("secret", "oauth")]


def live():
    return [way.name for way in wire.ways_out()]


def refused(profile, version):
    with pytest.raises(wire.NotLive):
        wire.transport_of(profile.pk, version)


@pytest.mark.parametrize("column", COLUMNS)
def test_an_sql_update_of_any_shaping_column_takes_the_profile_off_the_wire(column):
    profile = a_profile(name="Shop", password="s3cret")
    [way] = wire.ways_out()
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE smtp_settings_smtpprofile SET {column} = %s WHERE id = %s",
            [CHANGED.get(column, "changed"), profile.pk],
        )
    assert live() == []
    refused(profile, way.version)


@pytest.mark.parametrize("column", ["cleared_fingerprint"])
def test_a_made_up_clearance_is_none(column):
    profile = a_profile()
    other = a_profile()
    SMTPProfile.objects.filter(pk=profile.pk).update(cleared_fingerprint="f" * 64)
    assert live() == [other.name]
    SMTPProfile.objects.filter(pk=profile.pk).update(cleared_fingerprint=other.cleared_fingerprint)
    assert live() == [other.name]


def test_save_from_the_shell_takes_it_off_the_wire():
    profile = a_profile()
    profile.host = "127.0.0.2"
    profile.save()
    assert live() == []


def test_senders_are_counted_among_the_live_only_and_no_further_than_asked(django_assert_num_queries):
    profiles = [a_profile(name=f"Live {number}", from_address="reports@example.org") for number in range(3)]
    a_profile(name="Without sender", from_address="")
    a_draft(name="Started")
    SMTPProfile.objects.filter(pk=profiles[0].pk).update(host="elsewhere.example")

    with django_assert_num_queries(1):
        assert wire.live_senders(most=5) == 2
    assert wire.live_senders(most=1) == 1


def test_a_new_row_from_the_shell_is_not_live():
    SMTPProfile.objects.create(name="Shell", host="127.0.0.1", auth="none", security="none")
    SMTPProfile.objects.bulk_create([SMTPProfile(name="Bulk", host="127.0.0.1")])
    assert live() == []


def test_a_copy_of_a_live_row_is_not_live():
    profile = a_profile(name="Shop")
    copy = SMTPProfile.objects.get(pk=profile.pk)
    copy.pk, copy.name, copy.uuid = None, "Copy", "7d444840-9dc0-11d1-b245-5ffdce74fad2"
    copy.save()
    assert live() == ["Shop"]


def test_a_queryset_update_over_many_takes_them_all_off_the_wire():
    for _number in range(3):
        a_profile()
    SMTPProfile.objects.update(host="127.0.0.2")
    assert live() == []


def test_enabling_a_draft_by_force_does_not_make_it_live():
    draft = a_draft()
    SMTPProfile.objects.filter(pk=draft.pk).update(is_draft=False, enabled=True)
    assert live() == []


def test_enabling_in_bulk_brings_back_only_what_was_tested():
    tested, draft = a_profile(name="Tested"), a_draft(name="Draft")
    SMTPProfile.objects.filter(pk=tested.pk).update(enabled=False)
    assert live() == []
    SMTPProfile.objects.filter(pk=draft.pk).update(is_draft=False)
    SMTPProfile.objects.update(enabled=True)
    assert live() == ["Tested"]


def test_a_disabled_profile_gives_no_transport():
    profile = a_profile()
    [way] = wire.ways_out()
    SMTPProfile.objects.update(enabled=False)
    refused(profile, way.version)


# Fixtures


def dumped():
    out = StringIO()
    call_command("dumpdata", "smtp_settings.smtpprofile", stdout=out)
    return out.getvalue()


def loaded(text, tmp_path):
    path = tmp_path / "profiles.json"
    path.write_text(text)
    call_command("loaddata", str(path), verbosity=0)


@pytest.mark.parametrize("password", ["", "c4nary"])
def test_a_fixture_holds_no_secret_and_no_clearance_and_is_not_live(tmp_path, password):
    profile = a_profile(password=password)
    text = dumped()
    assert "cleared_fingerprint" not in text
    assert '"password": ' not in text
    loaded(text, tmp_path)
    assert live() == []
    assert SMTPProfile.objects.get(pk=profile.pk).password is None


def test_a_fixture_that_brings_a_ciphertext_is_refused(tmp_path):
    a_profile(password="c4nary")
    text = dumped().replace('"host":', '"password": "TUMx", "host":')
    with pytest.raises(DeserializationError):
        loaded(text, tmp_path)


# The stored password


def test_swapped_ciphertexts_do_not_open():
    first, second = a_profile(password="one"), a_profile(password="two")
    mine, theirs = first.password, second.password
    SMTPProfile.objects.filter(pk=first.pk).update(password=theirs)
    SMTPProfile.objects.filter(pk=second.pk).update(password=mine)
    for profile in (first, second):
        with pytest.raises(SealBroken):
            stored_secret(SMTPProfile.objects.get(pk=profile.pk))
    assert live() == []


def test_a_changed_host_with_its_ciphertext_does_not_open_and_no_password_is_said():
    with smtp_server(auth=("shop", "s3cret")) as server:
        profile = a_profile(password="s3cret", port=2525)
        [way] = wire.ways_out()
        SMTPProfile.objects.filter(pk=profile.pk).update(port=server.port)
        refused(profile, way.version)
        transport = wire.transport_for(
            SMTPProfile.objects.get(pk=profile.pk)
        )  # as if nobody had asked the gate
        with pytest.raises(SealBroken):
            sign_in(transport)
        assert "AUTH" not in server.verbs()


def sign_in(transport):
    async def come_and_go():
        await (await transport.open()).close()

    asyncio.run(come_and_go())


def test_the_right_row_signs_in():
    with smtp_server(auth=("shop", "s3cret")) as server:
        a_profile(password="s3cret", port=server.port)
        [way] = wire.ways_out()
        sign_in(wire.transport_of(way.profile_id, way.version))
        assert "AUTH" in server.verbs()


def test_an_old_ciphertext_put_back_is_not_live():
    profile = a_profile(password="old")
    old = SMTPProfile.objects.values("password", "secret_version").get()
    run = evidence(profile, Secret("new"))
    effective = activation.effective_secret(profile, typed=Secret("new"))
    activation.save_profile(profile, effective, user=None, run=run)
    SMTPProfile.objects.update(password=old["password"])
    assert live() == []
    SMTPProfile.objects.update(**old)  # opens again, and still is not what was cleared
    assert stored_secret(SMTPProfile.objects.get()).reveal() == "old"
    assert live() == []


def test_without_a_key_nothing_is_live_and_the_log_says_why(settings, caplog):
    a_profile()
    settings.MAILCONF_KEYS = settings.MAILCONF_KEYS_FILE = ""
    assert live() == []
    assert "No profile can send" in caplog.text
    assert "generate_key" in caplog.text


def test_with_another_key_nothing_is_live_and_no_ciphertext_is_sent_as_a_password(settings):
    with smtp_server(auth=("shop", "s3cret")) as server:
        profile = a_profile(password="s3cret", port=server.port)
        settings.MAILCONF_KEYS = sealing.new_key()
        assert live() == []
        with pytest.raises(sealing.KeyMissing):
            sign_in(wire.transport_for(SMTPProfile.objects.get(pk=profile.pk)))
        assert "AUTH" not in server.verbs()


@pytest.mark.parametrize(
    "lookup",
    [
        "password",
        "password__exact",
        "password__startswith",
        "password__in",
        "password__gt",
        "password__regex",
    ],
)
def test_a_secret_can_be_asked_for_in_no_lookup(lookup):
    a_profile(password="s3cret")
    with pytest.raises(FieldError):
        SMTPProfile.objects.filter(**{lookup: [b"x"] if lookup.endswith("in") else b"x"}).exists()


def test_whether_there_is_one_can_be_asked():
    a_profile(password="s3cret")
    assert SMTPProfile.objects.filter(password__isnull=False).exists()
    assert not SMTPProfile.objects.filter(password__isnull=True).exists()

"""Sealed secrets: they open for their own row and destination, exactly, and for nothing else."""

import copy
import dataclasses
import pickle
from types import SimpleNamespace
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_settings.sealing import (
    Destination,
    KeyMissing,
    SealBroken,
    Secret,
    binding_for,
    kid_of,
    new_key,
    normal_host,
    open_sealed,
    parse_keys,
    seal,
)

RING = parse_keys(new_key(), secret_key="-")
ROW = {
    "uuid": uuid4(),
    "secret_version": 3,
    "transport": "smtp",
    "host": "smtp.example.com",
    "port": 587,
    "security": "starttls",
    "verification": "full",
    "ca": "",
    "username": "shop",
    "mechanism": "auto",
    "provider": "",
    "tenant": "",
    "token_url": "",
    "scope": "",
    "api_domain": "",
    "region": "",
}


def row(**changes):
    return SimpleNamespace(**(ROW | changes))


def sealed_for(value="s3cret", **changes):
    return seal(Secret(value), binding_for(row(**changes)), RING)


@given(st.text(max_size=1500))
def test_every_text_comes_back_exactly(value):
    assert open_sealed(sealed_for(value), binding_for(row()), RING).reveal() == value


@pytest.mark.parametrize(
    "value", [" leading and trailing ", "a:b", "pass\tword", "🔑🔑", "x" * 1024, "é" * 1024, ""]
)
def test_awkward_passwords_come_back_exactly(value):
    assert open_sealed(sealed_for(value), binding_for(row()), RING).reveal() == value


def test_the_same_secret_is_sealed_differently_each_time():
    assert sealed_for() != sealed_for()


def test_the_size_does_not_tell_the_length_of_a_password():
    assert len({len(sealed_for("x" * length)) for length in range(1, 62)}) == 1


def test_a_short_password_takes_118_bytes_with_a_kid_of_six():
    ring = parse_keys("kid-01:" + new_key().partition(":")[2], secret_key="-")
    assert len(seal(Secret("s3cret"), binding_for(row()), ring)) == 118


def test_the_key_is_named_in_clear():
    assert kid_of(sealed_for()) == RING.primary.kid


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("uuid", uuid4()),
        ("secret_version", 2),
        ("transport", "mailgun"),
        ("host", "smtp.evil.example"),
        ("port", 25),
        ("security", "none"),
        ("verification", "none"),
        ("ca", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),
        ("username", "other"),
        ("mechanism", "login"),
        ("provider", "google"),
        ("tenant", "contoso"),
        ("token_url", "https://evil.example/token"),
        ("scope", "everything"),
        ("api_domain", "mg.evil.example"),
        ("region", "eu-west-1"),
    ],
)
def test_each_bound_field_alone_keeps_it_shut(field, value):
    sealed = sealed_for()
    with pytest.raises(SealBroken):
        open_sealed(sealed, binding_for(row(**{field: value})), RING)


def test_another_column_of_the_same_row_does_not_open_it():
    with pytest.raises(SealBroken):
        open_sealed(sealed_for(), binding_for(row(), "access_token"), RING)


def test_another_kind_of_row_does_not_open_it():
    class OAuthCredential(SimpleNamespace):
        pass

    with pytest.raises(SealBroken):
        open_sealed(sealed_for(), binding_for(OAuthCredential(**ROW)), RING)


def test_every_destination_field_is_part_of_the_associated_data():
    binding = binding_for(row())
    for field in dataclasses.fields(Destination):
        changed = 1 if field.type is int else "changed"
        other = dataclasses.replace(
            binding, destination=dataclasses.replace(binding.destination, **{field.name: changed})
        )
        assert other.associated_data() != binding.associated_data(), field.name
        assert binding.destination.differences(other.destination) == (field.name,)


def test_spelling_alone_is_not_another_destination():
    sealed = sealed_for(host="smtp.exämple.com", ca="A\nB")
    same = row(host=" SMTP.xn--exmple-cua.com ", ca="A\r\nB\r\n")
    assert open_sealed(sealed, binding_for(same), RING).reveal() == "s3cret"


@given(st.data())
def test_a_flipped_bit_anywhere_keeps_it_shut(data):
    sealed = bytearray(sealed_for())
    position = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[position // 8] ^= 1 << position % 8
    with pytest.raises((SealBroken, KeyMissing)):
        open_sealed(bytes(sealed), binding_for(row()), RING)


@given(st.integers(0, 117))
def test_a_cut_one_stays_shut(length):
    with pytest.raises(SealBroken):
        open_sealed(sealed_for()[:length], binding_for(row()), RING)


@given(st.binary(max_size=300))
def test_anything_else_is_no_sealed_secret(junk):
    with pytest.raises(SealBroken):
        open_sealed(junk, binding_for(row()), RING)


def test_a_database_value_of_any_bytes_type_opens():
    assert open_sealed(memoryview(sealed_for()), binding_for(row()), RING).reveal() == "s3cret"


def test_a_missing_key_is_named():
    with pytest.raises(KeyMissing, match=RING.primary.kid) as refusal:
        open_sealed(sealed_for(), binding_for(row()), parse_keys(new_key(), secret_key="-"))
    assert refusal.value.kid == RING.primary.kid


def test_another_key_of_the_same_name_does_not_open_it():
    impostor = parse_keys(f"{RING.primary.kid}:{new_key().partition(':')[2]}", secret_key="-")
    with pytest.raises(SealBroken):
        open_sealed(sealed_for(), binding_for(row()), impostor)


def test_a_retired_key_still_opens_what_it_sealed():
    fresh = new_key()
    both = parse_keys(fresh, secret_key="-")
    both = dataclasses.replace(both, keys=(*both.keys, *RING.keys))
    assert open_sealed(sealed_for(), binding_for(row()), both).reveal() == "s3cret"
    assert kid_of(seal(Secret("x"), binding_for(row()), both)) == fresh.partition(":")[0]


def test_an_endless_secret_is_refused():
    with pytest.raises(ValueError, match="too long"):
        sealed_for("x" * 20_000)


def test_no_error_shows_the_secret():
    with pytest.raises(SealBroken) as refusal:
        open_sealed(sealed_for("canary"), binding_for(row(host="other")), RING)
    assert "canary" not in repr(refusal.value) + str(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_secret_shows_itself_nowhere_and_does_not_travel():
    secret = Secret("canary")
    assert "canary" not in f"{secret} {secret!r} {secret!s} {secret:>20} {[secret]}"
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            copied(secret)


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("SMTP.Example.COM", "smtp.example.com"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("localhost", "localhost"),
        ("", ""),
        ("not a host", "not a host"),
    ],
)
def test_a_host_is_compared_in_one_form(typed, normal):
    assert normal_host(typed) == normal

"""Which secret an empty field means, as a table."""

import dataclasses

import pytest

from smtp_settings.sealing import Destination
from smtp_settings.secret_source import PasswordNeeded, SecretSource, choose

HERE = Destination(transport="smtp", host="smtp.example.com", port=587, username="shop")
THERE = dataclasses.replace(HERE, host="smtp.evil.example")
NEEDED = "needed"


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        (SecretSource.TYPED, {"typed": True}),
        (SecretSource.TYPED, {"typed": True, "stored": HERE}),
        (SecretSource.TYPED, {"typed": True, "stored": THERE}),
        (SecretSource.TYPED, {"typed": True, "tested": HERE}),
        (SecretSource.TYPED, {"typed": True, "remove": True}),
        (SecretSource.STORED, {"stored": HERE}),
        (SecretSource.TESTED, {"stored": HERE, "tested": HERE}),
        (SecretSource.TESTED, {"stored": THERE, "tested": HERE}),
        (SecretSource.TESTED, {"tested": HERE}),
        (SecretSource.STORED, {"stored": HERE, "tested": THERE}),
        (NEEDED, {"stored": THERE}),
        (NEEDED, {"stored": THERE, "tested": THERE}),
        (SecretSource.NONE, {"tested": THERE}),
        (SecretSource.NONE, {}),
        (SecretSource.NONE, {"stored": HERE, "remove": True}),
        (SecretSource.NONE, {"stored": THERE, "remove": True}),
        (SecretSource.NONE, {"stored": HERE, "tested": HERE, "remove": True}),
        (SecretSource.NONE, {"stored": HERE, "uses_secret": False}),
        (SecretSource.NONE, {"stored": THERE, "uses_secret": False}),
        (SecretSource.NONE, {"typed": True, "uses_secret": False}),
    ],
)
def test_whose_secret_is_meant(expected, given):
    if expected is NEEDED:
        with pytest.raises(PasswordNeeded):
            choose(wanted=HERE, **given)
    else:
        assert choose(wanted=HERE, **given) is expected


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Destination)])
def test_each_bound_field_alone_asks_for_the_password_again(field):
    changed = dataclasses.replace(HERE, **{field: 1 if field == "port" else "changed"})
    with pytest.raises(PasswordNeeded) as refusal:
        choose(wanted=changed, stored=HERE)
    assert refusal.value.changed == (field,)
    assert refusal.value.host == "smtp.example.com"

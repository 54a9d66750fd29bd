"""What values ask of each other, whoever asks; the form and the commands are tested with their pages."""

import pytest

from smtp_settings.entries import rules

SOUND = {
    "transport": "smtp",
    "host": "smtp.example.com",
    "security": "starttls",
    "auth": "password",
    "username": "shop",
    "mechanism": "auto",
    "accepts_clear_auth": False,
    "verification": "full",
    "accepts_unverified": False,
    "from_policy": "message",
    "from_address": "",
    "retry_delay": 60,
    "retry_cap": 60,
    "oauth_credential": 1,
    "program": "/usr/sbin/sendmail",
    "directory": "/srv/out",
    "api_domain": "mg.example.com",
    "region": "eu",
    "uses_machine_role": False,
}
BROKEN = [
    ({"transport": "pigeon", "host": ""}, "transport"),
    ({"transport": "sendmail", "program": "/bin/sh"}, "program"),
    ({"transport": "pickup", "directory": ""}, "directory"),
    ({"transport": "mailgun", "api_domain": ""}, "api_domain"),
    ({"transport": "mailgun", "region": ""}, "region"),
    ({"transport": "ses", "region": "evil.example/"}, "region"),
    ({"transport": "ses", "region": "eu-west-1", "username": ""}, "username"),
    ({"auth": "kerberos"}, "auth"),
    ({"auth": "oauth2", "username": ""}, "username"),
    ({"auth": "oauth2", "oauth_credential": None}, "oauth_credential"),
    ({"auth": "oauth2", "mechanism": "plain"}, "mechanism"),
    ({"host": ""}, "host"),
    ({"username": ""}, "username"),
    ({"mechanism": "xoauth2"}, "mechanism"),
    ({"from_policy": "force"}, "from_address"),
    ({"security": "none"}, "accepts_clear_auth"),
    ({"verification": "none"}, "accepts_unverified"),
    ({"retry_cap": 59}, "retry_cap"),
]


def fields_of(values, *, is_draft=False):
    return [rule.field for rule in rules.broken(values, is_draft=is_draft)]


def test_sound_values_break_no_rule():
    assert fields_of(SOUND) == []


@pytest.mark.parametrize(("changes", "field"), BROKEN)
def test_each_rule_bears_its_sentence_where_the_cure_is(changes, field):
    assert fields_of(SOUND | changes) == [field]


def test_every_rule_has_a_case():
    assert {field for _changes, field in BROKEN} == {rule.field for rule in rules.RULES}


@pytest.mark.parametrize(
    "changes",
    [
        {"security": "none", "accepts_clear_auth": True},
        {"security": "none", "auth": "none"},
        {"verification": "none", "accepts_unverified": True},
        {"verification": "none", "security": "none", "accepts_clear_auth": True},
        {"username": "", "auth": "none"},
        {"mechanism": "cram-md5"},
        {"transport": "sendmail", "username": "", "host": ""},
        {"transport": "mailgun", "username": "", "host": ""},
        {"transport": "ses", "region": "us-gov-east-1"},
        {"transport": "ses", "region": "eu-west-1", "username": "", "uses_machine_role": True},
        {"mechanism": "xoauth2", "auth": "none"},
        {"mechanism": "xoauth2", "auth": "oauth2"},
        {"auth": "password", "oauth_credential": None},
        {"from_policy": "force", "from_address": "shop@example.com"},
    ],
)
def test_a_tick_or_another_choice_is_enough(changes):
    assert fields_of(SOUND | changes) == []


def test_a_draft_may_break_all_but_what_the_database_wants():
    everything = SOUND | {name: value for changes, _field in BROKEN for name, value in changes.items()}
    assert fields_of(everything, is_draft=True) == ["retry_cap"]


@pytest.mark.parametrize("missing", sorted(SOUND))
def test_a_value_refused_already_is_not_asked_about(missing):
    everything = SOUND | {name: value for changes, _field in BROKEN for name, value in changes.items()}
    everything.pop(missing)
    assert all(missing not in rule.fields for rule in rules.broken(everything, is_draft=False))

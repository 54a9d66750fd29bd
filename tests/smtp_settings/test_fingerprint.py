"""The fingerprint: what shapes a session is in it, and nothing else is."""

import pytest

from smtp_settings.fingerprint import changed_fields, fingerprint, secret_digest, shaping_fields, uses_secret
from smtp_settings.models import SMTPProfile

KEY = b"k" * 32
SMTP = {
    "uuid": "6f1c",
    "transport": "smtp",
    "host": "smtp.example.com",
    "port": 587,
    "security": "starttls",
    "verification": "full",
    "minimum_tls": "1.2",
    "ca": "",
    "ip_version": "any",
    "source_address": "",
    "ehlo_name": "",
    "auth": "password",
    "mechanism": "auto",
    "username": "shop",
    "secret": secret_digest("s3cret", KEY),
    "oauth": {},
    "accepts_clear_auth": False,
    "pipelining": "auto",
    "from_address": "shop@example.com",
    "bounce_address": "",
    "name": "Shop",
    "max_connections": 4,
}


@pytest.mark.parametrize("field", shaping_fields("smtp"))
def test_each_field_that_shapes_a_session_alone_changes_it(field):
    changed = {"oauth": {"tenant": "contoso"}, "port": 588, "accepts_clear_auth": True}.get(field, "changed")
    assert fingerprint(SMTP | {field: changed}, KEY) != fingerprint(SMTP, KEY)


def test_every_named_field_is_a_column_or_one_of_the_three_others():
    columns = {field.name for field in SMTPProfile._meta.concrete_fields} | {"secret", "oauth"}
    for method in ("smtp", "sendmail", "pickup", "mailgun", "ses"):
        assert set(shaping_fields(method)) <= columns


@pytest.mark.parametrize(
    "field",
    [
        "name", "description", "notes", "preset", "enabled", "is_default", "priority", "sender_domains",
        "from_name", "from_policy", "reply_to", "subject_prefix", "debug_recipients", "max_connections",
        "messages_per_connection", "per_minute", "per_hour", "per_day", "send_offset", "max_retries",
        "retry_delay", "backoff", "retry_cap", "give_up_hours", "max_size", "on_uncertain", "notify_user_id",
        "connect_timeout", "command_timeout", "directory", "program", "accepts_unverified",
        "classification_overrides",
    ],
)  # fmt: skip
def test_limits_names_and_other_methods_are_not_in_it(field):
    assert fingerprint(SMTP | {field: "changed"}, KEY) == fingerprint(SMTP, KEY)


@pytest.mark.parametrize(
    ("method", "field"),
    [
        ("sendmail", "program"), ("sendmail", "program_arguments"), ("sendmail", "line_ends"),
        ("pickup", "directory"),
        ("pickup", "file_style"), ("mailgun", "api_domain"), ("mailgun", "region"), ("mailgun", "secret"),
        ("ses", "region"), ("ses", "username"), ("ses", "configuration_set"), ("ses", "uses_machine_role"),
    ],
)  # fmt: skip
def test_another_method_has_its_own_destination_in_it(method, field):
    base = {"transport": method, "uuid": "6f1c"}
    assert fingerprint(base | {field: "changed"}, KEY) != fingerprint(base, KEY)


def test_another_key_makes_another_fingerprint():
    assert fingerprint(SMTP, b"x" * 32) != fingerprint(SMTP, KEY)


def test_it_is_64_hexadecimal_digits():
    assert len(fingerprint(SMTP, KEY)) == 64
    assert int(fingerprint(SMTP, KEY), 16)


def test_values_do_not_run_into_each_other():
    first = fingerprint(SMTP | {"host": "a", "username": "bc"}, KEY)
    assert first != fingerprint(SMTP | {"host": "ab", "username": "c"}, KEY)


def test_nothing_and_empty_are_the_same():
    assert fingerprint(SMTP | {"ca": None}, KEY) == fingerprint(SMTP, KEY)


def test_line_ends_of_a_certificate_do_not_count():
    assert fingerprint(SMTP | {"ca": "A\r\nB\r\n"}, KEY) == fingerprint(SMTP | {"ca": "A\nB"}, KEY)


def test_a_secret_is_in_it_only_as_a_keyed_hash():
    assert secret_digest("s3cret", KEY) != secret_digest("s3cret", b"x" * 32)
    assert "s3cret" not in secret_digest("s3cret", KEY)
    assert secret_digest("", KEY) == ""


def test_changed_fields_are_named_in_the_order_of_the_form():
    assert changed_fields(SMTP, SMTP | {"port": 25, "host": "other", "notes": "x"}) == ("host", "port")


def test_a_changed_method_names_the_fields_of_both():
    changed = changed_fields(
        {"transport": "pickup", "directory": "/srv"}, {"transport": "sendmail", "program": "/x"}
    )
    assert changed == ("transport", "program", "directory")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"transport": "smtp", "auth": "password"}, True),
        ({"transport": "smtp", "auth": "none"}, False),
        ({"transport": "smtp", "auth": "oauth2"}, False),
        ({"transport": "sendmail", "auth": "password"}, False),
        ({"transport": "mailgun", "auth": "none"}, True),
        ({"transport": "ses", "uses_machine_role": False}, True),
        ({"transport": "ses", "uses_machine_role": True}, False),
        ({"transport": "mailgun", "uses_machine_role": True}, True),
    ],
)
def test_which_settings_use_a_stored_secret(settings, expected):
    assert uses_secret(settings) is expected

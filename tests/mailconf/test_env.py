"""The environment is read strictly: what is not understood is refused with the variable's name."""

from pathlib import Path

import pytest

from mailconf.env import BASE_DIR, VariableError, read, variables


def test_nothing_set_gives_the_defaults():
    found = read({})
    assert (found.port, found.sandbox_port, found.var) == (8000, 2525, BASE_DIR / "var")
    assert found.database_url == found.redis_url == found.secret_key == ""
    assert found.allow_private is found.local is found.debug is False


def test_an_empty_variable_counts_as_not_set():
    assert read({"MAILCONF_PORT": " "}).port == 8000


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("MAILCONF_PORT", "8001", "port", 8001),
        ("MAILCONF_DEBUG", "Yes", "debug", True),
        ("MAILCONF_DEBUG", "off", "debug", False),
        ("MAILCONF_VAR", "elsewhere", "var", BASE_DIR / "elsewhere"),
        ("MAILCONF_VAR", "/srv/mailconf", "var", Path("/srv/mailconf")),
        ("MAILCONF_HOSTS", "a.example, b.example,", "hosts", ("a.example", "b.example")),
        ("MAILCONF_ALLOWED_PORTS", "26,1025-1030", "allowed_ports", (26, (1025, 1030))),
        ("MAILCONF_PASSWORD_AGE_DAYS", "0", "password_age_days", 0),
        ("MAILCONF_TEST_BEFORE_SAVE", "always", "test_before_save", "always"),
        (
            "MAILCONF_DNS_SERVERS",
            "10.0.0.53, 10.0.0.54:5353,2001:db8::1,[2001:db8::2]:54",
            "dns_servers",
            (("10.0.0.53", 53), ("10.0.0.54", 5353), ("2001:db8::1", 53), ("2001:db8::2", 54)),
        ),
    ],
)
def test_a_variable_is_read_as_its_type(name, value, field, expected):
    assert getattr(read({name: value}), field) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAILCONF_BATCH_SIZE", "0"),
        ("MAILCONF_BATCH_SIZE", "1001"),
        ("MAILCONF_PORT", "0"),
        ("MAILCONF_PORT", "65536"),
        ("MAILCONF_PORT", "80 00"),
        ("MAILCONF_PORT", "٨٠"),
        ("MAILCONF_DEBUG", "maybe"),
        ("MAILCONF_ALLOWED_PORTS", "25-"),
        ("MAILCONF_HTTPS", "perhaps"),
        ("MAILCONF_DNS_SERVERS", "dns.example.com"),
        ("MAILCONF_DNS_SERVERS", "10.0.0.53:dns"),
        ("MAILCONF_PASSWORD_AGE_DAYS", "-1"),
        ("MAILCONF_TEST_BEFORE_SAVE", "never"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(name, value):
    with pytest.raises(VariableError, match=name):
        read({name: value})


def test_a_misspelt_variable_is_refused_with_the_right_name():
    with pytest.raises(VariableError, match=r"MAILCONF_PROT is not a variable.*Did you mean MAILCONF_PORT"):
        read({"MAILCONF_PROT": "8001"})


def test_other_programs_variables_are_none_of_our_business():
    read({"PATH": "/bin", "LANG": "C"})


def test_a_secret_may_lie_in_a_file(tmp_path):
    (tmp_path / "url").write_text("postgresql://u:p@h/n\n")
    assert read({"DATABASE_URL_FILE": str(tmp_path / "url")}).database_url == "postgresql://u:p@h/n"


def test_the_variable_itself_comes_before_its_file(tmp_path):
    (tmp_path / "url").write_text("postgresql://file/")
    found = read({"DATABASE_URL": "postgresql://direct/", "DATABASE_URL_FILE": str(tmp_path / "url")})
    assert found.database_url == "postgresql://direct/"


def test_a_secret_file_that_cannot_be_read_is_refused_by_name(tmp_path):
    with pytest.raises(VariableError, match="SECRET_KEY_FILE cannot be read"):
        read({"SECRET_KEY_FILE": str(tmp_path / "missing")})


def test_no_secret_shows_in_the_repr():
    secret = "not-to-be-seen"
    environ = {variable.name: secret for variable in variables().values() if variable.secret}
    assert len(environ) == 4
    assert secret not in repr(read(environ))

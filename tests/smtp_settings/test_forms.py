"""What people type into a profile: canonical, or refused with one sentence."""

import pytest
from django.core.exceptions import ValidationError

from smtp_settings.entries import judges
from smtp_settings.forms import Act, act_of
from tests.servers import authority_pem


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (" smtp.example.com ", "smtp.example.com"),
        ("SMTP.Example.COM.", "smtp.example.com"),
        ("localhost", "localhost"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("192.0.2.7", "192.0.2.7"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("2001:db8:0::1", "2001:db8::1"),
        ("", ""),
    ],
)
def test_a_server_is_kept_in_one_form(typed, kept):
    assert judges.host_name(typed) == kept


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("smtp://smtp.example.com", "smtp.example.com"),
        ("smtp.example.com:587", "smtp.example.com"),
        ("https://mail.example.org/path", "mail.example.org"),
        ("user@smtp.example.com", "smtp.example.com"),
        ("/var/run/socket", "smtp.example.com"),
    ],
)
def test_more_than_a_host_name_is_refused_with_the_host_that_was_meant(typed, meant):
    with pytest.raises(ValidationError) as refused:
        judges.host_name(typed)
    assert refused.value.messages == [f"Enter only the host name: {meant}"]


@pytest.mark.parametrize(
    "typed",
    ["a b.example", "-x.example", "x..example", "a" * 64 + ".example", "x\r\ny.example", "a\x00b.example"],
)
def test_what_is_no_name_is_refused(typed):
    with pytest.raises(ValidationError, match="is not a host name"):
        judges.host_name(typed)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("shop@example.com", "shop@example.com"),
        (" Shop <Shop@Example.COM> ", "Shop@example.com"),
        ('"Shop, the" <shop@example.com>', "shop@example.com"),
        ("o'brien+x@bücher.example", "o'brien+x@xn--bcher-kva.example"),
    ],
)
def test_an_address_is_kept_bare_with_its_domain_in_a_labels(typed, kept):
    assert judges.address(typed) == kept


@pytest.mark.parametrize(
    "typed",
    [
        "a",
        "a@",
        "@example.com",
        "a@localhost",
        "a@[127.0.0.1]",
        "a@example.com, b@example.com",
        "a@example.com> AUTH=<b@c.example",
        "a@example.com SIZE=1",
        "a@x.example\r\nRCPT TO:<evil@x.example>",
        "alice@example.org)bob@evil.example",
        ".a@example.com",
        "a..b@example.com",
        "a@-x.example",
        "x" * 65 + "@example.com",
        "a@" + "x" * 250 + ".example",
        "ä@example.com",
        "a%b@c@example.com",
    ],
)
def test_what_is_no_single_strict_address_is_refused(typed):
    with pytest.raises(ValidationError, match="is not a mail address"):
        judges.address(typed)


def test_a_list_of_addresses_loses_duplicates_and_names_every_fault():
    assert judges.addresses(["a@example.com", "b@example.com", "a@example.com"]) == [
        "a@example.com",
        "b@example.com",
    ]
    with pytest.raises(ValidationError) as refused:
        judges.addresses(["a@example.com", "x", "y"])
    assert len(refused.value.messages) == 2


@pytest.mark.parametrize(
    "typed", ["Shop\r\nBcc: x@example.com", "Shop\x00", "Shop\u2028x", "Shop\x0b", "\ud800"]
)
def test_header_text_cannot_break_its_line(typed):
    with pytest.raises(ValidationError):
        judges.header_text(typed)
    with pytest.raises(ValidationError):
        judges.subject_prefix(typed)


def test_the_space_at_the_end_of_a_subject_prefix_stays():
    assert judges.subject_prefix(" [STAGING] ") == "[STAGING] "


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Host.Example", "host.example"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("[IPv6:2001:DB8::1]", "[IPv6:2001:db8::1]"),
        ("", ""),
    ],
)
def test_an_ehlo_name_is_a_name_or_an_address_literal(typed, kept):
    assert judges.ehlo_name(typed) == kept


@pytest.mark.parametrize("typed", ["host example", "host\r\nRSET", "[300.1.1.1]", "[x]"])
def test_an_ehlo_name_cannot_hold_a_command(typed):
    with pytest.raises(ValidationError):
        judges.ehlo_name(typed)


def test_a_source_address_is_an_address():
    assert judges.source_address(" 192.0.2.1 ") == "192.0.2.1"
    assert judges.source_address("") == ""
    with pytest.raises(ValidationError):
        judges.source_address("eth0")


def test_certificates_are_pem_and_a_private_key_is_not_taken():
    pem = authority_pem()
    assert judges.ca_certificates(pem.replace("\n", "\r\n")) == pem.strip() + "\n"
    assert judges.ca_certificates("  ") == ""
    with pytest.raises(ValidationError, match="PEM"):
        judges.ca_certificates("not a certificate")
    with pytest.raises(ValidationError, match="private key"):
        judges.ca_certificates(pem + "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n")


@pytest.mark.parametrize("typed", [" pass word ", "päss:wörd 🔑", "•" * 8, "x" * 1024])
def test_a_password_is_kept_exactly(typed):
    assert judges.password(typed) == typed


@pytest.mark.parametrize("typed", ["a\x00b", "x" * 1025])
def test_a_password_with_nul_or_of_more_than_1024_characters_is_refused(typed):
    with pytest.raises(ValidationError):
        judges.password(typed)


@pytest.mark.parametrize(
    ("names", "act"),
    [
        ((), Act.SAVE),
        (("_save",), Act.SAVE),
        (("_continue",), Act.SAVE),
        (("_addanother",), Act.SAVE),
        (("_popup",), Act.SAVE),
        (("_send_test", "_save"), Act.TEST),
        (("_draft", "_save_anyway"), Act.DRAFT),
        (("_draft_confirmed",), Act.DRAFT),
        (("_save_anyway", "_save"), Act.ANYWAY),
    ],
)
def test_a_post_without_a_known_button_is_a_save(names, act):
    assert act_of(dict.fromkeys(names, "1")) is act

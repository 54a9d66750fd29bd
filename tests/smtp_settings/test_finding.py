"""Finding settings: what is tried, what is made of the answers, and what is recommended. No network."""

import pytest

from smtp_settings.finding.candidates import MOST, Candidate, NothingToSearch, Wanted, candidates, read
from smtp_settings.finding.recommending import Worth, correction_for, recommend, worth_of
from smtp_settings.finding.rows import Cause, Row, cause_of, failed, row_from, row_of
from transports import errors
from transports.base import Phase, Security
from transports.resolve import AddressGuard
from transports.smtp.probe import Probed

GUARD = AddressGuard()


def tried(text, mx=(), guard=GUARD):
    return [
        (one.host, one.port, str(one.security))
        for one in candidates(read(text), mx=mx, allows_port=guard.allows_port)
    ]


def ports_of(host, found):
    return [port for name, port, _ in found if name == host]


# What was typed


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (" shop@example.com ", Wanted(domain="example.com", address="shop@example.com")),
        ("Shop@EXAMPLE.com", Wanted(domain="example.com", address="Shop@example.com")),
        ("shop@bücher.example", Wanted(domain="xn--bcher-kva.example", address="shop@xn--bcher-kva.example")),
        ("smtp.example.com", Wanted(domain="smtp.example.com", host="smtp.example.com")),
        ("smtps://smtp.example.com", Wanted(domain="smtp.example.com", host="smtp.example.com", port=465)),
        ("192.0.2.1:2525", Wanted(host="192.0.2.1", port=2525)),
        ("[2001:db8::1]:465", Wanted(host="2001:db8::1", port=465)),
    ],
)
def test_an_address_or_a_server_is_understood(text, wanted):
    assert read(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "", "  ", "@", "@example.com", "shop@", "a b", "a@b@c.example", "http://example.com/",
        "shop@[192.0.2.1]",
        "x" * 321, "shop@" + "x." * 200, "smtp.example.com\r\nRCPT TO:<a@b>", "shop\x00@example.com",
        "smtp.example.com:port", "-", "a..b", "/var/run/socket",
    ],
)  # fmt: skip
def test_what_is_neither_gets_one_sentence(text):
    with pytest.raises(NothingToSearch) as refused:
        read(text)
    assert str(refused.value).startswith(("Enter an email address", "This is no email address"))


# What is tried


def test_a_mailbox_provider_is_known_by_its_own_domain():
    assert tried("alex@gmail.com")[:2] == [
        ("smtp.gmail.com", 587, "starttls"),
        ("smtp.gmail.com", 465, "tls"),
    ]


def test_a_provider_is_known_by_who_receives_the_mail_and_guesses_follow():
    found = tried("shop@example.com", mx=["aspmx.l.google.com", "alt1.aspmx.l.google.com"])
    assert found[:2] == [("smtp.gmail.com", 587, "starttls"), ("smtp.gmail.com", 465, "tls")]
    assert ports_of("smtp.example.com", found) == [587, 465, 2525, 25]
    assert ports_of("mail.example.com", found) == [587, 465, 2525, 25]


def test_a_domain_nobody_knows_is_guessed_at_on_the_usual_ports():
    assert tried("shop@example.com")[:4] == [
        ("smtp.example.com", 587, "starttls"),
        ("smtp.example.com", 465, "tls"),
        ("smtp.example.com", 2525, "starttls"),
        ("smtp.example.com", 25, "starttls"),
    ]


def test_a_server_is_tried_itself_and_its_own_name_is_not_guessed_at():
    found = tried("smtp.example.com")
    assert {host for host, _, _ in found} == {"smtp.example.com"}
    assert {host for host, _, _ in tried("example.com")} == {
        "example.com",
        "smtp.example.com",
        "mail.example.com",
    }


def test_a_known_server_is_tried_on_its_own_ports_only():
    assert tried("smtp.postmarkapp.com") == [
        ("smtp.postmarkapp.com", port, "starttls") for port in (587, 2525, 25)
    ]
    assert tried("email-smtp.eu-west-1.amazonaws.com")[0] == (
        "email-smtp.eu-west-1.amazonaws.com",
        587,
        "starttls",
    )


def test_an_obsolete_server_leads_to_the_one_that_replaced_it():
    assert tried("smtp.live.com")[0][0] == "smtp-mail.outlook.com"


def test_a_port_that_was_typed_comes_first_and_only_where_it_is_allowed():
    guard = AddressGuard(allowed_ports=(25, 587, 2526))
    assert tried("smtp.example.com:2526", guard=guard) == [
        ("smtp.example.com", 2526, "starttls"),
        ("smtp.example.com", 587, "starttls"),
        ("smtp.example.com", 25, "starttls"),
    ]
    assert 8025 not in ports_of("smtp.example.com", tried("smtp.example.com:8025"))


def test_there_are_never_more_than_twenty_four():
    many = ["aspmx.l.google.com"]
    assert len(tried("example.com:2587", mx=many)) <= MOST
    assert len(set(tried("example.com:2587", mx=many))) == len(tried("example.com:2587", mx=many))


# What is made of an answer

CANDIDATE = Candidate("smtp.example.com", 587, Security.STARTTLS)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (errors.ConnectionRefused("x", phase=Phase.CONNECT), Cause.REFUSED),
        (errors.ConnectTimeout("x", phase=Phase.CONNECT), Cause.TIMEOUT),
        (errors.CouldNotConnect("x", phase=Phase.CONNECT), Cause.UNREACHABLE),
        (errors.AddressNotAllowed("x", phase=Phase.DNS), Cause.UNREACHABLE),
        (errors.NameNotFound("x", phase=Phase.DNS), Cause.NO_NAME),
        (errors.NameLookupFailed("x", phase=Phase.DNS), Cause.NO_LOOKUP),
        (errors.ProtocolError("x", phase=Phase.BANNER), Cause.NOT_SMTP),
        (errors.ReplyTimeout("x", phase=Phase.BANNER), Cause.SILENT),
        (errors.ReplyTimeout("x", phase=Phase.TLS), Cause.NO_TLS),
        (errors.ConnectionLost("x", phase=Phase.BANNER), Cause.CLOSED),
        (errors.ReplyRefused("x", phase=Phase.BANNER), Cause.TURNED_AWAY),
        (errors.TLSFailed("x", phase=Phase.TLS), Cause.NO_TLS),
    ],
)
def test_an_error_becomes_a_cause(error, cause):
    assert cause_of(error) is cause


def probed(security=Security.STARTTLS, **values):
    return Probed("smtp.example.com", 587, security, **values)


def test_a_row_survives_the_database():
    evidence = {"tls_version": "TLSv1.3", "certificate_names": "smtp.example.com"}
    row = row_of(CANDIDATE, probed(capabilities={"AUTH": "PLAIN LOGIN", "SIZE": "1000"}, evidence=evidence))
    assert row_from(row.as_json()) == row
    assert (row.mechanisms, row.size_bytes, row.certificate) == (("PLAIN", "LOGIN"), 1000, "ok")


def test_only_what_can_be_a_mechanism_is_kept_of_what_a_server_says_it_offers():
    offered = "PLAIN <SCRIPT> " + "X" * 30 + " " + " ".join(f"M{n}A" for n in range(50))
    row = row_of(CANDIDATE, probed(capabilities={"AUTH": offered, "SIZE": "9" * 20}))
    assert row.mechanisms[:2] == ("PLAIN", "M0A")
    assert len(row.mechanisms) == 12
    assert row.size_bytes == 0


# What is recommended


def row(port=587, security="starttls", certificate="ok", mechanisms=("PLAIN",), **values):
    values = {"host": "smtp.example.com", "tls_version": "TLSv1.3"} | values
    return Row(port=port, security=security, certificate=certificate, mechanisms=mechanisms, **values)


CLEAR = row(25, "none", "", tls_version="")
FAILED = failed(CANDIDATE, Cause.REFUSED)


@pytest.mark.parametrize(
    ("rows", "place", "worth"),
    [
        ([row(587), row(465, "tls")], 0, Worth.TRUSTED_SIGN_IN),
        ([row(465, "tls"), row(587)], 0, Worth.TRUSTED_SIGN_IN),
        ([FAILED, row(587, certificate="name"), row(465, "tls")], 2, Worth.TRUSTED_SIGN_IN),
        ([row(25, mechanisms=()), row(587)], 1, Worth.TRUSTED_SIGN_IN),
        ([row(25, mechanisms=()), row(587, certificate="expired")], 1, Worth.SIGN_IN),
        ([row(25, mechanisms=()), CLEAR], 0, Worth.TRUSTED),
        ([CLEAR, row(587, certificate="unknown", mechanisms=())], 1, Worth.ENCRYPTED),
        ([FAILED, CLEAR], 1, Worth.CLEAR),
    ],
)
def test_the_best_answer_is_recommended_and_never_clear_text_beside_encryption(rows, place, worth):
    found = recommend(rows)
    assert (found.place, found.worth) == (place, worth)


def test_without_an_answer_nothing_is_recommended():
    assert recommend([]) is None
    assert recommend([FAILED]) is None


@pytest.mark.parametrize("tls", ["", "TLSv1.3"])
def test_an_unencrypted_answer_is_worth_the_least(tls):
    assert worth_of(row(25, "none", "", tls_version=tls)) is Worth.CLEAR


# What is filled in


def test_the_settings_go_into_the_form_with_the_user_name_of_the_providers_rule():
    changes = correction_for(row(preset="web-de"), address="shop@web.de").changes
    assert changes == {
        "host": "smtp.example.com",
        "port": "587",
        "security": "starttls",
        "auth": "password",
        "username": "shop",
        "from_address": "shop@web.de",
    }
    assert correction_for(row(preset="sendgrid"), address="s@example.com").changes["username"] == "apikey"
    assert "username" not in correction_for(row(preset="ses"), address="s@example.com").changes
    assert correction_for(row(), address="s@example.com").changes["username"] == "s@example.com"
    assert "username" not in correction_for(row()).changes


def test_what_was_typed_as_user_and_sender_stays():
    held = {"username": "me", "from_address": "me@example.org"}
    assert {"username", "from_address"}.isdisjoint(
        correction_for(row(), address="s@e.com", held=held).changes
    )


def test_a_server_that_offers_no_sign_in_gets_none():
    changes = correction_for(row(mechanisms=()), address="s@example.com").changes
    assert changes["auth"] == "none"
    assert "username" not in changes

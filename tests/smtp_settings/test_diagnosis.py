"""The table of causes: a test per row, and what holds for all of them. No database."""

import re

import pytest

from smtp_settings.correction import FIELDS
from smtp_settings.diagnosis import NOTES, TABLE, Known, Symptom, Who, diagnose, minutes_named, notes
from smtp_settings.explaining import WORDS, explain, label_of
from smtp_settings.explaining.providers import known_of
from smtp_settings.explaining.words import named_in
from tests.smtp_settings.typical_replies import REPLIES

SETTINGS = {
    "transport": "smtp",
    "host": "smtp.example.com",
    "port": 587,
    "security": "starttls",
    "verification": "full",
    "auth": "password",
    "username": "shop@example.com",
    "from_address": "news@example.com",
    "bounce_address": "",
    "mechanism": "auto",
    "ip_version": "any",
    "ca": "",
    "ehlo_name": "",
    "connect_timeout": 10,
    "command_timeout": 60,
    "max_connections": 4,
    "messages_per_connection": 100,
    "per_minute": 0,
    "max_size": 10,
    "program": "/usr/sbin/sendmail",
    "directory": "/var/pickup",
    "region": "us",
}
EVERYTHING = {
    "address": "192.0.2.1",
    "our_address": "198.51.100.9",
    "certificate_names": "mail.hosting.example",
    "certificate_sha256": "3A:9F",
    "certificate_starts_at": "2026-11-01T00:00:00+00:00",
    "certificate_expires_at": "2026-11-03T00:00:00+00:00",
    "size": "20000000",
    "size_bytes": "30000000",
    "rcpt_to": "ann@example.com",
}


def seen(**facts):
    return {"seen": EVERYTHING | facts}


def error(phase, reason, **facts):
    return Symptom(phase, reason, **seen(**facts))


def reply(phase, words, **facts):
    """The symptom of a reply written as a server writes it."""
    found = re.fullmatch(r"(\d{3})(?: ([245]\.\d+\.\d+))? ?(.*)", words)
    return Symptom(phase, code=int(found[1]), enhanced=found[2] or "", text=found[3], **seen(**facts))


#: id -> (symptom, settings that differ, what is known of the provider)
ROWS = {
    "token1": (error("secret", "sealed"), {}),
    "token2": (Symptom("token", text="AADSTS700082: The refresh token has expired"), {}),
    "token3": (Symptom("token", text="invalid_client"), {}),
    "token4": (Symptom("token", text="AADSTS700016: Application not found"), {}),
    "token5": (Symptom("token", text="AADSTS65001: consent"), {}),
    "token6": (Symptom("token", code=503), {}),
    "name1": (error("dns", "bad-name"), {"host": "https://smtp.example.com:465/"}),
    "port1": (error("dns", "port"), {"port": 22}),
    "name2": (error("dns", "bad-name"), {"host": "smtp..example.com"}),
    "name3": (error("dns", "no-name"), {"host": "smtp.gmial.com"}, Known(near="smtp.gmail.com")),
    "name4": (error("dns", "no-name"), {}),
    "name5": (error("dns", "no-answer"), {}),
    "name6": (error("dns", "no-address"), {"ip_version": "6"}),
    "name7": (error("dns", "address"), {}),
    "connect1": (error("connect", "refused", address="127.0.0.1"), {"host": "localhost"}),
    "connect2": (error("connect", "refused"), {}),
    "connect3": (error("connect", "timeout"), {"port": 25}),
    "connect4": (error("connect", "timeout"), {}),
    "connect5": (error("connect", "unreachable"), {}),
    "connect6": (error("connect", "forbidden"), {}),
    "connect7": (error("connect", "exhausted"), {}),
    "source1": (error("connect", "source-address"), {}),
    "banner1": (error("banner", "timeout", tls_from_the_first_byte="yes"), {}),
    "banner2": (error("banner", "lost", tls_from_the_first_byte="yes"), {}),
    "banner3": (error("banner", "timeout", tls_from_the_first_byte="no"), {}),
    "banner4": (error("banner", "lost"), {}),
    "banner5": (error("banner", "http"), {}),
    "banner6": (error("banner", "ssh"), {}),
    "banner7": (error("banner", "not-smtp"), {}),
    "banner8": (reply("banner", "421 4.7.0 Too many concurrent SMTP connections"), {}),
    "banner9": (reply("banner", "554 5.7.1 blocked using zen.spamhaus.org"), {}),
    "banner10": (reply("banner", "554 5.7.1 go away"), {}),
    "ehlo1": (reply("ehlo", "421 4.7.0 Try again later, closing connection. gsmtp"), {}),
    "ehlo2": (reply("ehlo", "501 5.5.4 Invalid domain name"), {}),
    "ehlo3": (error("ehlo", "lost"), {}),
    "tls1": (error("tls", "not-offered"), {}),
    "tls2": (reply("tls", "454 4.7.0 TLS not available"), {}),
    "tls3": (error("tls", "no-tls"), {"security": "tls"}),
    "tls4": (error("tls", "timeout"), {"security": "tls"}),
    "tls5": (error("tls", "name", certificate_server="mail.hosting.example"), {"host": "192.0.2.1"}),
    "tls6": (error("tls", "name", certificate_server="mail.hosting.example"), {}),
    "tls7": (Symptom("tls", "self-signed", pem="-----BEGIN", **seen()), {}),
    "tls8": (Symptom("tls", "unknown", pem="-----BEGIN", **seen()), {}),
    "tls9": (error("tls", "expired"), {}),
    "tls10": (error("tls", "early"), {}),
    "tls11": (error("tls", "weak"), {}),
    "tls12": (error("tls", "version"), {}),
    "tls13": (error("tls", "cipher"), {}),
    "tls14": (error("tls", "client-certificate"), {}),
    "tls15": (error("tls", "surplus"), {}),
    "chain1": (error("tls", "long"), {}),
    "ca1": (error("tls", "own-ca"), {}),
    "tls16": (error("tls", "cut"), {}),
    "token7": (error("token", "not-connected"), {}),
    "token8": (error("token", "account"), {}),
    "token9": (error("token", "scope"), {}),
    "token10": (error("token", "not-usable"), {}),
    "token11": (error("token", "address"), {}),
    "token12": (reply("token", "400 access_denied The user said no"), {}),
    "auth1": (error("auth", "not-offered", capabilities="SIZE, STARTTLS"), {"security": "none"}),
    "clear1": (error("auth", "not-encrypted", capabilities="SIZE"), {"security": "none"}),
    "auth2": (error("auth", "not-offered", tls_version="TLSv1.3"), {}),
    "secret1": (error("auth", "credentials"), {}),
    "secret2": (error("auth", "no-password"), {}),
    "auth3": (reply("auth", "538 5.7.11 Encryption required"), {"security": "none"}),
    "auth4": (error("auth", "no-mechanism", mechanisms="XOAUTH2 OAUTHBEARER"), {}),
    "auth5": (error("auth", "no-mechanism", mechanisms="NTLM GSSAPI"), {}),
    "auth6": (reply("auth", "504 5.7.4 Unrecognized", mechanism="LOGIN", mechanisms="LOGIN PLAIN"), {}),
    "auth7": (reply("auth", "535 5.7.139 SmtpClientAuthentication is disabled for the Tenant."), {}),
    "auth8": (reply("auth", "535 5.7.139 SmtpClientAuthentication is disabled for the Mailbox."), {}),
    "auth9": (reply("auth", "535 5.7.139 the request did not meet the criteria"), {}),
    "auth10": (reply("auth", "550 5.7.30 Basic authentication is not supported"), {}),
    "auth11": (reply("auth", "535 5.7.3 Authentication unsuccessful"), {"auth": "oauth2"}),
    "auth12": (reply("auth", "535 5.7.3 Authentication unsuccessful"), {}),
    "auth13": (reply("auth", "535 5.7.8 no", explanation='{"status":"400"}'), {"auth": "oauth2"}),
    "auth14": (reply("auth", "534 5.7.9 Application-specific password required. gsmtp"), {}),
    "auth15": (reply("auth", "534 5.7.14 Please log in via your web browser. gsmtp"), {}),
    "auth16": (reply("auth", "451 Authentication failed: Maximum credits exceeded"), {}),
    "auth17": (reply("auth", "525 5.7.13 User account disabled"), {}),
    "auth18": (reply("auth", "421 4.7.0 Too many failed login attempts"), {}),
    "auth19": (reply("auth", "454 4.7.0 Temporary authentication failure"), {}),
    "auth20": (reply("auth", "535 no"), {}, Known(provider="SendGrid", user="apikey")),
    "auth21": (
        reply("auth", "535 Authentication Credentials Invalid"),
        {"host": "email-smtp.eu-west-1.amazonaws.com"},
    ),
    "auth22": (reply("auth", "535 5.7.8 Username and Password not accepted. x - gsmtp"), {}),
    "auth23": (reply("auth", "535 5.7.8 no", password_letters="not only English"), {}),
    "auth24": (reply("auth", "535 5.7.8 Error: authentication failed"), {}),
    "auth25": (error("auth", "lost"), {}),
    "send1": (error("dot", "timeout"), {}),
    "send2": (error("mail", "lost"), {}),
    "send3": (reply("mail", "530 5.7.0 Must issue a STARTTLS command first"), {"security": "none"}),
    "send4": (reply("mail", "530 5.7.57 Client not authenticated to send mail"), {}),
    "send5": (reply("dot", "554 5.2.252 SendAsDenied; not allowed to send as"), {}),
    "send6": (reply("mail", "550 5.1.8 Sender address does not exist"), {}),
    "send7": (reply("rcpt", "553 5.7.1 Sender address rejected: not owned by user shop"), {}),
    "send8": (
        reply(
            "dot",
            "554 Message rejected: Email address is not verified. The following identities failed the check "
            "in region EU-WEST-1: news@example.com",
        ),
        {"host": "email-smtp.eu-west-1.amazonaws.com"},
    ),
    "send9": (reply("mail", "550 The from address does not match a verified Sender Identity"), {}),
    "send10": (reply("rcpt", "554 5.7.1 Relay access denied"), {"auth": "none"}),
    "send11": (reply("rcpt", "554 5.7.1 Relay access denied"), {}),
    "send12": (reply("rcpt", "550 5.7.1 recipient is on the suppression list"), {}),
    "send13": (reply("mail", "432 4.3.2 Concurrent connections limit exceeded"), {}),
    "send14": (reply("mail", "421 4.7.0 Limit of 5 messages per connection reached"), {}),
    "send15": (reply("rcpt", "552 5.2.2 Mailbox full"), {}),
    "send16": (reply("rcpt", "450 4.2.1 The user is receiving mail at a rate that prevents"), {}),
    "send17": (reply("dot", "550 5.4.5 Daily user sending limit exceeded"), {}),
    "send18": (reply("dot", "550 5.7.1 looks like unsolicited mail"), {}),
    "send19": (reply("dot", "454 Throttling failure: Maximum sending rate"), {}, Known(per_minute=25)),
    "send20": (reply("mail", "550 5.7.708 Access denied, traffic not accepted from this IP"), {}),
    "send21": (reply("mail", "552 5.3.4 Message size exceeds fixed limit"), {"max_size": 50}),
    "send22": (reply("dot", "450 The given data was invalid. You must provide a subject"), {}),
    "send23": (reply("rcpt", "556 5.1.10 Recipient address has null MX"), {}),
    "send24": (reply("rcpt", "550 5.1.1 User unknown"), {}),
    "send25": (reply("rcpt", "452 4.5.3 Too many recipients"), {}),
    "send26": (reply("rcpt", "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup"), {}),
    "send27": (error("mail", "smtputf8"), {}),
    "send28": (reply("dot", "550 5.7.26 This message fails DMARC"), {}),
    "send29": (reply("dot", "552 5.7.0 blocked because of a potential security issue"), {}),
    "send30": (reply("mail", "452 4.3.1 Insufficient system storage"), {}),
    "send31": (reply("dot", "550 5.6.11 bare linefeeds"), {}),
    "send32": (reply("rcpt", "501 5.1.3 Bad recipient address syntax"), {}),
    "send33": (reply("rcpt", "451 4.7.1 Greylisted, try again in 300 seconds"), {}),
    "send34": (reply("data", "503 5.5.1 Bad sequence of commands"), {}),
    "send35": (reply("mail", "550 5.7.1 no"), {}),
    "send36": (reply("rcpt", "550 5.7.1 no"), {}),
    "send37": (reply("data", "451 4.3.0 Local error"), {}),
    "send38": (reply("dot", "554 5.7.1 no"), {}),
    "local1": (error("local", "ENOENT"), {"transport": "sendmail"}),
    "local2": (error("local", "EACCES"), {"transport": "pickup"}),
    "local3": (error("local", "ENOSPC"), {"transport": "pickup"}),
    "local4": (error("local", "EXDEV"), {"transport": "pickup"}),
    "local5": (Symptom("local", "exit", 75), {"transport": "sendmail"}),
    "local6": (Symptom("local", "exit", 78), {"transport": "sendmail"}),
    "local7": (Symptom("local", "exit", 65), {"transport": "sendmail"}),
    "local8": (error("local", "stopped"), {"transport": "sendmail"}),
    "local9": (error("local", "still-there"), {"transport": "pickup"}),
    "local10": (error("find", "not-allowed"), {"transport": "sendmail"}),
    "local11": (error("find", "maildrop"), {"transport": "pickup"}),
    "local12": (error("find", "not-installed"), {"transport": "ses"}),
    "local13": (error("local", "addresses"), {"transport": "pickup"}),
    "api7": (Symptom("api", code=413), {"transport": "mailgun"}),
    "api8": (error("key", "credentials"), {"transport": "ses"}),
    "api9": (Symptom("api", code=400, text="to parameter is not valid"), {"transport": "mailgun"}),
    "api10": (Symptom("identity", code=404, text="NotFoundException: x"), {"transport": "ses"}),
    "api1": (Symptom("api", code=401, text="Forbidden"), {"transport": "mailgun"}),
    "api2": (Symptom("api", code=404), {"transport": "mailgun"}),
    "api3": (Symptom("api", code=200), {"transport": "mailgun"}),
    "api4": (Symptom("api", code=402), {"transport": "mailgun"}),
    "api5": (Symptom("api", code=429), {"transport": "mailgun"}),
    "api6": (error("api", "timeout"), {"transport": "mailgun"}),
    "after1": (error("after", "missing"), {}),
    "after2": (error("after", "spam"), {}),
    "fault1": (error("fault", ""), {}),
    "other": (error("quit", "other"), {}),
}  # fmt: skip
NOTED = {
    "connect8": ({"failed_addresses": "2001:db8::1", "address": "192.0.2.1"}, {}),
    "banner11": ({"greeting": "mx.hosting.net ESMTP"}, {"security": "none"}),
    "after3": ({"rcpt_to": "ann@example.com"}, {"auth": "none"}),
    "after4": ({}, {"security": "none"}),
    "after6": ({"capabilities": "PIPELINING, STARTTLS"}, {"security": "none"}),
    "after5": ({"size": "9437184"}, {"max_size": 10}),
}


def found_for(id_):
    symptom, differing, *known = ROWS[id_]
    return diagnose(symptom, SETTINGS | differing, *known)


@pytest.mark.parametrize("id_", ROWS)
def test_a_row_is_found_for_what_it_is_about(id_):
    assert found_for(id_).id == id_


@pytest.mark.parametrize("id_", NOTED)
def test_a_note_is_made_for_what_it_is_about(id_):
    facts, differing = NOTED[id_]
    told = [one.id for one in notes(Symptom("", seen=facts), SETTINGS | differing)]
    assert id_ in told
    assert id_ not in [one.id for one in notes(Symptom(""), SETTINGS)]


def test_every_row_has_its_test_and_its_words():
    ids = {row.id for rows in TABLE.values() for row in rows}
    assert ids | {"other"} == set(ROWS)
    assert {row.id for row in NOTES} == set(NOTED)
    assert ids | set(NOTED) | {"other"} <= set(WORDS)


@pytest.mark.parametrize("id_", ROWS)
def test_a_sentence_names_only_facts_there_are_and_is_never_left_open(id_):
    found = found_for(id_)
    told = explain(found)
    for text in (told.cause, *told.advice):
        assert "%(" not in text
        assert "…" not in text
    assert told.cause.strip()
    for template in WORDS[id_].templates():
        facts = {*found.facts, "now", "size", "limit", "minutes"}
        assert named_in(template) <= facts


@pytest.mark.parametrize("id_", ROWS)
def test_without_any_fact_there_still_is_a_whole_sentence(id_):
    symptom, _differing, *known = ROWS[id_]
    bare = Symptom(symptom.phase, symptom.reason, symptom.code, symptom.enhanced, symptom.text)
    told = explain(diagnose(bare, {}, *known))
    assert told.cause
    assert "%(" not in told.cause


@pytest.mark.parametrize("id_", ROWS)
def test_a_button_changes_what_differs_and_nothing_else(id_):
    _symptom, differing, *_ = ROWS[id_]
    values = SETTINGS | differing
    for one in explain(found_for(id_)).corrections:
        assert one.label
        assert set(one.changes) <= FIELDS
        assert any(str(values.get(name)) != value for name, value in one.changes.items())


#: The buttons whose value is known.
BUTTONS = {
    "name1": [{"host": "smtp.example.com"}],
    "name3": [{"host": "smtp.gmail.com"}],
    "name6": [{"ip_version": "any"}],
    "connect2": [{"port": "465", "security": "tls"}, {"port": "2525", "security": "starttls"}],
    "connect3": [{"port": "587", "security": "starttls"}],
    "connect5": [{"ip_version": "4"}],
    "banner1": [{"security": "tls"}],
    "banner2": [{"security": "tls"}],
    "banner8": [{"max_connections": "3"}],
    "tls1": [{"port": "465", "security": "tls"}],
    "tls3": [{"security": "starttls"}],
    "tls4": [{"port": "587", "security": "starttls"}],
    "tls5": [{"host": "mail.hosting.example"}],
    "tls6": [{"host": "mail.hosting.example"}],
    "tls7": [{"ca": "-----BEGIN\n"}],
    "tls8": [{"ca": "-----BEGIN\n"}],
    "auth1": [{"security": "starttls"}],
    "auth2": [{"auth": "none"}],
    "auth3": [{"security": "starttls"}],
    "auth4": [{"auth": "oauth2"}],
    "auth6": [{"mechanism": "plain"}],
    "auth10": [{"auth": "oauth2"}],
    "auth20": [{"username": "apikey"}],
    "send3": [{"security": "starttls"}],
    "send5": [{"from_address": "shop@example.com"}],
    "send7": [{"from_address": "shop@example.com"}],
    "send13": [{"max_connections": "2"}],
    "send14": [{"messages_per_connection": "5"}],
    "send19": [{"per_minute": "25"}],
    "send21": [{"max_size": "20"}],
    "api2": [{"region": "eu"}],
}


@pytest.mark.parametrize("id_", BUTTONS)
def test_a_known_value_is_a_button(id_):
    assert [dict(one) for one in found_for(id_).fixes] == BUTTONS[id_]


@pytest.mark.parametrize(
    "id_", ["send15", "send24", "send29", "send33", "send37", "send38", "auth19", "tls2"]
)
def test_where_nobody_can_change_a_setting_the_settings_are_fine_so_far(id_):
    told = explain(found_for(id_))
    assert told.fine == "Settings are fine up to here."
    assert told.diagnosis.who in (Who.RECIPIENT, Who.MESSAGE, Who.WAIT)


@pytest.mark.parametrize("id_", ["auth24", "banner9", "tls9", "connect4", "send1"])
def test_elsewhere_nothing_is_said_of_the_settings(id_):
    assert explain(found_for(id_)).fine == ""


#: UX 4.3: the wording is fixed.
FIXED = {
    "connect2": "The machine answers, but nothing listens on port 587.",
    "connect3": "The server did not answer on port 25 within 10 s.",
    "name4": "The name “smtp.example.com” does not exist.",
    "banner6": "This is not a mail sending server: it speaks SSH.",
    "tls6": "The certificate is for mail.hosting.example, not for smtp.example.com.",
    "tls9": "The certificate expired on 3 Nov 2026.",
    "tls7": "Not signed by a known authority, but by itself. SHA-256 3A:9F",
    "auth24": "The server refused the user name or password.",
    "send33": "The server asks to try again in 5 minutes. Settings look fine.",
    "send35": "This account may not send as news@example.com.",
    "send21": "The message (30.0 MB) is larger than the server allows (20.0 MB).",
    "send8": (
        "Amazon SES: news@example.com is not verified in eu-west-1. In the sandbox recipients must be, too."
    ),
}


@pytest.mark.parametrize("id_", FIXED)
def test_the_sentence_is_the_specified_one(id_):
    assert explain(found_for(id_)).cause == FIXED[id_]


def test_an_enhanced_code_counts_for_its_own_step_only():
    assert diagnose(reply("mail", "550 5.1.1 no"), SETTINGS).id == "send35"
    assert diagnose(reply("rcpt", "550 5.1.1 no"), SETTINGS).id == "send24"


@pytest.mark.parametrize(
    ("host", "meant"),
    [
        ("https://smtp.example.com/", "smtp.example.com"),
        ("shop@smtp.example.com", "smtp.example.com"),
        ("smtp.example.com:465", "smtp.example.com"),
        (" smtp.example.com ", None),
        ("/", ""),
        ("2001:db8::1", None),
    ],
)
def test_more_than_a_name_is_cut_down_to_the_name(host, meant):
    found = diagnose(Symptom("dns", "bad-name"), SETTINGS | {"host": host})
    assert [dict(one) for one in found.fixes] == ([{"host": meant}] if meant else [])
    assert (found.id == "name1") is (meant is not None)


def test_a_certificate_is_trusted_beside_those_that_are():
    values = SETTINGS | {"ca": "FIRST\n"}
    [fix] = diagnose(Symptom("tls", "self-signed", pem="SECOND\n"), values).fixes
    assert fix == {"ca": "FIRST\nSECOND\n"}
    assert not diagnose(Symptom("tls", "self-signed", pem="FIRST\n"), values).fixes


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("try again in 300 seconds", 5),
        ("Greylisted for 5 minutes", 5),
        ("wait 1 h", 60),
        ("10s", 1),
        ("later", None),
    ],
)
def test_the_wait_a_server_names_is_told_in_minutes(text, minutes):
    assert minutes_named(text) == minutes


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"security": "tls"}, "Use TLS from the first byte"),
        ({"port": "587", "security": "starttls"}, "Use STARTTLS on 587"),
        ({"ca": "x"}, "Trust this certificate"),
        ({"host": "mail.example"}, "Use mail.example"),
        ({"auth": "none"}, "Do not sign in"),
        ({"mechanism": "plain"}, "Use PLAIN"),
    ],
)
def test_a_button_says_what_it_does(changes, label):
    assert label_of(changes) == label


@pytest.mark.parametrize(("size", "limit"), [("1900", "50000000"), ("150", "100"), ("20000000", "20000000")])
def test_sizes_that_explain_nothing_are_not_compared(size, limit):
    """A server may refuse less than it announced, and 0.0 MB is not larger than 0.0 MB."""
    symptom = reply("dot", "552 5.3.4 Too big", size_bytes=size, size=limit)
    found = explain(diagnose(symptom, SETTINGS))
    assert found.cause == "The message is larger than the server allows."


def test_a_symptom_survives_being_stored():
    symptom = reply("rcpt", "550 5.1.1 User unknown")
    assert Symptom.from_json(symptom.to_json() | {"of a later version": 1}) == symptom


@pytest.mark.parametrize(
    ("step", "server", "words", "id_"),
    REPLIES,
    ids=[f"{n}-{id_}" for n, (*_, id_) in enumerate(REPLIES)],
)
def test_a_typical_reply_is_understood(step, server, words, id_):
    symptom = reply(step, words)
    assert diagnose(symptom, SETTINGS | {"host": server}, known_of({"host": server})).id == id_

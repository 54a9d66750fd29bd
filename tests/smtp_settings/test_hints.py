"""Hints: what is said about values before anything is tested, and what numbers come to."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery import retry
from smtp_settings.entries import rules
from smtp_settings.hints import Known, Tone, hints, port_for, previews, retrying, shape_of, stops
from smtp_settings.models import SMTPProfile
from smtp_settings.presets import by_key

SECRET = "hunter2-very-secret"
FORM = {
    "transport": "smtp",
    "host": "smtp.example.com",
    "port": "587",
    "security": "starttls",
    "auth": "password",
    "username": "alex@example.com",
    "from_address": "alex@example.com",
    "verification": "full",
    "retry_delay": "60",
    "retry_cap": "14400",
    "give_up_hours": "48",
    "backoff": "exponential",
    "per_minute": "0",
    "per_hour": "0",
    "per_day": "0",
    "max_connections": "4",
    "messages_per_connection": "100",
    "max_size": "10",
}


def said(known=None, **values):
    """Field, sentence and tone of every hint about a form with these values."""
    return [(hint.field, hint.sentence, str(hint.tone)) for hint in hints(FORM | values, known)]


def the_hint(known=None, **values):
    """The one hint about a form with these values."""
    [hint] = hints(FORM | values, known)
    return hint


def cures(hint):
    return [dict(one.changes) for one in hint.corrections]


def test_good_settings_are_not_commented_on():
    assert said() == []


def test_other_methods_are_not_judged_by_the_rules_for_smtp():
    assert said(transport="pickup", host="https://x", port="143") == []


# Port and security

TLS_PORT = "Port {} normally expects TLS from the first byte. The test will show whether this works."
STARTTLS_PORT = "Port {} normally uses STARTTLS. The test will show whether this works."
BETWEEN = "Port 25 is for mail between servers. Many networks block it. 587 is the usual port."
STARTS_CLEAR = "Port 25 normally starts unencrypted. The test will show whether this works."
SANDBOX = "Port 1025 is usual for mail sandboxes, which do not encrypt."


@pytest.mark.parametrize(
    ("port", "security", "sentence", "cure"),
    [
        ("465", "starttls", TLS_PORT.format(465), {"security": "tls"}),
        ("2465", "starttls", TLS_PORT.format(2465), {"security": "tls"}),
        ("465", "tls", None, None),
        ("2465", "tls", None, None),
        ("465", "none", TLS_PORT.format(465), {"security": "tls"}),
        ("587", "starttls", None, None),
        ("2525", "starttls", None, None),
        ("2587", "starttls", None, None),
        ("587", "tls", STARTTLS_PORT.format(587), {"security": "starttls"}),
        ("2525", "tls", STARTTLS_PORT.format(2525), {"security": "starttls"}),
        ("587", "none", None, None),
        ("25", "starttls", BETWEEN, {"port": "587"}),
        ("25", "tls", STARTS_CLEAR, {"security": "starttls"}),
        ("25", "none", None, None),
        ("1025", "starttls", SANDBOX, {"security": "none"}),
        ("1025", "tls", SANDBOX, {"security": "none"}),
        ("1025", "none", None, None),
        ("26", "starttls", None, None),
        ("26", "tls", None, None),
        ("26", "none", None, None),
    ],
)
def test_a_port_and_a_security_that_do_not_go_together(port, security, sentence, cure):
    found = [
        one
        for one in hints(FORM | {"port": port, "security": security, "auth": "none"})
        if one.field == "port"
    ]
    assert [one.sentence for one in found] == ([sentence] if sentence else [])
    assert [cures(one) for one in found] == ([[cure]] if cure else [])
    assert all(one.tone is Tone.HINT for one in found)


@pytest.mark.parametrize(
    ("security", "port", "follows"),
    [
        ("starttls", "465", "587"),
        ("starttls", "25", "587"),
        ("starttls", "", "587"),
        ("starttls", "1587", "1587"),
        ("tls", "587", "465"),
        ("tls", "25", "465"),
        ("tls", "2525", "465"),
        ("tls", "4465", "4465"),
        ("none", "587", "25"),
        ("none", "465", "25"),
        ("none", "2587", "25"),
        ("none", "1025", "1025"),
    ],
)
def test_the_port_follows_the_security_unless_it_is_ones_own(security, port, follows):
    assert port_for(security, port) == follows


def test_the_port_follows_to_the_providers_own():
    assert port_for("starttls", "465", by_key("smtp2go")) == "2525"
    assert port_for("tls", "587", by_key("postmark")) == "465"  # which it does not have: a hint says so
    assert port_for("tls", "1025", has_sandbox=True) == "465"
    assert port_for("whatever", "587") == "587"


def test_a_port_the_provider_does_not_have():
    hint = the_hint(
        host="smtp.mx.cloudflare.net", username="api_token", known=Known(verified_domains={"example.com"})
    )
    assert (hint.field, hint.sentence) == ("port", "Cloudflare Email Service does not list port 587.")
    assert cures(hint) == [{"port": "465", "security": "tls"}]


def test_a_port_that_is_not_allowed_stops():
    known = Known(allowed_ports=(25, 587, range(1025, 1031)))
    assert said(known, port="8025") == [
        ("port", "Port 8025 is not allowed here. An operator can add it.", "stop")
    ]
    assert said(known, port="1030") == []
    assert [one.field for one in stops(FORM | {"port": "8025"}, known)] == ["port"]


@pytest.mark.parametrize("port", ["", "abc", "-1", "٥٨٧", "999999999999"])
def test_a_port_that_is_no_number_is_left_to_the_form(port):
    assert said(port=port) == []


CLEAR = "Nothing is encrypted: anyone on the way can read the messages, the user name and the password."
UNCHECKED = "The certificate is not checked. Another machine could pretend to be this server."


def test_no_encryption_warns_and_with_a_password_stops_without_the_tick():
    assert said(security="none", port="26", auth="none") == [("security", CLEAR, "warn")]
    assert said(security="none", port="26") == [("security", CLEAR, "stop")]
    assert said(security="none", port="26", accepts_clear_auth="on") == [("security", CLEAR, "warn")]
    assert said(security="none", port="25", auth="none", host="localhost") == []


def test_an_unchecked_certificate_stops_without_the_tick():
    assert said(verification="none") == [("verification", UNCHECKED, "stop")]
    assert said(verification="none", accepts_unverified="on") == [("verification", UNCHECKED, "warn")]


@given(
    st.sampled_from(["none", "starttls", "tls"]),
    st.sampled_from(["none", "password"]),
    st.sampled_from(["full", "none"]),
    st.sampled_from(["", "on"]),
    st.sampled_from(["", "on"]),
)
def test_a_tick_that_is_missing_stops_here_exactly_when_the_form_refuses_it(
    security, auth, check, clear, unverified
):
    values = {"security": security, "auth": auth, "verification": check}
    values |= {"accepts_clear_auth": clear, "accepts_unverified": unverified}
    here = {"security": "accepts_clear_auth", "verification": "accepts_unverified"}
    found = {here[one.field] for one in stops(FORM | values)}
    assert found == {rule.field for rule in rules.broken(values, is_draft=False)}


# The server


@pytest.mark.parametrize(
    ("typed", "cleaned"),
    [
        ("smtp.example.com:2525", {"host": "smtp.example.com", "port": "2525"}),
        ("smtps://smtp.example.com", {"host": "smtp.example.com", "port": "465"}),
        ("https://smtp.example.com/inbox", {"host": "smtp.example.com"}),
        ("alex@smtp.example.com", {"host": "smtp.example.com"}),
    ],
)
def test_more_than_a_host_name_stops_and_is_cured_at_one_click(typed, cleaned):
    hint = the_hint(host=typed)
    assert (hint.field, hint.sentence, hint.tone) == (
        "host",
        "Enter only the host name: smtp.example.com",
        Tone.STOP,
    )
    assert cures(hint) == [cleaned]


@pytest.mark.parametrize(
    "typed", ["smtp example com", "x..example", "<script>alert(1)</script>", "-x.example"]
)
def test_what_is_no_host_name_stops_in_the_words_of_the_form(typed):
    hint = the_hint(host=typed)
    assert hint.tone is Tone.STOP
    assert hint.sentence


@pytest.mark.parametrize("typed", ["[::1]", " smtp.example.com ", "SMTP.Example.com.", "bücher.example"])
def test_what_the_form_takes_is_taken_here(typed):
    assert stops(FORM | {"host": typed}) == []


@pytest.mark.parametrize(
    ("values", "sentence", "cure"),
    [
        ({"host": "smtp.gmial.com"}, "Did you mean smtp.gmail.com?", {"host": "smtp.gmail.com"}),
        ({"host": "smtp.live.com"}, "Replaced by smtp-mail.outlook.com.", {"host": "smtp-mail.outlook.com"}),
        ({"host": "in.mailjet.com"}, "Replaced by in-v3.mailjet.com.", {"host": "in-v3.mailjet.com"}),
        (
            {"host": "imap.gmail.com", "port": "993"},
            "This is for fetching mail. Sending is usually smtp.gmail.com, 587.",
            {"host": "smtp.gmail.com", "port": "587", "security": "starttls"},
        ),
        (
            {"host": "pop3.example.com"},
            "This is for fetching mail. Sending is usually smtp.example.com, 587.",
            {"host": "smtp.example.com", "port": "587", "security": "starttls"},
        ),
        (
            {"host": "imap.mail.yahoo.com"},
            "This is for fetching mail. Sending is usually smtp.mail.yahoo.com, 465.",
            {"host": "smtp.mail.yahoo.com", "port": "465", "security": "tls"},
        ),
        (
            {"host": "example-com.mail.protection.outlook.com", "port": "25"},
            "This receives mail for the domain. It sends only for machines it lists.",
            {"host": "smtp.office365.com", "port": "587", "security": "starttls"},
        ),
        ({"host": "192.0.2.7"}, "Certificates are for names. Few hold an address: the check fails.", None),
        (
            {"host": "email-smtp.us-east-1.amazonaws.com", "preset": "ses", "preset_region": "eu-west-1"},
            "The password belongs to eu-west-1.",
            {"host": "email-smtp.eu-west-1.amazonaws.com"},
        ),
    ],
)
def test_a_server_that_is_probably_another(values, sentence, cure):
    [hint] = [one for one in hints(FORM | values) if one.field == "host"]
    assert hint.sentence == sentence
    assert cures(hint) == ([cure] if cure else [])


def test_a_port_for_fetching_is_the_ports_fault():
    hint = the_hint(port="993", security="tls")
    assert (hint.field, hint.sentence) == (
        "port",
        "This is for fetching mail. Sending is usually smtp.example.com, 587.",
    )


def test_an_address_is_fine_where_no_name_is_checked():
    assert said(host="192.0.2.7", verification="none", accepts_unverified="on")[0][0] == "verification"
    assert [field for field, *_rest in said(host="192.0.2.7", security="none", auth="none", port="26")] == [
        "security"
    ]


def test_the_mx_of_the_domain_only_receives_but_a_small_server_does_both():
    known = Known(mx=("mail.example.com",))
    assert "host" in [field for field, *_rest in said(known, host="mail.example.com", port="25")]
    assert said(known, host="mail.example.com") == []


# Sign-in


@pytest.mark.parametrize(
    ("values", "sentence", "cure"),
    [
        (
            {"host": "smtp.sendgrid.net", "username": "alex"},
            "At SendGrid the user name is always apikey.",
            "apikey",
        ),
        (
            {"host": "smtp.resend.com", "port": "465", "security": "tls", "username": "x"},
            "At Resend the user name is always resend.",
            "resend",
        ),
        (
            {"host": "smtp.sendgrid.net", "username": "SG.abcdef"},
            "This looks like the API key. It belongs in Password.",
            "apikey",
        ),
        ({"username": "re_123456"}, "This looks like the API key. It belongs in Password.", None),
        (
            {"host": "smtp.web.de", "username": "alex@web.de", "from_address": ""},
            "At WEB.DE the user name is the part before the @.",
            "alex",
        ),
        (
            {"host": "smtp.gmail.com", "username": "alex"},
            "At Gmail the user name is the full address.",
            "alex@example.com",
        ),
        (
            {"host": "smtp.gmail.com", "username": "someone"},
            "At Gmail the user name is the full address.",
            None,
        ),
    ],
)
def test_a_user_name_against_the_providers_rule(values, sentence, cure):
    [hint] = [one for one in hints(FORM | values) if one.field == "username"]
    assert (hint.sentence, hint.tone) == (sentence, Tone.WARN)
    assert cures(hint) == ([{"username": cure}] if cure else [])


@pytest.mark.parametrize(
    "values",
    [
        {"host": "smtp.sendgrid.net", "username": "apikey"},
        {"username": "AKIAIOSFODNN7EXAMPLE"},
        {"host": "smtp.sparkpostmail.com", "username": "SMTP_Injection:X-MSYS-SUBACCOUNT=7"},
        {"host": "email-smtp.eu-west-1.amazonaws.com", "username": "AKIAIOSFODNN7EXAMPLE"},
        {"host": "smtp.mandrillapp.com", "username": "anything"},
        {"host": "smtp.sendgrid.net", "username": ""},
        {"host": "smtp.sendgrid.net", "username": "alex", "auth": "none"},
    ],
)
def test_a_right_user_name_is_not_commented_on(values):
    assert not [one for one in hints(FORM | values) if one.field == "username"]


@pytest.mark.parametrize(
    ("host", "username", "password", "sentence"),
    [
        ("smtp.example.com", "alex", f" {SECRET}", "The password starts with a space."),
        ("smtp.example.com", "alex", f"{SECRET} ", "The password ends with a space."),
        ("smtp.example.com", SECRET, SECRET, "User name and password are the same."),
        (
            "smtp.example.com",
            "alex",
            "AKIAIOSFODNN7EXAMPLE",
            "This looks like an access key ID. It belongs in User name.",
        ),
        (
            "email-smtp.eu-west-1.amazonaws.com",
            "AKIAIOSFODNN7EXAMPLE",
            "s" * 40,
            "This looks like a secret access key.",
        ),
        (
            "email-smtp.eu-west-1.amazonaws.com",
            "AKIAIOSFODNN7EXAMPLE",
            "s" * 30,
            "At Amazon SES it has 44 characters.",
        ),
        ("smtp.sendgrid.net", "apikey", SECRET, "At SendGrid it begins with SG."),
        ("smtp.gmail.com", "alex@gmail.com", SECRET, "At Google it has 16 characters."),
        ("smtp.example.com", "alex", SECRET, None),
        ("smtp.postmarkapp.com", SECRET, SECRET, None),
        ("email-smtp.eu-west-1.amazonaws.com", "AKIAIOSFODNN7EXAMPLE", "s" * 44, None),
        ("smtp.sendgrid.net", "apikey", "SG.x", None),
        ("smtp.gmail.com", "alex@gmail.com", "abcdefghijklmnop", None),
        ("smtp.example.com", "", "", None),
    ],
)
def test_the_shape_of_a_password(host, username, password, sentence):
    known = Known(password=shape_of(password, username))
    found = [
        one for one in hints(FORM | {"host": host, "username": username}, known) if one.field == "password"
    ]
    assert [one.sentence for one in found] == ([sentence] if sentence else [])


@given(st.text(min_size=5), st.text())
def test_of_a_password_nothing_is_kept_but_its_length_and_kind(password, username):
    shape = shape_of(password, username)
    assert shape.prefix in {"", "SG.", "re_", "secret_", "AKIA"}
    assert {type(value) for value in (shape.length, shape.prefix, shape.is_username)} == {int, str, bool}


def test_no_hint_repeats_a_password_or_a_key_in_the_wrong_field():
    key = "SG.nobody-may-see-this"
    for username in ("apikey", key):
        found = hints(
            FORM | {"host": "smtp.sendgrid.net", "username": username},
            Known(password=shape_of(key, username)),
        )
        assert key not in repr(found)


@pytest.mark.parametrize(
    ("today", "begins", "tone"),
    [
        (
            date(2026, 11, 21),
            "Microsoft turns off password sign-in by default at the end of December 2026.",
            "hint",
        ),
        (
            date(2027, 1, 1),
            "Microsoft turned off password sign-in by default at the end of December 2026.",
            "warn",
        ),
        (None, "Microsoft turns off", "hint"),
    ],
)
def test_the_end_of_passwords_at_microsoft_is_said_with_its_date(today, begins, tone):
    hint = the_hint(Known(today=today), host="smtp.office365.com", max_connections="2")
    assert (hint.field, str(hint.tone)) == ("auth", tone)
    assert hint.sentence.startswith(begins)


def test_with_oauth_there_is_nothing_to_say_about_the_end_of_passwords():
    assert said(host="smtp.office365.com", auth="oauth2", max_connections="2") == []


# The sender


@pytest.mark.parametrize(
    ("values", "known", "sentence"),
    [
        (
            {"host": "smtp.gmail.com", "username": "alex@gmail.com"},
            None,
            "Google will replace or refuse another From.",
        ),
        (
            {
                "host": "smtp.office365.com",
                "username": "alex@other.example",
                "auth": "oauth2",
                "max_connections": "2",
            },
            None,
            "Microsoft will replace or refuse another From.",
        ),
        (
            {"host": "smtp.sendgrid.net", "username": "apikey", "from_address": "shop@gmail.com"},
            None,
            "Receivers refuse gmail.com mail that does not come from Google (DMARC).",
        ),
        (
            {"host": "smtp.sendgrid.net", "username": "apikey", "from_address": "shop@yahoo.de"},
            None,
            "Receivers refuse yahoo.de mail that does not come from Yahoo (DMARC).",
        ),
        ({"host": "smtp.sendgrid.net", "username": "apikey"}, None, "Verify example.com at SendGrid first."),
        (
            {"host": "smtp.gmail.com", "username": "a@gmail.com", "from_address": "a@gmail.com"},
            None,
            "This is a personal mailbox. Use an account made for sending.",
        ),
        ({}, Known(mx=()), "Replies and bounces cannot arrive."),
        (
            {"from_address": "Alex@Example.com"},
            Known(senders={"alex@example.com": "EU relay"}),
            "EU relay sends as this address, too.",
        ),
        (
            {"from_address": "no-reply@example.com"},
            None,
            "Nobody can answer this address. A Reply-to address that is read helps.",
        ),
    ],
)
def test_a_from_address_that_will_not_do(values, known, sentence):
    found = [one for one in hints(FORM | values, known) if one.field == "from_address"]
    assert sentence in [one.sentence for one in found]


@pytest.mark.parametrize(
    ("values", "known"),
    [
        ({}, Known(mx=("mx.example.com",))),
        ({"host": "smtp.gmail.com", "username": "shop@example.com"}, None),
        ({"host": "smtp.sendgrid.net", "username": "apikey"}, Known(verified_domains={"example.com"})),
        ({"from_address": "noreply@example.com", "reply_to": "help@example.com"}, None),
        ({"from_address": ""}, Known(mx=())),
    ],
)
def test_a_good_from_address_is_not_commented_on(values, known):
    assert not [one for one in hints(FORM | values, known) if one.field == "from_address"]


@pytest.mark.parametrize(
    ("name", "is_odd"),
    [
        ("Example Shop", False),
        ("IBM", False),
        ("Bücher Müller", False),
        ("例え", False),
        ("", False),
        ("Support Team", False),
        ("EXAMPLE SHOP", True),
        ("System", True),
        ("no-reply", True),
        ("shop@example.com", True),
        ("Buy now!!", True),
        ("Everything 100% free", True),
    ],
)
def test_a_from_name_readers_or_filters_dislike(name, is_odd):
    found = [one for one in hints(FORM | {"from_name": name}) if one.field == "from_name"]
    assert bool(found) is is_odd
    assert all(one.tone is Tone.HINT for one in found)


# Limits


@pytest.mark.parametrize(
    ("field", "value", "sentence", "cure"),
    [
        ("per_minute", "31", "Microsoft 365 allows 30 a minute.", "25"),
        ("per_day", "20000", "Microsoft 365 allows 10,000 a day.", "10000"),
        ("max_connections", "4", "Microsoft 365 allows 3 connections at once.", "2"),
        ("max_size", "200", "Microsoft 365 takes messages of up to 150 MB.", "150"),
    ],
)
def test_a_limit_above_the_providers(field, value, sentence, cure):
    hint = the_hint(
        **({"host": "smtp.office365.com", "auth": "oauth2", "max_connections": "2"} | {field: value})
    )
    assert (hint.field, hint.sentence, hint.tone) == (field, sentence, Tone.WARN)
    assert cures(hint) == [{field: cure}]


def test_a_limit_at_the_providers_is_fine_and_none_is_not_held_against_anybody():
    values = {"host": "smtp.office365.com", "auth": "oauth2", "max_connections": "3", "per_minute": "30"}
    assert said(**values, per_day="0") == []


def test_a_retry_delay_shorter_than_a_greylist():
    hint = the_hint(retry_delay="59")
    assert (hint.field, hint.sentence) == ("retry_delay", "Servers that greylist ask for 5 minutes.")
    assert cures(hint) == [{"retry_delay": "300"}]


@given(
    st.dictionaries(
        st.sampled_from([*FORM, "from_name", "preset", "max_retries", "send_offset"]), st.text(max_size=30)
    )
)
def test_whatever_is_typed_the_hints_and_previews_are_sentences(values):
    for one in (*hints(FORM | values), *previews(FORM | values)):
        assert one.sentence.strip()
        assert one.field in {*FORM, "from_name", "send_offset"}


# Previews


def preview(field, **values):
    return [one.sentence for one in previews(FORM | values) if one.field == field]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "Tried again after 1, 2, 4 … 240 minutes, given up after 48 hours."),
        ({"max_retries": "3"}, "Tried again after 1, 2, 4 minutes, given up after 3 retries."),
        ({"max_retries": "1"}, "Tried again after 1 minute, given up after 1 retry."),
        ({"max_retries": "0"}, "Never tried again."),
        ({"backoff": "fixed"}, "Tried again every minute, given up after 48 hours."),
        (
            {"backoff": "fixed", "retry_delay": "300", "max_retries": "5"},
            "Tried again every 5 minutes, given up after 5 retries.",
        ),
        ({"backoff": "fixed", "retry_delay": "45"}, "Tried again every 45 seconds, given up after 48 hours."),
        (
            {"retry_delay": "30"},
            "Tried again after 30, 60, 120 seconds … 240 minutes, given up after 48 hours.",
        ),
        ({"max_retries": "9999"}, "Tried again after 1, 2, 4 … 240 minutes, given up after 48 hours."),
        (
            {"retry_delay": "60", "retry_cap": "90"},
            "Tried again after 60, 90 seconds, given up after 48 hours.",
        ),
        ({"give_up_hours": "1"}, "Tried again after 1, 2, 4 … 32 minutes, given up after 1 hour."),
        ({"give_up_hours": "120"}, "Tried again after 1, 2, 4 … 240 minutes, given up after 120 hours."),
    ],
)
def test_the_timetable_of_retries_in_words(values, sentence):
    assert preview("retry_delay", **values) == [sentence]


@pytest.mark.parametrize(
    "values",
    [
        {"retry_delay": ""},
        {"retry_delay": "0"},
        {"retry_cap": "1"},
        {"max_retries": "x"},
        {"give_up_hours": "0"},
    ],
)
def test_numbers_that_cannot_be_meant_have_no_preview(values):
    assert preview("retry_delay", **values) == []


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.booleans())
def test_the_timetable_is_the_queues_own(delay, cap, is_exponential):
    cap = max(cap, delay)
    policy = retry.Policy(
        retry_delay=timedelta(seconds=delay), retry_cap=timedelta(seconds=cap), is_exponential=is_exponential
    )
    steps = retrying.steps(delay, cap, is_exponential=is_exponential)
    queue = [retry.backoff(n, policy).total_seconds() for n in range(1, len(steps) + 3)]
    assert queue == [*steps, steps[-1], steps[-1]]


@given(st.integers(1, 3_000), st.integers(1, 20_000), st.integers(1, 40), st.integers(2, 100))
def test_what_ends_the_retries_is_what_ends_them_in_the_queue(delay, cap, limit, hours):
    cap = max(cap, delay)
    end = timedelta(hours=hours)
    policy = retry.Policy(limit, timedelta(seconds=delay), retry_cap=timedelta(seconds=cap), give_up_age=end)
    said = retrying.sentence(delay, cap, is_exponential=True, max_retries=limit, give_up_hours=hours)
    age, n = timedelta(0), 1
    while (decision := retry.decide(n, policy, age=age, jitter=0.0)).next is retry.Next.AGAIN:
        age, n = age + decision.delay, n + 1
    ends_by_age = decision.next is retry.Next.EXPIRED or age >= end
    assert (f"given up after {hours} hours" in said) is ends_by_age


def test_the_profiles_default_is_the_queues():
    default = SMTPProfile._meta.get_field("give_up_hours").default
    assert timedelta(hours=default) == retry.Policy().give_up_age


@pytest.mark.parametrize(
    ("values", "field", "sentences"),
    [
        ({"per_minute": "25"}, "per_minute", ["25 per minute is about 1,500 an hour, 36,000 a day."]),
        ({"per_minute": "25", "per_day": "10000"}, "per_minute", ["25 per minute is about 1,500 an hour."]),
        ({"per_minute": "25", "per_hour": "100"}, "per_minute", []),
        ({"per_hour": "100"}, "per_hour", ["100 per hour is about 2,400 a day."]),
        ({"per_hour": "100", "per_day": "500"}, "per_hour", []),
        ({"send_offset": "5"}, "send_offset", ["One message every 5 seconds: at most 720 an hour."]),
        ({"send_offset": "1"}, "send_offset", ["One message every second: at most 3,600 an hour."]),
        ({"send_offset": "7200"}, "send_offset", ["One message every 7,200 seconds: less than one an hour."]),
        ({"send_offset": "0"}, "send_offset", []),
        ({}, "per_minute", []),
    ],
)
def test_what_rates_come_to(values, field, sentences):
    assert preview(field, **values) == sentences


def test_a_rate_above_the_providers_is_marked():
    [minute, *_rest] = previews(FORM | {"host": "smtp.office365.com", "per_minute": "40"})
    assert minute.is_over
    [minute, *_rest] = previews(FORM | {"host": "smtp.office365.com", "per_minute": "30"})
    assert not minute.is_over

"""Presets: each is right by the form's own rules, and filling one in loses nothing a person typed."""

from datetime import date

import pytest
from django.core import checks
from django.forms import modelform_factory
from hypothesis import given
from hypothesis import strategies as st

from mailconf.env import BASE_DIR
from smtp_settings import presets
from smtp_settings.admin.form.sections import SECTIONS
from smtp_settings.checks import TAG
from smtp_settings.entries.judges import domain, host_name
from smtp_settings.forms import Act, ProfileForm
from smtp_settings.hints import Known, Tone, hints, shape_of
from smtp_settings.models import OAuthCredential, SMTPProfile
from smtp_settings.presets import Kind, User, by_key, filling, loading, spelling
from smtp_settings.presets.catalog import _OURS
from tests.builders import a_user

ALL = loading.read(_OURS)
SMTP = [preset for preset in ALL if preset.transport == "smtp"]
KNOWN_PORTS = {25, 465, 587, 2465, 2525, 2587, 1025}
#: Providers the requirements name.
NAMED = {
    "gmail", "workspace", "m365", "ses", "sendgrid", "mailgun", "postmark", "sparkpost", "exchange", "relay",
    "local", "sendmail", "pickup", "mailgun-api", "ses-api",
}  # fmt: skip


def ids(preset):
    return preset.key


def plausible(preset):
    """What a person with an account there would have in the form, after choosing the preset."""
    address = f"alex@{preset.domains[0] if preset.domains else 'example.com'}"
    user = {
        User.ADDRESS: address,
        User.LOCAL: "alex",
        User.FIXED: preset.user_name,
        User.MADE: "AKIAIOSFODNN7EXAMPLE" if preset.key == "ses" else "postmaster@mg.example.com",
        User.ANY: "alex",
    }[preset.user]
    region = preset.regions[0].name if preset.regions else ""
    values = dict(presets.DEFAULTS) | {
        "name": preset.name,
        "preset": preset.key,
        "retry_delay": "60",
        "retry_cap": "14400",
        "verification": "full",
        "from_address": address,
    }
    values |= filling(values, preset, region=region).changes
    values["host"] = values["host"] or "mail.example.com"
    if values["auth"] != "none":
        values["username"] = values["username"] or user
    return values


def secret_for(preset):
    return preset.secret_prefix + "x" * ((preset.secret_length or 30) - len(preset.secret_prefix))


# The data


def test_there_are_the_providers_people_asked_for():
    assert len(ALL) >= 40
    assert {preset.key for preset in ALL} >= NAMED


def test_no_key_and_no_name_is_there_twice():
    assert len({preset.key for preset in ALL}) == len(ALL)
    assert len({preset.name for preset in ALL}) == len(ALL)


def test_two_providers_share_a_server_only_where_it_says_so():
    owners = {}
    for preset in ALL:
        for host in (*preset.hosts, *preset.obsolete):
            if host in owners:
                assert preset.shares_host_with == owners[host], preset.key
            owners.setdefault(host, preset.key)


@pytest.mark.parametrize("preset", ALL, ids=ids)
def test_every_preset_says_where_it_is_from_and_when_that_was_read(preset):
    assert preset.source
    assert all(len(source) > 2 for source in preset.source), "a source is spelled out under [sources]"
    assert date(2026, 1, 1) <= preset.checked <= date(2026, 12, 31)


@pytest.mark.parametrize("preset", SMTP, ids=ids)
def test_hosts_and_ports_of_a_preset_are_such(preset):
    for host in (*preset.hosts, *preset.obsolete):
        assert host_name(host) == host
    for name in (*preset.domains, *(mx.removeprefix("*.") for mx in preset.mx)):
        assert domain(name) == name
    assert {port.number for port in preset.ports} <= KNOWN_PORTS
    assert len({port.number for port in preset.ports}) == len(preset.ports)
    if preset.kind in (Kind.SERVICE, Kind.MAILBOX):
        assert preset.hosts
        assert all(port.security != "none" for port in preset.ports)


@pytest.mark.parametrize("preset", ALL, ids=ids)
def test_what_is_filled_in_is_within_what_the_provider_allows(preset):
    for name, number in preset.fills.items():
        assert number <= preset.most.get(name, number), name


@pytest.mark.parametrize("preset", SMTP, ids=ids)
def test_a_preset_gives_no_reason_for_a_warning(preset):
    values = plausible(preset)
    if preset.password_end:
        values["auth"] = preset.sign_ins[0]  # what the provider wants; a password is worth a hint there
    known = Known(
        verified_domains={"example.com"}, mx=("mx.example.com",), today=date(2026, 11, 21),
        password=shape_of(secret_for(preset), values.get("username", "")),
    )  # fmt: skip
    found = [hint for hint in hints(values, known) if hint.tone is not Tone.HINT]
    assert found == []


@pytest.mark.django_db
@pytest.mark.parametrize("preset", SMTP, ids=ids)
def test_a_preset_passes_the_checks_of_the_form(preset):
    columns = {field.name for field in SMTPProfile._meta.get_fields() if getattr(field, "editable", False)}
    fields = [name for _title, options in SECTIONS for name in options["fields"] if name in columns]
    made = modelform_factory(SMTPProfile, form=ProfileForm, fields=fields)
    form_class = type("Form", (made,), {"user": a_user(), "act": Act.TEST})
    blank = form_class()
    values = {name: blank[name].value() for name in blank.fields}
    values = {name: value for name, value in values.items() if value not in (None, []) and value is not False}
    credential = OAuthCredential.objects.create(name="One", provider="google", flow="browser", client_id="1")
    own = {"password": secret_for(preset), "oauth_credential": credential.pk}
    form = form_class(values | plausible(preset) | own)
    assert form.errors == {}


# Which provider is meant


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("smtp.sendgrid.net", "sendgrid"),
        (" SMTP.SendGrid.net. ", "sendgrid"),
        ("smtp.eu.mailgun.org", "mailgun"),
        ("email-smtp.eu-west-1.amazonaws.com", "ses"),
        ("email-smtp.ap-south-2.amazonaws.com", "ses"),
        ("smtp.live.com", "outlook-com"),
        ("smtp.gmail.com", "gmail"),
        ("localhost", "local"),
        ("smtp.example.com", None),
        ("email-smtp.evil.example.amazonaws.com", None),
        ("email-smtp.eu-west-1.amazonaws.com.evil.example", None),
        ("", None),
    ],
)
def test_a_server_is_its_providers(host, key):
    assert getattr(presets.for_host(host), "key", None) == key


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("smtp.gmial.com", "smtp.gmail.com"),
        ("smtp.gmail.co", "smtp.gmail.com"),
        ("smtp.ofice365.com", "smtp.office365.com"),
        ("smtp.office356.com", "smtp.office365.com"),
        ("smpt.sendgrid.net", "smtp.sendgrid.net"),
        ("smtp.gmail.com", ""),
        ("smtp.live.com", ""),
        ("smtp.example.com", ""),
        ("email-smtp.eu-west-9.amazonaws.com", ""),
        ("", ""),
    ],
)
def test_a_name_with_one_or_two_letters_wrong_is_seen(typed, meant):
    assert presets.near_host(typed) == meant


@pytest.mark.parametrize("preset", SMTP, ids=ids)
def test_no_providers_own_server_looks_like_another_misspelled(preset):
    assert [presets.near_host(host) for host in preset.hosts] == [""] * len(preset.hosts)


@pytest.mark.parametrize(
    ("hosts", "key"),
    [
        (["aspmx.l.google.com"], "workspace"),
        (["ALT1.ASPMX.L.GOOGLE.COM."], "workspace"),
        (["example-com.mail.protection.outlook.com"], "m365"),
        (["mx.example.com", "aspmx.l.google.com"], "workspace"),
        (["gmail-smtp-in.l.google.com"], "gmail"),
        (["mail.protection.outlook.com.evil.example"], None),
        (["evilaspmx.l.google.com"], None),
        ([], None),
    ],
)
def test_the_mx_of_a_domain_tells_its_provider(hosts, key):
    assert getattr(presets.for_mx(hosts), "key", None) == key


def test_the_chosen_preset_stays_while_the_server_is_its_own():
    assert presets.preset_of("workspace", "smtp.gmail.com").key == "workspace"
    assert presets.preset_of("workspace", "smtp.sendgrid.net").key == "sendgrid"
    assert presets.preset_of("workspace", "mail.example.com") is None
    assert presets.preset_of("exchange", "mail.example.com").key == "exchange"
    assert presets.preset_of("gone", "smtp.gmail.com").key == "gmail"


def test_a_region_that_is_not_listed_is_known_by_its_form():
    ses = by_key("ses")
    assert ses.region_of("email-smtp.eu-west-1.amazonaws.com") == "eu-west-1"
    assert ses.region_of("email-smtp.mx-central-1.amazonaws.com") == "mx-central-1"
    assert ses.host_in("eu-west-1") == "email-smtp.eu-west-1.amazonaws.com"
    assert by_key("mailgun").region_of("smtp.eu.mailgun.org") == "EU"


@given(st.text("abc", max_size=8), st.text("abc", max_size=8))
def test_the_distance_is_the_same_both_ways_and_none_only_to_itself(one, other):
    apart = spelling.distance(one, other, most=9)
    assert apart == spelling.distance(other, one, most=9)
    assert (apart == 0) == (one == other)
    assert min(apart, 3) == spelling.distance(one, other, most=2)


# Filling in


def an_empty_form(**values):
    return dict(presets.DEFAULTS) | {"from_address": ""} | values


def test_a_preset_fills_an_empty_form_and_says_so():
    found = filling(an_empty_form(), by_key("sendgrid"))
    assert found.changes == {"host": "smtp.sendgrid.net", "username": "apikey"}
    assert found.held == {"host": "", "username": ""}
    assert found.sentence.startswith("Filled in for SendGrid: smtp.sendgrid.net, port 587, STARTTLS.")
    assert found.note.startswith("Enter the API key as password.")
    assert found.focus == "password"


def test_the_first_port_of_the_provider_is_filled_in_with_its_security():
    changes = filling(an_empty_form(), by_key("resend")).changes
    assert (changes["port"], changes["security"]) == ("465", "tls")


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("host", "mail.example.com"),
        ("port", "2526"),
        ("username", "alex"),
        ("per_minute", "7"),
        ("security", "tls"),
    ],
)
def test_what_a_person_typed_stays(field, typed):
    preset = by_key("m365")
    found = filling(an_empty_form(**{field: typed}), preset)
    assert field not in found.changes
    if field != "username":
        assert "Kept as you entered it" in found.sentence


def test_a_typed_server_is_not_said_to_be_filled_in():
    sentence = filling(an_empty_form(host="mail.example.com"), by_key("sendgrid")).sentence
    assert "smtp.sendgrid.net" not in sentence
    assert "Kept as you entered it: Server." in sentence


def test_another_presets_values_give_way():
    before, after = by_key("m365"), by_key("sendgrid")
    values = an_empty_form()
    values |= filling(values, before).changes
    found = filling(values, after, before)
    assert found.changes["host"] == "smtp.sendgrid.net"
    assert (found.changes["per_minute"], found.changes["max_connections"]) == ("0", "4")
    assert found.held["per_minute"] == "25"


def test_a_number_a_person_put_in_place_of_the_presets_stays():
    before = by_key("m365")
    values = an_empty_form() | filling(an_empty_form(), before).changes | {"per_minute": "12"}
    assert "per_minute" not in filling(values, by_key("sendgrid"), before).changes


def test_the_fixed_user_name_of_the_preset_before_leaves_with_it():
    values = an_empty_form(host="smtp.sendgrid.net", username="apikey")
    assert filling(values, by_key("mailgun"), by_key("sendgrid")).changes["username"] == ""


def test_a_port_of_ones_own_choice_brings_the_security_it_has_there():
    found = filling(an_empty_form(port="465"), by_key("gmail"))
    assert (found.changes["security"], found.changes.get("port")) == ("tls", None)


def test_a_server_of_the_same_provider_stays_in_its_region():
    assert "host" not in filling(an_empty_form(host="smtp.eu.mailgun.org"), by_key("mailgun")).changes
    assert filling(an_empty_form(), by_key("mailgun"), region="EU").changes["host"] == "smtp.eu.mailgun.org"


def test_where_a_region_must_be_chosen_no_server_is_guessed():
    found = filling(an_empty_form(host="smtp.sendgrid.net"), by_key("ses"))
    assert found.changes["host"] == ""
    assert found.focus == "host"


def test_without_a_sign_in_nothing_asks_for_a_user_name():
    found = filling(an_empty_form(), by_key("sandbox"))
    assert found.changes["auth"] == "none"
    assert found.focus == "from_address"


@pytest.mark.parametrize("preset", [one for one in ALL if one.transport != "smtp"], ids=ids)
def test_a_preset_of_another_method_chooses_it(preset):
    found = filling(an_empty_form(), preset)
    assert found.changes["transport"] == preset.transport
    assert found.changes.get("file_style", "eml") == preset.values.get("file_style", "eml")


@pytest.mark.parametrize("preset", SMTP, ids=ids)
def test_filling_in_twice_changes_nothing_more(preset):
    region = preset.regions[0].name if preset.regions else ""
    values = an_empty_form() | filling(an_empty_form(), preset, region=region).changes
    assert filling(values, preset, preset, region=region).changes == {}


@given(st.sampled_from(SMTP), st.sampled_from(SMTP))
def test_what_one_preset_filled_in_another_replaces_as_if_it_had_been_empty(one, other):
    values = an_empty_form() | filling(an_empty_form(), one).changes
    assert (
        values | filling(values, other, one).changes
        == an_empty_form() | filling(an_empty_form(), other).changes
    )


def test_with_oauth_the_credential_comes_after_the_user_name():
    values = an_empty_form(auth="oauth2", host="smtp.office365.com", username="alex@example.com")
    assert filling(values, by_key("m365")).focus == "oauth_credential"


def test_a_form_with_everything_in_it_has_no_next_field():
    values = an_empty_form(username="apikey", password="•", from_address="shop@example.com")
    assert filling(values, by_key("sendgrid")).focus == ""


def test_when_nothing_could_be_filled_in_it_says_so():
    values = an_empty_form(host="mail.example.com", port="2526", security="none", auth="none")
    assert filling(values, by_key("mailgun")).sentence == (
        "Nothing was filled in for Mailgun. Kept as you entered it: Server, Sign-in, Port, Security."
    )
    assert filling(values, by_key("sendgrid")).sentence.startswith(
        "Filled in for SendGrid: user name apikey."
    )


@pytest.mark.parametrize(
    ("key", "user", "secret"),
    [
        ("sendgrid", "At SendGrid the user name is always apikey.", "Password: API key."),
        ("gmail", "The user name is the full address.", "Password: App password."),
        ("web-de", "The user name is the part of the address before the @.", ""),
        ("mailgun", "The user name is made by Mailgun. Copy it from there.", "Password: SMTP password."),
        ("brevo", "The user name is the full address.", "Password: SMTP key."),
        ("mandrill", "", "Password: API key."),
        ("local", "", ""),
    ],
)
def test_what_the_provider_wants_for_user_name_and_password(key, user, secret):
    assert presets.user_rule(by_key(key)) == user
    assert presets.secret_rule(by_key(key)) == secret


def test_every_kind_and_every_security_has_words():
    assert all(map(presets.kind_label, Kind))
    assert presets.security_words("tls") == "TLS from the first byte"
    assert presets.security_words("else") == "else"


def test_a_name_is_proposed_that_nobody_has():
    sendgrid = by_key("sendgrid")
    assert presets.proposed_name(sendgrid, "shop@example.com") == "SendGrid (example.com)"
    assert presets.proposed_name(sendgrid, "", taken={"SendGrid"}) == "SendGrid 2"
    assert presets.proposed_name(None, "") == ""


# The operators' own file


GOOD = """
[house]
name = "House relay"
kind = "own"
hosts = "mail.house.example"
ports = ["587 starttls"]
"""


def warned():
    return [one.msg for one in checks.run_checks(tags=[TAG], databases=[]) if one.id == "mailconf.W002"]


def test_operators_add_and_replace_providers(settings, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        GOOD
        + '[gmail]\nname = "Gmail here"\nkind = "mailbox"\nhosts = "smtp.gmail.com"\nports = ["465 tls"]\n'
    )
    settings.MAILCONF_PRESETS_FILE = path
    assert by_key("house").host == "mail.house.example"
    assert by_key("gmail").name == "Gmail here"
    assert len(presets.all_presets()) == len(ALL) + 1
    assert warned() == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[house", "is not TOML"),
        ("house = 1", "[house] must be a table of entries"),
        (GOOD.replace("House relay", ""), "[house] name must be a text on one line"),
        (GOOD.replace('name = "House relay"', ""), "[house] has no name"),
        (GOOD.replace('"own"', '"mine"'), "[house] kind is 'mine': use one of service, mailbox, own"),
        (GOOD.replace("587 starttls", "587"), "[house] ports are '587': use \"587 starttls\""),
        (GOOD.replace("587 starttls", "70000 tls"), "[house] ports are '70000 tls'"),
        (GOOD.replace('ports = ["587 starttls"]', ""), "[house] has no ports"),
        (
            GOOD.replace("mail.house.example", "https://mail"),
            "[house] hosts is 'https://mail': use a host name alone",
        ),
        (GOOD + "colour = 1", "[house] colour is not an entry of a preset"),
        (GOOD + "fills = { per_second = 1 }", "[house] fills has 'per_second': use max_connections"),
        (GOOD + "most = { per_day = 0 }", "[house] most has per_day = 0: use a number from 1"),
        (GOOD + 'user = "fixed"', '[house] has a user_name exactly when user is "fixed"'),
        (GOOD + 'sign_ins = ["magic"]', "[house] sign_ins is 'magic'"),
        (GOOD + 'help_url = "javascript:alert(1)"', "[house] help_url must begin with https://"),
        (GOOD + "dns = { mx = 1 }", "[house] dns must be a table of spf"),
        (GOOD + 'password_end = { on = "soon" }', "[house] password_end must be a table of on"),
        (GOOD + 'checked = "today"', "[house] checked must be a date"),
        (GOOD + 'host_pattern = "smtp.{region}.example"', "[house] needs both host_pattern and region_names"),
        (
            GOOD + 'host_pattern = "smtp.{zone}.example"\nregion_names = ["a"]',
            "[house] host_pattern must hold {region}",
        ),
        (GOOD + "secret_length = true", "[house] secret_length is True: use a number from 1"),
        (GOOD + "mx = [1]", "[house] mx must be a list of texts"),
        (GOOD + "values = 1", "[house] values must be a table of texts"),
    ],
)
def test_a_broken_file_is_w002_and_leaves_our_own(settings, tmp_path, text, complaint):
    path = tmp_path / "own.toml"
    path.write_text(text)
    settings.MAILCONF_PRESETS_FILE = path
    [said] = warned()
    assert said.startswith(str(path))
    assert complaint in said
    assert len(presets.all_presets()) == len(ALL)


def test_a_file_that_is_not_there_is_w002(settings, tmp_path):
    settings.MAILCONF_PRESETS_FILE = tmp_path / "none.toml"
    [said] = warned()
    assert "cannot be read" in said


# The documentation

_WORDS = {"starttls": "STARTTLS", "tls": "TLS", "none": "not encrypted"}


def row(preset):
    region = "{region}" in preset.host_pattern
    hosts = [preset.host_pattern] if region else [one.host for one in preset.regions]
    servers = ", ".join(f"`{host}`" for host in hosts)
    ports = ", ".join(f"{port.number} {_WORDS[port.security]}" for port in preset.ports)
    return f"| {preset.name} | {servers} | {ports} | {presets.note_of(preset)} |"


def test_the_table_of_providers_in_the_documentation_is_the_one_in_the_file():
    text = (BASE_DIR / "docs" / "providers.md").read_text(encoding="utf-8")
    table = text.partition("## All providers")[2]
    expected = "\n".join(["| Provider | Server | Ports | Set-up |", "|---|---|---|---|", *map(row, ALL)])
    assert expected in table, "the table should read:\n" + expected


def test_the_example_in_the_documentation_is_a_preset(tmp_path):
    text = (BASE_DIR / "docs" / "providers.md").read_text(encoding="utf-8")
    example = tmp_path / "example.toml"
    example.write_text(text.partition("```toml\n")[2].partition("```")[0], encoding="utf-8")
    [preset] = loading.read(example)
    assert preset.host == "mail.house.example"

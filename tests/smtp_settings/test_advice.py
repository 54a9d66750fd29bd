"""Advice about a domain's records: every sentence (UX B38), and records nobody should publish."""

import pytest

from smtp_settings import presets
from smtp_settings.advice import reading, spf
from smtp_settings.advice.advising import advise, policy_names
from smtp_settings.advice.findings import Verdict
from tests.nameserver import name_server, txt
from transports import dns
from transports.dns import MAX_TEXT, Answer, Found, Kind, Question

HEALTHY = {
    ("example.com", "MX"): ["mx.example.com"],
    ("example.com", "TXT"): ["v=spf1 include:sendgrid.net ~all"],
    ("sendgrid.net", "TXT"): ["v=spf1 ip4:192.0.2.0/24 ~all"],
    ("_dmarc.example.com", "TXT"): ["v=DMARC1; p=reject"],
    ("s1._domainkey.example.com", "TXT"): ["v=DKIM1; p=MIGf"],
}
GOOD, LOOK, MISSING, NOT_CHECKED = Verdict.GOOD, Verdict.LOOK, Verdict.MISSING, Verdict.NOT_CHECKED


class Records(dict):
    """Records as DNS told them; a name that is not there does not exist."""

    def get(self, question, default=None):
        return super().get(question, Answer(question, Found.NO_NAME))


def given(table):
    found = Records()
    for (name, kind), values in table.items():
        question = Question(name, Kind(kind))
        if isinstance(values, Found):
            found[question] = Answer(question, values)
        else:
            found[question] = Answer(question, Found.RECORDS if values else Found.NONE, tuple(values))
    return found


def findings(changes=(), *, preset="sendgrid", domain="example.com", bounce=""):
    known = given(HEALTHY | dict(changes))
    return {one.record: one for one in advise(domain, known, presets.by_key(preset), bounce)}


def test_a_domain_that_is_right_gets_no_advice():
    found = findings()
    assert [(one.record, one.verdict, one.advice) for one in found.values()] == [
        ("MX", GOOD, ""),
        ("SPF", GOOD, ""),
        ("DKIM", GOOD, ""),
        ("DMARC", GOOD, ""),
    ]
    assert found["SPF"].found == "v=spf1 include:sendgrid.net ~all"
    assert found["DKIM"].name == "s1._domainkey.example.com"


MX, TXT, DMARC = ("example.com", "MX"), ("example.com", "TXT"), ("_dmarc.example.com", "TXT")
KEY = ("s1._domainkey.example.com", "TXT")


@pytest.mark.parametrize(
    ("changes", "record", "verdict", "advice", "wanted"),
    [
        ({MX: []}, "MX", MISSING, "example.com has no MX record: replies and bounces cannot arrive.", ""),
        (
            {MX: [""]},
            "MX",
            LOOK,
            "example.com says it never receives mail (null MX); many servers refuse its mail.",
            "",
        ),
        ({MX: Found.NO_NAME}, "MX", MISSING, "The domain example.com does not exist.", ""),
        ({MX: Found.FAILED}, "MX", NOT_CHECKED, "Not checked: the name service gave no answer.", ""),
        (
            {TXT: ["other"]},
            "SPF",
            MISSING,
            "There is no SPF record. Add `v=spf1 include:sendgrid.net ~all`.",
            "v=spf1 include:sendgrid.net ~all",
        ),
        (
            {TXT: ["v=spf1 mx -all"]},
            "SPF",
            LOOK,
            "Add `include:sendgrid.net` before “all”.",
            "v=spf1 mx include:sendgrid.net -all",
        ),
        (
            {TXT: ["v=spf1 a ~all", "v=spf1 mx ~all"]},
            "SPF",
            LOOK,
            "There are 2 SPF records; receivers ignore both. Keep one.",
            "",
        ),
        (
            {TXT: ["v=spf1 a ~all", "V=SPF1 mx ~all", "v=spf1"]},
            "SPF",
            LOOK,
            "There are 3 SPF records; receivers ignore all of them. Keep one.",
            "",
        ),
        (
            {TXT: ["v=spf1 include:sendgrid.net +all"]},
            "SPF",
            LOOK,
            "“+all” lets everybody send as example.com. End the record with “~all”.",
            "v=spf1 include:sendgrid.net ~all",
        ),
        (
            {TXT: ["v=spf1 include:sendgrid.net all"]},
            "SPF",
            LOOK,
            "“+all” lets everybody send as example.com. End the record with “~all”.",
            "v=spf1 include:sendgrid.net ~all",
        ),
        (
            {TXT: ["v=spf1 include:sendgrid.net ?all"]},
            "SPF",
            LOOK,
            "The record says nothing about other servers. End it with “~all”.",
            "v=spf1 include:sendgrid.net ~all",
        ),
        (
            {TXT: ["v=spf1 include:sendgrid.net"]},
            "SPF",
            LOOK,
            "The record says nothing about other servers. End it with “~all”.",
            "v=spf1 include:sendgrid.net ~all",
        ),
        (
            {TXT: ["v=spf1 " + "a:x.example.com " * 11 + "include:sendgrid.net ~all"]},
            "SPF",
            LOOK,
            "The record needs 12 look-ups; receivers stop after 10. Take out what no longer sends.",
            "",
        ),
        (
            {
                TXT: ["v=spf1 include:a.example ~all"],
                ("a.example", "TXT"): ["v=spf1 include:example.com ~all"],
            },
            "SPF",
            LOOK,
            "The record includes itself; receivers ignore it.",
            "",
        ),
        (
            {TXT: ["v=spf1 include:gone.example ~all"], ("gone.example", "TXT"): Found.NO_NAME},
            "SPF",
            LOOK,
            "gone.example has no SPF record; receivers ignore the whole record. Take it out.",
            "",
        ),
        ({TXT: Found.FAILED}, "SPF", NOT_CHECKED, "Not checked: the name service gave no answer.", ""),
        (
            {KEY: Found.NO_NAME},
            "DKIM",
            MISSING,
            "No key at s1._domainkey.example.com, s2._domainkey.example.com.",
            "",
        ),
        (
            {KEY: ["v=DKIM1; p="]},
            "DKIM",
            LOOK,
            "The key at s1._domainkey.example.com is empty: it was revoked.",
            "",
        ),
        (
            {KEY: Found.NONE, ("s1._domainkey.example.com", "CNAME"): ["s1.u1.wl.sendgrid.net"]},
            "DKIM",
            LOOK,
            "s1._domainkey.example.com points to s1.u1.wl.sendgrid.net, and there is no key yet.",
            "",
        ),
        ({KEY: Found.FAILED}, "DKIM", NOT_CHECKED, "Not checked: the name service gave no answer.", ""),
        (
            {DMARC: Found.NO_NAME},
            "DMARC",
            MISSING,
            "There is no DMARC record. Start with `v=DMARC1; p=none`.",
            "v=DMARC1; p=none",
        ),
        (
            {DMARC: ["v=DMARC1; p=none", "v=DMARC1; p=reject"]},
            "DMARC",
            LOOK,
            "There are 2 DMARC records; receivers ignore them. Keep one.",
            "",
        ),
        (
            {DMARC: ["v=DMARC1; rua=mailto:a@b.example"]},
            "DMARC",
            LOOK,
            "The record has no policy. Add `p=none`.",
            "v=DMARC1; p=none; rua=mailto:a@b.example",
        ),
        (
            {DMARC: ["v=DMARC1; p=none"]},
            "DMARC",
            GOOD,
            "“p=none” asks for reports only. “p=quarantine” protects the domain, once SPF and DKIM are "
            "right.",
            "",
        ),
        ({DMARC: Found.FAILED}, "DMARC", NOT_CHECKED, "Not checked: the name service gave no answer.", ""),
    ],
)
def test_a_record_gets_its_sentence_and_what_to_publish(changes, record, verdict, advice, wanted):
    found = findings(changes)[record]
    assert (found.verdict, found.advice, found.wanted) == (verdict, advice, wanted)


@pytest.mark.parametrize(
    ("preset", "record", "verdict", "advice"),
    [
        (None, "DKIM", NOT_CHECKED, "Not checked: the provider chooses the selector."),
        ("mailgun", "DKIM", NOT_CHECKED, "Not checked: the provider chooses the selector."),
        (
            "postmark",
            "SPF",
            GOOD,
            "Postmark puts a bounce address of its own: an include here changes nothing, and DKIM must carry "
            "DMARC.",
        ),
    ],
)
def test_advice_follows_the_provider(preset, record, verdict, advice):
    found = findings(preset=preset or "no such")[record]
    assert (found.verdict, found.advice) == (verdict, advice)


def test_a_provider_with_a_bounce_address_of_its_own_needs_no_spf_record_here():
    found = findings({TXT: []}, preset="postmark")["SPF"]
    assert (found.verdict, found.wanted) == (NOT_CHECKED, "")


def test_without_a_provider_nothing_is_proposed_to_include():
    found = findings({TXT: []}, preset="no such")["SPF"]
    assert found.advice == "There is no SPF record. Add one that names what your mail is sent from."
    assert found.wanted == ""


@pytest.mark.parametrize("record", ["v=spf1 mx include:sendgrid.net -all", "v=spf1 redirect=sendgrid.net"])
def test_an_include_counts_however_it_is_reached(record):
    assert findings({TXT: [record]})["SPF"].verdict is GOOD
    nested = {TXT: ["v=spf1 include:spf.example.com -all"], ("spf.example.com", "TXT"): [record]}
    assert findings(nested)["SPF"].verdict is GOOD


def test_an_include_is_proposed_before_a_redirect():
    found = findings({TXT: ["v=spf1 redirect=other.example"], ("other.example", "TXT"): ["v=spf1 -all"]})
    assert found["SPF"].wanted == "v=spf1 include:sendgrid.net redirect=other.example"


def test_a_mailbox_providers_domain_is_not_advised_about():
    (found,) = advise("gmail.com", given({}), presets.by_key("gmail"))
    assert found.verdict is NOT_CHECKED
    assert found.advice == "gmail.com belongs to Gmail: its records are not yours to change."


def test_spf_is_judged_on_the_bounce_domain_and_says_when_that_does_not_count():
    found = findings({("other.org", "TXT"): []}, bounce="other.org")
    assert found["SPF"].name == "other.org"
    assert found["Alignment"].advice == (
        "From is example.com, bounce address other.org: SPF does not count for DMARC."
    )


def test_a_subdomain_for_bounces_counts_unless_the_policy_is_strict():
    assert "Alignment" not in findings(bounce="bounce.example.com")
    strict = {DMARC: ["v=DMARC1; p=none; aspf=s"]}
    assert "Alignment" in findings(strict, bounce="bounce.example.com")


def test_the_policy_of_the_nearest_parent_counts():
    assert policy_names("a.b.example.com") == (
        "_dmarc.a.b.example.com",
        "_dmarc.b.example.com",
        "_dmarc.example.com",
    )
    found = {
        one.record: one
        for one in advise("mail.example.com", given(HEALTHY | {("mail.example.com", "MX"): ["mx"]}), None)
    }
    assert (found["DMARC"].verdict, found["DMARC"].name) == (GOOD, "_dmarc.example.com")


# Records nobody should publish


@pytest.mark.parametrize(
    "text",
    [
        "v=spf1 " + "x" * MAX_TEXT,
        "v=spf1 " + "include:a.example " * 200,
        "v=spf1 include: redirect= all:",
        "v=spf1 include:%{i}.example exists:%{l}._spf.example",
        "v=spf1 \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} %s %d {0}",
        "v=spf1 " + "-~?+" * 900,
        "v=spf1 include:" + "a." * 2000,
    ],
)
def test_a_strange_record_is_judged_like_any_other(text):
    for kind in (TXT, DMARC, KEY):
        assert findings({kind: [text]})


def test_a_chain_of_includes_ends():
    chain = {f"n{n}.example": spf.parse(f"v=spf1 include:n{n + 1}.example ~all") for n in range(1000)}
    tree = spf.tree_of(spf.parse("v=spf1 include:n0.example ~all"), chain, "example.com")
    assert tree.lookups == 1001
    assert not tree.is_circular


# Asking for them


def test_records_are_asked_for_with_what_they_include():
    table = {
        ("example.com", "MX"): ["10 mx.example.com."],
        ("example.com", "TXT"): [txt("v=spf1 include:a.example ~all")],
        ("a.example", "TXT"): [txt("v=spf1 include:b.example ~all")],
        ("b.example", "TXT"): [txt("v=spf1 include:sendgrid.net ~all")],
        ("s1._domainkey.example.com", "CNAME"): ["s1.wl.sendgrid.net."],
    }
    preset = presets.by_key("sendgrid")
    with name_server(table) as server:
        found = reading.read("example.com", preset, servers=[server.address])
    verdicts = {one.record: one.verdict for one in advise("example.com", found, preset)}
    assert verdicts == {"MX": GOOD, "SPF": LOOK, "DKIM": LOOK, "DMARC": MISSING}
    assert ("sendgrid.net", "TXT") in server.asked


def test_a_circle_of_includes_is_asked_once():
    table = {
        ("example.com", "TXT"): [txt("v=spf1 include:a.example ~all")],
        ("a.example", "TXT"): [txt("v=spf1 include:example.com ~all")],
    }
    with name_server(table) as server:
        found = reading.read("example.com", None, servers=[server.address])
    assert server.asked.count(("a.example", "TXT")) == 1
    assert "includes itself" in str(advise("example.com", found, None))


def test_a_record_that_includes_hundreds_is_not_followed_to_all():
    wide = " ".join(f"include:n{n}.example" for n in range(190))
    with name_server({("example.com", "TXT"): [txt(f"v=spf1 {wide} ~all")]}) as server:
        reading.read("example.com", None, servers=[server.address])
    assert len(set(server.asked)) <= reading.MOST_QUESTIONS


def test_a_name_service_that_is_silent_leaves_everything_unchecked(monkeypatch):
    monkeypatch.setattr(dns, "LIMIT", 0.3)
    found = reading.read("example.com", None, servers=[("127.0.0.1", 1)])
    assert {one.verdict for one in advise("example.com", found, None)} == {NOT_CHECKED}


def test_who_receives_for_a_domain_is_remembered():
    with name_server({("remembered.example", "MX"): ["10 aspmx.l.google.com."]}) as server:
        first = reading.mx_of("remembered.example", servers=[server.address])
        assert reading.mx_of("remembered.example", servers=[server.address]) == first
    assert first == ("aspmx.l.google.com",)
    assert server.asked == [("remembered.example", "MX")]

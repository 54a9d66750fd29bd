"""Rules about replies: how they are typed, stored, refused with a sentence, and which replies they fit."""

import json
import re
import time

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from mailconf.env import BASE_DIR
from smtp_settings import wire
from smtp_settings.entries.judges import reply_rules, reply_rules_as_text, rule_fault
from smtp_settings.entries.overrides import (
    BEFORE_MAIL,
    MAX_RULES,
    OF_A_MESSAGE,
    STAGES,
    WAITING,
    BadRule,
    Fault,
    Meaning,
    Override,
    Overrides,
    as_line,
    as_row,
    holds,
    read_line,
    read_row,
    read_rows,
)
from smtp_settings.models import SMTPProfile
from tests.builders import a_profile
from transports.base import Phase, Reply

# typed -> stored (phase, code, enhanced, words, meaning, wait), shown
LINES = [
    ("rcpt 450 -> fail", ("rcpt", "450", "", "", "fail", 0), "rcpt 450 -> fail"),
    (
        'rcpt 450 4.2.1 "mailbox busy" -> retry 10m',
        ("rcpt", "450", "4.2.1", "mailbox busy", "retry", 600),
        'rcpt 450 4.2.1 "mailbox busy" -> retry 10m',
    ),
    (
        "* 421->too_many_connections 600",
        ("", "421", "", "", "too_many_connections", 600),
        "* 421 -> too_many_connections 10m",
    ),
    ("  DOT  5XX  5.7   ->  Pause ", ("dot", "5", "5.7", "", "pause", 0), "dot 5xx 5.7 -> pause"),
    ("mail 45 -> another_server", ("mail", "45", "", "", "another_server", 0), "mail 45x -> another_server"),
    (
        '* * "daily   quota*used -> up" -> server_trouble 2h',
        ("", "", "", "daily quota*used -> up", "server_trouble", 7200),
        '* * "daily quota*used -> up" -> server_trouble 2h',
    ),
    (
        "auth 454 “too many”→ server_trouble 90s",
        ("auth", "454", "", "too many", "server_trouble", 90),
        'auth 454 "too many" -> server_trouble 90s',
    ),
]
KEYS = ("phase", "code", "enhanced", "words", "meaning", "wait")


@pytest.mark.parametrize(("typed", "stored", "shown"), LINES)
def test_a_typed_rule_is_stored_and_shown_in_its_normal_form(typed, stored, shown):
    row = {key: value for key, value in zip(KEYS, stored, strict=True) if value}
    assert reply_rules(typed) == [row]
    assert reply_rules_as_text([row]) == shown
    assert reply_rules(shown) == [row]


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("rcpt 450", "“rcpt 450” is not of the form: stage code -> meaning."),
        ("450 -> fail", "“450 -> fail” is not of the form"),
        ("rcpt 450 4.2.1 5 -> fail", "is not of the form"),
        ('rcpt 450 "busy" more -> fail', "is not of the form"),
        ("rcpt 450 -> retry 10m soon", "is not of the form"),
        ("helo 450 -> pause", "“helo” is not a stage. The stages are banner, tls, ehlo, auth,"),
        ("quit 450 -> pause", "“quit” is not a stage"),
        ("dns 450 -> pause", "“dns” is not a stage"),
        ("dot 250 -> fail", "“250” is not the code of a refusal. Enter 450, 45x, 4xx, 5xx or *."),
        ("dot 4567 -> fail", "“4567” is not the code"),
        ("dot 4xxx -> fail", "“4xxx” is not the code"),
        ("dot 45xx -> fail", "“45xx” is not the code"),
        ("dot x50 -> fail", "“x50” is not the code"),
        ("dot 5\N{ARABIC-INDIC DIGIT FIVE}0 -> fail", "is not the code"),
        ("rcpt 450 4 -> fail", "“4” is not an enhanced code. Enter one such as 4.2 or 4.2.1."),
        ("rcpt * 2.1.5 -> fail", "“2.1.5” is not an enhanced code"),
        ("rcpt 450 5.2.1 -> fail", "“450 5.2.1” fits no reply"),
        ('rcpt 450 "" -> fail', "“” are not words to look for."),
        ('rcpt 450 "* *" -> fail', "“* *” are not words"),
        ('rcpt 450 "busy -> fail', "are not words"),
        (f'rcpt 450 "{"x" * 201}" -> fail', "are not words"),
        ('rcpt 450 "a\x1bb" -> fail', "are not words"),
        ("rcpt 450 -> sent", "“sent” is not a meaning. The meanings are retry, fail, another_server,"),
        ("rcpt 450 -> uncertain", "“uncertain” is not a meaning"),
        ("rcpt 450 -> retry soon", "“soon” is not a wait. Enter 90s, 10m or 2h, 24h at most."),
        ("rcpt 450 -> retry 0", "“0” is not a wait"),
        ("rcpt 450 -> retry 25h", "“25h” is not a wait"),
        ("rcpt 450 -> retry -5m", "“-5m” is not a wait"),
        ("rcpt 450 -> fail 10m", "After “fail” there is no wait."),
        ("* 535 -> pause 10m", "After “pause” there is no wait."),
        ("auth 454 -> fail", "“auth -> fail” says something of a message, and at this stage there is none."),
        ("banner 421 -> retry", "“banner -> retry” says something of a message"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_meant_is_refused_with_the_line_and_a_sentence(typed, sentence):
    with pytest.raises(ValidationError) as refused:
        reply_rules(f"rcpt 450 -> fail\n\n{typed}\n")
    [message] = refused.value.messages
    assert message.startswith("Line 3: ")
    assert sentence in message


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ({"meaning": "fail"}, "Rule 1: "),
        ([{"meaning": "fail"}, "fail"], "Rule 2: “fail” is not of the form"),
        ([{"meaning": "fail", "action": "sent"}], "is not of the form"),
        ([{}], "“” is not a meaning"),
        ([{"meaning": "fail", "code": 450}], "“450” is not of the form"),
        ([{"meaning": ["fail"]}], "is not of the form"),
        ([{"meaning": "retry", "wait": "10m"}], "“10m” is not a wait"),
        ([{"meaning": "retry", "wait": True}], "“True” is not a wait"),
        ([{"meaning": "retry", "wait": -1}], "“-1” is not a wait"),
        ([{"meaning": "retry", "words": 'a"b'}], "are not words"),
        ([{"meaning": "retry"}] * (MAX_RULES + 1), "Rule 51: A profile has 50 rules at most."),
    ],
)
def test_stored_rows_are_refused_with_their_number(rows, sentence):
    with pytest.raises(ValidationError) as refused:
        reply_rules(rows)
    assert sentence in " ".join(refused.value.messages)


def test_all_bad_lines_are_named_at_once():
    with pytest.raises(ValidationError) as refused:
        reply_rules("rcpt 450\nrcpt 450 -> fail\nrcpt 250 -> fail")
    assert [message[:7] for message in refused.value.messages] == ["Line 1:", "Line 3:"]


@pytest.mark.parametrize("fault", Fault)
def test_there_is_a_sentence_for_every_fault(fault):
    assert rule_fault(BadRule(fault, "x" * 200)).endswith(".")


def test_empty_lines_are_no_rules():
    assert reply_rules("\n  \r\n") == []


def any_rule():
    def fitting(phase, meaning, code, detail, words, wait):
        meaning = Meaning.PAUSE if phase in BEFORE_MAIL and meaning in OF_A_MESSAGE else meaning
        return Override(
            meaning, phase, code, f"{code[:1] or 5}.{detail}" if detail else "", words,
            wait if meaning in WAITING else 0,
        )  # fmt: skip

    return st.builds(
        fitting,
        st.none() | st.sampled_from(STAGES),
        st.sampled_from(Meaning),
        st.from_regex(r"\A([45][0-9]{0,2})?\Z"),
        st.sampled_from(["", "2", "7.1", "123.999"]),
        st.sampled_from(["", "busy", "mail*full", "a -> b", "été"]),
        st.integers(0, 86400),
    )


@given(any_rule())
def test_what_is_shown_and_what_is_stored_are_read_back_as_they_were(rule):
    assert read_line(as_line(rule)) == rule
    assert read_row(json.loads(json.dumps(as_row(rule)))) == rule


@given(st.text(max_size=60) | st.text(alphabet='*"-> rcpt45.0fail', max_size=60))
def test_whatever_is_typed_is_a_rule_or_refused_in_a_sentence(text):
    messages = []
    try:
        rows = reply_rules(text)
    except ValidationError as refused:
        rows, messages = [], refused.messages
    assert read_rows(rows)[1] == {}
    assert all(message.startswith("Line ") for message in messages)


# rule, stage, reply -> fits
FITS = [
    ("rcpt 450 -> fail", Phase.RCPT, Reply(450), True),
    ("rcpt 450 -> fail", Phase.MAIL, Reply(450), False),
    ("rcpt 450 -> fail", Phase.RCPT, Reply(451), False),
    ("* 45x -> fail", Phase.DOT, Reply(459), True),
    ("* 4xx -> fail", Phase.DOT, Reply(550), False),
    ("* * -> fail", Phase.BODY, Reply(550), True),
    ("* * -> fail", Phase.DOT, Reply(250), False),
    ("* * -> fail", Phase.DATA, Reply(354), False),
    ("* * -> fail", Phase.DOT, Reply(600), False),
    ("* * -> fail", Phase.RSET, Reply(550), False),
    ("* * -> fail", Phase.QUIT, Reply(550), False),
    ("* * -> fail", Phase.AUTH, Reply(550), False),
    ("* * -> retry", Phase.BANNER, Reply(550), False),
    ("* * -> pause", Phase.BANNER, Reply(550), True),
    ("* * -> server_trouble", Phase.AUTH, Reply(535), True),
    ("* 450 4.2 -> fail", Phase.RCPT, Reply(450, "", "4.2.1"), True),
    ("* 450 4.2 -> fail", Phase.RCPT, Reply(450, "", "4.20.1"), False),
    ("* 450 4.2.1 -> fail", Phase.RCPT, Reply(450, "", "4.2.10"), False),
    ("* 450 4.2 -> fail", Phase.RCPT, Reply(450), False),
    ('* 450 "Mailbox BUSY" -> fail', Phase.RCPT, Reply(450, "the mailbox busy now"), True),
    ('* 450 "mailbox*busy" -> fail', Phase.RCPT, Reply(450, "mailbox of ann is busy"), True),
    ('* 450 "busy*mailbox" -> fail', Phase.RCPT, Reply(450, "mailbox of ann is busy"), False),
    ('* 450 "m*m" -> fail', Phase.RCPT, Reply(450, "m"), False),
    ('* 450 "a.c" -> fail', Phase.RCPT, Reply(450, "abc"), False),
    ('* 450 "STRASSE" -> fail', Phase.RCPT, Reply(450, "straße"), True),
]


@pytest.mark.parametrize(("line", "phase", "reply", "fits"), FITS)
def test_a_rule_fits_the_replies_it_describes(line, phase, reply, fits):
    assert read_line(line).fits(phase, reply) is fits


def test_the_first_rule_that_fits_is_found():
    rules = Overrides(tuple(map(read_line, ["rcpt 451 -> fail", "* 45x -> retry", "* 450 -> pause"])))
    assert rules.find(Phase.RCPT, Reply(450)).meaning is Meaning.RETRY
    assert rules.find(Phase.RCPT, Reply(421)) is None


def test_no_words_take_long_on_any_reply():
    """A regular expression of these wildcards would try more ways than there are seconds."""
    started = time.thread_time()
    assert not holds("a" * 500, "a*" * 99 + "b")
    assert time.thread_time() - started < 1


@pytest.mark.django_db
def test_the_queue_sees_the_rules_and_rows_that_cannot_be_meant_are_told_once(caplog):
    profile = a_profile(name="Shop")
    bad, good = {"meaning": "sent"}, {"code": "421", "meaning": "pause"}
    SMTPProfile.objects.filter(pk=profile.pk).update(classification_overrides=[bad, good])
    for _ in range(2):
        [way] = wire.ways_out()
    assert way.overrides == Overrides((Override(Meaning.PAUSE, code="421"),))
    [line] = [record.message for record in caplog.records if "about replies" in record.message]
    assert "Rule 1 about replies of profile Shop is not used. “sent” is not a meaning." in line


def test_the_documents_rules_are_rules_and_its_tables_are_complete():
    text = (BASE_DIR / "docs" / "replies.md").read_text(encoding="utf-8")
    examples = text.split("```\n")[1]
    assert reply_rules_as_text(reply_rules(examples)) == examples.strip()
    stages, meanings = text.split("## Rules of a profile")
    assert re.findall(r"^\| `([a-z_]+)` \|", stages, re.MULTILINE) == list(STAGES)
    rows = re.findall(r"^\| `([a-z_]+)` \|.*\|([^|]*)\|$", meanings, re.MULTILINE)
    assert [name for name, _wait in rows] == list(Meaning)
    assert {name for name, wait in rows if wait.strip()} == WAITING

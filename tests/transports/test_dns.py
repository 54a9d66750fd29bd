import time

import pytest

from tests.nameserver import name_server, txt
from transports import dns
from transports.dns import Answer, Found, Kind, Question, look_up


async def ask(table, name="example.com", kind=Kind.TXT, limit=30.0):
    with name_server(table) as server:
        (answer,) = await look_up([Question(name, kind)], servers=[server.address], limit=limit)
    return answer


async def test_records_come_as_text_and_mx_in_the_order_of_preference():
    table = {
        ("example.com", "MX"): ["20 B.example.com.", "10 a.example.com."],
        ("example.com", "TXT"): [txt("v=spf1 ", "-all"), txt("other")],
        ("www.example.com", "CNAME"): ["Target.Example.net."],
    }
    questions = [
        Question("example.com", Kind.MX),
        Question("example.com", Kind.TXT),
        Question("www.example.com", Kind.CNAME),
    ]
    with name_server(table) as server:
        mx, text, cname = await look_up(questions, servers=[server.address])
    assert mx == Answer(questions[0], Found.RECORDS, ("a.example.com", "b.example.com"))
    assert sorted(text.values) == ["other", "v=spf1 -all"]
    assert cname.values == ("target.example.net",)


async def test_a_null_mx_is_an_empty_name():
    answer = await ask({("example.com", "MX"): ["0 ."]}, kind=Kind.MX)
    assert answer.values == ("",)


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ({}, Found.NO_NAME),
        ({("example.com", "MX"): ["10 mx.example.com."]}, Found.NONE),
        ({("example.com", "TXT"): "SERVFAIL"}, Found.FAILED),
        ({("example.com", "TXT"): "garbage"}, Found.FAILED),
        ({("example.com", "CNAME"): ["a.example.com."], ("a.example.com", "CNAME"): ["example.com."]}, None),
    ],
    ids=["no name", "no record", "server fault", "garbage", "a loop of aliases"],
)
async def test_what_cannot_be_found_is_a_value(table, found, monkeypatch):
    monkeypatch.setattr(dns, "QUERY_TIMEOUT", 0.3)
    answer = await ask(table, limit=30.0 if found in (Found.NO_NAME, Found.NONE) else 1.0)
    assert answer.values == ()
    assert answer.found is (found or answer.found)
    assert answer.found is not Found.RECORDS


async def test_a_silent_server_costs_the_limit_and_not_the_answers_of_others(monkeypatch):
    monkeypatch.setattr(dns, "QUERY_TIMEOUT", 0.3)
    table = {("silent.example", "TXT"): "silence", ("example.com", "TXT"): [txt("here")]}
    questions = [Question("silent.example", Kind.TXT), Question("example.com", Kind.TXT)]
    started = time.monotonic()
    with name_server(table) as server:
        silent, here = await look_up(questions, servers=[server.address], limit=2.0)
    assert time.monotonic() - started < 8
    assert silent.found is Found.FAILED
    assert here.values == ("here",)


async def test_a_hundred_questions_to_a_silent_server_end_at_the_limit():
    questions = [Question(f"n{n}.example", Kind.TXT) for n in range(100)]
    table = {(question.name, "TXT"): "silence" for question in questions}
    with name_server(table) as server:
        answers = await look_up(questions, servers=[server.address], limit=0.5)
    assert {answer.found for answer in answers} == {Found.FAILED}
    assert len(answers) == 100


async def test_a_record_of_ten_kilobytes_comes_by_tcp_and_is_cut():
    answer = await ask({("example.com", "TXT"): [txt("x" * 10_000)]})
    assert answer.values == ("x" * dns.MAX_TEXT,)


async def test_a_thousand_records_are_cut_to_a_hundred():
    answer = await ask({("example.com", "TXT"): [txt(f"record {n}") for n in range(1000)]})
    assert len(answer.values) == dns.MOST_RECORDS


async def test_nothing_unprintable_is_left_in_a_record():
    table = {("example.com", "TXT"): [r'"v=spf1 \000\027[2J \226\128\174 \255 <script>"']}
    (value,) = (await ask(table)).values
    assert value.isprintable()
    assert value.startswith("v=spf1 ")
    assert value.endswith("<script>")


@pytest.mark.parametrize("name", ["", "..", "a" * 64 + ".example", "x." * 200, "a b", "bücher.example", "\0"])
async def test_a_name_that_is_none_is_no_fault(name):
    with name_server({}) as server:
        (answer,) = await look_up([Question(name, Kind.TXT)], servers=[server.address])
    assert answer.values == ()
    assert answer.found in (Found.FAILED, Found.NO_NAME, Found.NONE)


async def test_without_questions_nobody_is_asked():
    assert await look_up([]) == ()


async def test_without_a_name_server_nothing_is_known():
    (answer,) = await look_up([Question("example.com", Kind.MX)], servers=[("127.0.0.1", 1)], limit=0.3)
    assert answer.found is Found.FAILED

"""Mailgun's answers, each from a server on loopback that answers as its documentation says (WIRE R28)."""

import time
from email.utils import formatdate

import pytest

from delivery.classification import Action, Sign, judge, judge_error
from tests.transports.ways import KEY, an_http_server, mailgun_takes, mailgun_to
from tests.wire.clients import Recorder, a_content, an_envelope
from transports.base import Phase
from transports.errors import ReplyRefused
from transports.exchange import Limits

PAGE = b"<html><body>Mailgun Magnificent API</body></html>"
QUEUED = {"id": "<1@mg.example.org>", "message": "Queued. Thank you."}


def answering(*answer):
    def answers(request, _body):
        return answer if "/v3/" in request.path else None

    return an_http_server(mailgun_takes, answers=answers)


async def outcome_of(server, content=None, **settings):
    session = await mailgun_to(server, **settings).open()
    outcome = await session.deliver(an_envelope(), content or a_content())
    await session.close()
    return outcome


@pytest.mark.parametrize(
    ("status", "said", "action", "sign"),
    [
        (200, PAGE, Action.RELEASE, Sign.PAUSE),
        (200, {"message": "Queued. Thank you."}, Action.RELEASE, Sign.PAUSE),
        (200, {"id": "<1@x>", "message": "Something else"}, Action.RELEASE, Sign.PAUSE),
        (200, ["id"], Action.RELEASE, Sign.PAUSE),
        (202, QUEUED, Action.RELEASE, Sign.PAUSE),
        (301, b"", Action.RELEASE, Sign.PAUSE),
        (400, {"message": "to parameter is not a valid address"}, Action.FAIL, Sign.NONE),
        (401, b"Forbidden", Action.RELEASE, Sign.PAUSE),
        (402, {"message": "Payment required"}, Action.RELEASE, Sign.PAUSE),
        (403, {"message": "Account disabled"}, Action.RELEASE, Sign.PAUSE),
        (404, {"message": "Domain not found: mg.example.org"}, Action.RELEASE, Sign.PAUSE),
        (413, {"message": "Request Entity Too Large"}, Action.ELSEWHERE, Sign.NONE),
        (429, {"message": "Too many requests"}, Action.RETRY, Sign.NONE),
        (500, b"oops", Action.RETRY, Sign.NONE),
        (503, PAGE, Action.RETRY, Sign.NONE),
    ],
)
async def test_only_an_id_and_queued_is_an_acceptance_and_the_rest_has_its_ruling(status, said, action, sign):
    with answering(status, {}, said) as server:
        outcome = await outcome_of(server)
    assert not outcome.accepted
    assert not outcome.uncertain
    assert (outcome.phase, outcome.reply.code) == (Phase.API, status)
    found = judge(outcome, recipients=1, is_fresh=True)
    assert (found.action, found.sign) == (action, sign)
    assert sum(method == "POST" for method, _path, _headers in server.requests) == 1  # nothing is repeated


@pytest.mark.parametrize("status", [429, 503])
async def test_the_wait_that_a_refusal_names_is_heard(status):
    with answering(status, {"Retry-After": "120"}, {"message": "Too many requests"}) as server:
        found = judge(await outcome_of(server), recipients=1, is_fresh=True)
    assert (found.action, found.hint.total_seconds()) == (Action.RETRY, 120)


async def test_a_date_until_which_to_wait_is_heard():
    until = formatdate(time.time() + 3600, usegmt=True)
    with answering(503, {"Retry-After": until}, {"message": "Down for maintenance"}) as server:
        found = judge(await outcome_of(server), recipients=1, is_fresh=True)
    assert 3000 < found.hint.total_seconds() <= 3600


async def test_the_id_is_in_the_reply():
    with an_http_server(mailgun_takes) as server:
        outcome = await outcome_of(server)
    assert outcome.reply.text == "Queued. Thank you. id=2026.1@mg.example.org"


@pytest.mark.parametrize("then", ["cut", "slow"])
async def test_without_an_answer_after_the_upload_it_is_uncertain(then):
    limits = Limits(connect=20, tls=20, write=20, answer=0.5 if then == "slow" else 20)
    with an_http_server(mailgun_takes, then=then) as server:
        outcome = await outcome_of(server, limits=limits)
    assert outcome.uncertain
    assert judge(outcome, recipients=1, is_fresh=True).action is Action.UNCERTAIN


async def test_a_connection_lost_in_the_upload_has_sent_nothing():
    large = a_content(b"Subject: large\r\n\r\n", *([b"x" * 70 + b"\r\n"] * 400_000))
    with an_http_server(mailgun_takes, then="tear") as server:
        outcome = await outcome_of(server, large)
    assert not outcome.uncertain
    assert judge(outcome, recipients=1, is_fresh=True).action is Action.RELEASE


async def test_a_domain_with_a_slash_leads_nowhere_else():
    with an_http_server(mailgun_takes) as server:
        outcome = await outcome_of(server, domain="mg.example.org/v3/other")
    [path] = [path for _method, path, _headers in server.requests]
    assert path == "/v3/mg.example.org%2Fv3%2Fother/messages.mime"
    assert (outcome.accepted, outcome.reply.code) == (False, 200)


async def test_words_of_the_server_are_cleaned_and_hold_no_key():
    with answering(400, {}, {"message": f"\x00\x1b[31m bad key {KEY}"}) as server:
        outcome = await outcome_of(server)
    assert KEY not in repr(outcome)
    assert outcome.reply.text.isprintable()


@pytest.mark.parametrize(
    ("settings", "verdicts"),
    [
        ({}, ["key done", "identity done"]),
        ({"key": "key-that-may-only-send"}, ["key warning", "identity skipped"]),
    ],
)
async def test_a_test_asks_about_the_key_and_the_domain(settings, verdicts):
    recorder = Recorder()
    with an_http_server(mailgun_takes) as server:
        session = await mailgun_to(server, **settings).open(recorder)
        await session.close()
    assert recorder.verdicts() == ["dns done", "connect done", *verdicts]


async def test_a_domain_that_is_not_verified_is_a_warning():
    recorder = Recorder()
    unverified = 200, {}, {"domain": {"state": "unverified"}}
    with an_http_server(mailgun_takes, answers=lambda *_: unverified) as server:
        await (await mailgun_to(server).open(recorder)).close()
    assert recorder.verdicts()[-1] == "identity warning"
    assert recorder.evidence(Phase.IDENTITY) == {"domain_state": "unverified"}


async def test_a_domain_of_another_region_ends_the_test_and_pauses():
    with an_http_server(mailgun_takes) as server, pytest.raises(ReplyRefused) as refused:
        await mailgun_to(server, domain="elsewhere.example.org").open(Recorder())
    assert (refused.value.phase, refused.value.reply.code) == (Phase.KEY, 404)
    assert judge_error(refused.value).sign is Sign.PAUSE


async def test_a_session_that_is_not_watched_asks_nothing_beforehand():
    with an_http_server(mailgun_takes) as server:
        await outcome_of(server)
    assert [method for method, _path, _headers in server.requests] == ["POST"]

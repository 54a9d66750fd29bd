"""Amazon SES's answers, each from a server on loopback that answers as its documentation says."""

import sys

import pytest

from delivery.classification import Action, Sign, judge, judge_error
from tests.transports.ways import KEY, an_http_server, ses_refuses, ses_takes, ses_to
from tests.wire.clients import Recorder, a_content, an_envelope
from transports.base import Envelope, Phase
from transports.errors import NotUsableHere, ReplyRefused


def refusing(*refusal):
    def answers(request, _body):
        return ses_refuses(*refusal) if request.path == "/v2/email/outbound-emails" else None

    return an_http_server(ses_takes, answers=answers)


async def outcome_of(server, *recipients, **settings):
    session = await ses_to(server, **settings).open()
    outcome = await session.deliver(an_envelope(*recipients), a_content())
    await session.close()
    return outcome


@pytest.mark.parametrize(
    ("status", "word", "action", "sign"),
    [
        (429, "TooManyRequestsException", Action.RETRY, Sign.NONE),
        (400, "ThrottlingException", Action.RETRY, Sign.NONE),
        (400, "LimitExceededException", Action.RETRY, Sign.NONE),
        (500, "InternalFailure", Action.RETRY, Sign.NONE),
        (400, "AccountSuspendedException", Action.RELEASE, Sign.PAUSE),
        (400, "SendingPausedException", Action.RELEASE, Sign.PAUSE),
        (400, "MailFromDomainNotVerifiedException", Action.RELEASE, Sign.PAUSE),
        (403, "AccessDeniedException", Action.RELEASE, Sign.PAUSE),
        (404, "NotFoundException", Action.RELEASE, Sign.PAUSE),
        (400, "MessageRejected", Action.FAIL, Sign.NONE),
        (400, "BadRequestException", Action.FAIL, Sign.NONE),
    ],
)
async def test_each_refusal_has_its_ruling_and_is_asked_for_once(status, word, action, sign):
    with refusing(status, word, "no") as server:
        outcome = await outcome_of(server)
    assert outcome.reply.text.startswith(word)
    found = judge(outcome, recipients=1, is_fresh=True)
    assert (found.action, found.sign) == (action, sign)
    assert sum(method == "POST" for method, _path, _headers in server.requests) == 1  # botocore's would be 5


@pytest.mark.parametrize(
    ("status", "word"), [(429, "TooManyRequestsException"), (503, "ServiceUnavailableException")]
)
async def test_the_wait_that_a_refusal_names_is_heard(status, word):
    with refusing(status, word, "no", "90") as server:
        found = judge(await outcome_of(server), recipients=1, is_fresh=True)
    assert found.action is Action.RETRY
    assert found.hint.total_seconds() == 90


async def test_bounces_are_reported_to_the_bounce_address_and_nobody_hears_of_a_bounced_bounce():
    with an_http_server(ses_takes) as server:
        session = await ses_to(server, bounce_address="bounces@example.org").open()
        await session.deliver(an_envelope(), a_content())
        await session.deliver(Envelope("", ("bob@example.org",)), a_content())
        await (await ses_to(server).open()).deliver(an_envelope(), a_content())
    assert [message.mail_from for message in server.messages] == ["bounces@example.org", "", ""]


@pytest.mark.parametrize("then", ["cut", "slow"])
async def test_without_an_answer_it_is_uncertain_and_nothing_is_sent_again(then):
    with an_http_server(ses_takes, then=then) as server:
        outcome = await outcome_of(server, answer=0.5 if then == "slow" else 20)
    assert outcome.uncertain
    assert judge(outcome, recipients=1, is_fresh=True).action is Action.UNCERTAIN
    assert sum(method == "POST" for method, _path, _headers in server.requests) == 1


async def test_where_nothing_listens_nothing_was_sent():
    with an_http_server(ses_takes) as server:
        pass
    outcome = await outcome_of(server)
    assert (outcome.phase, outcome.uncertain) == (Phase.CONNECT, False)
    assert judge(outcome, recipients=1, is_fresh=True).sign is Sign.BREAKER


async def test_more_than_fifty_recipients_are_left_for_a_follow_up():
    recipients = [f"r{n}@example.org" for n in range(51)]
    with an_http_server(ses_takes) as server:
        outcome = await outcome_of(server, *recipients)
    assert server.messages[0].rcpt_to == tuple(recipients[:50])
    found = judge(outcome, recipients=51, is_fresh=True)
    assert [one.ruling.action for one in found.recipients] == [Action.SENT] * 50 + [Action.RELEASE]


async def test_a_test_tells_quota_sandbox_and_identity():
    recorder = Recorder()
    with an_http_server(ses_takes) as server:
        await (await ses_to(server).open(recorder)).close()
    assert recorder.verdicts() == ["find done", "key done", "identity done"]
    assert recorder.evidence(Phase.KEY)["quota"] == "12 / 50000"


async def test_the_sandbox_and_a_sender_nobody_verified_are_warnings():
    def answers(request, _body):
        if request.path == "/v2/email/account":
            return 200, {}, {"ProductionAccessEnabled": False, "SendingEnabled": True}
        return None

    recorder = Recorder()
    with an_http_server(ses_takes, answers=answers) as server:
        await (await ses_to(server, sender="shop@other.example").open(recorder)).close()
    assert recorder.verdicts() == ["find done", "key warning", "identity warning"]


async def test_a_wrong_key_ends_the_test_and_pauses():
    with an_http_server(ses_takes) as server, pytest.raises(ReplyRefused) as refused:
        await ses_to(server, access_key_id="AKIAWRONG").open(Recorder())
    assert judge_error(refused.value).sign is Sign.PAUSE
    assert KEY not in repr(refused.value) + str(refused.value.__context__)


async def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    with (
        an_http_server(ses_takes) as server,
        pytest.raises(NotUsableHere, match=r"mailconf\[ses\]") as refused,
    ):
        await ses_to(server).open()
    assert (refused.value.reason, judge_error(refused.value).sign) == ("not-installed", Sign.PAUSE)

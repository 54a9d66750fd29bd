"""From a reply on a real socket to the judgement: code at a stage, with and without a profile's rules."""

import asyncio

import pytest

from delivery.classification import OVERRIDE, Action, Sign, judge, judge_error
from smtp_settings.entries.overrides import NO_OVERRIDES, Overrides, read_line
from tests.wire.clients import PASSWORD, PATIENT, a_content, a_transport, an_envelope
from tests.wire.evil import EHLO, both_modes, evil_server, honestly, say
from transports.errors import TransportError

WITHOUT_SIZE = ("250-evil.example.org", "250 PIPELINING")
HUGE = a_content(b"Subject: huge\r\n\r\n" + (b"x" * 98 + b"\r\n") * 200_000)


async def judged(plan, *, recipients=1, content=None, ehlo=EHLO, overrides=NO_OVERRIDES, **settings):
    """Carry one message to a server with a plan, and judge what came back."""
    envelope = an_envelope(*(f"r{n}@example.org" for n in range(recipients)))
    async with evil_server(plan, ehlo=ehlo) as server, asyncio.timeout(20):
        try:
            session = await a_transport(server.port, timeouts=PATIENT, **settings).open()
        except TransportError as error:
            return judge_error(error, overrides=overrides)
        outcome = await session.deliver(envelope, content or a_content())
        session.abort()
    return judge(outcome, recipients=recipients, is_fresh=True, overrides=overrides)


# stage, what the server says there -> action, sign, cause
SAMPLE = [
    ("banner", "554 5.7.1 Go away", Action.RELEASE, Sign.BREAKER, ""),
    ("banner", "421 4.7.0 Too many connections", Action.RELEASE, Sign.LOWER_LIMIT, ""),
    ("ehlo", "550 Nobody", Action.RELEASE, Sign.BREAKER, ""),
    ("ehlo", "530 5.7.0 Sign in", Action.RELEASE, Sign.PAUSE, ""),
    ("auth", "535 5.7.8 Wrong", Action.RELEASE, Sign.PAUSE, ""),
    ("auth", "454 4.7.0 Later", Action.RELEASE, Sign.BREAKER, ""),
    ("auth", "432 4.7.12 Password transition", Action.RELEASE, Sign.LOWER_LIMIT, ""),
    ("auth", "250 Not 235", Action.RELEASE, Sign.BREAKER, "sign_in_garbled"),
    ("mail", "421 4.3.2 Closing", Action.RELEASE, Sign.LOWER_LIMIT, ""),
    ("mail", "451 4.3.0 Later", Action.RETRY, Sign.NONE, ""),
    ("mail", "550 5.7.1 Not yours", Action.ELSEWHERE, Sign.REFUSES_US, "sender"),
    ("mail", "552 5.3.4 Large", Action.ELSEWHERE, Sign.NONE, "size"),
    ("mail", "553 5.1.7 Bad", Action.FAIL, Sign.NONE, "sender"),
    ("mail", "530 5.7.0 Sign in", Action.RELEASE, Sign.PAUSE, ""),
    ("mail", "503 5.5.1 Order", Action.RETRY, Sign.DESYNC, "protocol"),
    ("rcpt", "450 4.2.1 Busy", Action.RETRY, Sign.NONE, ""),
    ("rcpt", "550 5.1.1 Nobody", Action.FAIL, Sign.NONE, "recipient"),
    ("rcpt", "552 5.2.2 Full", Action.FAIL, Sign.NONE, "mailbox_full"),
    ("rcpt", "554 5.7.1 Relay access denied", Action.ELSEWHERE, Sign.REFUSES_US, "relay"),
    ("rcpt", "421 4.7.0 Slow down", Action.RELEASE, Sign.LOWER_LIMIT, ""),
    ("data", "451 4.3.0 Later", Action.RETRY, Sign.NONE, ""),
    ("data", "554 5.6.0 No", Action.FAIL, Sign.NONE, "content"),
    ("data", "250 2.0.0 Ok", Action.RETRY, Sign.DESYNC, "protocol"),
    ("dot", "250 2.0.0 Queued", Action.SENT, Sign.SUCCESS, ""),
    ("dot", "251 2.0.0 Forwarded", Action.SENT, Sign.SUCCESS, ""),
    ("dot", "421 4.3.2 Closing", Action.RETRY, Sign.LOWER_LIMIT, ""),
    ("dot", "452 4.3.1 Full", Action.RETRY, Sign.NONE, ""),
    ("dot", "550 5.7.1 Spam", Action.FAIL, Sign.REFUSES_US, "policy"),
    ("dot", "554 5.6.0 Content", Action.FAIL, Sign.NONE, "content"),
    ("dot", "500 5.5.2 What", Action.RETRY, Sign.DESYNC, "protocol"),
    ("dot", "600 What", Action.UNCERTAIN, Sign.DESYNC, "uncertain"),
    ("dot", "HTTP/1.1 200 OK", Action.UNCERTAIN, Sign.DESYNC, "uncertain"),
]


@both_modes
@pytest.mark.parametrize(("stage", "words", "action", "sign", "cause"), SAMPLE)
async def test_what_a_server_says_at_a_stage_is_judged_as_the_table_says(
    stage, words, action, sign, cause, ehlo
):
    found = await judged({stage: say(words)}, ehlo=ehlo, password=PASSWORD)
    assert (found.action, found.sign, found.cause) == (action, sign, cause)


async def test_a_second_354_after_the_dot_is_uncertain():
    found = await judged({"dot": say("354 Go on")})
    assert (found.action, found.sign) == (Action.UNCERTAIN, Sign.DESYNC)


@pytest.mark.parametrize(
    ("words", "action", "cause"),
    [("552 5.3.4 Too large", Action.ELSEWHERE, "size"), ("452 4.3.1 Full", Action.RETRY, "")],
)
async def test_a_refusal_inside_the_content_is_judged_with_its_code(words, action, cause):
    found = await judged({"body": say(words)}, content=HUGE, ehlo=WITHOUT_SIZE)
    assert (found.action, found.cause, found.reply.code) == (action, cause, int(words[:3]))


# what the second and third recipient are answered -> the verdicts of all
PARTIAL = [
    (("550 5.1.1 Nobody", "450 4.2.1 Busy"), "sent fail retry"),
    (("452 4.5.3 Too many", "452 4.5.3 Too many"), "sent release release"),
    (("452 4.2.2 Full for now", "552 5.2.2 Full"), "sent retry fail"),
    (("552 Too many recipients", "550 5.7.1 Blocked"), "sent release elsewhere"),
]


@pytest.mark.parametrize(("answers", "verdicts"), PARTIAL)
async def test_each_recipient_gets_the_verdict_of_his_own_reply(answers, verdicts):
    found = await judged({"rcpt": [honestly, *map(say, answers)]}, recipients=3)
    assert [verdict.ruling.action for verdict in found.recipients] == verdicts.split()


# stage, what the server says there, rule -> action, sign, whether the rule decided
RULED = [
    ("banner", "554 Daily quota", '* 554 "daily*quota" -> pause', Action.RELEASE, Sign.PAUSE, True),
    ("banner", "554 Daily quota", "* * -> fail", Action.RELEASE, Sign.BREAKER, False),
    ("auth", "535 5.7.8 Wrong", "auth 535 -> server_trouble", Action.RELEASE, Sign.BREAKER, True),
    ("mail", "421 4.3.2 Closing", "mail 421 4.3 -> retry", Action.RETRY, Sign.NONE, True),
    ("rcpt", "450 4.2.1 Mailbox busy", 'rcpt 450 4.2.1 "mailbox busy" -> fail', Action.FAIL, Sign.NONE, True),
    ("rcpt", "450 4.2.1 Mailbox busy", "mail 450 -> fail", Action.RETRY, Sign.NONE, False),
    ("data", "554 No", "data 5xx -> another_server", Action.ELSEWHERE, Sign.NONE, True),
    ("dot", "554 5.7.1 Try tomorrow", "dot 554 -> retry 6h", Action.RETRY, Sign.NONE, True),
    ("dot", "451 4.3.0 Later", "* 4xx -> too_many_connections", Action.RETRY, Sign.LOWER_LIMIT, True),
    ("dot", "250 2.0.0 Queued", "* * -> fail", Action.SENT, Sign.SUCCESS, False),
    ("dot", "600 What", "* * -> fail", Action.UNCERTAIN, Sign.DESYNC, False),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "words", "line", "action", "sign", "decides"), RULED)
async def test_a_profiles_rule_decides_where_it_fits_and_only_there(
    stage, words, line, action, sign, decides
):
    overrides = Overrides((read_line(line),))
    found = await judged({stage: say(words)}, overrides=overrides, password=PASSWORD)
    assert (found.action, found.sign, found.cause == OVERRIDE) == (action, sign, decides)

"""What an observer hears of good and bad sessions: nine steps, the transcript, no secret."""

import base64
from itertools import pairwise

import pytest

from tests.servers import smtp_server
from tests.wire.clients import PASSWORD, PATIENT, Recorder, a_content, a_transport, an_envelope, short
from tests.wire.evil import evil_server, fin, hang, rst, say
from transports.base import Direction, Phase, StepVerdict
from transports.errors import ReplyTimeout, TransportError
from transports.smtp.tls import describe_certificate

NINE = {
    "none": ["dns", "connect", "banner", "ehlo", "tls", "auth", "mail", "rcpt", "dot"],
    "starttls": ["dns", "connect", "banner", "ehlo", "tls", "auth", "mail", "rcpt", "dot"],
    "tls": ["dns", "connect", "tls", "banner", "ehlo", "auth", "mail", "rcpt", "dot"],
}


@pytest.mark.parametrize("security", NINE)
@pytest.mark.parametrize("mechanism", ["plain", "login"])
async def test_a_test_send_is_nine_steps_and_a_transcript_without_the_secret(security, mechanism):
    recorder = Recorder()
    with smtp_server(security=security, auth=("ann", PASSWORD)) as server:
        transport = a_transport(server.port, security=security, password=PASSWORD, mechanism=mechanism)
        session = await transport.open(recorder)
        outcome = await session.deliver(an_envelope(), a_content())
        await session.close()
    assert outcome.accepted
    assert [step.phase for step in recorder.steps] == NINE[security]
    expected = StepVerdict.WARNING if security == "none" else StepVerdict.DONE
    assert recorder.steps[NINE[security].index("tls")].verdict is expected
    assert all(step.ms >= 0 for step in recorder.steps)
    for earlier, later in zip(recorder.steps, recorder.steps[1:], strict=False):
        assert earlier.started_ms <= later.started_ms
    assert recorder.steps[-1].reply == outcome.reply
    assert recorder.evidence(Phase.AUTH)["mechanism"] == mechanism.upper()
    everything = recorder.everything()
    both = base64.b64encode(f"\0ann\0{PASSWORD}".encode()).decode()
    for form in (PASSWORD, base64.b64encode(PASSWORD.encode()).decode(), both):
        assert form not in everything
    assert "<secret>" in everything
    assert recorder.said(Direction.CLIENT)[-1] == "QUIT"
    assert "221 2.0.0 Bye" in recorder.said(Direction.SERVER)
    assert "Good morning" not in everything  # the content is not part of the conversation


OPENING = {"none": {}, "starttls": {"starttls": True}, "tls": {"implicit": True}}

#: Where it breaks, for each security: what an observer has heard of the session then.
BROKEN = {
    "none": {
        "banner": "dns done, connect done, banner failed",
        "ehlo": "dns done, connect done, banner done, ehlo failed",
        "auth": "dns done, connect done, banner done, ehlo done, tls warning, auth failed",
    },
    "starttls": {
        "banner": "dns done, connect done, banner failed",
        "ehlo": "dns done, connect done, banner done, ehlo failed",
        "starttls": "dns done, connect done, banner done, ehlo done, tls failed",
        "handshake": "dns done, connect done, banner done, ehlo done, tls failed",
        "ehlo2": "dns done, connect done, banner done, ehlo done, tls done, ehlo failed",
        "auth": "dns done, connect done, banner done, ehlo done, tls done, auth failed",
    },
    "tls": {
        "tcp": "dns done, connect done, tls failed",
        "banner": "dns done, connect done, tls done, banner failed",
        "ehlo": "dns done, connect done, tls done, banner done, ehlo failed",
        "auth": "dns done, connect done, tls done, banner done, ehlo done, auth failed",
    },
}


def assert_complete(steps):
    """Each step has a place, a beginning, a length and, where something is wrong, words."""
    for step in steps:
        assert isinstance(step.phase, Phase)
        assert step.started_ms >= 0
        assert step.ms >= 0
        assert step.detail or step.verdict is StepVerdict.DONE
        assert step.detail == step.detail.strip()
    for earlier, later in pairwise(steps):
        assert earlier.started_ms + earlier.ms <= later.started_ms + 0.001


@pytest.mark.parametrize(
    "how",
    [fin, rst, hang, say("421 4.3.2 Closing"), say("zzz")],
    ids=["fin", "rst", "hang", "421", "garbage"],
)
@pytest.mark.parametrize(
    ("security", "stage"), [(security, stage) for security, stages in BROKEN.items() for stage in stages]
)
async def test_every_stage_that_breaks_is_the_last_of_complete_steps(security, stage, how):
    """Over plain text, STARTTLS and TLS; a good handshake stays good when what follows it fails."""
    recorder, heard = Recorder(), BROKEN[security][stage]
    opening = OPENING[security] if stage != "tcp" else {}
    limits = PATIENT
    if how is hang:
        phase = {"ehlo2": "ehlo", "starttls": "tls", "handshake": "tls", "tcp": "tls"}.get(stage, stage)
        limits = short(phase, seconds=0.3)
    async with evil_server({stage: how}, **opening) as server:
        with pytest.raises(TransportError) as caught:
            await a_transport(server.port, security=security, password=PASSWORD, timeouts=limits).open(
                recorder
            )
    assert ", ".join(recorder.verdicts()) == heard
    assert_complete(recorder.steps)
    last = recorder.steps[-1]
    assert (last.phase, last.detail, last.reply) == (
        caught.value.phase, str(caught.value), caught.value.reply,
    )  # fmt: skip
    if "tls done" in heard:
        assert recorder.evidence(Phase.TLS)["certificate_sha256"]
    if stage == "auth":
        assert last.evidence["mechanism"] == "PLAIN"


@pytest.mark.parametrize("security", OPENING)
async def test_without_a_sign_in_its_step_is_skipped(security):
    recorder = Recorder()
    async with evil_server(**OPENING[security]) as server:
        session = await a_transport(server.port, security=security).open(recorder)
        await session.close()
    assert recorder.verdicts()[-1] == "auth skipped"
    assert recorder.steps[-1].detail == "No sign-in."
    assert_complete(recorder.steps)


async def test_a_failed_look_up_and_a_failed_connect_are_steps_too():
    async with evil_server() as server:
        port = server.port
    for settings, heard in (({"host": "a b"}, ["dns failed"]), ({}, ["dns done", "connect failed"])):
        recorder = Recorder()
        with pytest.raises(TransportError):
            await a_transport(port, **settings).open(recorder)
        assert recorder.verdicts() == heard
        assert_complete(recorder.steps)


@pytest.mark.parametrize(
    ("security", "stage", "phase", "limit"),
    [
        ("none", "banner", Phase.BANNER, "banner"),
        ("none", "ehlo", Phase.EHLO, "ehlo"),
        ("none", "auth", Phase.AUTH, "auth"),
        ("none", "mail", Phase.MAIL, "mail"),
        ("none", "rcpt", Phase.RCPT, "rcpt"),
        ("none", "data", Phase.DATA, "data"),
        ("none", "dot", Phase.DOT, "dot"),
        ("starttls", "starttls", Phase.TLS, "tls"),
        ("starttls", "handshake", Phase.TLS, "tls"),
        ("starttls", "ehlo2", Phase.EHLO, "ehlo"),
        ("tls", "tcp", Phase.TLS, "tls"),
        ("tls", "banner", Phase.BANNER, "banner"),
        ("tls", "ehlo", Phase.EHLO, "ehlo"),
    ],
)
async def test_each_stage_waits_as_long_as_its_own_limit(security, stage, phase, limit):
    """Measured on the step: not shorter than the limit, and far from all the others, which are 10 s."""
    recorder, opening = Recorder(), OPENING[security] if stage != "tcp" else {}
    limits = short(limit, seconds=0.4)
    async with evil_server({stage: hang}, **opening) as server:
        transport = a_transport(server.port, security=security, password=PASSWORD, timeouts=limits)
        try:
            session = await transport.open(recorder)
            error = (await session.deliver(an_envelope(), a_content())).error
        except TransportError as caught:
            error = caught
    assert (type(error), error.phase) == (ReplyTimeout, phase)
    assert 390 <= recorder.steps[-1].ms < 5000


@pytest.mark.parametrize(
    ("plan", "last"),
    [
        ({"mail": say("550 5.7.1 No")}, "mail failed"),
        ({"rcpt": say("550 5.1.1 No"), "data": say("554 No")}, "rcpt failed"),
        ({"data": say("451 4.3.0 No")}, "data failed"),
        ({"data": hang}, "data failed"),
        ({"dot": say("554 5.6.0 No")}, "dot failed"),
        ({"dot": hang}, "dot failed"),
    ],
    ids=["mail", "rcpt", "data", "data hangs", "dot", "dot hangs"],
)
async def test_the_last_step_is_where_it_failed(plan, last):
    recorder = Recorder()
    async with evil_server(plan) as server:
        session = await a_transport(server.port, timeouts=short("data", "dot", seconds=0.3)).open(recorder)
        outcome = await session.deliver(an_envelope(), a_content())
        session.abort()
    assert not outcome.accepted
    assert recorder.verdicts()[-1] == last
    assert recorder.steps[-1].reply == outcome.reply
    assert recorder.steps[-1].detail
    assert all(step.verdict is not StepVerdict.FAILED for step in recorder.steps[:-1])


async def test_sender_and_recipients_are_steps_before_the_content_is_answered():
    """Content may take minutes, and a person is watching."""
    recorder, seen = Recorder(), []
    async with evil_server() as server:
        session = await a_transport(server.port).open(recorder)
        outcome = await session.deliver(
            an_envelope(), a_content(), before_dot=lambda: seen.extend(recorder.verdicts()[-2:])
        )
        await session.close()
    assert outcome.accepted
    assert seen == ["mail done", "rcpt done"]
    assert recorder.verdicts()[-3:] == ["mail done", "rcpt done", "dot done"]


async def test_a_refused_recipient_among_others_is_a_warning():
    recorder = Recorder()
    async with evil_server({"rcpt": [say("550 5.1.1 No such user")]}) as server:
        session = await a_transport(server.port).open(recorder)
        assert (await session.deliver(an_envelope("a@x.org", "b@x.org"), a_content())).accepted
        await session.close()
    step = next(step for step in recorder.steps if step.phase is Phase.RCPT)
    assert (step.verdict, step.detail, step.reply.code) == (StepVerdict.WARNING, "1 of 2 refused.", 550)


@pytest.mark.parametrize(
    ("plan", "last"),
    [
        ({"banner": say("554 5.7.1 Not you")}, "banner failed"),
        ({"ehlo": say("554 5.7.1 Not you")}, "ehlo failed"),
        ({"auth": say("535 5.7.8 Not you")}, "auth failed"),
    ],
    ids=["banner", "ehlo", "auth"],
)
async def test_a_refusal_before_the_message_is_a_failed_step_with_its_reply(plan, last):
    recorder = Recorder()
    async with evil_server(plan) as server:
        with pytest.raises(TransportError):
            await a_transport(server.port, password=PASSWORD).open(recorder)
    assert recorder.verdicts()[-1] == last
    assert recorder.steps[-1].reply.text == "Not you"
    assert recorder.said(Direction.SERVER)[-1].endswith("Not you")


async def test_what_a_server_says_is_shown_escaped_and_short():
    recorder = Recorder()
    wild = b"250 2.0.0 \x1b[31m \x00 \xff \xe2\x80\xae " + b"x" * 3000
    async with evil_server({"mail": say(wild)}) as server:
        session = await a_transport(server.port).open(recorder)
        assert (await session.deliver(an_envelope(), a_content())).accepted
        await session.close()
    line = next(line for line in recorder.said(Direction.SERVER) if "[31m" in line)
    assert line.startswith(r"250 2.0.0 \x1b[31m \x00 \xff \u202e xxx")
    assert len(line) == 1000


async def test_a_protocol_error_shows_its_bytes_as_hex():
    recorder = Recorder()
    async with evil_server({"mail": say(b"\x00\x01hello")}) as server:
        session = await a_transport(server.port).open(recorder)
        await session.deliver(an_envelope(), a_content())
    assert any(b"\x00\x01hello".hex() in line for line in recorder.said(Direction.NOTE))


async def test_helo_is_part_of_the_conversation():
    recorder = Recorder()
    async with evil_server({"ehlo": say("500 What?")}) as server:
        session = await a_transport(server.port).open(recorder)
        await session.close()
    assert [line.split()[0] for line in recorder.said(Direction.CLIENT)] == ["EHLO", "HELO", "QUIT"]


def test_a_certificate_that_cannot_be_read_has_a_hash_at_least():
    assert list(describe_certificate(b"junk")) == ["certificate_sha256"]

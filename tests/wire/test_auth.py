"""Signing in: what is said, to whom, and how it ends (WIRE D16, D17, D26, E10, section 8).

What becomes of the secret in a server's mouth is in test_secrets.py.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import threading

import pytest

from tests.wire.clients import PASSWORD, PATIENT, Recorder, a_content, a_transport, an_envelope
from tests.wire.evil import evil_server, fin, flood, one_long_line, say, say_and_go
from transports.base import Direction, Phase, Secret, StepVerdict
from transports.errors import (
    AuthNotEncrypted,
    AuthNotOffered,
    ConnectionLost,
    CredentialsNotUsable,
    ProtocolError,
    ReplyRefused,
    TokenRefused,
    TransportError,
)

TOKEN = "ya29.a0AfB_byC-canary-token~" + "x" * 1500

#: What a transport needs beside the port for each mechanism.
SIGN_INS = {
    "plain": {"password": PASSWORD, "mechanism": "plain"},
    "login": {"password": PASSWORD, "mechanism": "login"},
    "cram-md5": {"password": PASSWORD, "mechanism": "cram-md5"},
    "xoauth2": {"auth": "oauth", "token": lambda: Secret(TOKEN), "username": "ann", "allow_clear_auth": True},
}

every_mechanism = pytest.mark.parametrize("mechanism", SIGN_INS)


def offering(*mechanisms):
    """Return an EHLO reply with this line about AUTH."""
    return ("250-evil.example.org", "250-PIPELINING", " ".join(("250 AUTH", *mechanisms)))


ALL = offering("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2")


def encoded(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def asking(*challenges, then="235 2.7.0 Ok", heard):
    """Ask these questions one after the other and keep the answers in `heard`."""

    async def act(peer, honest):
        for challenge in challenges:
            await peer.write(f"334 {challenge}\r\n".encode())
            heard.append((await peer.reader.readline()).decode().rstrip("\r\n"))
        await peer.write(then.encode() + b"\r\n")

    return act


async def refusal(server, observer=None, timeouts=PATIENT, **settings):
    """Return the error with which opening a session fails."""
    with pytest.raises(TransportError) as caught:
        await a_transport(server.port, timeouts=timeouts, **settings).open(observer)
    return caught.value


# One mechanism, one try


@pytest.mark.parametrize("answer", ["250 2.0.0 Ok", "220 hello", "354 go on"])
async def test_only_235_is_a_sign_in(answer):
    async with evil_server({"auth": say(answer)}) as server:
        error = await refusal(server, password=PASSWORD)
    assert (type(error), error.phase) == (ProtocolError, Phase.AUTH)


async def test_a_refused_mechanism_is_not_followed_by_the_next():
    async with evil_server({"auth": say("535 5.7.8 No")}) as server:
        error = await refusal(server, password=PASSWORD)
        assert server.verbs().count("AUTH") == 1
    assert error.reply.code == 535


async def test_a_535_with_a_hang_up_is_a_535():
    async with evil_server({"auth": say_and_go("535 5.7.8 No")}) as server:
        error = await refusal(server, password=PASSWORD)
    assert (type(error), error.reply.code) == (ReplyRefused, 535)


async def test_a_server_that_overlooked_the_initial_response_is_told_again():
    recorder = Recorder()

    async def ask(peer, honest):
        await peer.write(b"334 \r\n")
        server.heard.append((await peer.reader.readline()).decode().strip())
        await peer.write(honest)

    async with evil_server({"auth": ask}) as server:
        session = await a_transport(server.port, password=PASSWORD).open(recorder)
        assert server.heard[-2].split(" ")[-1] == server.heard[-1]
        await session.close()
        assert server.heard[-2] not in recorder.everything()


async def test_a_good_login_answers_both_questions():
    async with evil_server() as server:
        session = await a_transport(server.port, password=PASSWORD, mechanism="login").open()
        await session.close()
        assert server.verbs()[1] == "AUTH"


async def test_endless_questions_end_the_sign_in():
    async with evil_server({"auth": say("334 "), "auth_step": say("334 ")}) as server:
        error = await refusal(server, password=PASSWORD)
    assert (type(error), error.phase) == (ProtocolError, Phase.AUTH)


@pytest.mark.parametrize("mechanism", ["plain", "login"])
async def test_a_question_too_many_is_not_answered(mechanism):
    async def keep_asking(peer, honest):
        for _ in range(3):
            await peer.write(b"334 cGFzcw==\r\n")
            server.heard.append((await peer.reader.readline()).decode())

    async with evil_server({"auth": keep_asking}) as server:
        error = await refusal(server, password=PASSWORD, mechanism=mechanism)
    assert (type(error), error.phase) == (ProtocolError, Phase.AUTH)


async def test_login_may_end_at_the_first_answer():
    async with evil_server({"auth": say("235 2.7.0 Known already")}) as server:
        session = await a_transport(server.port, password=PASSWORD, mechanism="login").open()
        await session.close()
        assert server.verbs() == ["EHLO", "AUTH", "QUIT"]


@pytest.mark.parametrize("stage", ["auth", "auth_step"])
async def test_login_asks_two_questions_at_most_and_each_may_fail(stage):
    async with evil_server({stage: say("432 4.7.12 A password transition is needed")}) as server:
        error = await refusal(server, password=PASSWORD, mechanism="login")
    assert (type(error), error.reply.code) == (ReplyRefused, 432)


async def test_no_password_is_sent_in_clear_unless_the_profile_says_so():
    async with evil_server() as server:
        error = await refusal(server, password=PASSWORD, allow_clear_auth=False)
        assert type(error) is AuthNotEncrypted
        assert server.verbs() == ["EHLO"]
        session = await a_transport(server.port, password=PASSWORD, allow_clear_auth=True).open()
        await session.close()
        assert "AUTH" in server.verbs()


async def test_the_old_form_of_auth_is_understood():
    async with evil_server(ehlo=("250-evil", "250 AUTH=LOGIN PLAIN")) as server:
        session = await a_transport(server.port, password=PASSWORD).open()
        await session.close()
        assert server.verbs()[1] == "AUTH"


async def test_a_password_that_does_not_open_leaves_no_connection():
    def broken():
        raise LookupError("the key is missing")

    async with evil_server() as server:
        with pytest.raises(LookupError, match="key"):
            await a_transport(server.port, auth="password", opener=broken).open()
        assert server.verbs() == ["EHLO"]


# What is offered


@pytest.mark.parametrize(
    ("ehlo", "words"),
    [
        (
            ("250-evil", "250 SIZE 1"),
            "does not offer a sign-in here. Many servers offer it only on an encrypted",
        ),
        (("250-evil", "250 AUTH"), "names no mechanism"),
        (("250-evil", "250 AUTH="), "names no mechanism"),
        (offering("NTLM", "GSSAPI"), "offers only NTLM, GSSAPI, and this profile cannot use that"),
        (("250-evil", "250 AUTH=NTLM"), "offers only NTLM,"),
        (offering("XOAUTH2", "OAUTHBEARER"), "it wants OAuth 2.0, and this profile has a password"),
        (offering(*(f"X{n}" for n in range(1000))), "X8, X9, …, and this"),
        (offering("X" * 5000), "offers only XXXXXXXXXXXXXXXXXXXX, and"),
    ],
    ids=["absent", "empty", "empty old", "unknown", "old style", "oauth only", "thousands", "long"],
)
async def test_without_a_mechanism_we_may_use_nothing_is_tried_and_the_reason_is_said(ehlo, words):
    """WIRE D16."""
    async with evil_server(ehlo=ehlo) as server:
        error = await refusal(server, password=PASSWORD)
        assert (type(error), error.phase) == (AuthNotOffered, Phase.AUTH)
        assert server.verbs() == ["EHLO"]
    assert words in str(error)
    assert len(str(error)) < 400


async def test_cram_md5_alone_is_refused_in_words_that_name_the_choice():
    """WIRE D26."""
    recorder = Recorder()
    async with evil_server(ehlo=offering("CRAM-MD5")) as server:
        error = await refusal(server, recorder, password=PASSWORD)
        assert server.verbs() == ["EHLO"]
    assert type(error) is AuthNotOffered
    assert "set the sign-in mechanism to CRAM-MD5" in str(error)
    assert (recorder.verdicts()[-1], recorder.steps[-1].detail) == ("auth failed", str(error))


async def test_automatic_never_means_cram_md5():
    """WIRE D26: not even when the server names it first."""
    async with evil_server(ehlo=offering("CRAM-MD5", "LOGIN")) as server:
        session = await a_transport(server.port, password=PASSWORD).open()
        await session.close()
        assert "AUTH LOGIN" in server.heard


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (SIGN_INS["cram-md5"], "does not offer CRAM-MD5. It offers GSSAPI."),
        (SIGN_INS["plain"], "does not offer PLAIN. It offers GSSAPI."),
        (SIGN_INS["xoauth2"], "takes no OAuth 2.0 token (XOAUTH2). It offers GSSAPI."),
    ],
    ids=["cram-md5", "plain", "oauth"],
)
async def test_a_chosen_mechanism_that_is_not_offered_is_named(settings, words):
    async with evil_server(ehlo=offering("GSSAPI")) as server:
        error = await refusal(server, **settings)
        assert server.verbs() == ["EHLO"]
    assert words in str(error)


@every_mechanism
async def test_no_mechanism_signs_in_in_clear_unless_it_was_chosen(mechanism):
    async with evil_server(ehlo=ALL) as server:
        error = await refusal(server, **(SIGN_INS[mechanism] | {"allow_clear_auth": False}))
        assert server.verbs() == ["EHLO"]
    assert type(error) is AuthNotEncrypted


@pytest.mark.parametrize(
    "settings",
    [
        SIGN_INS["xoauth2"] | {"mechanism": "plain"},
        SIGN_INS["plain"] | {"mechanism": "xoauth2"},
        SIGN_INS["xoauth2"] | {"token": None},
    ],
    ids=["token by plain", "password by xoauth2", "no token"],
)
async def test_a_mechanism_and_a_secret_that_do_not_fit_are_refused_before_anything_is_opened(settings):
    async with evil_server(ehlo=ALL) as server:
        error = await refusal(server, **settings)
        assert server.connections == 0
    assert (type(error), error.phase) == (CredentialsNotUsable, Phase.AUTH)


# What is said


async def test_cram_md5_answers_as_in_its_definition():
    """The example of RFC 2195 section 2."""
    heard = []
    challenge = encoded("<1896.697170952@postoffice.reston.mci.net>")
    async with evil_server({"auth": asking(challenge, heard=heard)}, ehlo=ALL) as server:
        settings = {"mechanism": "cram-md5", "username": "tim"}
        session = await a_transport(server.port, password="tanstaaftanstaaf", **settings).open()
        assert (await session.deliver(an_envelope(), a_content())).accepted
        await session.close()
        assert "AUTH CRAM-MD5" in server.heard
    assert base64.b64decode(heard[0]).decode() == "tim b913a602c7eda7a495b4e6e7334d3890"


async def test_xoauth2_sends_user_and_token_in_one_line():
    recorder = Recorder()
    async with evil_server(ehlo=ALL) as server:
        session = await a_transport(server.port, **SIGN_INS["xoauth2"]).open(recorder)
        assert (await session.deliver(an_envelope(), a_content())).accepted
        await session.close()
        line = next(line for line in server.heard if line.startswith("AUTH"))
    message = base64.b64decode(line.removeprefix("AUTH XOAUTH2 "))
    assert message == b"user=ann\x01auth=Bearer " + TOKEN.encode() + b"\x01\x01"
    assert recorder.evidence(Phase.AUTH)["mechanism"] == "XOAUTH2"
    assert "AUTH XOAUTH2 <secret>" in recorder.said(Direction.CLIENT)


async def test_xoauth2_says_its_token_again_to_a_server_that_overlooked_it():
    heard = []
    async with evil_server({"auth": asking("", heard=heard)}, ehlo=ALL) as server:
        session = await a_transport(server.port, **SIGN_INS["xoauth2"]).open()
        await session.close()
        assert server.heard[1].removeprefix("AUTH XOAUTH2 ") == heard[0]


NOT_YOU = {"status": "401", "schemes": "bearer", "scope": "https://mail.google.com/"}


async def test_a_refused_token_is_explained_and_the_refusal_is_fetched():
    """The server says 334 with JSON, wants an empty line, and says 535 then."""
    heard, recorder = [], Recorder()
    refuse = asking(encoded(json.dumps(NOT_YOU)), then="535 5.7.8 Bad credentials", heard=heard)
    async with evil_server({"auth": refuse}, ehlo=ALL) as server:
        error = await refusal(server, recorder, **SIGN_INS["xoauth2"])
    assert heard == [""]
    assert (type(error), error.reply.code) == (ReplyRefused, 535)
    assert json.loads(recorder.steps[-1].evidence["explanation"]) == NOT_YOU
    assert any('"status": "401"' in line for line in recorder.said(Direction.NOTE))


async def test_a_refused_token_is_a_refusal_when_nobody_listens():
    refuse = asking(encoded(json.dumps(NOT_YOU)), then="535 5.7.8 Bad credentials", heard=[])
    async with evil_server({"auth": refuse}, ehlo=ALL) as server:
        error = await refusal(server, **SIGN_INS["xoauth2"])
    assert (type(error), error.reply.code) == (ReplyRefused, 535)


async def test_an_explanation_is_cleaned_cut_and_free_of_the_token():
    heard, recorder = [], Recorder()
    wild = b"\x1b[2J\x00 " + TOKEN.encode().hex().encode()[:200] + b" \xe2\x80\xae" + b"y" * 50
    refuse = asking(encoded(wild), then="535 5.7.8 No", heard=heard)
    async with evil_server({"auth": refuse}, ehlo=ALL) as server:
        short_token = SIGN_INS["xoauth2"] | {"token": lambda: Secret(TOKEN[:40])}
        await refusal(server, recorder, **short_token)
    explanation = recorder.steps[-1].evidence["explanation"]
    assert explanation.isprintable()
    assert len(explanation) <= 300
    assert TOKEN[:40].encode().hex() not in recorder.everything()
    assert "<secret>" in explanation


async def test_a_token_that_is_refused_and_never_answered_is_a_loss():
    async def refuse_and_go(peer, honest):
        await peer.write(b"334 " + encoded(json.dumps(NOT_YOU)).encode() + b"\r\n")
        await peer.reader.readline()
        await fin(peer, honest)

    async with evil_server({"auth": refuse_and_go}, ehlo=ALL) as server:
        error = await refusal(server, **SIGN_INS["xoauth2"])
    assert (type(error), error.phase) == (ConnectionLost, Phase.AUTH)


# Exact secrets (WIRE E10)

PASSWORDS = {
    "spaces": "  two at each end  ",
    "emoji": "pass\N{PILE OF POO}wörd",
    "colon and tab": "a:b\tc\\d",
    "not printable": "a\x01\x7fb",
    "long": "ü" * 1024,
}


@pytest.mark.parametrize("password", PASSWORDS.values(), ids=PASSWORDS)
@pytest.mark.parametrize("mechanism", ["plain", "login", "cram-md5"])
async def test_a_password_is_sent_exactly_as_it_is(mechanism, password):
    """WIRE E10: no strip, no normal form; UTF-8."""
    heard, octets = [], password.encode()
    questions = {
        "plain": (),
        "login": (encoded("Username:"), encoded("Password:")),
        "cram-md5": (encoded("<1@x>"),),
    }
    async with evil_server({"auth": asking(*questions[mechanism], heard=heard)}, ehlo=ALL) as server:
        session = await a_transport(server.port, password=password, mechanism=mechanism).open()
        await session.close()
        line = next(line for line in server.heard if line.startswith("AUTH"))
    if mechanism == "plain":
        assert base64.b64decode(line.removeprefix("AUTH PLAIN ")) == b"\0ann\0" + octets
    elif mechanism == "login":
        assert [base64.b64decode(answer) for answer in heard] == [b"ann", octets]
    else:
        digest = hmac.new(octets, b"<1@x>", hashlib.md5).hexdigest()
        assert base64.b64decode(heard[0]).decode() == f"ann {digest}"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"password": "a\0b-or-not"}, "NUL"),
        ({"password": PASSWORD, "username": "an\0n"}, "NUL"),
        ({"password": "half a \ud83d pair"}, "cannot be sent"),
        ({"password": ""}, "empty"),
        (SIGN_INS["xoauth2"] | {"token": lambda: Secret("two words")}, "cannot be in it"),
        (SIGN_INS["xoauth2"] | {"token": lambda: Secret("tök")}, "cannot be in it"),
        (SIGN_INS["xoauth2"] | {"token": lambda: Secret("a\x01auth=Bearer b")}, "cannot be in it"),
        (SIGN_INS["xoauth2"] | {"username": "ann\x01auth=Bearer b"}, "cannot be in it"),
        (SIGN_INS["xoauth2"] | {"token": lambda: Secret("")}, "token is empty"),
    ],
)
async def test_what_cannot_be_said_is_not_said(settings, words):
    """WIRE E10: and the error that was met on the way, which may quote the secret, is not kept."""
    async with evil_server(ehlo=ALL) as server:
        error = await refusal(server, **settings)
        assert server.verbs() == ["EHLO"]
    assert (type(error), error.phase) == (CredentialsNotUsable, Phase.AUTH)
    assert words in str(error)
    assert (error.__cause__, error.__context__) == (None, None)


@pytest.mark.parametrize(("octets", "is_sent"), [(9204, True), (9205, False)])
async def test_a_sign_in_line_has_12288_octets_at_most(octets, is_sent):
    """RFC 4954 section 4; 13 for the command, 2 for its end, four for every three of the message."""
    token = "t" * (octets - len(b"user=ann\x01auth=Bearer \x01\x01"))
    settings = SIGN_INS["xoauth2"] | {"token": lambda: Secret(token)}
    async with evil_server(ehlo=ALL) as server:
        if is_sent:
            session = await a_transport(server.port, **settings).open()
            await session.close()
            longest = max(map(len, server.heard)) + len("\r\n")
            assert 12_280 < longest <= 12_288
        else:
            error = await refusal(server, **settings)
            assert type(error) is CredentialsNotUsable
            assert "12288 are the most" in str(error)
            assert server.verbs() == ["EHLO"]


# Servers that ask too much (WIRE D17)


@every_mechanism
@pytest.mark.parametrize("question", [flood, one_long_line], ids=["endless reply", "long line"])
async def test_a_question_without_an_end_ends_the_sign_in(mechanism, question):
    """WIRE D17: 334 of 32 KiB and more."""

    async def ask(peer, honest):
        await question(peer, b"334 ")

    async with evil_server({"auth": ask}, ehlo=ALL) as server:
        error = await refusal(server, **SIGN_INS[mechanism])
        assert server.verbs().count("AUTH") == 1
    assert (type(error), error.phase) == (ProtocolError, Phase.AUTH)


@pytest.mark.parametrize("mechanism", ["login", "cram-md5", "xoauth2"])
@pytest.mark.parametrize("challenge", ["!!!", "abc", "Username:", "ü", "QUJD" * 200])
async def test_a_question_that_is_not_readable_ends_the_sign_in(mechanism, challenge):
    """WIRE D17: bad base64, or more of it than is kept of a reply."""
    async with evil_server({"auth": say(f"334 {challenge}")}, ehlo=ALL) as server:
        error = await refusal(server, **SIGN_INS[mechanism])
        assert server.verbs()[-1] == "AUTH"  # not answered
    assert (type(error), error.phase) == (ProtocolError, Phase.AUTH)


@pytest.mark.parametrize(
    ("mechanism", "answers"), [("plain", 1), ("login", 2), ("cram-md5", 1), ("xoauth2", 0)]
)
async def test_endless_questions_are_not_answered_when_all_is_said(mechanism, answers):
    """WIRE D17."""
    heard = []
    questions = [encoded(f"Question {n}?") for n in range(20)]
    async with evil_server({"auth": asking(*questions, heard=heard)}, ehlo=ALL) as server:
        error = await refusal(server, **SIGN_INS[mechanism])
    assert (type(error), error.phase) == (ProtocolError, Phase.AUTH)
    assert "asks more" in str(error)
    assert len(list(filter(None, heard))) == answers


async def test_a_prompt_that_holds_the_password_is_still_a_prompt():
    heard = []
    questions = (encoded("Username:"), encoded("Password:"))
    async with evil_server({"auth": asking(*questions, heard=heard)}, ehlo=ALL) as server:
        session = await a_transport(server.port, password="Password", mechanism="login").open()
        await session.close()
    assert heard == [encoded("ann"), encoded("Password")]


@every_mechanism
@pytest.mark.parametrize("code", [421, 432, 454, 500, 534, 535, 538])
async def test_every_refusal_ends_every_mechanism_at_once(mechanism, code):
    recorder = Recorder()
    async with evil_server({"auth": say(f"{code} {code // 100}.7.0 No")}, ehlo=ALL) as server:
        error = await refusal(server, recorder, **SIGN_INS[mechanism])
        assert server.verbs().count("AUTH") == 1
    assert (type(error), error.phase, error.reply.code) == (ReplyRefused, Phase.AUTH, code)
    step = recorder.steps[-1]
    assert (step.phase, step.verdict, step.reply.code) == (Phase.AUTH, StepVerdict.FAILED, code)
    assert step.evidence["mechanism"] == mechanism.upper()


# A token that is renewed


def renewing(answers, *, renew):
    """Sign in with a first token; `answers` come one after another, `renew` gives the next token."""
    heard = []

    async def act(peer, honest):
        heard.append(honest)
        await peer.write(answers[len(heard) - 1].encode() + b"\r\n")

    asked = []

    def another(refused):
        asked.append(refused.reveal())
        return renew(refused)

    return act, asked, SIGN_INS["xoauth2"] | {"renew_token": another}


async def test_a_refused_token_is_renewed_once_on_the_same_connection():
    act, asked, settings = renewing(
        ["535 5.7.3 Authentication unsuccessful", "235 2.7.0 Ok"], renew=lambda refused: Secret("second" * 9)
    )
    recorder = Recorder()
    async with evil_server({"auth": act}, ehlo=ALL) as server:
        session = await a_transport(server.port, **settings).open(recorder)
        await session.close()
        lines = [line for line in server.heard if line.startswith("AUTH")]
    assert asked == [TOKEN]
    assert len(lines) == 2
    assert b"auth=Bearer secondsecond" in base64.b64decode(lines[1].removeprefix("AUTH XOAUTH2 "))
    assert [step.phase for step in recorder.steps].count(Phase.AUTH) == 1
    assert recorder.evidence(Phase.AUTH)["renewed"] == "yes"


@pytest.mark.parametrize(
    ("answer", "renew", "asks"),
    [
        ("535 5.7.3 No", lambda refused: refused, 1),  # there is no other
        ("454 4.7.0 Later", lambda refused: Secret("second"), 0),  # it was not the token
        ("432 4.3.2 Concurrent connections limit exceeded", lambda refused: Secret("second"), 0),
        ("550 5.7.30 Basic authentication is not supported", lambda refused: Secret("second"), 0),
    ],
)
async def test_a_token_is_renewed_only_when_it_was_the_token(answer, renew, asks):
    act, asked, settings = renewing([answer, answer], renew=renew)
    async with evil_server({"auth": act}, ehlo=ALL) as server:
        error = await refusal(server, **settings)
    assert (type(error), len(asked)) == (ReplyRefused, asks)


async def test_a_token_is_got_before_the_server_is_reached():
    def nothing():
        raise TokenRefused("No token.", phase=Phase.TOKEN, reason="invalid_grant")

    recorder = Recorder()
    async with evil_server({}, ehlo=ALL) as server:
        error = await refusal(server, recorder, **(SIGN_INS["xoauth2"] | {"token": nothing}))
        assert server.heard == []
    assert (type(error), error.reason) == (TokenRefused, "invalid_grant")
    assert [step.phase for step in recorder.steps] == [Phase.TOKEN]


async def test_a_slow_token_leaves_the_other_sessions_alone():
    """It is got in a thread: the loop that carries everybody else's mail goes on."""
    begun, go_on = threading.Event(), threading.Event()

    def slowly():
        begun.set()
        assert go_on.wait(60)
        return Secret(TOKEN)

    async with evil_server({"auth": say("235 2.7.0 Ok")}, ehlo=ALL) as server:
        transport = a_transport(server.port, **(SIGN_INS["xoauth2"] | {"token": slowly}))
        opening = asyncio.create_task(transport.open())
        assert await asyncio.to_thread(begun.wait, 60)
        go_on.set()  # only a loop that goes on gets here
        session = await opening
        await session.close()

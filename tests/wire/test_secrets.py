"""A canary: the secret of a sign-in in a server's mouth, in every coding and place (WIRE D14, F1, F7, I5).

Looked for in all an observer hears, and in every error with its causes and the local variables of our frames.
"""

import base64
import hashlib
import hmac
import re
import traceback
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.wire.clients import Recorder, a_content, a_transport, an_envelope
from tests.wire.evil import evil_server, honestly, say_and_go
from transports.base import Secret
from transports.errors import TransportError

OURS = str(Path(__file__).parents[2] / "transports")

PASSWORD = "cänary Bird+7/seven"
TOKEN = "ya29.canary-Bird_7~seven+token/x"
CHALLENGE = b"<1896.697170952@example.org>"
DIGEST = hmac.new(PASSWORD.encode(), CHALLENGE, hashlib.md5).hexdigest()

SECRETS = {"plain": PASSWORD, "login": PASSWORD, "cram-md5": DIGEST, "xoauth2": TOKEN}
MESSAGES = {
    "plain": f"\0ann\0{PASSWORD}",
    "login": PASSWORD,
    "cram-md5": f"ann {DIGEST}",
    "xoauth2": f"user=ann\x01auth=Bearer {TOKEN}\x01\x01",
}
ALL = ("250-evil.example.org", "250 AUTH PLAIN LOGIN CRAM-MD5 XOAUTH2")


def b64(text):
    return base64.b64encode(text.encode()).decode()


#: How a server may say it: each gets the secret and the whole message it was sent in.
CODINGS = {
    "as it is": lambda secret, message: secret,
    "the line": lambda secret, message: b64(message),
    "base64": lambda secret, message: b64(secret),
    "base64 without its end": lambda secret, message: b64(secret).rstrip("="),
    "base64 of more, one in": lambda secret, message: b64(f"x{secret}yz"),
    "base64 of more, two in": lambda secret, message: b64(f"xx{secret}y"),
    "base64 for addresses": lambda secret, message: b64(f"??{secret}").translate(str.maketrans("+/", "-_")),
    "hex": lambda secret, message: secret.encode().hex(),
    "HEX": lambda secret, message: secret.encode().hex().upper(),
    "hex of the line": lambda secret, message: b64(message).encode().hex(),
    "percent": lambda secret, message: quote(secret, safe=""),
    "percent, lower case": lambda secret, message: re.sub("%..", lambda m: m[0].lower(), quote(secret)),
    "percent, plus": lambda secret, message: quote_plus(secret),
    "percent of all": lambda secret, message: "".join(f"%{octet:02X}" for octet in secret.encode()),
    "percent of the line": lambda secret, message: quote(b64(message), safe=""),
}


def traces_of(secret):
    """Return what may not be found: the secret and each half of it, in the codings a person could undo."""
    half = len(secret) // 2
    found = set()
    for part in (secret, secret[:half], secret[half:]):
        octets = part.encode()
        found |= {part, octets.hex(), octets.hex().upper(), quote(part), quote_plus(part)}
        found |= {b64(part).rstrip("=")[:-1]}
        found |= {base64.b64encode(b"x" * n + octets).decode().rstrip("=")[n + 1 : -1] for n in (1, 2)}
        found |= {octets.decode("latin-1"), ascii(part)[1:-1], repr(octets)[2:-1]}
    return found


def assert_unheard(secret, *texts):
    for text in texts:
        bare = re.sub(r"\s|%20", "", text)
        for trace in traces_of(secret):
            assert trace not in text
            assert trace.replace(" ", "") not in bare


def everything_of(error):
    """Return what a log or an error page could show: the chain's texts, arguments, our local variables."""
    shown, seen = [], set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        shown += [str(error), repr(error), repr(error.args), repr(getattr(error, "__dict__", {}))]
        for frame, _line in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename.startswith(OURS):
                shown += [repr(value) for value in frame.f_locals.values()]
        error = error.__cause__ or error.__context__
    return shown


def transport_for(server, mechanism):
    if mechanism == "xoauth2":
        settings = {
            "auth": "oauth",
            "token": lambda: Secret(TOKEN),
            "username": "ann",
            "allow_clear_auth": True,
        }
        return a_transport(server.port, **settings)
    return a_transport(server.port, password=PASSWORD, mechanism=mechanism)


def questioning(mechanism, then):
    """Play the server's part of a mechanism up to the last answer, then act."""
    questions = {"login": (b"VXNlcm5hbWU6", b"UGFzc3dvcmQ6"), "cram-md5": (base64.b64encode(CHALLENGE),)}

    async def act(peer, honest):
        for question in questions.get(mechanism, ()):
            await peer.write(b"334 " + question + b"\r\n")
            await peer.reader.readline()
        await then(peer, honest)

    return act


def saying(*lines, end="\r\n"):
    async def act(peer, honest):
        await peer.write(("\r\n".join(lines) + end).encode())

    return act


every_mechanism = pytest.mark.parametrize("mechanism", SECRETS)


@every_mechanism
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("form", ["a refusal", "two lines", "many lines", "garbage", "an unfinished line"])
async def test_a_secret_that_comes_back_at_once_is_not_heard(mechanism, coding, form):
    """WIRE D14."""
    echo = CODINGS[coding](SECRETS[mechanism], MESSAGES[mechanism])
    half, pieces = len(echo) // 2, [echo[i : i + 6] for i in range(0, len(echo), 6)]
    lines = {
        "a refusal": (f"535 5.7.8 You said {echo} and not",),
        "two lines": (f"535-5.7.8 You said {echo[:half]}", f"535 5.7.8 {echo[half:]}"),
        "many lines": (*(f"535-5.7.8 {piece}" for piece in pieces), "535 5.7.8 Good bye"),
        "garbage": (f"You said {echo}",),
        "an unfinished line": ("535 5.7.8 No", f"{'y' * 200} {echo[: half + 4]}"),
    }[form]
    recorder, end = Recorder(), "" if form == "an unfinished line" else "\r\n"
    async with evil_server({"auth": questioning(mechanism, saying(*lines, end=end))}, ehlo=ALL) as server:
        with pytest.raises(TransportError) as caught:
            await transport_for(server, mechanism).open(recorder)
    assert_unheard(SECRETS[mechanism], recorder.everything(), *everything_of(caught.value))
    if mechanism == "cram-md5":
        assert_unheard(PASSWORD, recorder.everything(), *everything_of(caught.value))
    assert "<secret>" in recorder.everything()
    if form != "garbage" and caught.value.reply is not None:
        assert (caught.value.reply.code, caught.value.reply.enhanced) == (535, "5.7.8")


@every_mechanism
@pytest.mark.parametrize("coding", CODINGS)
async def test_a_secret_that_comes_back_later_is_not_heard(mechanism, coding):
    """WIRE D14: in the answers to MAIL, dot and QUIT, and in greeting and EHLO of the next session."""
    echo = CODINGS[coding](SECRETS[mechanism], MESSAGES[mechanism])
    recorder, plan = Recorder(), {
        "auth": honestly if mechanism == "login" else questioning(mechanism, saying("235 2.7.0 Ok")),
        "mail": saying(f"250-2.1.0 Hello {echo[:9]}", f"250 2.1.0 {echo[9:]}"),
        "dot": saying(f"250 2.0.0 Ok: queued as {echo}"),
        "quit": saying(f"221 2.0.0 Good bye, {echo}"),
    }  # fmt: skip
    async with evil_server(plan, ehlo=ALL) as server:
        transport = transport_for(server, mechanism)
        session = await transport.open(recorder)
        outcome = await session.deliver(an_envelope(), a_content())
        assert outcome.accepted
        assert outcome.reply.enhanced == "2.0.0"
        await session.close()
        server.plan["banner"] = saying(f"220 Welcome back, {echo}")
        server.plan["ehlo"] = saying(f"250-evil {echo}", f"250-{echo.split()[0]}", *ALL[1:])
        session = await transport.open(recorder)
        await session.close()
        server.plan["banner"] = say_and_go(f"554 5.7.1 Not you, {echo}")
        with pytest.raises(TransportError) as caught:
            await transport.open(recorder)
    shown = (recorder.everything(), repr(outcome), *everything_of(caught.value))
    assert_unheard(SECRETS[mechanism], *shown)


async def test_a_password_that_is_a_keyword_hides_no_capability():
    """What is shown is redacted, what is used is not: the second session knows the first one's password."""
    ehlo = ("250-evil", "250-PIPELINING", "250 AUTH PLAIN")
    recorder = Recorder()
    async with evil_server(ehlo=ehlo) as server:
        transport = a_transport(server.port, password="PIPELINING")
        for _ in range(2):
            session = await transport.open(recorder)
            assert "PIPELINING" in session.capabilities
            await session.close()


async def test_a_foreign_error_that_quotes_the_server_is_no_cause():
    """WIRE D6: a logged traceback would show the words that the sentence keeps to itself."""
    async with evil_server({"banner": saying("SSH-2.0-OpenSSH_9.6 Debian-secret-build")}) as server:
        with pytest.raises(TransportError) as caught:
            await a_transport(server.port).open()
    assert "OpenSSH" not in " ".join(everything_of(caught.value))

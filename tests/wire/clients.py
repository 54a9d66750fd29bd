"""Builders for tests of the wire: a transport to a loopback port, an envelope, content, an observer."""

import asyncio
from dataclasses import replace
from ipaddress import ip_network

from tests.servers import authority_pem
from transports.base import Content, Direction, Envelope, Phase, Secret, Security, Step, TranscriptLine
from transports.resolve import AddressGuard
from transports.smtp import SMTPSettings, SMTPTransport, Timeouts

#: Loopback only, every unprivileged port.
LOOPBACK = AddressGuard(
    allowed_networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")), allowed_ports=(range(1024, 65536),)
)

#: Nobody waits long here, unless the machine is very busy.
PATIENT = Timeouts(
    connect=10,
    tls=10,
    banner=10,
    ehlo=10,
    auth=10,
    rset=10,
    mail=10,
    rcpt=10,
    data=10,
    block=10,
    dot=10,
    quit=10,
)  # fmt: skip


def short(*phases, seconds=0.15):
    """Return limits that run out soon in these phases only, so that no other wait is cut when busy."""
    return replace(PATIENT, **dict.fromkeys(phases, seconds))


PASSWORD = "correct horse battery"  # the canary of these tests


def a_transport(port, *, security="none", password=None, opener=None, **settings):
    """Return a transport to 127.0.0.1; with `password`, or what opens one, it signs in as ann."""
    if password is not None or opener is not None:
        settings = {
            "auth": "password",
            "username": "ann",
            "password": opener or (lambda: Secret(password)),
            "allow_clear_auth": True,
        } | settings
    defaults = {"host": "127.0.0.1", "ca_pem": authority_pem(), "guard": LOOPBACK}
    return SMTPTransport(SMTPSettings(port=port, security=Security(security), **(defaults | settings)))


def an_envelope(*rcpt_to, mail_from="shop@example.org"):
    return Envelope(mail_from, rcpt_to or ("ann@example.org",))


def a_content(*segments):
    return Content(segments or (b"Subject: Hello\r\n\r\nGood morning\r\n",))


async def until(condition):
    """Let the loop run until the condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the condition is somebody else's state, nothing sets an event
            await asyncio.sleep(0.001)


class Recorder:
    """An observer that keeps what it hears."""

    def __init__(self):
        self.steps: list[Step] = []
        self.lines: list[TranscriptLine] = []

    def step(self, step):
        self.steps.append(step)

    def line(self, line):
        self.lines.append(line)

    def verdicts(self):
        """Return ["dns done", "connect done", ...]."""
        return [f"{step.phase} {step.verdict}" for step in self.steps]

    def evidence(self, phase: Phase):
        return next(step for step in self.steps if step.phase is phase).evidence

    def said(self, direction: Direction):
        return [line.text for line in self.lines if line.direction is direction]

    def everything(self):
        """Return all text an observer could store."""
        return repr(self.steps) + repr(self.lines)

"""Every way out against something real that takes its mail: a server, a program, a directory."""

import base64
import json
import re
import shlex
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.wire.clients import LOOPBACK
from transports.base import Secret, Transport
from transports.exchange import Limits
from transports.mailgun import MailgunSettings, MailgunTransport
from transports.pickup import PickupSettings, PickupTransport
from transports.sendmail import SendmailSettings, SendmailTransport
from transports.ses import SESSettings, SESTransport

KEY = "key-canary0123456789abcdef"
ACCESS_KEY_ID = "AKIACANARY1234567890"
DOMAIN = "mg.example.org"


@dataclass
class Way:
    """A transport, and how to look behind it.

    `carries_sender`: the envelope's sender arrives. `lose` makes the next message one whose answer never
    comes.
    """

    transport: Transport
    behind: Any
    carries_sender: bool = True
    line_end: bytes = b"\r\n"
    lose: Any = None

    @property
    def messages(self):
        return self.behind.messages

    def as_sent(self, content):
        return b"".join(content.segments).replace(b"\r\n", self.line_end)


@dataclass
class Kept:
    mail_from: str
    rcpt_to: tuple[str, ...]
    content: bytes


@dataclass
class HttpServer:
    """A server on loopback. `answers` is asked first: it returns (status, headers, body), or None.

    `messages` is what it took, `requests` are (method, path, headers). `then`: instead of an answer, "cut"
    ends the connection after the whole request, "tear" in the middle of it, "slow" waits until the end.
    """

    take: Any
    answers: Any = None
    messages: list = field(default_factory=list)
    requests: list = field(default_factory=list)
    sessions: int = 1
    then: str = ""
    port: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def _any(self):
        behind = self.server.behind
        behind.requests.append((self.command, self.path, dict(self.headers)))
        size = int(self.headers.get("Content-Length") or 0)
        if self.command == "POST" and behind.then == "tear":
            self.rfile.read(1000)
            self.close_connection = True
            return
        body = self.rfile.read(size)
        if len(body) < size:  # the client went away: what is incomplete is no request
            self.close_connection = True
            return
        answer = behind.answers(self, body) if behind.answers else None
        if answer is None:
            answer = behind.take(behind, self, body)
        if self.command == "POST" and behind.then:
            if behind.then == "slow":
                behind.ended.wait(60)
            self.close_connection = True
            return
        status, headers, said = answer
        data = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _any  # noqa: N815 - their names

    def log_message(self, *_):
        pass


@contextmanager
def an_http_server(take, **options):
    """Run a server until the block ends."""
    behind = HttpServer(take, **options)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.behind, server.daemon_threads, behind.port = behind, True, server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield behind
    finally:
        behind.ended.set()
        server.shutdown()
        server.server_close()
        thread.join(20)


# Mailgun, as its documentation says


def mailgun_takes(behind, request, body):
    """Take a message, or answer as Mailgun does."""
    expected = "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()
    if request.headers.get("Authorization") != expected:
        return 401, {}, b"Forbidden"
    if request.path == f"/v4/domains/{DOMAIN}":
        return 200, {}, {"domain": {"name": DOMAIN, "state": "active"}, "sending_dns_records": []}
    if request.path.startswith("/v4/domains/"):
        return 404, {}, {"message": "Domain not found"}
    if request.path != f"/v3/{DOMAIN}/messages.mime":
        return 200, {}, b"Mailgun Magnificent API"
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    fields: dict[str, list[Any]] = {}
    for part in BytesParser().parsebytes(head + body).get_payload():
        fields.setdefault(part.get_param("name", header="content-disposition"), []).append(part)
    recipients = tuple(part.get_payload() for part in fields["to"])
    if any("nobody@" in one for one in recipients):
        return 400, {}, {"message": "to parameter is not a valid address. please check documentation"}
    boundary = re.search(r"boundary=(\w+)", request.headers["Content-Type"])[1].encode()
    file = body.split(b"message/rfc822\r\n\r\n", 1)[1].rsplit(b"\r\n--" + boundary, 1)[0]
    if not behind.then:
        behind.messages.append(Kept("", recipients, file))
    number = len(behind.messages)
    return 200, {}, {"id": f"<2026.{number}@{DOMAIN}>", "message": "Queued. Thank you."}


def mailgun_to(server, *, domain=DOMAIN, key=KEY, **settings):
    """Return a transport to such a server."""
    limits = settings.pop("limits", Limits(connect=20, tls=20, write=20, answer=20))
    return MailgunTransport(
        MailgunSettings(domain, server.url, lambda: Secret(key), guard=LOOPBACK, limits=limits, **settings)
    )


@contextmanager
def by_mailgun(**options):
    with an_http_server(mailgun_takes, **options) as server:
        way = Way(mailgun_to(server), server, carries_sender=False)
        way.lose = lambda: setattr(server, "then", "cut")
        yield way


# Amazon SES, as its documentation says


def ses_refuses(status, word, words, wait=""):
    """Return a refusal of theirs."""
    headers = {"x-amzn-ErrorType": word, "x-amzn-RequestId": "1"}
    return status, headers | ({"Retry-After": wait} if wait else {}), {"message": words}


def ses_takes(behind, request, body):
    """Take a message, or answer as SES does."""
    if f"Credential={ACCESS_KEY_ID}/" not in request.headers.get("Authorization", ""):
        return ses_refuses(403, "UnrecognizedClientException", "The security token is invalid.")
    if request.path == "/v2/email/account":
        return (
            200,
            {},
            {
                "ProductionAccessEnabled": True,
                "SendingEnabled": True,
                "SendQuota": {"Max24HourSend": 50000.0, "MaxSendRate": 14.0, "SentLast24Hours": 12.0},
            },
        )
    if request.path.startswith("/v2/email/identities/"):
        if request.path.endswith("/example.org"):
            return 200, {}, {"IdentityType": "DOMAIN", "VerifiedForSendingStatus": True}
        return ses_refuses(404, "NotFoundException", "Email identity does not exist.")
    message = json.loads(body)
    recipients = tuple(message["Destination"]["ToAddresses"])
    if any("nobody@" in one for one in recipients):
        return ses_refuses(400, "MessageRejected", "Email address is not verified.")
    content = base64.b64decode(message["Content"]["Raw"]["Data"])
    if not behind.then:
        behind.messages.append(Kept(message.get("FeedbackForwardingEmailAddress", ""), recipients, content))
    return 200, {}, {"MessageId": f"0100-{len(behind.messages)}"}


def ses_to(server, *, key=KEY, **settings):
    """Return a transport to such a server."""
    values = {"access_key_id": ACCESS_KEY_ID, "connect": 20, "answer": 20, "sender": "shop@example.org"}
    values |= {"endpoint": server.url}
    return SESTransport(SESSettings("eu-west-1", key=lambda: Secret(key), **(values | settings)))


@contextmanager
def by_ses(**options):
    with an_http_server(ses_takes, **options) as server:
        way = Way(ses_to(server), server, carries_sender=False)
        way.lose = lambda: setattr(server, "then", "cut")
        yield way


# A program


@dataclass
class Script:
    """A program of the tests, in its folder."""

    folder: Path
    sessions: int = 1

    @property
    def program(self):
        return str(self.folder / "sendmail")

    def write(self, body):
        path = Path(self.program)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    @property
    def messages(self):
        return [
            self._kept(folder) for folder in sorted(self.folder.glob("taken.*"), key=lambda one: one.name)
        ]

    def _kept(self, folder):
        arguments = (folder / "arguments").read_text().splitlines()
        sender = arguments[arguments.index("-f") + 1]
        recipients = tuple(arguments[arguments.index("--") + 1 :])
        return Kept(sender, recipients, (folder / "content").read_bytes())


#: Keeps what it is given; refuses as programs do.
KEEPS = """
case "$*" in *nobody@*) echo "nobody@example.org... User unknown" >&2; exit 67;; esac
cd {folder}
n=$(ls -d taken.* 2>/dev/null | wc -l)
mkdir making.$$
printf '%s\\n' "$@" > making.$$/arguments
cat > making.$$/content
mv making.$$ "taken.$(printf %04d "$n")"
"""


def sendmail_to(script, **settings):
    """Return a transport that runs it."""
    values = {"allowed": (script.program,), "deadline": 60}
    return SendmailTransport(SendmailSettings(script.program, **(values | settings)))


@contextmanager
def a_script(body=KEEPS):
    with tempfile.TemporaryDirectory() as folder:
        script = Script(Path(folder))
        script.write(body.format(folder=shlex.quote(folder)))
        yield script


@contextmanager
def by_sendmail():
    with a_script() as script:
        way = Way(sendmail_to(script), script, line_end=b"\n")
        way.lose = lambda: script.write("cat > /dev/null; kill -9 $$")
        yield way


# A directory


@dataclass
class Directory:
    """A pickup directory in Microsoft's style."""

    folder: Path
    sessions: int = 1

    @property
    def files(self):
        return sorted(self.folder.glob("*.eml"))

    @property
    def messages(self):
        return [self._kept(path.read_bytes()) for path in self.files]

    def _kept(self, data):
        lines = data.split(b"\r\n")
        front = [line.decode() for line in lines if line.startswith((b"X-Sender:", b"X-Receiver:"))]
        sender, *receivers = [line.partition(": ")[2] for line in front]
        return Kept(sender, tuple(receivers), b"\r\n".join(lines[len(front) :]))


@contextmanager
def by_pickup():
    with tempfile.TemporaryDirectory() as folder:
        directory = Directory(Path(folder))
        yield Way(PickupTransport(PickupSettings(folder, "x-sender")), directory)

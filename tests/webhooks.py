"""A receiver of webhook calls on loopback: records what it is given and answers as told.

with webhook_receiver() as receiver:
    ...                       # have receiver.url called
    receiver.wait_for(1)
    assert receiver.calls[0].is_signed("the secret")
"""

import hashlib
import hmac
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.servers import server_context


@dataclass(frozen=True)
class Call:
    """One request as it came."""

    path: str
    headers: dict
    body: bytes

    @property
    def told(self):
        """The body, read."""
        return json.loads(self.body)

    def is_signed(self, secret):
        """Check the signature by the words of docs/notifications.md, with none of our code."""
        signed = self.headers["X-Mailconf-Timestamp"].encode() + b"." + self.body
        expected = "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        return hmac.compare_digest(self.headers["X-Mailconf-Signature"], expected)


class Receiver:
    """What it was given; `statuses` are its next answers, 204 when there are none left."""

    def __init__(self, statuses=()):
        self.statuses = list(statuses)
        self.location = ""
        self.calls = []
        self.changed = threading.Condition()
        self.url = ""
        self.port = 0

    def wait_for(self, count, *, timeout=90.0):
        """Return the calls as soon as there are so many."""
        with self.changed:
            arrived = self.changed.wait_for(lambda: len(self.calls) >= count, timeout)
        assert arrived, f"{len(self.calls)} of {count} calls arrived within {timeout} s"
        return self.calls


@contextmanager
def webhook_receiver(*, tls=False, statuses=(), names=()):
    """Run a receiver until the block ends; with `tls` its certificate is of the tests' authority."""
    receiver = Receiver(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with receiver.changed:
                receiver.calls.append(Call(self.path, dict(self.headers), body))
                status = receiver.statuses.pop(0) if receiver.statuses else 204
                receiver.changed.notify_all()
            self.send_response(status)
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls:
        server.socket = server_context(*names).wrap_socket(server.socket, server_side=True)
    receiver.port = server.server_address[1]
    receiver.url = f"http{'s' if tls else ''}://127.0.0.1:{receiver.port}/hook/zzpath"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)

"""Ports on loopback for programs that want to be told theirs, and the wait until they listen."""

import socket
import subprocess
import time
from contextlib import ExitStack


def free_port():
    """A port that nothing listens on now."""
    return free_ports(1)[0]


def free_ports(count):
    """So many ports that nothing listens on now, all different."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def wait_until_listening(process: subprocess.Popen, port, *, timeout=20.0):
    """Return when the program takes connections; AssertionError when it ends before, or takes too long."""
    give_up_at = time.monotonic() + timeout
    while not is_listening(port):
        assert process.poll() is None, f"{process.args} ended with {process.returncode}"
        assert time.monotonic() < give_up_at, f"{process.args} does not listen on {port}"
        time.sleep(0.01)


def wait_until_deaf(port, *, timeout=20.0):
    """Return when nothing takes connections there any more."""
    give_up_at = time.monotonic() + timeout
    while is_listening(port):
        assert time.monotonic() < give_up_at, f"something listens on {port} still"
        time.sleep(0.01)


def is_listening(port) -> bool:
    """Whether something takes connections there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0

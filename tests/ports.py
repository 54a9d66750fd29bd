"""Ports on loopback for programs that want to be told theirs, and the wait until they listen."""

import random
import socket
import subprocess
import time
from contextlib import suppress


def free_port():
    """A port that nothing listens on now."""
    return free_ports(1)[0]


#: Below those that the kernel gives to connections and to whoever asks for any (32768 on Linux): what is free
#: stays free until the program listens, however many tests run beside this one.
_ASIDE = range(12_000, 32_000)


def free_ports(count):
    """So many ports that nothing listens on now, all different."""
    found = set()
    while len(found) < count:
        port = random.SystemRandom().choice(_ASIDE)  # not the tests' own seed, which all processes share
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.add(port)
    return list(found)


def wait_until_listening(process: subprocess.Popen, port, *, timeout=60.0):
    """Return when the program takes connections; AssertionError when it ends before, or takes too long."""
    give_up_at = time.monotonic() + timeout
    while not is_listening(port):
        assert process.poll() is None, f"{process.args} ended with {process.returncode}"
        assert time.monotonic() < give_up_at, f"{process.args} does not listen on {port}"
        time.sleep(0.01)


def wait_until_deaf(port, *, timeout=60.0):
    """Return when nothing takes connections there any more."""
    give_up_at = time.monotonic() + timeout
    while is_listening(port):
        assert time.monotonic() < give_up_at, f"something listens on {port} still"
        time.sleep(0.01)


def is_listening(port) -> bool:
    """Whether something takes connections there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0

"""`make run`: one command starts everything and sends a report; one Ctrl-C leaves nothing behind."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mailconf import children, embedded
from mailconf.env import BASE_DIR
from tests.ports import free_port, free_ports, is_listening

SECONDS = 60  # for one start on a busy machine; alone it takes five


def get(port, path):
    """Ask for a page with nothing but a socket; return status and body."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


class House:
    """One `manage.py up` in a folder and on ports of its own."""

    def __init__(self, var):
        self.var = var
        self.port, self.sandbox_port = free_ports(2)
        self.place = embedded.place_for(var)
        self.process = None

    def start(self, **changes):
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.var.parent),
            "MAILCONF_LOCAL": "1",
            "MAILCONF_VAR": str(self.var),
            "MAILCONF_PORT": str(self.port),
            "MAILCONF_SANDBOX_PORT": str(self.sandbox_port),
        } | {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up"],
            cwd=BASE_DIR,
            env=environ | changes,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        with self.process.stdout as output:
            self.lines.extend(output)

    @property
    def output(self):
        return "".join(self.lines)

    def wait_for(self, condition, what):
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert self.process.poll() is None, f"it ended while waiting for {what}:\n{self.output}"
            assert time.monotonic() < deadline, f"waited in vain for {what}:\n{self.output}"
            time.sleep(0.05)

    def wait_until_ready(self):
        self.wait_for(lambda: "mailconf is ready" in self.output, "readiness")
        return float(re.search(r"ready after ([\d.]+) s", self.output)[1])

    def inbox(self):
        return sorted((self.var / "sandbox").glob("*.json"))

    def processes(self):
        """The numbers of all it started and that are alive, by their traces."""
        traces = [*(self.var / "run").glob("*.pid"), self.place.trace]
        return [int(trace.read_text()) for trace in traces if children.is_held(trace)]

    def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.end()

    def end(self):
        code = self.process.wait(SECONDS)
        self.reader.join()
        return code

    def kill_everything(self):
        """As a power cut: no process gets a word."""
        groups = self.processes()
        self.process.kill()
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.process.wait()
        self.reader.join()

    def assert_nothing_is_left(self):
        assert self.processes() == []
        assert not is_listening(self.port)
        assert not is_listening(self.sandbox_port)
        assert list((self.var / "run").glob("*.pid")) == []
        if self.place.home.exists():
            assert not self.place.trace.exists()
            assert not (self.place.data / "postmaster.pid").exists()
            assert list(self.place.sockets.glob(".s.*")) == []

    def remove(self):
        if self.process and self.process.poll() is None:
            self.kill_everything()
        shutil.rmtree(self.place.home, ignore_errors=True)
        shutil.rmtree(self.place.sockets, ignore_errors=True)


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path / "var")
    yield house
    house.remove()


def test_one_command_sends_a_report_and_ctrl_c_leaves_nothing(house):
    house.start()
    first = house.wait_until_ready()
    # The administrator, whose password is printed and not stored.
    password = re.search(r"Password +(\S+) ", house.output)[1]
    status, page = get(house.port, "/admin/login/")
    assert (status, b"mailconf" in page) == (200, True)
    style = re.search(rb'href="(/static/mailconf/[^"]+\.css)"', page)[1].decode()
    assert get(house.port, style)[0] == 200
    # The profile's own test, and the report that went through the queue.
    house.wait_for(lambda: len(house.inbox()) == 2, "the test email and the report")
    report = house.inbox()[-1].with_suffix(".eml").read_bytes()
    assert b"Subject: Sample report" in report
    assert b'filename="report.pdf"' in report
    for name in ("keys", "secret_key"):
        assert (house.var / name).stat().st_mode & 0o777 == 0o600
    # A second one in the same folder is told so, and disturbs nothing.
    second = House(house.var)
    second.start()
    assert second.end() == 1
    assert "mailconf is already running in" in second.output
    assert get(house.port, "/readyz")[0] == 200
    # A worker that dies is started again.
    trace = house.var / "run" / "work.pid"
    os.kill(int(trace.read_text()), signal.SIGKILL)
    house.wait_for(lambda: "work was ended by SIGKILL" in house.output, "the word about the worker")
    house.wait_for(lambda: trace.exists() and children.is_held(trace), "the new worker")
    assert house.stop() == 0
    house.assert_nothing_is_left()
    # Killed without a word, it comes up again as it was: same administrator, no second report.
    house.start()
    house.wait_until_ready()
    assert password not in house.output
    house.kill_everything()
    assert (house.place.data / "postmaster.pid").exists()
    house.start()
    assert house.wait_until_ready() < 2 * first + 20  # waits for nothing of the dead; alone less than five
    assert len(house.inbox()) == 2
    assert house.stop(signal.SIGTERM) == 0
    house.assert_nothing_is_left()


@pytest.mark.parametrize(
    ("attribute", "variable"), [("port", "MAILCONF_PORT"), ("sandbox_port", "MAILCONF_SANDBOX_PORT")]
)
def test_a_taken_port_is_one_sentence_that_names_the_variable(house, attribute, variable):
    with socket.create_server(("127.0.0.1", getattr(house, attribute))):
        house.start()
        assert house.end() == 1
    (sentence,) = [line for line in house.lines if "Error" in line]
    assert f"Set {variable} to a free one." in sentence
    assert "Traceback" not in house.output
    house.assert_nothing_is_left()


def test_one_port_for_two_servers_is_one_sentence(house):
    house.start(MAILCONF_PORT=str(house.sandbox_port))
    assert house.end() == 1
    assert f"MAILCONF_PORT and MAILCONF_SANDBOX_PORT are both {house.sandbox_port}" in house.output
    house.assert_nothing_is_left()


def test_a_folder_it_cannot_write_in_is_one_sentence(house):
    house.start(MAILCONF_VAR="/proc/mailconf")
    assert house.end() == 1
    assert "mailconf cannot write in /proc/mailconf: No such file or directory. Make it" in house.output
    assert "Traceback" not in house.output


@pytest.mark.parametrize(
    ("file", "variable", "folder"),
    [
        ("", "MAILCONF_VAR", ""),
        ("", "MAILCONF_VAR", "deeper/still"),
        ("run", "MAILCONF_VAR", ""),
        ("state", "MAILCONF_STATE_DIR", "state"),
        ("state", "MAILCONF_STATE_DIR", "state/deeper"),
    ],
)
def test_a_file_where_a_folder_is_needed_is_called_a_file(house, file, variable, folder):
    found = house.var / file
    found.parent.mkdir(parents=True, exist_ok=True)
    found.write_text("a file, where a folder should be")
    house.start(**{variable: str(house.var / folder)})
    assert house.end() == 1
    (sentence,) = [line for line in house.lines if "Error" in line]
    assert f"{found} is a file, and a folder is needed there" in sentence
    assert f"or set {variable} to a folder." in sentence
    assert "writable" not in house.output
    assert "Traceback" not in house.output
    assert found.read_text() == "a file, where a folder should be"


def test_a_database_that_does_not_answer_is_one_sentence(house):
    house.start(DATABASE_URL=f"postgresql://mailconf@127.0.0.1:{free_port()}/mailconf")
    assert house.end() == 1
    assert "The database does not answer" in house.output
    assert "Traceback" not in house.output
    house.assert_nothing_is_left()


def test_ctrl_c_while_it_starts_leaves_nothing(house):
    house.start()
    house.wait_for(lambda: "Making a private PostgreSQL" in house.output, "its first words")
    assert house.stop() == 0
    house.assert_nothing_is_left()
    assert Path(house.var / "keys").exists()

"""Processes are watched, started again, and ended with everything they started."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from mailconf import children
from mailconf.supervisor import Service, ServiceFailed, Stop, Supervisor

WAITS = "import time; print('up', flush=True); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAITS
FORKED = "import os; os.fork(); " + WAITS


class House:
    """A supervisor whose words are kept."""

    def __init__(self, folder):
        self.said = []
        self.stop = Stop()
        self.supervisor = Supervisor(folder=folder, cwd=folder, say=self.said.append, stop=self.stop)

    def start(self, name, script, patience=10.0):
        self.supervisor.start(Service(name, [sys.executable, "-c", script], patience))

    def trace(self, name):
        return self.supervisor.folder / f"{name}.pid"

    def until(self, condition):
        deadline = time.monotonic() + 60
        while not condition():
            self.supervisor.check()
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)

    def heard(self, text):
        return any(text in line for line in self.said)


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    yield house
    house.supervisor.end()


def test_what_a_process_says_carries_its_name(house):
    house.start("web", "import sys; print('out', flush=True); print('err', file=sys.stderr); " + WAITS)
    house.until(lambda: house.heard("err"))
    assert "web     | out" in house.said


def test_the_end_waits_for_forked_children_too(house):
    house.start("web", FORKED, patience=0.3)  # a careless process: it does not end its own child
    house.until(lambda: "".join(house.said).count("up") == 2)  # the two may share a line
    house.supervisor.end()
    assert not house.trace("web").exists()


def test_a_process_that_does_not_listen_is_killed_when_the_patience_is_over(house):
    house.start("web", DEAF, patience=0.3)
    house.until(lambda: house.heard("up"))
    began = time.monotonic()
    house.supervisor.end()
    assert time.monotonic() - began < 50
    assert not house.trace("web").exists()


def test_being_asked_again_ends_the_patience(house, monkeypatch):
    house.start("web", DEAF, patience=60)
    house.until(lambda: house.heard("up"))
    monkeypatch.setattr(house.stop, "is_asked_again", lambda: True)
    began = time.monotonic()
    house.supervisor.end()
    assert time.monotonic() - began < 50


def test_a_process_that_dies_is_started_again(house):
    house.start("web", WAITS)
    house.until(lambda: house.heard("up"))
    first = int(house.trace("web").read_text())
    os.kill(first, signal.SIGKILL)
    house.until(lambda: house.said.count("web     | up") == 2)
    assert house.heard("web was ended by SIGKILL; starting it again in 1 s.")
    assert int(house.trace("web").read_text()) != first


def test_one_that_never_stays_up_ends_everything(house, monkeypatch):
    monkeypatch.setattr("mailconf.supervisor._FIRST_PAUSE", 0.0)
    house.start("web", "raise SystemExit(3)")
    with pytest.raises(ServiceFailed, match="web ended with exit code 3 5 times in a row"):
        house.until(lambda: False)


def test_a_process_left_over_from_an_earlier_start_is_ended(house, tmp_path):
    house.start("web", WAITS)
    house.until(lambda: house.heard("up"))
    later = House(tmp_path)
    later.supervisor.end_leftovers(["web", "mail"])
    assert later.said == ["Ending web, left over from an earlier start."]
    assert not children.is_held(house.trace("web"))


def test_a_trace_whose_number_went_to_somebody_else_harms_nobody(house):
    house.trace("web").write_text(f"{os.getpid()}\n")  # our own number, but the lock is free
    house.supervisor.end_leftovers(["web"])
    assert not house.trace("web").exists()


def test_the_same_process_is_not_started_twice(house):
    house.start("web", WAITS)
    with pytest.raises(children.AlreadyRunning, match="web is still running"):
        house.start("web", WAITS)


def test_a_held_trace_without_a_number_is_reported(tmp_path):
    trace = Path(tmp_path / "web.pid")
    with children.locked(trace), pytest.raises(children.AlreadyRunning, match="does not name"):
        children.ask(trace, signal.SIGTERM)


def test_a_signal_that_comes_twice_at_once_counts_once():
    stop = Stop()
    stop._hear(signal.SIGINT, None)
    stop._hear(signal.SIGINT, None)
    assert (stop.is_asked(), stop.is_asked_again()) == (True, False)
    stop._asked_at -= 2
    stop._hear(signal.SIGINT, None)
    assert stop.is_asked_again()

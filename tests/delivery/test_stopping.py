"""Once asked a drain finishes, twice it waits for nothing, three times the process dies where it is."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from delivery import tasks
from delivery.dispatcher import Stopping, on_signals


def asked(stopping):
    return stopping.stop.is_set(), stopping.hurry.is_set()


def test_the_first_signal_stops_and_the_second_hurries():
    with on_signals(signal.SIGTERM, signal.SIGINT, stopping=Stopping()) as stopping:
        assert asked(stopping) == (False, False)
        signal.raise_signal(signal.SIGTERM)
        assert asked(stopping) == (True, False)
        signal.raise_signal(signal.SIGINT)
        assert asked(stopping) == (True, True)


def test_the_handlers_are_as_they_were_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    with on_signals(signal.SIGTERM, stopping=Stopping()):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_the_main_process_was_asked_counts_too_but_not_on_top():
    stop, hurry = threading.Event(), threading.Event()
    stopping = Stopping(also=stop, also_hurry=hurry)
    stop.set()
    assert asked(stopping) == (True, False)
    with on_signals(signal.SIGTERM, stopping=stopping):
        signal.raise_signal(signal.SIGTERM)  # sent to the whole group: the child gets its own
        assert asked(stopping) == (True, False)
    hurry.set()
    assert asked(stopping) == (True, True)


def test_in_another_thread_the_signals_stay_alone():
    found = []

    def look():
        with on_signals(signal.SIGTERM, stopping=Stopping()):
            found.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before]


THREE = """
import signal
from delivery.dispatcher.stopping import Stopping, on_signals
with on_signals(signal.SIGTERM, stopping=Stopping()):
    for _ in range(3):
        signal.raise_signal(signal.SIGTERM)
print("still here")
"""


def test_the_third_signal_ends_the_process():
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    setup = "import django\ndjango.setup()\n"
    ended = subprocess.run(
        [sys.executable, "-c", setup + THREE], env=environment, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (-signal.SIGTERM, b"")


#: What the pool's `_do_exit` does in a child, which has another thread: that one takes the parent's SIGTERM.
ENDING = """
import os, signal, threading, time
from celery.signals import worker_process_shutdown
from delivery import tasks
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
worker_process_shutdown.send(sender=None, pid=os.getpid(), exitcode=0)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(0.2)
print("the lock is given back")
"""


def test_a_child_of_the_pool_that_says_it_ends_is_not_ended_with_the_lock_of_all_in_its_hand():
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    setup = "import django\ndjango.setup()\n"
    ended = subprocess.run(
        [sys.executable, "-c", setup + ENDING], env=environment, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, b"the lock is given back\n")


@pytest.fixture
def flags(monkeypatch):
    """The flags of a worker's main process; a test's own end with it."""
    monkeypatch.setattr(tasks, "_flags", None)
    tasks._make_the_flags()
    return tasks._flags


def test_a_worker_told_twice_hurries(flags):
    tasks._set_a_flag()
    assert (flags.stop.is_set(), flags.hurry.is_set()) == (True, False)
    tasks._set_a_flag()
    assert (flags.stop.is_set(), flags.hurry.is_set()) == (True, True)

"""The doorbell: Celery wakes a worker, which looks into the queue. No task carries a message.

`ring()` is what edges call after the commit. It tells the drains that linger through the database, sets an
event for a thread of its own and returns: a slow, full or dead broker can neither hold nor break the caller.
Lose every ring, and mail leaves with the next kick of beat.
"""

import atexit
import logging
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event

from celery import shared_task
from celery.signals import worker_init, worker_process_shutdown, worker_shutting_down
from django.core.exceptions import SynchronousOnlyOperation

from delivery import dispatcher, jobs, queue
from delivery.dispatcher import Stopping, on_signals
from delivery.notices import call_due
from delivery.notices import watch as look

logger = logging.getLogger(__name__)

#: A ring that waits longer in the broker is stale: beat kicks again anyway.
EXPIRES_SECONDS = 30
#: Rings closer together than this become one; the last one always counts.
GAP_SECONDS = 0.5
#: A process that ends waits so long for its last ring: a command that enqueues is over in no time, and on a
#: loaded machine the broker's client alone takes seconds to import.
EXIT_SECONDS = 5.0
#: Jobs give way so often to what a person waits for: a test on the same worker.
JOBS_SECONDS = 2.0


@dataclass(frozen=True)
class _Flags:
    """The worker's shutdown, once and twice asked for."""

    stop: Event = field(default_factory=multiprocessing.Event)
    hurry: Event = field(default_factory=multiprocessing.Event)


_flags: _Flags | None = None


@worker_init.connect
def _make_the_flags(**_: object) -> None:
    """Make the flags in a worker's main process, before it forks: its children see them set."""
    global _flags  # noqa: PLW0603  # one per process
    _flags = _Flags()


@worker_shutting_down.connect
def _set_a_flag(**_: object) -> None:
    """Tell the drains to end: in a warm shutdown the parent waits, and tells its children nothing."""
    if _flags is not None:
        (_flags.hurry if _flags.stop.is_set() else _flags.stop).set()


@worker_process_shutdown.connect
def _end_undisturbed(**_: object) -> None:
    """Let a child of the pool end by itself, which is all that it still does when this is called.

    It says in a pipe that all children share that it ends, and at that word its parent sends it SIGTERM. The
    pool holds that back from the thread that writes only: as we have threads, it ended the child with the
    pipe's lock in its hand, and the worker neither worked nor ended any more (billiard 4.3.2).
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@shared_task(name="mailconf.drain", ignore_result=True)
def drain() -> None:
    """Work on the queue until it has been empty for a while; ring again when work is left.

    SIGTERM, to this process or to the worker's main one, ends it at a quiet point. Celery's own handler would
    end a child wherever it is, between a final dot and its reply as well; it has its turn afterwards.
    """
    flags = _flags
    stopping = Stopping() if flags is None else Stopping(also=flags.stop, also_hurry=flags.hurry)
    try:
        with on_signals(signal.SIGTERM, stopping=stopping):
            report = dispatcher.run(stop=stopping.stop, hurry=stopping.hurry, ring=ring)
    finally:
        if stopping.times:
            signal.raise_signal(signal.SIGTERM)
    if report.is_work_left and not stopping.stop.is_set():
        ring()


@shared_task(name="mailconf.run_jobs", ignore_result=True)
def run_jobs(mine: int | None = None) -> None:
    """Go on with the jobs for a moment, with `mine` first, and come again while there is more to do."""
    give_way_at = time.monotonic() + JOBS_SECONDS
    while time.monotonic() < give_way_at:
        done = jobs.step(mine)
        if done.moved:
            ring()
        if done.job_id is None and mine is None:
            return
        mine = done.job_id
    _publish_jobs(mine)


def begin_jobs() -> None:
    """Tell a worker of a new job, after the commit; never raises and waits for no broker. Beat would, too."""
    threading.Thread(target=_publish_jobs, name="mailconf-jobs", daemon=True).start()


def _publish_jobs(mine: int | None = None) -> None:
    try:
        run_jobs.apply_async((mine,), expires=EXPIRES_SECONDS, retry=False)
    except Exception as error:  # noqa: BLE001  # whatever a broker's client raises
        logger.warning("The workers could not be told of a job, it begins a little later: %s", error)


@shared_task(name="mailconf.watch", ignore_result=True)
def watch() -> None:
    """See what is wrong and tell of it: drains look too, but call no webhook and are not always there."""
    if look():
        ring()
    call_due()
    queue.note_backlog()


def ring() -> None:
    """Wake the workers: those that linger through the database, one more through the broker.

    Never raises, and waits for no broker; call it after the commit.
    """
    try:
        queue.wake_drains()
    except SynchronousOnlyOperation:
        pass  # a drain wants help: whoever lingers finds the work at its next look
    except Exception as error:  # noqa: BLE001  # the message is stored: whatever this is, it can wait
        logger.warning("Idle workers could not be told, mail leaves a little later: %s", str(error).strip())
    _bell_of_this_process().ring()


class Bell(threading.Thread):
    """Publishes at once, then at most every half second, and always once after the last ring."""

    def __init__(self) -> None:
        super().__init__(name="mailconf-bell", daemon=True)
        self.pid = os.getpid()
        lock = threading.RLock()
        # Two, or each ring would wake the thread in its gap, for nothing, and take the caller's interpreter.
        self._rang = threading.Condition(lock)
        self._changed = threading.Condition(lock)
        self._rung = 0
        self._published = 0
        self._is_ending = False

    def ring(self) -> None:
        """Ask for one more publication."""
        with self._rang:
            self._rung += 1
            self._rang.notify()

    def finish(self, seconds: float) -> None:
        """Wait a moment for what was rung: the process ends, and a thread like this one ends with it."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._published == self._rung, seconds)

    def run(self) -> None:
        """Publish whenever the bell was rung."""
        while True:
            with self._rang:
                self._rang.wait_for(lambda: self._published != self._rung)
                rung = self._rung
            self._publish()
            with self._changed:
                self._published = rung
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._is_ending, GAP_SECONDS)

    def _publish(self) -> None:
        try:
            drain.apply_async(expires=EXPIRES_SECONDS, retry=False)
        except Exception as error:  # noqa: BLE001  # whatever a broker's client raises
            logger.warning("The workers could not be woken, mail leaves a little later: %s", error)


_bell: Bell | None = None
_making = threading.Lock()


def _bell_of_this_process() -> Bell:
    """Return the thread, made at the first ring: one from before a fork does not run in the child."""
    global _bell  # noqa: PLW0603  # one per process
    bell = _bell
    if bell is None or bell.pid != os.getpid() or not bell.is_alive():
        with _making:
            bell = _bell
            if bell is None or bell.pid != os.getpid() or not bell.is_alive():
                bell = Bell()
                bell.start()
                _bell = bell
    return bell


def _after_fork() -> None:
    global _bell, _making  # the parent's thread and a lock it may hold stay there
    _bell, _making = None, threading.Lock()


@atexit.register
def _before_exit() -> None:
    if _bell is not None and _bell.pid == os.getpid():
        _bell.finish(EXIT_SECONDS)


os.register_at_fork(after_in_child=_after_fork)

"""One thread with one connection: every statement of a drain, and its heartbeat.

The loop hands functions over and awaits their results; nothing else in the process touches the connection. A
lost connection is opened again and the function run once more: outcomes are fenced by the lease, so that a
second run changes nothing; what a claim took without our hearing of it is given back by the drain.
"""

import asyncio
import logging
import queue as queues
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from django.db import InterfaceError, InternalError, NotSupportedError, OperationalError, connection
from psycopg import Connection, Notify
from psycopg.errors import ReadOnlySqlTransaction

from delivery import queue

T = TypeVar("T")
Job = Callable[[], None]

logger = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
#: The loop says this often that it is alive; after so much silence the heartbeat stops, so that the leases
#: of a wedged process are taken back.
SILENCE_SECONDS = 30.0
#: How long a lost connection is tried again: longer than a restart of the server takes.
PATIENCE_SECONDS = 60.0
#: A statement that came so often is prepared, psycopg's own default: an outcome costs half without planning.
PREPARED_AFTER = 5
#: A plan is for tables as large as they were. PostgreSQL itself looks again when a vacuum has passed; in an
#: empty queue that fills a plan that reads it all would stay for a minute or more.
PLANS_SECONDS = 5.0
_LONGEST_WAIT = 2.0

_LIMITS = (
    "SET statement_timeout = '10s'; SET lock_timeout = '2s'; SET idle_in_transaction_session_timeout = '30s';"
    f" LISTEN {queue.CHANNEL}"
)


class Database:
    """The thread. Use it as a context manager; the connection is closed at the end."""

    def __init__(self) -> None:
        self.statements = 0
        #: How often a statement was run again: what the first run did may be unknown here.
        self.repeats = 0
        self.ticked_at = time.monotonic()
        self._jobs: queues.SimpleQueue[Job | None] = queues.SimpleQueue()
        self._socket: int | None = None
        #: Whether something was said that no idle loop has heard of, and what tells the one that waits.
        self._was_told = False
        self._tell: Callable[[], object] | None = None
        self._beat: Job | None = None
        self._beat_at = self._beaten_at = self._planned_at = 0.0
        self._thread = threading.Thread(target=self._work, name="drain-database", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._jobs.put(None)
        self._thread.join()

    async def call(self, work: Callable[[], T]) -> T:
        """Run `work` in the thread and return its result, or raise what it raised."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            try:
                result = self._patiently(work)
            except BaseException as error:  # noqa: BLE001  # it is raised again, in the loop
                loop.call_soon_threadsafe(_fail, future, error)
            else:
                loop.call_soon_threadsafe(_succeed, future, result)

        self._jobs.put(job)
        return await future

    def beat_with(self, beat: Job | None) -> None:
        """Run `beat` in the thread every five seconds from now on; None stops it."""
        self._beaten_at = time.monotonic()
        self._beat_at = self._beaten_at + BEAT_SECONDS
        self._beat = beat

    def beat_within(self, seconds: float) -> None:
        """Let the next beat come so soon after the last one; with 0 at once."""
        self._beat_at = min(self._beat_at, self._beaten_at + seconds)
        if not seconds:
            self._jobs.put(_nothing)  # it may be waiting

    @contextmanager
    def heard(self, told: Callable[[], None]) -> Iterator[None]:
        """Call `told` in the loop when the database says something unasked, or has since the last time.

        For an idle loop: the answer to a statement is something, too. What is said while a statement runs, a
        heartbeat for one, comes with its answer: the thread passes it on, for the socket is silent then.
        """
        loop = asyncio.get_running_loop()

        def tell() -> None:
            self._was_told = False
            told()

        socket, self._tell = self._socket, lambda: loop.call_soon_threadsafe(tell)
        if self._was_told:
            loop.call_soon(tell)  # behind what the loop has to do already
        if socket is not None:
            loop.add_reader(socket, tell)
        try:
            yield
        finally:
            self._tell = None
            if socket is not None:
                loop.remove_reader(socket)

    def tick(self) -> None:
        """Say that the loop is alive."""
        self.ticked_at = time.monotonic()

    def _work(self) -> None:
        with connection.execute_wrapper(self._count):
            try:
                while (job := self._next()) is not None:
                    job()
            finally:
                self._close()

    def _next(self) -> Job | None:
        """Wait for the next function; beat whenever it is time."""
        while True:
            beat = self._beat
            wait = None if beat is None else max(0.0, self._beat_at - time.monotonic())
            if wait != 0.0:
                try:
                    return self._jobs.get(timeout=wait)
                except queues.Empty:
                    continue
            self._beaten_at = time.monotonic()
            self._beat_at = self._beaten_at + BEAT_SECONDS
            if beat is not None and time.monotonic() - self.ticked_at < SILENCE_SECONDS:
                self._try_to_beat(beat)

    def _try_to_beat(self, beat: Job) -> None:
        try:
            self._connect()
            beat()
        except Exception as error:
            # Without this thread nothing would ever be answered again, and the drain would wait for ever.
            if not is_away(error):
                logger.exception("No heartbeat, for a reason of our own.")
                return
            logger.warning("No heartbeat: %s", str(error).strip())
            self._close()

    def _patiently(self, work: Callable[[], T]) -> T:
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        wait = 0.1
        while True:
            try:
                self._connect()
                self._forget_plans()
                return work()
            except (OperationalError, InterfaceError, InternalError, NotSupportedError) as error:
                is_curable = is_away(error) or is_outdated(error)
                if not is_curable or time.monotonic() > give_up_at:
                    raise
                logger.warning("The database did not answer, trying again: %s", str(error).strip())
                self.repeats += 1
                self._close()
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    def _connect(self) -> None:
        if connection.connection is None:
            self._socket = None
            with connection.cursor() as cursor:
                cursor.execute(_LIMITS)
                cursor.execute("SELECT pg_backend_pid()")
                (pid,) = cursor.fetchone()
            raw: Connection[Any] | None = connection.connection
            if raw is not None:
                raw.add_notify_handler(self._hear)
                self._socket = raw.fileno()
                if pid == raw.info.backend_pid:  # else a pool: what is prepared may be missing there
                    raw.prepare_threshold = PREPARED_AFTER
                self._planned_at = time.monotonic()
            self._hear()  # nobody listened until now

    def _close(self) -> None:
        self._socket = None
        connection.close()

    def _hear(self, _notify: Notify | None = None) -> None:
        """Take a notification out of the connection: that it was said is all there is to know."""
        self._was_told = True
        if (tell := self._tell) is not None:
            tell()

    def _forget_plans(self) -> None:
        if time.monotonic() - self._planned_at > PLANS_SECONDS:
            self._planned_at = time.monotonic()
            with connection.cursor() as cursor:
                cursor.execute("DISCARD PLANS")

    def _count(self, execute: Callable[..., Any], *args: Any) -> Any:  # Any: Django's execute wrapper
        self.statements += 1
        return execute(*args)


def is_away(error: Exception) -> bool:
    """Whether the database is to be waited for; one that takes no writes is a standby, or becomes one."""
    if isinstance(error, InternalError):
        return isinstance(error.__cause__, ReadOnlySqlTransaction)
    return isinstance(error, OperationalError | InterfaceError)


def is_outdated(error: Exception) -> bool:
    """Whether a migration changed the columns of what is prepared here; a new connection knows none of it."""
    return isinstance(error, NotSupportedError)


def _nothing() -> None:
    """Make the thread look at its clock."""


def _succeed(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[T]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)

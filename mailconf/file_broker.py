"""The broker of one machine: kombu's files, whole for everybody who reads them.

kombu writes a message where others look for it, and makes a table of queues by emptying it first. Whoever
reads in that moment gets nothing and raises, and a Celery worker ends of it: seen with 163 of 3,000 messages
that two busy readers took; of 120 queues that four processes bound together the tables kept 110. Here a file
gets its name when it is whole. What a power cut leaves empty is no message and no table.
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any
from uuid import uuid4

from kombu.transport import filesystem
from kombu.utils.json import dumps, loads


class Channel(filesystem.Channel):
    """kombu's channel, but a file appears at once and is taken once."""

    def _put(self, queue: str, payload: dict[str, Any], **_: Any) -> None:  # type: ignore[override]  # as kombu
        name = f"{round(time.monotonic() * 1000)}_{uuid4()}.{queue}.msg"  # the order in which they are taken
        _appear(Path(self.data_folder_out, name), dumps(payload))

    def _get(self, queue: str) -> dict[str, Any]:  # type: ignore[override]  # as kombu's own
        folder = Path(self.data_folder_in)
        for name in sorted(os.listdir(folder)):  # noqa: PTH208  # names, twenty times a second
            if name.partition(".")[2] == f"{queue}.msg":
                with suppress(OSError, ValueError):  # another worker was faster; or it is not whole
                    message: dict[str, Any] = loads(_taken(folder / name))
                    return message
        raise Empty

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        table = Path(self.control_folder, f"{exchange}.exchange")
        with Path(self.control_folder, "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (table.exists() and table.stat().st_size):
                _appear(table, "[]")
            super()._queue_bind(exchange, routing_key, pattern, queue)


class Transport(filesystem.Transport):
    """kombu's transport over files, with that channel."""

    Channel = Channel


def _appear(path: Path, content: str) -> None:
    """Write a file that nobody sees before it is whole."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(content, encoding="utf-8")
    part.rename(path)


def _taken(path: Path) -> bytes:
    """Read a file that is gone then; of several who try, one gets it, the others an OSError."""
    with path.open("rb") as file:
        path.unlink()
        return file.read()

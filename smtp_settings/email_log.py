"""The email log: a file with one line of JSON for each thing that happened to a message.

    {"at": "2026-11-21T14:03:12.421+00:00", "event": "sent", "message": 4711, "message_id": "<a@example.org>",
     "profile": "EU relay", "sender": "a@example.org", "recipients": ["b@example.com"], "subject": "Hello",
     "headers": {"X-Order": "17"}, "charset": "utf-8", "reply": "250 2.0.0 Ok"}

Optional: it is written where MAILCONF_EMAIL_LOG names a file, by every worker of the machine, and turned
over at MAILCONF_EMAIL_LOG_MB: `mail.log` becomes `mail.log.1`, and the oldest of MAILCONF_EMAIL_LOG_FILES
goes. JSON escapes everything outside ASCII and every control character, so that nothing in a message can
begin a line of its own or speak to a terminal. No content of a message is in it.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from django.conf import settings

logger = logging.getLogger(__name__)

_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line. `at` is aware; `event` a word such as sent, deferred, failed, suppressed, simulated.

    `recipients` are those of this event; where mail is redirected `redirected_to` is who got it in their
    place. `headers` are the message's own, those that begin with X- and the like.
    """

    at: datetime
    event: str
    message: int
    message_id: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    profile: str = ""
    charset: str = ""
    reply: str = ""
    redirected_to: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        found = asdict(self) | {"at": self.at.isoformat(timespec="milliseconds")}
        return json.dumps({name: value for name, value in found.items() if value not in ("", {})})


def path() -> Path | None:
    """Return the file that is written now, None where no log is kept; it may not exist yet."""
    named = settings.MAILCONF_EMAIL_LOG
    return Path(named) if named else None


def files() -> list[Path]:
    """Return the files there are, the oldest first, the present one last."""
    current = path()
    if current is None:
        return []
    older = [_older(current, n) for n in range(settings.MAILCONF_EMAIL_LOG_FILES - 1, 0, -1)]
    return [file for file in (*older, current) if file.is_file()]


def write(entries: Iterable[Entry]) -> bool:
    """Add lines, all in one write; False when there is no log or it cannot be written, which is logged.

    A log that fails must never fail the mail.
    """
    current = path()
    lines = "".join(f"{entry}\n" for entry in entries) if current is not None else ""
    if current is None or not lines:
        return False
    try:
        with _alone(current):
            _turn_over(current, len(lines))
            _append(current, lines.encode("ascii"))
    except OSError as error:
        logger.error("The email log cannot be written. %s", error)  # noqa: TRY400  # says it all
        return False
    return True


@contextmanager
def _alone(current: Path) -> Iterator[None]:
    """Keep other processes out, or two would turn the file over at once."""
    current.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(f"{current}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _append(current: Path, lines: bytes) -> None:
    fd = os.open(current, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)  # addresses are in it
    try:
        while lines:
            lines = lines[os.write(fd, lines) :]
    finally:
        os.close(fd)


def _turn_over(current: Path, more_bytes: int) -> None:
    """Begin a new file when this one would grow beyond its size."""
    size = current.stat().st_size if current.exists() else 0
    if not size or size + more_bytes <= settings.MAILCONF_EMAIL_LOG_MB * _MEGABYTE:
        return
    for n in range(settings.MAILCONF_EMAIL_LOG_FILES - 1, 0, -1):
        younger = _older(current, n - 1) if n > 1 else current
        with suppress(FileNotFoundError):
            younger.replace(_older(current, n))
    current.unlink(missing_ok=True)  # with one file there is no older one


def _older(current: Path, n: int) -> Path:
    return current.with_name(f"{current.name}.{n}")

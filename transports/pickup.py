"""The way out by a directory that another program empties: a file for each message.

A file appears in it whole or not at all: it is written in a folder inside, synced, renamed, and the directory
is synced. Two styles: plain `.eml`, whose reader takes the recipients from the header lines, and the one of
Microsoft's SMTP service and of Exchange, with the envelope in `X-Sender` and `X-Receiver` lines in front.
"""

import asyncio
import errno
import os
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from email.policy import compat32
from email.utils import getaddresses
from itertools import islice
from pathlib import Path
from typing import ParamSpec, TypeVar

from transports.base import Content, Envelope, Observer, Phase, Reply, Session
from transports.errors import NotSendable, ReplyTimeout
from transports.local import refused, unusable
from transports.smtp.transcript import Trace, stage
from transports.whole import Handing, WholeSession

P = ParamSpec("P")
T = TypeVar("T")

X_SENDER = "x-sender"

#: The folder inside where files are written; its dot and its being a folder keep readers away.
WRITING = ".mailconf"
#: Less room than this is none: a full disk stops the reader, too.
LEAST_FREE = 16_000_000
#: Seconds after which nobody is writing a file in it any more: its worker was killed, its message goes anew.
ABANDONED = 3600.0
#: Seconds for each look and each write: a share that is away must not hold a worker.
PATIENCE = 120.0

#: Files of ours, by the nanosecond they were written at.
_NAME = re.compile(r"(\d{19})-\d+-[0-9a-f]{8}\.eml")
#: Entries of a directory that are looked at for the oldest; beyond, any is old enough.
_MOST_LOOKED_AT = 20_000

#: What stands beside Postfix's maildrop; files put there by others are taken for damaged queue files.
_POSTFIX = ("incoming", "active", "deferred")


@dataclass(frozen=True)
class PickupSettings:
    """Where files go, and in which style ("eml", "x-sender")."""

    directory: str
    file_style: str = "eml"


class PickupTransport:
    """See `transports.base.Transport`."""

    def __init__(self, settings: PickupSettings) -> None:
        self.settings = settings

    async def open(
        self,
        observer: Observer | None = None,
        *,
        sequential: bool = False,  # noqa: ARG002 - no replies to garble
    ) -> Session:
        """Look whether the directory is there, may be written to, and has room. Raises NotUsableHere."""
        trace = Trace(observer) if observer is not None else None
        directory = Path(self.settings.directory)
        with stage(trace, Phase.FIND) as step:
            step.evidence = {"path": str(directory)}
            await _within(_find, directory)
        with stage(trace, Phase.PERMISSION):
            await _within(_make_room, directory)
        with stage(trace, Phase.SPACE) as step:
            step.evidence = {"free_bytes": str(await _within(_free, directory))}
        return PickupSession(self.settings, trace)


class PickupSession(WholeSession):
    """Files in one directory."""

    def __init__(self, settings: PickupSettings, trace: Trace | None) -> None:
        super().__init__(trace)
        self._settings = settings
        self._directory = Path(settings.directory)

    async def _hand_over(self, handing: Handing) -> Reply:
        front = front_of(handing.envelope, handing.content, self._settings.file_style)
        name = f"{time.time_ns()}-{os.getpid()}-{secrets.token_hex(4)}.eml"  # as _NAME has it
        written = self._directory / WRITING / name
        handing.said(f"write {name}, {len(front) + handing.content.size_bytes} bytes")
        try:
            await _within(_write, written, (front, *handing.content.segments))
            handing.complete()
            try:
                await _within(written.rename, self._directory / name)
            except OSError:
                handing.taken_back()
                raise
            await _within(_sync_folder, self._directory)
        except OSError as error:
            raise refused(error, str(self._directory), Phase.LOCAL) from error
        finally:
            if not handing.is_handed_over:
                await asyncio.to_thread(written.unlink, missing_ok=True)
        return Reply(250, f"Written as {name}")


def oldest_left(directory: str) -> float | None:
    """Return when the oldest file of ours that is still there was written, None without one.

    In seconds of the clock of who wrote it: the name says it, so that no file is opened or looked at. Blocks
    on a share that is away. Raises OSError where the directory cannot be seen.
    """
    with os.scandir(directory) as entries:
        names = (_NAME.fullmatch(entry.name) for entry in islice(entries, _MOST_LOOKED_AT))
        written = [int(name[1]) for name in names if name is not None]
    return min(written) / 1e9 if written else None


async def _within(act: Callable[P, T], *values: P.args, **more: P.kwargs) -> T:
    """Do something with the file system in a thread. Raises ReplyTimeout when it does not come to an end."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.to_thread(act, *values, **more)
    except TimeoutError:
        raise ReplyTimeout("The directory did not answer in time.", phase=Phase.LOCAL) from None


def front_of(envelope: Envelope, content: Content, file_style: str) -> bytes:
    r"""Return the lines in front of the content that name the envelope.

    A plain file names its recipients in its header lines only. Those of the envelope that are not there
    (blind copies) get a Bcc line, which its reader takes out (RFC 5322 section 3.6.3). Raises NotSendable
    when the header lines name others: they would get the message, too.

    >>> content = Content((b"To: b@example.org\r\n\r\n",))
    >>> front_of(Envelope("a@example.org", ("b@example.org", "c@example.org")), content, "eml")
    b'Bcc: c@example.org\r\n'
    """
    if file_style == X_SENDER:
        receivers = "".join(f"X-Receiver: {one}\r\n" for one in envelope.rcpt_to)
        return f"X-Sender: {envelope.mail_from or '<>'}\r\n{receivers}".encode()
    named = _named(content)
    wanted = {one.lower() for one in envelope.rcpt_to}
    if not named <= wanted:
        raise NotSendable(
            "A plain file is sent to all whom its header names, and not all of them are recipients.",
            phase=Phase.LOCAL,
            reason="addresses",
        )
    blind = [one for one in envelope.rcpt_to if one.lower() not in named]
    return ("Bcc: " + ",\r\n ".join(blind) + "\r\n").encode() if blind else b""


def _named(content: Content) -> set[str]:
    """Return the addresses in the header lines that a reader takes for recipients, in small letters."""
    header = BytesHeaderParser(policy=compat32).parsebytes(b"".join(content.segments[:1]))
    lines = [str(value) for name in ("To", "Cc", "Bcc") for value in header.get_all(name, [])]
    return {address.lower() for _name, address in getaddresses(lines) if "@" in address}


def _find(directory: Path) -> None:
    try:
        real = directory.resolve(strict=True)
        if not real.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "")
    except OSError as error:
        raise refused(error, str(directory), Phase.FIND) from error
    if real.name == "maildrop" or all((real.parent / name).is_dir() for name in _POSTFIX):
        sentence = f"{directory} is part of Postfix's queue, where only Postfix may write."
        raise unusable(sentence, phase=Phase.FIND, reason="maildrop")


def _make_room(directory: Path) -> None:
    """Make the folder for writing, and a file in it, as each message does."""
    folder = directory / WRITING
    try:
        folder.mkdir(mode=0o770, exist_ok=True)
        is_elsewhere = folder.stat().st_dev != directory.stat().st_dev
        probe = folder / f".{os.getpid()}-{secrets.token_hex(4)}"
        probe.touch(exist_ok=False)
        now = probe.stat().st_mtime  # by the clock of the share
        probe.unlink()
    except OSError as error:
        raise refused(error, str(directory), Phase.PERMISSION) from error
    if is_elsewhere:  # a rename would be a copy
        raise refused(OSError(errno.EXDEV, ""), str(directory), Phase.PERMISSION)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise refused(PermissionError(errno.EACCES, ""), str(directory), Phase.PERMISSION)
    with suppress(OSError):
        _sweep(folder, now)


def _sweep(folder: Path, now: float) -> None:
    """Remove what killed workers left; a writer that lived on after all sends its message again."""
    for file in folder.iterdir():
        with suppress(OSError):  # another worker was quicker, or it is another user's
            if file.stat().st_mtime < now - ABANDONED:
                file.unlink()


def _free(directory: Path) -> int:
    try:
        found = os.statvfs(directory)
    except OSError as error:
        raise refused(error, str(directory), Phase.SPACE) from error
    free = found.f_bavail * found.f_frsize
    if free < LEAST_FREE:
        raise refused(OSError(errno.ENOSPC, ""), str(directory), Phase.SPACE)
    return free


def _write(path: Path, pieces: tuple[bytes, ...]) -> None:
    # The umask decides who may read it: the program that empties the directory runs as another user.
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with os.fdopen(fd, "wb") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

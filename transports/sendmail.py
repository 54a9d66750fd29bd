"""The way out by a local mail program: `sendmail -i -f sender -- recipients`, the message on standard input.

The program reads the message from a file without a name, written before it starts: a pipe would end in the
middle when this process is killed, and the program would take the half for the whole. No shell; only programs
an operator allowed; of this process's environment only what a program needs to find itself, never a secret.
Exit codes are those of sysexits.h.
"""

import asyncio
import errno
import os
import signal
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from transports.base import Observer, Phase, Reply, Session
from transports.errors import ProgramStopped, ReplyRefused
from transports.local import refused, unusable
from transports.smtp.reply import clean
from transports.smtp.transcript import Trace, stage
from transports.whole import Handing, WholeSession

LF, CRLF = "lf", "crlf"

#: Where Debian, BSD and most others have it.
USUAL_PROGRAMS = ("/usr/sbin/sendmail", "/usr/lib/sendmail")

_NAMES = {
    64: "EX_USAGE", 65: "EX_DATAERR", 66: "EX_NOINPUT", 67: "EX_NOUSER", 68: "EX_NOHOST",
    69: "EX_UNAVAILABLE", 70: "EX_SOFTWARE", 71: "EX_OSERR", 72: "EX_OSFILE", 73: "EX_CANTCREAT",
    74: "EX_IOERR", 75: "EX_TEMPFAIL", 76: "EX_PROTOCOL", 77: "EX_NOPERM", 78: "EX_CONFIG",
}  # fmt: skip

#: What of the environment it sees.
_KEPT = ("HOME", "LANG", "LC_ALL", "LOGNAME", "TZ", "USER")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
#: Of what it says.
_MOST_SAID = 2000


@dataclass(frozen=True)
class SendmailSettings:
    """Which program, and how long it may take. `allowed`: the programs that may be run at all.

    `line_ends` is "lf", which nearly all want, or "crlf".
    """

    program: str
    arguments: tuple[str, ...] = ()
    line_ends: str = LF
    allowed: tuple[str, ...] = USUAL_PROGRAMS
    deadline: float = 600


class SendmailTransport:
    """See `transports.base.Transport`."""

    def __init__(self, settings: SendmailSettings) -> None:
        self.settings = settings

    async def open(
        self,
        observer: Observer | None = None,
        *,
        sequential: bool = False,  # noqa: ARG002 - no replies to garble
    ) -> Session:
        """Look whether the program is there and may be run. Raises NotUsableHere."""
        trace = Trace(observer) if observer is not None else None
        program = self.settings.program
        with stage(trace, Phase.FIND) as step:
            step.evidence = {"path": program}
            if program not in self.settings.allowed:
                sentence = f"{program} is not one of the programs that may be run here."
                raise unusable(sentence, phase=Phase.FIND, reason="not-allowed")
            _look(program)
        with stage(trace, Phase.PERMISSION) as step:
            if not os.access(program, os.X_OK):
                raise refused(PermissionError(errno.EACCES, ""), program, Phase.PERMISSION)
        return SendmailSession(self.settings, trace)


def _look(program: str) -> None:
    try:
        os.stat(program)  # noqa: PTH116 - a Path would change what was entered
    except OSError as error:
        raise refused(error, program, Phase.FIND) from error


class SendmailSession(WholeSession):
    """One program run for each message."""

    def __init__(self, settings: SendmailSettings, trace: Trace | None) -> None:
        super().__init__(trace)
        self._settings = settings

    async def _hand_over(self, handing: Handing) -> Reply:
        envelope = handing.envelope
        arguments = ["-i", *self._settings.arguments, "-f", envelope.mail_from or "<>", "--"]
        command = [self._settings.program, *arguments, *handing.recipients]
        handing.said(f"{' '.join(command)} < {handing.content.size_bytes} bytes")
        try:
            with tempfile.TemporaryFile() as content, tempfile.TemporaryFile() as said:
                await asyncio.to_thread(self._write, content, handing.content.segments)
                status = await self._run(command, content, said, handing)
                words = await asyncio.to_thread(_read, said)
        except OSError as error:
            handing.taken_back()  # it was not started
            raise refused(error, self._settings.program, Phase.LOCAL) from error
        handing.heard(f"exit {status} {words}".strip())
        if status == 0:
            return Reply(250, words or "exit 0")
        name = _NAMES.get(status, "")
        reply = Reply(status, " ".join(filter(None, (name, words))))
        raise ReplyRefused("The mail program did not take the message.", phase=Phase.LOCAL, reply=reply)

    def _write(self, file: BinaryIO, segments: tuple[bytes, ...]) -> None:
        """Write the content with the line ends that the program wants."""
        if self._settings.line_ends == CRLF:
            file.writelines(segments)
        else:
            file.writelines(segment.replace(b"\r\n", b"\n") for segment in segments)
        file.flush()
        file.seek(0)

    async def _run(self, command: list[str], content: BinaryIO, said: BinaryIO, handing: Handing) -> int:
        """Run it to its end and return its exit status. Raises ProgramStopped, OSError."""
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        handing.complete()
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=content,
            stdout=said,
            stderr=said,
            cwd="/",
            env=environment | {"PATH": _PATH},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._settings.deadline):
                status = await process.wait()
        except TimeoutError:
            sentence = f"The mail program did not end within {self._settings.deadline:.0f} s."
            raise ProgramStopped(sentence, phase=Phase.LOCAL, reason="timeout") from None
        finally:
            if process.returncode is None:
                _kill(process.pid)
                with suppress(TimeoutError):
                    async with asyncio.timeout(5):
                        await process.wait()
        if status < 0:
            sentence = f"The mail program was stopped by signal {-status}."
            raise ProgramStopped(sentence, phase=Phase.LOCAL)
        return status


def _read(file: BinaryIO) -> str:
    file.seek(0)
    lines = file.read(_MOST_SAID).splitlines()
    return " ".join(filter(None, map(clean, lines)))[:400]


def _kill(pid: int) -> None:
    """End the program with all it started: it leads a session of its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)

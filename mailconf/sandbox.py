"""The sandbox: an SMTP server that takes every message, delivers none, and keeps the newest as files.

A message is two files in `MAILCONF_VAR/sandbox`: `ID.eml`, the bytes as received, and `ID.json`, the
envelope. The second one is renamed into place last, so what is listed is complete; it may be read while the
server writes.
"""

import asyncio
import contextlib
import itertools
import json
import logging
import re
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import MessageError
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP
from django.conf import settings

#: How many messages are kept; the oldest go first.
KEPT = 1_000
#: The largest message taken (RFC 1870), octets.
SIZE = 25 * 1024 * 1024
_ID = re.compile(r"[0-9]{20}-[0-9]{6}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")

logger = logging.getLogger("mailconf.sandbox")


@dataclass(frozen=True, slots=True)
class Caught:
    """One message in the inbox. `subject` is decoded, without control characters, at most 200 of them."""

    id: str
    at: datetime
    mail_from: str
    rcpt_to: tuple[str, ...]
    subject: str
    size: int


class NotInInbox(LookupError):
    """No message of this id: never caught, or removed for newer ones."""


def folder() -> Path:
    """Return where the messages lie."""
    var: Path = settings.MAILCONF_VAR
    return var / "sandbox"


def inbox(limit: int = KEPT) -> list[Caught]:
    """Return the newest messages, newest first."""
    caught = []
    for path in sorted(folder().glob("*.json"), reverse=True)[:limit]:
        with contextlib.suppress(FileNotFoundError):  # removed for a newer one meanwhile
            caught.append(_envelope(path))
    return caught


def find(message_id: str) -> Caught:
    """Return one message's envelope. Raises NotInInbox."""
    try:
        return _envelope(_path(message_id, ".json"))
    except FileNotFoundError:
        raise NotInInbox(message_id) from None


def read(message_id: str) -> bytes:
    """Return one message's bytes as they were received. Raises NotInInbox."""
    try:
        return _path(message_id, ".eml").read_bytes()
    except FileNotFoundError:
        raise NotInInbox(message_id) from None


def _path(message_id: str, suffix: str) -> Path:
    if not _ID.fullmatch(message_id):  # it comes from an address line: never a path
        raise NotInInbox(message_id)
    return folder() / f"{message_id}{suffix}"


def _envelope(path: Path) -> Caught:
    found = json.loads(path.read_text(encoding="utf-8"))
    return Caught(
        id=path.stem,
        at=datetime.fromisoformat(found["at"]),
        mail_from=found["mail_from"],
        rcpt_to=tuple(found["rcpt_to"]),
        subject=found["subject"],
        size=found["size"],
    )


class Mailbox:
    """The writing side: one process has it."""

    def __init__(self, path: Path, *, kept: int = KEPT) -> None:
        self._path = path
        self._kept = kept
        self._numbers = itertools.count()
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for half in [*path.glob("*.part"), *(eml for eml in path.glob("*.eml") if not _json(eml).exists())]:
            half.unlink()

    def keep(self, mail_from: str, rcpt_to: list[str], content: bytes) -> str:
        """Write one message, remove what is too many; return its id. Raises OSError for a full disk."""
        message_id = f"{time.time_ns():020d}-{next(self._numbers) % 1_000_000:06d}"
        envelope = {
            "at": datetime.now(UTC).isoformat(),  # noqa: TID251  # without Django's settings this runs too
            "mail_from": mail_from,
            "rcpt_to": rcpt_to,
            "subject": _subject(content),
            "size": len(content),
        }
        self._write(f"{message_id}.eml", content)
        self._write(f"{message_id}.json", json.dumps(envelope).encode())
        self._make_room()
        return message_id

    def _write(self, name: str, data: bytes) -> None:
        part = self._path / f"{name}.part"
        try:
            part.write_bytes(data)
            part.rename(self._path / name)
        except OSError:
            part.unlink(missing_ok=True)
            raise

    def _make_room(self) -> None:
        for old in sorted(self._path.glob("*.eml"))[: -self._kept]:
            _json(old).unlink(missing_ok=True)
            old.unlink(missing_ok=True)


def _json(eml: Path) -> Path:
    return eml.with_suffix(".json")


def _subject(content: bytes) -> str:
    raw = str(BytesHeaderParser().parsebytes(content[:65536]).get("Subject", ""))
    try:
        text = str(make_header(decode_header(raw)))
    except (MessageError, LookupError, ValueError):  # a charset nobody knows, base64 that is none
        text = raw
    text = text.encode("utf-8", "replace").decode()
    return _CONTROL.sub(" ", text).strip()[:200]


class _Handler:
    """What aiosmtpd asks."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802, ARG002
        """Keep the message. Any, because aiosmtpd is not typed."""
        try:
            kept = await asyncio.to_thread(
                self._mailbox.keep, envelope.mail_from or "", list(envelope.rcpt_tos), envelope.content
            )
        except OSError as error:
            logger.error("A message could not be kept: %s", error)  # noqa: TRY400  # the reason says it all
            return "452 4.3.1 The sandbox cannot keep this message"
        logger.info("Caught a message for %s", ", ".join(envelope.rcpt_tos))
        return f"250 2.0.0 Caught as {kept}"


@contextlib.asynccontextmanager
async def serving(port: int, mailbox: Mailbox, *, host: str = "127.0.0.1") -> AsyncIterator[None]:
    """Serve while the block runs. Raises OSError when the port is taken."""
    loop = asyncio.get_running_loop()
    handler = _Handler(mailbox)
    server = await loop.create_server(
        lambda: SMTP(
            handler,
            loop=loop,
            data_size_limit=SIZE,
            enable_SMTPUTF8=True,
            hostname="sandbox.localhost",
            ident="mailconf sandbox",
            timeout=60,
        ),
        host,
        port,
    )
    try:
        yield
    finally:
        server.close()


async def serve(port: int, *, host: str = "127.0.0.1") -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serving(port, Mailbox(folder()), host=host):
        logger.info("The sandbox catches mail on %s port %s", host, port)
        await stop.wait()

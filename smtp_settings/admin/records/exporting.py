"""The event log as a table for other programs, and the email log as it stands."""

import csv
from collections.abc import Callable, Iterator
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

from smtp_settings.admin.records import event_words
from smtp_settings.models import Event

COLUMNS = ("number", "time", "level", "kind", "what", "details", "who", "about", "message", "ip")
#: Rows read at once.
_CHUNK = 1000
_BYTES = 64 * 1024
#: A spreadsheet would run such a cell as a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

#: Puts names beside a chunk of rows.
Name = Callable[[list[Any]], None]  # Any: events that get more attributes


class _Echo:
    """What a csv.writer writes to."""

    def write(self, line: str) -> str:
        return line


def as_csv(events: QuerySet[Event], name: Name) -> StreamingHttpResponse:
    """Stream these events, in their order; `name` fetches what the rows are shown with."""
    return _download(_lines(events, name), "text/csv; charset=utf-8", "events", "csv")


def as_it_stands(files: list[Path]) -> StreamingHttpResponse:
    """Stream these files one behind the other."""
    return _download(_bytes(files), "application/x-ndjson", "email-log", "jsonl")


def cell(value: object) -> str:
    """Return a cell that no spreadsheet runs.

    >>> cell("=1+1"), cell("a"), cell(None)
    ("'=1+1", 'a', '')
    """
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _lines(events: QuerySet[Event], name: Name) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(COLUMNS)
    rows = events.iterator(chunk_size=_CHUNK)
    while chunk := list(islice(rows, _CHUNK)):
        name(chunk)
        for event in chunk:
            yield writer.writerow([cell(value) for value in _values(event)])


def _values(event: Any) -> tuple[object, ...]:  # Any: with its names beside it
    return (
        event.pk,
        event.at.astimezone(UTC).isoformat(timespec="seconds"),
        event.level,
        event.kind,
        event_words.name_of(event.kind),
        "; ".join(event.listed_details),
        event.listed_who or event.user_id,
        event.listed_about.text,
        event.message_id,
        event.ip,
    )


def _bytes(files: list[Path]) -> Iterator[bytes]:
    for file in files:
        try:
            with file.open("rb") as opened:
                while piece := opened.read(_BYTES):
                    yield piece
        except FileNotFoundError:  # turned over meanwhile
            continue


def _download(
    pieces: Iterator[str] | Iterator[bytes], kind: str, name: str, ending: str
) -> StreamingHttpResponse:
    answer = StreamingHttpResponse(pieces, content_type=kind)
    day = timezone.localdate().isoformat()
    answer["Content-Disposition"] = f'attachment; filename="mailconf-{name}-{day}.{ending}"'
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Cache-Control"] = "no-store"
    return answer

"""How the queue's SQL runs: table names from the models, parameters bound by the server.

Raw SQL, because `update()` has no RETURNING, `filter(pk__in=queryset[:n])` compiles to a subquery that may
run twice and exceed its limit, and `bulk_update` costs 400 µs a row against 1 µs for unnest. Django's own
cursor would paste the values into the text; content goes as binary parameters instead. Query logging,
`execute_wrapper` and Django's database exceptions work as usual.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.utils import CursorWrapper
from psycopg import Cursor
from psycopg.pq import Format
from psycopg.rows import RowFactory, RowMaker, args_row, class_row, tuple_row

from delivery import models
from smtp_settings.models import Event, SendingPolicy, SMTPProfile, TestRun, Whereabouts

T = TypeVar("T")
Parameters = Mapping[str, Any] | Sequence[Any]  # Any: whatever the adapters take

_TABLES = {
    name: f'"{model._meta.db_table}"'  # documented, for all its underscore
    for name, model in {
        "pool": models.Pool,
        "worker": models.Worker,
        "message": models.Message,
        "content": models.Content,
        "blob": models.Blob,
        "entry": models.QueueEntry,
        "failure": models.Failure,
        "attempt": models.Attempt,
        "slot": models.Slot,
        "rate": models.Rate,
        "profile_state": models.ProfileState,
        "stat": models.Stat,
        "backlog": models.Backlog,
        "notice": models.Notice,
        "incident": models.Incident,
        "webhook_call": models.WebhookCall,
        "idempotency": models.IdempotencyKey,
        "upkeep": models.Upkeep,
        "bulk_job": models.BulkJob,
        "event": Event,
        "test_run": TestRun,
        "profile": SMTPProfile,
        "policy": SendingPolicy,
        "whereabouts": Whereabouts,
    }.items()
}


def named(template: str, **fragments: str) -> str:
    """Put in the tables' real names and constant fragments of SQL; never a value."""
    return template.format(**_TABLES, **fragments)


@contextmanager
def cursor(row_factory: RowFactory[Any] = tuple_row) -> Iterator[CursorWrapper]:
    """Open a cursor of the calling thread's connection."""
    opened = connections[DEFAULT_DB_ALIAS]  # the proxy looks it up for each attribute
    opened.validate_thread_sharing()
    opened.close_if_health_check_failed()
    opened.ensure_connection()
    raw = Cursor(opened.connection, row_factory=row_factory)
    raw.format = Format.BINARY  # content comes as it is, not in hexadecimal
    make = opened.make_debug_cursor if opened.queries_logged else opened.make_cursor
    with make(raw) as wrapped:  # type: ignore[arg-type]  # the stubs name the wrapper, not what it wraps
        yield wrapped


def run(statement: str, parameters: Parameters | None = None) -> list[tuple[Any, ...]]:
    """Run one statement and return its rows."""
    with cursor() as opened:
        opened.execute(statement, parameters)
        return _fetched(opened)


def rows(kind: type[T], statement: str, parameters: Parameters | None = None) -> list[T]:
    """Run one statement whose columns are the fields of `kind`; those in their order cost less."""
    with cursor(_row_of(kind)) as opened:
        opened.execute(statement, parameters)
        found: list[T] = opened.fetchall()
        return found


def _row_of(kind: type[T]) -> RowFactory[T]:
    """Return psycopg's `class_row`, by position where that is the same: a tenth of a drain for its claims."""
    in_order = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # all are dataclasses

    def row_of(opened: Cursor[Any]) -> RowMaker[T]:
        names = [column.name for column in opened.description or ()]
        by = args_row if names == in_order[: len(names)] else class_row
        return by(kind)(opened)

    return row_of


def together(*statements: tuple[str, Parameters | None]) -> list[list[tuple[Any, ...]]]:
    """Run several statements in one round trip and return the rows of each."""
    with ExitStack() as stack:
        opened = [stack.enter_context(cursor()) for _ in statements]
        with connection.wrap_database_errors, connection.connection.pipeline():
            for one, (statement, parameters) in zip(opened, statements, strict=True):
                one.execute(statement, parameters)
        return [_fetched(one) for one in opened]


def _fetched(opened: CursorWrapper) -> list[tuple[Any, ...]]:
    # Not `description`, which makes an object for each column: 13 µs of a short statement's 135.
    return opened.fetchall() if opened.cursor.rownumber is not None else []

"""django-post_office's and django-mailer's tables, and rows as those packages write them."""

import base64
import json
import pickle
import re
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from django.core.mail import EmailMessage
from django.db import connection
from django.utils import timezone

SCHEMA = Path(__file__).with_name("other_packages.sql").read_text(encoding="utf-8")
TABLES = re.findall(r"CREATE TABLE (\w+)", SCHEMA)
SENT, FAILED, QUEUED, REQUEUED = range(4)


def make_tables():
    """Make the tables, in the test's database."""
    run(SCHEMA)


@contextmanager
def committed_tables():
    """The tables where a test commits; gone after the block."""
    make_tables()
    try:
        yield
    finally:
        run(f"DROP TABLE IF EXISTS {', '.join(TABLES)} CASCADE")


def run(statement, values=None):
    """Run a statement; return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def insert(table, **values):
    """Insert a row; return its id."""
    names = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join(["%s"] * len(values))
    return run(f"INSERT INTO {table} ({names}) VALUES ({marks}) RETURNING id", [*values.values()])[0][0]


def post_office_email(**values):
    """A row of post_office, queued; `headers` and `context` are given as dicts."""
    now = timezone.now()
    row = {"from_email": "Shop <shop@example.com>", "to": "ann@example.com", "cc": "", "bcc": "",
           "subject": "Hello", "message": "Hello Ann", "html_message": "", "status": QUEUED,
           "priority": 1, "backend_alias": "", "created": now - timedelta(minutes=5),
           "last_updated": now} | values  # fmt: skip
    for name in ("headers", "context"):
        if name in row:
            row[name] = json.dumps(row[name])
    return insert("post_office_email", **row)


def post_office_file(email_id, folder, name, content, *, mimetype="", headers=None):
    """An attachment of a row, with its file under a name of its own, as post_office keeps it."""
    path = Path("post_office_attachments", f"{email_id}-{len(content)}.bin")
    (folder / path.parent).mkdir(exist_ok=True)
    (folder / path).write_bytes(content)
    attachment = insert("post_office_attachment", file=str(path), name=name, mimetype=mimetype,
                        headers=json.dumps(headers) if headers else None)  # fmt: skip
    insert("post_office_attachment_emails", attachment_id=attachment, email_id=email_id)
    return folder / path


def post_office_template(**texts):
    """A template of post_office."""
    now = timezone.now()
    row = {"name": "t", "description": "", "subject": "", "content": "", "html_content": "", "language": ""}
    return insert("post_office_emailtemplate", created=now, last_updated=now, **row | texts)


def mailer_message(message=None, *, data=None, priority=2):
    """A row of django-mailer, as its `email_to_db` writes it (or with this very data)."""
    if data is None:
        message = message or EmailMessage("Hello", "Hello Ann", "shop@example.com", ["ann@example.com"])
        data = pickled(message)
    row = {"message_data": data, "when_added": timezone.now(), "priority": priority, "retry_count": 0}
    return insert("mailer_message", **row)


def pickled(thing, protocol=None):
    """What django-mailer stores of a message."""
    return base64.encodebytes(pickle.dumps(thing, protocol)).decode("ascii")

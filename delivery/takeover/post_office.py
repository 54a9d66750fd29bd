"""django-post_office: `post_office_email` with status queued or requeued is what waits.

Read for 3.12. A row taken over gets the status "sent", which there means: given to a mail backend; a line in
`post_office_log` says to whom. Templates and files are read as post_office reads them.
"""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from email import encoders
from email.mime.nonmultipart import MIMENonMultipart
from email.utils import format_datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.mail import EmailMultiAlternatives
from django.db.backends.utils import CursorWrapper
from django.template import TemplateDoesNotExist, TemplateSyntaxError, engines
from django.utils import timezone

from delivery.handover import Outgoing
from delivery.takeover.package import NotTaken, Reason, Row, Wishes, rows_of

#: Its priority -> ours: low, medium, high, now.
_PRIORITIES = {0: "low", 1: "normal", 2: "high", 3: "high"}
_SENT, _QUEUED, _REQUEUED = 0, 2, 3
#: Commas between addresses, not those within a quoted name.
_ADDRESS = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,"])+')

_COUNT = f"SELECT count(*) FROM post_office_email WHERE status IN ({_QUEUED}, {_REQUEUED})"  # noqa: S608  # numbers
_LOCK = f"""
SELECT * FROM post_office_email WHERE id > %s AND status IN ({_QUEUED}, {_REQUEUED})
ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
"""  # noqa: S608  # numbers of ours
_FILES = """
SELECT of.email_id, a.* FROM post_office_attachment a
JOIN post_office_attachment_emails of ON of.attachment_id = a.id
WHERE of.email_id = ANY(%s) ORDER BY a.id
"""
_TEMPLATES = "SELECT id, subject, content, html_content FROM post_office_emailtemplate WHERE id = ANY(%s)"
_MARK = f"UPDATE post_office_email SET status = {_SENT}, last_updated = now() WHERE id = %s"  # noqa: S608  # a number
_LOG = """
INSERT INTO post_office_log (email_id, date, status, exception_type, message) VALUES (%s, now(), %s, '', %s)
"""


class PostOffice:
    """The tables of django-post_office. Its worker locks nothing while it sends: stop it first."""

    name = "post_office"
    table = "post_office_email"

    def count(self, cursor: CursorWrapper) -> int:
        """Count the waiting rows."""
        cursor.execute(_COUNT)
        [(count,)] = cursor.fetchall()
        return int(count)

    def lock(self, cursor: CursorWrapper, *, after: int, limit: int) -> Sequence[Row]:
        """Lock and return the next rows, each with its template and what is known of its files."""
        cursor.execute(_LOCK, [after, limit])
        rows = rows_of(cursor)
        files = defaultdict(list)
        cursor.execute(_FILES, [[row["id"] for row in rows]])
        for one in rows_of(cursor):
            files[one["email_id"]].append(one)
        cursor.execute(_TEMPLATES, [[row["template_id"] for row in rows if row["template_id"] is not None]])
        templates = {one["id"]: one for one in rows_of(cursor)}
        return [
            {**row, "files": files[row["id"]], "template": templates.get(row["template_id"])} for row in rows
        ]

    def outgoing(self, cursor: CursorWrapper, row: Row, wishes: Wishes) -> Outgoing:  # noqa: ARG002  # the row has all
        """Make the message of a row."""
        expires_at: datetime | None = row.get("expires_at")
        if expires_at is not None and expires_at <= timezone.now():
            raise NotTaken(Reason.EXPIRED, "It has expired; post_office would not send it either.")
        profile = _profile(row.get("backend_alias") or "", wishes)
        message = _message(row, wishes)
        return Outgoing(
            message=message,
            priority=_PRIORITIES.get(row["priority"], "normal"),
            send_at=row.get("scheduled_time"),
            expires_at=expires_at,
            site=wishes.site,
            profile=profile,
            tag=self.name,
            idempotency_key=f"{self.name}:{row['created']:%Y%m%dT%H%M%S.%f}:{row['id']}",
        )

    def mark(self, cursor: CursorWrapper, row: Row, message_id: int) -> None:
        """Give a row the status "sent", and leave a line in its log."""
        cursor.execute(_MARK, [row["id"]])
        cursor.execute(_LOG, [row["id"], _SENT, f"Taken over by mailconf as message {message_id}."])


def _profile(alias: str, wishes: Wishes) -> str | None:
    """Return the profile for a row that names a backend: which one it meant is for a person to say."""
    if alias in ("", "default"):
        return wishes.profile
    if alias not in wishes.backends:
        raise NotTaken(
            Reason.BACKEND,
            f"It names the backend {alias!a}. Say which profile stands for it: --backend {alias}=NAME, "
            f"or --backend {alias}= for any.",
        )
    return wishes.backends[alias] or wishes.profile


def _message(row: Row, wishes: Wishes) -> EmailMultiAlternatives:
    subject, text, html, related = _texts(row)
    message = EmailMultiAlternatives(
        subject=subject,
        body=text or html,
        from_email=row["from_email"],
        to=_override() or _addresses(row["to"]),
        cc=_addresses(row["cc"]),
        bcc=_addresses(row["bcc"]),
        headers=_headers(row),
    )
    if not message.recipients():
        raise NotTaken(Reason.NO_RECIPIENTS, "It has no recipients.")
    if text and html:
        message.attach_alternative(html, "text/html")
    elif html:
        message.content_subtype = "html"
    if hasattr(related, "attach_related"):  # post_office's own template engine: images that the text shows
        related.attach_related(message)
    for one in row["files"]:
        _attach(message, one, wishes)
    return message


def _texts(row: Row) -> tuple[str, str, str, Any]:  # Any: a template of whatever engine is set
    """Return subject, plain text and HTML; rendered now where post_office would, which is at delivery."""
    template, context = row["template"], _json(row["context"])
    if template is None or context is None:
        return row["subject"], row["message"], row["html_message"], None
    engine = engines[_setting("TEMPLATE_ENGINE", "django")]
    try:
        html = engine.from_string(template["html_content"])
        subject, text = (
            engine.from_string(template[part]).render(context) for part in ("subject", "content")
        )
        return str(subject), str(text), str(html.render(context)), html
    except Exception as error:  # a template calls whatever its context holds
        known = isinstance(error, TemplateSyntaxError | TemplateDoesNotExist)
        why = str(error)[:200] if known else type(error).__name__
        raise NotTaken(Reason.TEMPLATE, f"Its template cannot be rendered here: {why}") from error


def _headers(row: Row) -> dict[str, str]:
    headers = _json(row.get("headers"))
    found = {str(name): str(value) for name, value in headers.items()} if isinstance(headers, dict) else {}
    if row.get("expires_at") is not None:
        found["Expires"] = format_datetime(row["expires_at"])
    if row.get("message_id"):
        found["Message-ID"] = row["message_id"]
    return found


def _attach(message: EmailMultiAlternatives, one: Row, wishes: Wishes) -> None:
    if wishes.files is None:
        raise NotTaken(Reason.NO_FILE, "It has attachments. Name the folder they lie in: --attachments DIR.")
    try:
        with wishes.files.open(one["file"]) as file:
            content: bytes = file.read()
    except (OSError, SuspiciousOperation) as error:
        name = str(one["name"])[:100]
        raise NotTaken(Reason.NO_FILE, f"The file of its attachment {name!a} cannot be read.") from error
    headers = _json(one.get("headers"))
    if not headers:
        message.attach(one["name"], content, one["mimetype"] or None)
        return
    part = MIMENonMultipart(*(one["mimetype"] or "application/octet-stream").split("/", 1))
    part.set_payload(content)
    for name, value in headers.items():
        del part[name]
        part[name] = str(value)
    if "Content-Transfer-Encoding" not in part:
        encoders.encode_base64(part)
    message.attach(part)


def _addresses(text: str | None) -> list[str]:
    return [one.strip() for one in _ADDRESS.findall(text or "") if one.strip()]


def _json(value: object) -> Any:  # Any: JSON
    """Read a jsonb column; a context of another kind of column cannot be read."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise NotTaken(Reason.TEMPLATE, "Its context is not JSON: post_office alone can read it.") from None


def _override() -> list[str]:
    """Return who gets every message instead, where this project's settings say so (staging)."""
    return list(_setting("OVERRIDE_RECIPIENTS", None) or ())


def _setting(name: str, default: Any) -> Any:  # Any: whatever stands in the settings
    found = getattr(settings, "POST_OFFICE", None)
    return found.get(name, default) if isinstance(found, Mapping) else default

"""How pages show times, and answers that carry somebody else's bytes: HTML, attachments, whole messages.

Nothing of those bytes may run or load under our address (strangers wrote them), so each answer has headers of
its own and the browser is told to keep nothing.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.http import content_disposition_header
from django.utils.safestring import SafeString

#: For the preview: no script, no form, no request; only the mail's own styles and pictures inside it.
PREVIEW_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)
#: For downloads, should a browser show one in spite of `attachment`.
DOWNLOAD_POLICY = "sandbox; default-src 'none'"


@dataclass(frozen=True, slots=True)
class MailSetting:
    """The Django setting that names who takes a project's mail, and the line that names us."""

    name: str
    line: str


def mail_setting() -> MailSetting:
    """Tell the setting of this Django: 6.1 refuses EMAIL_BACKEND beside MAILERS, older ones know no other."""
    ours = '"delivery.email_backend.EmailBackend"'
    if hasattr(settings, "MAILERS"):
        return MailSetting("MAILERS", f'MAILERS = {{"default": {{"BACKEND": {ours}}}}}')
    return MailSetting("EMAIL_BACKEND", f"EMAIL_BACKEND = {ours}")


def preview(html: str) -> HttpResponse:
    """Answer with a mail's HTML for a sandboxed frame. A `srcdoc` would inherit our page's policy instead."""
    response = HttpResponse(html, content_type="text/html; charset=utf-8")
    response["Content-Security-Policy"] = PREVIEW_POLICY
    response["X-Frame-Options"] = "SAMEORIGIN"
    return _private(response)


def download(data: bytes, name: str) -> HttpResponse:
    """Answer with a file. Its declared type is not repeated: browsers act on types."""
    response = HttpResponse(data, content_type="application/octet-stream")
    response["Content-Disposition"] = (
        content_disposition_header(as_attachment=True, filename=name) or "attachment"
    )
    response["Content-Security-Policy"] = DOWNLOAD_POLICY
    return _private(response)


def _private(response: HttpResponse) -> HttpResponse:
    response["X-Content-Type-Options"] = "nosniff"
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "no-store, private"
    return response


def when(at: datetime) -> SafeString:
    """Show a time in the reader's zone, as short as it is clear; the full one in UTC is the tooltip."""
    local = timezone.localtime(at)
    today = timezone.localdate()
    if local.date() == today:
        shown = date_format(local, "H:i")
    else:
        shown = date_format(local, "j M, H:i" if local.year == today.year else "j M Y, H:i")
    exact = at.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>', exact.isoformat(), f"{exact:%Y-%m-%d %H:%M:%S}", shown
    )

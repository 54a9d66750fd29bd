"""How pages show times, and answers that carry somebody else's bytes: HTML, attachments, whole messages.

Nothing of those bytes may run or load under our address (strangers wrote them), so each answer has headers of
its own and the browser is told to keep nothing.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.http import content_disposition_header
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

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


def moment(at: datetime | None, now: datetime) -> str:
    """Say when something is due: "now", or the time and how long until then."""
    if at is None or at <= now:
        return _("now")
    shown = {"time": clock(at), "span": _("in %(span)s") % {"span": span(at - now)}}
    return _("at %(time)s (%(span)s)") % shown


def span(length: timedelta) -> str:
    """Say how long something takes, in its largest unit.

    >>> from django.utils.translation import override
    >>> with override("en"):
    ...     span(timedelta(seconds=20)), span(timedelta(minutes=47)), span(timedelta(hours=30))
    ('less than a minute', '47 minutes', '30 hours')
    """
    minutes = round(length.total_seconds() / 60)
    if minutes < 1:
        return _("less than a minute")
    if minutes < 120:
        return ngettext("%(n)d minute", "%(n)d minutes", minutes) % {"n": minutes}
    return _("%(n)d hours") % {"n": round(minutes / 60)}


def clock(at: datetime | None, *, seconds: bool = False) -> str:
    """Show a time as people say it: the hour today, else with the day; None is "?"."""
    if at is None:
        return "?"
    local = timezone.localtime(at)
    hour = "H:i:s" if seconds else "H:i"
    return date_format(local, hour if local.date() == timezone.localdate() else f"j M, {hour}")


def server_words(code: int | None, enhanced: str | None, text: str | None) -> str:
    """Return what a server said as it said it, with its codes; without a code, what happened instead.

    >>> server_words(550, "5.1.1", "No such user")
    '550 5.1.1 No such user'
    """
    text = text or ""
    if code is None or text.startswith(str(code)):
        return text
    return " ".join(str(part) for part in (code, enhanced, text) if part)

"""What pages show: times with their tooltip, text of strangers, the setting for a project's mail."""

from datetime import datetime

from django import template
from django.utils.safestring import SafeString

from delivery import reading, showing

register = template.Library()


@register.simple_tag
def mail_setting() -> showing.MailSetting:
    """Name the setting that points a project's mail at us."""
    return showing.mail_setting()


@register.filter
def when(at: datetime | None) -> SafeString | str:
    """Show a time in the reader's zone, with UTC as the tooltip; nothing for none."""
    return showing.when(at) if at else ""


@register.filter
def one_line(text: object) -> str:
    """Show text of strangers in one line, hidden characters visible (the template escapes it)."""
    return reading.one_line(str(text if text is not None else ""))


@register.filter
def visible(text: str) -> str:
    """Show hidden characters as escapes, lines kept (the template escapes it)."""
    return reading.visible(text)


@register.filter
def separated(number: int) -> str:
    """Show a number with separators."""
    return f"{number:,}"


@register.filter
def seconds(ms: int | None) -> str:
    """Show milliseconds as people read them."""
    if ms is None:
        return ""
    return f"{ms} ms" if ms < 1000 else f"{ms / 1000:.1f} s"

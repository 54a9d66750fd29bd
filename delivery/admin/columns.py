"""The columns of the list of messages: what strangers wrote in one line, nothing hidden, escaped."""

from django.contrib.admin import ModelAdmin, display
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from delivery.admin.listing import Line
from delivery.composing import readable
from delivery.models import Message
from delivery.reading import one_line
from delivery.showing import when

#: Characters of a column that holds what strangers wrote; what the column cuts is in the tooltip.
_COLUMN = 200


class Columns(ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """What each row says of its message; the list attaches the rest of it (`listing.Line`)."""

    list_display = (
        "number",
        "status",
        "recipient",
        "about",
        "profile_name",
        "urgency",
        "tries",
        "last_reply",
        "queued_at",
        "next_try",
    )
    list_display_links = None
    empty_value_display = ""

    @display(description=_("No."), ordering="pk")
    def number(self, message: Message) -> SafeString:
        """Link the number to the page."""
        return format_html(
            '<a href="{}">#{}</a>', reverse("admin:delivery_message_change", args=[message.pk]), message.pk
        )

    @display(description=_("Status"))
    def status(self, message: Message) -> SafeString:
        """Show the state, the mark beside it, and why a message that waits does."""
        line = _line(message)
        standing = line.standing
        shown = format_html('<span class="mc-badge {}">{}</span>', standing.tone, standing.state.label)
        if standing.is_uncertain:
            shown = format_html('{} <span class="mc-badge is-mark">{}</span>', shown, _("Uncertain"))
        if line.why is None:
            return shown
        css = "mc-why is-warn" if line.why.needs_a_person else "mc-why"
        return format_html('{} <span class="{}">{}</span>', shown, css, line.why.text)

    @display(description=_("To"))
    def recipient(self, message: Message) -> SafeString:
        """Show the first recipient and how many more there are."""
        first = one_line(message.rcpt_to[0] if message.rcpt_to else "", _COLUMN)
        if len(message.rcpt_to) < 2:
            return _cut(first)
        return _cut(_("%(first)s and %(n)d more") % {"first": first, "n": len(message.rcpt_to) - 1})

    @display(description=_("Subject"))
    def about(self, message: Message) -> SafeString:
        """Show the subject, decoded."""
        return _cut(one_line(readable(message.subject), _COLUMN))

    @display(description=_("Profile"))
    def profile_name(self, message: Message) -> SafeString | str:
        """Say who sent or refused it last."""
        name = _line(message).profile
        return _cut(name) if name else ""

    @display(description=_("Priority"))
    def urgency(self, message: Message) -> str:
        """Say High, Normal or Low."""
        return str(message.get_priority_display())

    @display(description=_("Attempts"))
    def tries(self, message: Message) -> int:
        """Count how often it was tried."""
        return _line(message).standing.attempts

    @display(description=_("Last server reply"))
    def last_reply(self, message: Message) -> SafeString | str:
        """Show the server's words in one line."""
        reply = one_line(_line(message).reply, _COLUMN)
        return format_html('<code class="mc-cut" title="{0}">{0}</code>', reply) if reply else ""

    @display(description=_("Queued"))
    def queued_at(self, message: Message) -> SafeString:
        """Say when it was handed over."""
        return when(message.created_at)

    @display(description=_("Next try"))
    def next_try(self, message: Message) -> SafeString | str:
        """Say when it is due."""
        next_try_at = _line(message).standing.next_try_at
        return when(next_try_at) if next_try_at else ""


def _cut(text: str) -> SafeString:
    """Show text in one line, as wide as the column; all of it is the tooltip."""
    return format_html('<span class="mc-cut" title="{0}">{0}</span>', text)


def _line(message: Message) -> Line:
    line: Line = message.line  # type: ignore[attr-defined]  # attached by MessageList
    return line

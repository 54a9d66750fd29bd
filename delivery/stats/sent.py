"""What went through one profile since a moment: for those who have to look through it."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Sum

from delivery.models import Message, SmallState, Stat

#: Newest messages that are looked through: as the lists do.
_WINDOW = 100_000


@dataclass(frozen=True, slots=True)
class SentLine:
    """One message a server accepted; `subject` is "" for sensitive mail."""

    id: int
    done_at: datetime | None
    mail_from: str
    recipient: str
    others: int
    subject: str


@dataclass(frozen=True, slots=True)
class SentSince:
    """What was sent: all of it counted, the newest named. `is_cut`: older ones are not among them."""

    count: int
    lines: tuple[SentLine, ...]
    is_cut: bool


def sent_since(profile_id: int, since: datetime, *, limit: int) -> SentSince:
    """Return what a profile has sent since then; three bounded statements."""
    counted = Stat.objects.filter(profile_id=profile_id, minute__gte=since.replace(second=0, microsecond=0))
    count = counted.aggregate(all=Sum("sent"))["all"] or 0
    newest: int = Message.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    rows = list(
        Message.objects.filter(
            pk__gt=newest - _WINDOW, profile_id=profile_id, state=SmallState.SENT, done_at__gte=since
        )
        .order_by("-pk")
        .only("done_at", "mail_from", "rcpt_to", "subject", "sensitive")[: limit + 1]
    )
    lines = tuple(
        SentLine(
            row.pk,
            row.done_at,
            row.mail_from,
            row.rcpt_to[0] if row.rcpt_to else "",
            max(len(row.rcpt_to) - 1, 0),
            "" if row.sensitive else row.subject,
        )
        for row in rows[:limit]
    )
    return SentSince(max(count, len(lines)), lines, is_cut=len(rows) > limit or count > len(lines))

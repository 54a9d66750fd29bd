"""Finding messages by recipient, number or Message-ID: first whom the index names, then the page of them.

Asked for both at once, PostgreSQL walks over the messages from the newest on until it has a page of matches:
for an address that is rare or old that is the whole table (a million sent and a million waiting: 420,000 rows
read for one page; the index names all 22,222 that match in a tenth of the time). Where more match than are
worth sorting, the walk is right, and goes no further than a window of the newest; only a message whose number
was typed is found behind it.
"""

from dataclasses import dataclass

from django.db.models import Q, QuerySet

from delivery import queue
from delivery.admin.states import any_of
from delivery.models import Message

#: So many matches are all looked at, wherever they lie; each may be a page of the table.
CANDIDATES = 30_000
#: What no number of a message passes.
LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Search:
    """What somebody looks for: the start of the first recipient's address, or a number.

    `is_common`: more than CANDIDATES addresses begin so.
    """

    start: str
    number: int | None
    is_common: bool

    def narrow(self, messages: "QuerySet[Message]") -> "QuerySet[Message]":
        """Narrow a query to what is looked for; one for a common start has to be bounded by its caller."""
        if self.is_common:
            return messages.filter(_start(self.start) | Q(pk=self.number or 0))
        ids = Message.objects.filter(_start(self.start)).values_list("pk", flat=True)
        return messages.filter(any_of(ids, also=self.number))


def in_window(
    messages: "QuerySet[Message]", search: Search | None, *, floor: int, before: int | None
) -> "QuerySet[Message]":
    """Narrow a query to a window of the newest messages; one asked for by its number is found behind it too.

    The numbers in the window are looked up one by one then: with OR the planner may walk on to the oldest.
    """
    if search is None or search.number is None:
        return messages.filter(pk__gt=floor)
    newer = Message.objects.filter(_start(search.start), pk__gt=floor)
    if before is not None:
        newer = newer.filter(pk__lt=before)
    return messages.filter(any_of(newer.values_list("pk", flat=True), also=search.number))


def search_for(typed: str) -> Search | None:
    """Understand what was typed, None for nothing; asks how common it is, at most CANDIDATES entries."""
    term = typed.strip().lower()
    if not term:
        return None
    matches = Message.objects.filter(_start(term)).order_by().values("rcpt_first")  # of the index alone
    return Search(term, _number(term), is_common=bool(matches[CANDIDATES : CANDIDATES + 1]))


def _number(term: str) -> int | None:
    """Return the number that was typed, or that of the message with this Message-ID, if it is one of ours."""
    number = term.removeprefix("#")
    if number.isascii() and number.isdigit():
        return found if (found := int(number[:20])) <= LARGEST_ID else None
    message_id = f"<{term.strip('<>')}>"
    named = Message.objects.filter(pk__in=queue.rows_of(message_id), message_id__iexact=message_id)
    return named.values_list("pk", flat=True).first()


def _start(term: str) -> Q:
    return Q(rcpt_first__startswith=term)

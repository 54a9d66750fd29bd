"""What stands in front of a stored message that goes to other people than it was written to.

RFC 5322 section 3.6.6: who puts a message into the transport a second time adds a block of Resent fields and
leaves every other field as it is. So To, Cc, Date and Message-ID still say who it was written to and when, a
signature over them still holds, and whoever gets it sees why.
"""

from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime

from delivery.composing.addresses import mailboxes
from delivery.composing.composed import CannotCompose
from delivery.composing.words import unfolded, written


def resent_block(*, sender: str, rcpt_to: Sequence[str], message_id: str, now: datetime) -> bytes:
    """Give the Resent fields with their CRLF.

    `sender` is the bare address of who resends, a system as well as a person. Resent-To is left out where an
    address cannot be written in ASCII: it is the one that may be.

    >>> from datetime import UTC, datetime
    >>> block = resent_block(sender="shop@example.com", rcpt_to=["a@example.org", "b@example.org"],
    ...                      message_id="<1@example.com>", now=datetime(2026, 11, 20, tzinfo=UTC))
    >>> block.decode().splitlines()[2:]
    ['Resent-To: a@example.org,', ' b@example.org', 'Resent-Message-ID: <1@example.com>']
    """
    lines = [written("Resent-Date", format_datetime(now)), written("Resent-From", sender)]
    if all(address.isascii() for address in rcpt_to):
        lines.append(written("Resent-To", ",\r\n ".join(rcpt_to)))
    return b"".join([*lines, written("Resent-Message-ID", message_id)])


def first_address(from_header: str | None) -> str:
    """Return the address of a stored From field's first mailbox, "" for none that can be read.

    >>> first_address("Ana <ana@example.org>, bo@example.org"), first_address(None)
    ('ana@example.org', '')
    """
    try:
        found = mailboxes(unfolded(from_header), "From") if from_header else []
    except CannotCompose:
        return ""
    return next((box.address for box in found if box.address.isascii()), "")

"""Conservation: what servers accepted against what the database says, per recipient.

    assert_balanced(books([server]), at_rest=True)

No recipient may vanish, none may be said to have a message that no server took, and none may get one twice
without an attempt that says so. Reads the tables by itself, not through the queue's own verbs. It may be
asked at any moment, also while workers send: the database is read in one snapshot, the servers before and
after it. What a server had before must be explained by the rows, and what the rows call sent must be there
after.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from django.db import connection, transaction
from django.db.models import Count, Q

from delivery.models import Attempt, Failure, Message, QueueEntry, SmallState
from tests.servers import Server
from tests.wire.evil import EvilServer

#: One recipient of one message, as a server sees it: the Message-ID with its brackets, the address.
Key = tuple[str, str]

#: Attempts after which the server may have the message although nobody read so.
_MAY_HAVE_ARRIVED = (Attempt.Result.UNCERTAIN, Attempt.Result.LOST, Attempt.Result.LATE)

_WITH_FAILURE = {SmallState.FAILED, SmallState.HELD, SmallState.EXPIRED}


@dataclass(frozen=True)
class Books:
    """Both ledgers at one moment; a recipient counts once for each message it is in."""

    #: Recipients handed over.
    enqueued: int = 0
    #: How many recipients are in each state; a partial refusal counts each by its own verdict.
    recipients: Counter[SmallState] = field(default_factory=Counter)
    #: Messages in each state.
    messages: Counter[SmallState] = field(default_factory=Counter)
    #: Messages in a worker's hands.
    leased: int = 0
    #: How often the servers had accepted each recipient's message, before the rows were read and after.
    before: Counter[Key] = field(default_factory=Counter)
    copies: Counter[Key] = field(default_factory=Counter)
    #: How many messages say that a recipient has it (more than one only where a caller repeats a Message-ID).
    sent: Counter[Key] = field(default_factory=Counter)
    #: How many attempts may have arrived unread, and whether the message is on the wire this moment.
    unsure: Counter[Key] = field(default_factory=Counter)
    on_the_wire: frozenset[Key] = frozenset()
    known: frozenset[Key] = frozenset()
    #: What the rows of one message say against each other, a sentence each.
    contradictions: tuple[str, ...] = ()

    @property
    def duplicates(self) -> int:
        """Acceptances beyond the first."""
        return sum(max(0, count - max(1, self.sent[key])) for key, count in self.copies.items())

    @property
    def accepted(self) -> int:
        """Recipients the servers took in, copies included."""
        return sum(self.copies.values())


def books(servers: Iterable[Server | EvilServer], *, ignore: Collection[str] = ()) -> Books:
    """Read both ledgers; `ignore` are addresses no message is for (debug recipients)."""
    servers = list(servers)
    before = _copies(servers, ignore)
    with transaction.atomic():
        if not connection.savepoint_ids:  # else in a test's own transaction
            _in_one_snapshot()
        found = _of_the_database()
    return replace(found, before=before, copies=_copies(servers, ignore))


def _copies(servers: Iterable[Server | EvilServer], ignore: Collection[str]) -> Counter[Key]:
    found: Counter[Key] = Counter()
    for server in servers:
        for accepted in list(server.ledger if isinstance(server, EvilServer) else server.messages):
            message_id = _message_id(accepted.content)
            found.update((message_id, to.lower()) for to in accepted.rcpt_to if to not in ignore)
    return found


def assert_balanced(
    found: Books, *, enqueued: int | None = None, at_rest: bool = False, duplicates: int | None = None
) -> None:
    """Fail unless the books agree.

    `enqueued`: recipients the test handed over. `at_rest`: no worker holds anything any more. `duplicates`:
    at most so many at all; without it, as many as attempts admit.
    """
    assert not found.contradictions, found.contradictions[:5]
    assert found.enqueued == sum(found.recipients.values()), found.recipients
    assert enqueued is None or found.enqueued == enqueued
    lost = [key for key, count in found.sent.items() if found.copies[key] < count]
    assert not lost, f"sent, says the database, and no server has it: {len(lost)}, {lost[:5]}"
    strange = [key for key in found.copies if key not in found.known]
    assert not strange, f"accepted, and nobody handed it over: {len(strange)}, {strange[:5]}"
    over = {key: count for key, count in found.before.items() if count > _explained(found, key)}
    assert not over, f"accepted more often than anything explains: {len(over)}, {list(over.items())[:5]}"
    assert duplicates is None or found.duplicates <= duplicates, found.duplicates
    assert not (at_rest and found.leased), f"{found.leased} messages are still in a worker's hands"


def _explained(found: Books, key: Key) -> int:
    """How many acceptances the database accounts for: sent ones, doubtful attempts, one on the wire."""
    return found.sent[key] + found.unsure[key] + (key in found.on_the_wire)


def _in_one_snapshot() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _of_the_database() -> Books:
    entries = dict(QueueEntry.objects.values_list("message_id", "lease_id"))
    failures = dict(Failure.objects.values_list("message_id", "state"))
    doubts = dict(
        Attempt.objects.values("message_id")
        .annotate(n=Count("id", filter=Q(outcome__in=_MAY_HAVE_ARRIVED)))
        .filter(n__gt=0)
        .values_list("message_id", "n")
    )
    enqueued, on_the_wire, contradictions = 0, set(), []
    recipients: Counter[SmallState] = Counter()
    messages: Counter[SmallState] = Counter()
    sent: Counter[Key] = Counter()
    unsure: Counter[Key] = Counter()
    known: set[Key] = set()
    rows = Message.objects.values_list("pk", "message_id", "state", "rcpt_to", "verdicts")
    for pk, message_id, number, rcpt_to, verdicts in rows.iterator(5000):
        state = SmallState(number)
        messages[state] += 1
        enqueued += len(rcpt_to)
        contradictions += _contradictions(pk, state, is_waiting=pk in entries, failure=failures.get(pk))
        for recipient in rcpt_to:
            key = (message_id, recipient.lower())
            known.add(key)
            verdict = (verdicts or {}).get(recipient)
            own = SmallState[verdict["state"].upper()] if verdict else state
            recipients[own] += 1
            sent[key] += own is SmallState.SENT
            unsure[key] += doubts.get(pk, 0)
            if entries.get(pk) is not None:
                on_the_wire.add(key)
    gone = (entries.keys() | failures.keys()) - set(Message.objects.values_list("pk", flat=True))
    contradictions += [f"{pk}: an entry or a failure without a message" for pk in sorted(gone)]
    return Books(
        enqueued=enqueued,
        recipients=recipients,
        messages=messages,
        leased=sum(lease is not None for lease in entries.values()),
        sent=+sent,
        unsure=+unsure,
        on_the_wire=frozenset(on_the_wire),
        known=frozenset(known),
        contradictions=tuple(contradictions),
    )


def _contradictions(pk: int, state: SmallState, *, is_waiting: bool, failure: int | None) -> list[str]:
    """Say where a message's state, its queue entry and its failure do not go together."""
    found = []
    if is_waiting is not (state is SmallState.QUEUED):
        found.append(f"{pk}: {state.name} {'with' if is_waiting else 'without'} a queue entry")
    if failure != (state if state in _WITH_FAILURE else None):
        found.append(f"{pk}: {state.name}, and among the failures it is {failure}")
    return found


def _message_id(content: bytes) -> str:
    """Return the value of the Message-ID header as the queue stores it."""
    for line in content.split(b"\r\n\r\n", 1)[0].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"message-id":
            return value.strip().decode()
    raise AssertionError("a server accepted a message without Message-ID")

"""Which messages a job is for: what a filter of the list shows, walked by number.

Only what waits or needs a person can be meant: those have tables of their own, so neither a count nor a chunk
reads the history.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from delivery.queue import MessageState, SmallState
from delivery.queue.passed_by import IS_FROM_THERE, PassedBy, passed_by
from delivery.queue.statements import named, run

#: Of what ended without a reply.
NO_REPLY = "none"

#: No count goes further: "more than 10,000".
COUNT_LIMIT = 10_000

_TRIED = "(attempts > 0 OR drops > 0)"
#: Where the messages of a state stand, and what tells them from the others there.
_PLACES = {
    MessageState.QUEUED: ("entry", f"lease_id IS NULL AND NOT {_TRIED}"),
    MessageState.SENDING: ("entry", "lease_id IS NOT NULL"),
    MessageState.DEFERRED: ("entry", f"lease_id IS NULL AND {_TRIED}"),
    MessageState.FAILED: ("failure", f"state = {SmallState.FAILED.value}"),
    MessageState.HELD: ("failure", f"state = {SmallState.HELD.value}"),
    MessageState.EXPIRED: ("failure", f"state = {SmallState.EXPIRED.value}"),
}
_PROFILE = {"entry": "coalesce(profile_id, last_profile_id)", "failure": "profile_id"}


@dataclass(frozen=True, slots=True)
class Choice:
    """What a filter of the list shows. None and "" narrow nothing.

    `cause` is the stable word of a failure, `recipient` the start of the first recipient's address or "#12".
    `before` leaves out that message and newer ones, `only_uncertain` those that cannot have arrived.
    `site_id` 0 is mail of no site. `since` is when it failed, was held or expired; `reply` the class of the
    server's last reply ("4", "5"), its whole code, or `NO_REPLY`. `pinned_id`: only that profile may send it.
    `could_id`: it waits in nobody's hand, and that profile could carry it if it were moved (`passed_by`).
    """

    state: MessageState | None = None
    cause: str | None = None
    profile_id: int | None = None
    recipient: str = ""
    before: int | None = None
    only_uncertain: bool = False
    site_id: int | None = None
    since: datetime | None = None
    reply: str = ""
    pinned_id: int | None = None
    could_id: int | None = None

    @property
    def is_of_failures(self) -> bool:
        """Whether it asks for what only those have that need a person."""
        return self.cause is not None or self.since is not None or bool(self.reply)

    def as_json(self) -> dict[str, Any]:  # Any: JSON
        """Return it as it is stored."""
        return asdict(self) | {"since": self.since.isoformat() if self.since is not None else None}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Choice":  # Any: JSON
        """Read what `as_json` gave."""
        state, since = stored.get("state"), stored.get("since")
        read = {
            "state": None if state is None else MessageState(state),
            "since": None if since is None else datetime.fromisoformat(since),
        }
        return cls(**{**stored, **read})


@dataclass(frozen=True, slots=True)
class Chosen:
    """One message that a filter shows, and how it stands."""

    id: int
    state: MessageState
    is_uncertain: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """How many messages a filter shows, counted up to a limit; `first_id` is the lowest, None for none."""

    by_state: "Counter[MessageState]" = field(default_factory=Counter)
    uncertain: int = 0
    first_id: int | None = None
    is_capped: bool = False

    def fitting(self, states: Sequence[MessageState]) -> int:
        """How many of them stand so."""
        return sum(self.by_state[state] for state in states)


def reply_range(reply: str) -> tuple[int, int] | None:
    """Return the lowest and the highest code of a class of replies; None for what is no class and no code.

    >>> reply_range("4"), reply_range("550"), reply_range("x")
    ((400, 499), (550, 550), None)
    """
    if not (reply.isascii() and reply.isdecimal() and len(reply) in (1, 3)):
        return None
    return (int(reply) * 100, int(reply) * 100 + 99) if len(reply) == 1 else (int(reply), int(reply))


def walk(choice: Choice, *, after: int, upper: int, limit: int) -> list[Chosen]:
    """Return the next messages behind `after` up to `upper`, lowest number first."""
    statement = f"{_arms(choice)} ORDER BY message_id LIMIT %(limit)s"
    values = {**_values(choice), "after": after, "upper": upper, "limit": limit}
    return [Chosen(found, MessageState(state), unsure) for found, state, unsure in run(statement, values)]


def standing(ids: Sequence[int]) -> dict[int, MessageState]:
    """Say where messages stand now, for those that are not where they were."""
    values = {"ids": list(ids)}
    found = {message_id: MessageState[SmallState(state).name] for message_id, state in run(_STATES, values)}
    return found | {message_id: MessageState(state) for message_id, state in run(_ENTRIES, values)}


def estimate(choice: Choice, *, upper: int) -> Estimate:
    """Count what a filter shows, at most a little over ten thousand rows of it."""
    statement = named(_COUNT, shown=_arms(choice))
    values = {**_values(choice), "after": 0, "upper": upper, "limit": COUNT_LIMIT + 1}
    by_state: Counter[MessageState] = Counter()
    uncertain, lowest = 0, []
    for state, is_uncertain, count, first_id in run(statement, values):
        by_state[MessageState(state)] += count
        uncertain += count if is_uncertain else 0
        lowest.append(first_id)
    total = sum(by_state.values())
    return Estimate(by_state, uncertain, min(lowest, default=None), is_capped=total > COUNT_LIMIT)


def newest_id() -> int:
    """Return the number of the newest message, 0 for none."""
    return int(run(_NEWEST)[0][0])


_NEWEST = named("SELECT coalesce(max(id), 0) FROM {message}")

_STATES = named("SELECT id, state FROM {message} WHERE id = ANY(%(ids)s::bigint[])")

_STATE_OF_ENTRY = (
    f"CASE WHEN lease_id IS NOT NULL THEN 'sending' WHEN {_TRIED} THEN 'deferred' ELSE 'queued' END"
)
_STATE_OF_FAILURE = " ".join(
    ["CASE", *(f"WHEN {_PLACES[state][1]} THEN '{state.value}'" for state in
               (MessageState.FAILED, MessageState.HELD, MessageState.EXPIRED)), "END"]
)  # fmt: skip
_STATE = {"entry": _STATE_OF_ENTRY, "failure": _STATE_OF_FAILURE}

_ENTRIES = named(
    "SELECT message_id, {state} FROM {entry} WHERE message_id = ANY(%(ids)s::bigint[])", state=_STATE_OF_ENTRY
)

_COUNT = """
SELECT state, is_uncertain, count(*), min(message_id) FROM ({shown} LIMIT %(limit)s) AS shown GROUP BY 1, 2
"""

_ROWS = "SELECT * FROM ({arms}) AS found"


def _arms(choice: Choice) -> str:
    """Return the question for the rows that a filter shows: (message_id, state, is_uncertain).

    Made of the constants above; what a person typed is bound.
    """
    tables = {_PLACES[choice.state][0]} if choice.state is not None else {"entry", "failure"}
    if choice.is_of_failures:
        tables &= {"failure"}
    if choice.could_id is not None:
        tables &= {"entry"}
    arms = [_arm(choice, table) for table in ("entry", "failure") if table in tables]
    return named(_ROWS, arms=" UNION ALL ".join(arms or [_NOTHING]))


_NOTHING = "SELECT NULL::bigint AS message_id, '' AS state, false AS is_uncertain WHERE false"


def _arm(choice: Choice, table: str) -> str:
    narrowing = [
        (choice.cause is not None, "cause = %(cause)s"),
        (choice.since is not None, "at >= %(since)s"),
        (choice.reply == NO_REPLY, "code IS NULL"),
        (choice.reply not in ("", NO_REPLY), "code BETWEEN %(least)s AND %(most)s"),
        (choice.profile_id is not None, f"{_PROFILE[table]} = %(profile_id)s"),
        (choice.pinned_id is not None, _PINNED),
        (choice.could_id is not None, _COULD),
        (choice.before is not None, "message_id < %(before)s"),
        (choice.only_uncertain, "uncertain"),
        (choice.recipient != "", _RECIPIENT),
        (choice.site_id is not None, _SITE),
    ]
    conditions = ["message_id > %(after)s", "message_id <= %(upper)s"]
    if choice.state is not None:
        conditions.append(_PLACES[choice.state][1])
    conditions += [condition for is_wanted, condition in narrowing if is_wanted]
    where = " AND ".join(conditions)
    return named(
        "(SELECT message_id, {state} AS state, uncertain AS is_uncertain FROM {table} listed WHERE {where}"
        " ORDER BY message_id LIMIT %(limit)s)",
        state=_STATE[table],
        table=named(f"{{{table}}}"),
        where=where,
    )


_PINNED = named("pool_id IN (SELECT id FROM {pool} WHERE profile_id = %(pinned_id)s)")
# A value and not EXISTS: of that the planner makes a join, and reads all that was ever sent for what waits.
_COULD = named(
    "lease_id IS NULL AND pool_id = ANY(%(pools)s::smallint[])"
    " AND (SELECT {is_from_there} FROM {message} m WHERE m.id = listed.message_id)",
    is_from_there=IS_FROM_THERE,
)
# As the list searches: the start of the first recipient's address, or the number.
_RECIPIENT = named(
    "EXISTS (SELECT FROM {message} m WHERE m.id = listed.message_id"
    " AND (m.rcpt_first LIKE %(prefix)s OR m.id = %(number)s))"
)
_SITE = named(
    "EXISTS (SELECT FROM {message} m WHERE m.id = listed.message_id AND coalesce(m.site_id, 0) = %(site_id)s)"
)


def _values(choice: Choice) -> dict[str, Any]:  # Any: statement parameters
    term = choice.recipient.strip().lower()
    number = term.removeprefix("#")
    is_number = number.isascii() and number.isdigit() and len(number) < 19
    escaped = term.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    least, most = reply_range(choice.reply) or (0, 0)
    could = passed_by(choice.could_id) if choice.could_id is not None else PassedBy()
    return {
        "cause": choice.cause,
        "since": choice.since,
        "least": least,
        "most": most,
        "profile_id": choice.profile_id,
        "pinned_id": choice.pinned_id,
        **could.values,
        "before": choice.before,
        "site_id": choice.site_id,
        "prefix": f"{escaped}%",
        "number": int(number) if is_number else 0,
    }

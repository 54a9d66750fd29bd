"""Acceptances that came too late: the lease was lost, but the server has the message for these recipients."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from psycopg.types.json import Jsonb

from delivery.models import SmallState
from delivery.queue.statements import named, run

# A message that was sent says so as a whole; any other may go again, now or when a person puts it back.
_KEEP = named("""
UPDATE {message} m SET verdicts = coalesce(m.verdicts, jsonb_build_object()) || o.verdicts
FROM unnest(%(ids)s::bigint[], %(verdicts)s::jsonb[]) AS o (message_id, verdicts)
WHERE m.id = o.message_id AND m.state <> %(sent)s
""")


class Outcome(Protocol):
    """What `Finished` and `Settled` have in common here."""

    @property
    def message_id(self) -> int: ...  # noqa: D102

    @property
    def verdicts(self) -> Mapping[str, Any] | None: ...  # noqa: D102  # Any: JSON


def keep_acceptances(lost: Sequence[Outcome]) -> None:
    """Add the accepted recipients of outcomes that the lease's loss made void.

    Nothing else of them counts; but a recipient who has the message must not get it again.
    """
    accepted = {outcome.message_id: _sent(outcome.verdicts or {}) for outcome in lost}
    found = [(message_id, Jsonb(verdicts)) for message_id, verdicts in accepted.items() if verdicts]
    if found:
        ids, verdicts = map(list, zip(*found, strict=True))
        run(_KEEP, {"ids": ids, "verdicts": verdicts, "sent": SmallState.SENT.value})


def _sent(verdicts: Mapping[str, Any]) -> dict[str, Any]:  # Any: JSON
    return {address: verdict for address, verdict in verdicts.items() if verdict["state"] == "sent"}

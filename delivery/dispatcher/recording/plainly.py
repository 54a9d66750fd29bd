"""What became of a message in plain words, for where the database does not take the words there are."""

from collections.abc import Iterator, Mapping
from typing import Any

from delivery.dispatcher.recording.outcomes import Result
from delivery.queue import Finished, SmallState

Verdicts = Mapping[str, Any]  # Any: JSON

_WORDS = "Internal error: what became of it could not be recorded."


def in_plain_words(result: Result) -> Iterator[Finished]:
    """Yield what may be written instead, the fullest first; the last has nothing that could be refused.

    A message that was sent stays sent; any other is held, and a person looks. Each recipient's result is
    kept, or who has the message would get it again, and nobody would hear of those who were refused.
    """
    told = result.finished or result.settled
    verdicts = told.verdicts if told is not None else None
    if verdicts:
        yield _plain(result, verdicts)
        yield _plain(result, {address: _bare(verdict) for address, verdict in verdicts.items()})
    yield _plain(result, None)


def _plain(result: Result, verdicts: Verdicts | None) -> Finished:
    message_id, profile_id = result.work.claimed.message_id, result.work.way.profile_id
    told = result.finished or result.settled
    if result.finished is not None and result.finished.state == SmallState.SENT:
        return Finished(message_id, SmallState.SENT, counted=1, profile_id=profile_id, verdicts=verdicts)
    is_lost = verdicts is None and told is not None and bool(told.verdicts)  # some may have it
    return Finished(
        message_id,
        SmallState.HELD,
        profile_id=profile_id,
        reply=_WORDS,
        cause="internal_error",
        verdicts=verdicts,
        uncertain=is_lost or (told is not None and told.uncertain),
    )


def _bare(verdict: Verdicts) -> Verdicts:
    """Return a recipient's verdict without what servers and people wrote."""
    return {"state": verdict["state"], "code": verdict["code"], "enhanced": None, "reply": ""}

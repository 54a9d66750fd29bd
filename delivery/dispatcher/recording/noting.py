"""What is written down about an attempt: its row, and each recipient's final verdict."""

from collections.abc import Collection, Mapping
from typing import Any

from delivery import retry
from delivery.classification import Action, Judgement, Verdict
from delivery.dispatcher.work import Work
from delivery.queue import AttemptResult, Tried


def untold(work: Work, outcome: AttemptResult, why: str, *, lease: int, cause: str = "") -> Tried:
    """Note an attempt that no server heard of."""
    n = min(work.claimed.attempts + work.claimed.drops + 1, retry.MOST_TRIES)
    return Tried(work.claimed.message_id, lease, work.way.profile_id, n, "", outcome, reply=why, cause=cause)


def tried_of(work: Work, judgement: Judgement, outcome: AttemptResult, lease: int, ms: float) -> Tried:
    """Return the row of an attempt that a server answered, or failed to."""
    reply = judgement.reply
    return Tried(
        work.claimed.message_id,
        lease,
        work.way.profile_id,
        work.claimed.attempts + 1,
        str(judgement.phase),
        outcome,
        reply.code if reply else None,
        reply.enhanced if reply else None,
        judgement.words,
        round(ms),
        judgement.cause,
    )


def any_failed(work: Work) -> bool:
    """Whether earlier attempts settled that a recipient does not get it."""
    settled = work.claimed.verdicts
    return settled is not None and any(verdict.get("state") == "failed" for verdict in settled.values())


def any_sent(judgement: Judgement) -> bool:
    """Whether a recipient has it by this attempt."""
    return any(verdict.ruling.action is Action.SENT for verdict in judgement.recipients)


def any_spared(judgement: Judgement) -> bool:
    """Whether recipients go back who were not judged while others were: too many for one transaction."""
    released = any(verdict.ruling.action is Action.RELEASE for verdict in judgement.recipients)
    return released and judgement.action is not Action.RELEASE


def verdicts_of(
    work: Work, judgement: Judgement, *, also_failed: Collection[Action] = frozenset()
) -> Mapping[str, Any] | None:  # Any: JSON
    """Return the final verdicts of this attempt by recipient, or None where the message row says it all.

    `also_failed` are refusals that are final because nothing follows.
    """
    is_alike = not work.has_more and _is_one_verdict(judgement)
    if not work.claimed.verdicts and not work.redirected_to and is_alike:
        return None
    final = {Action.SENT: "sent", Action.FAIL: "failed"} | dict.fromkeys(also_failed, "failed")
    found = {
        recipient: _as_json(verdict, final[verdict.ruling.action], work.redirected_to)
        for recipient, verdict in zip(work.recipients, judgement.recipients, strict=False)
        if verdict.ruling.action in final
    }
    return found or None


def _is_one_verdict(judgement: Judgement) -> bool:
    verdicts = judgement.recipients
    return len(verdicts) < 2 or len({verdict.ruling.action for verdict in verdicts}) < 2


def _as_json(verdict: Verdict, state: str, redirected_to: str) -> dict[str, Any]:  # Any: JSON
    reply = verdict.reply
    instead = {"redirected_to": redirected_to} if redirected_to else {}
    return instead | {
        "state": state,
        "code": reply.code if reply else None,
        "enhanced": reply.enhanced if reply else None,
        "reply": reply.text if reply else "",
    }

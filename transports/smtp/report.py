"""The steps of one transaction, for an observer: MAIL FROM, RCPT TO, send the message."""

from collections.abc import Sequence

from transports.base import Content, Envelope, Outcome, Phase, StepVerdict
from transports.smtp.transcript import Trace

_ORDER = (Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.BODY, Phase.DOT)


def report_transaction(
    trace: Trace,
    since: float,
    read_at: Sequence[float],
    envelope: Envelope,
    content: Content,
    outcome: Outcome,
) -> None:
    """Report how far a transaction came; `read_at` are the times of the replies to MAIL, RCPT, .., DATA, dot.

    A step that was not tried is not reported.
    """
    reached = _ORDER.index(outcome.phase)
    mail_at = _at(read_at, 0)
    if reached == 0:
        return _failed(trace, outcome, since, {"mail_from": envelope.mail_from})
    trace.step(
        Phase.MAIL, StepVerdict.DONE, since=since, until=mail_at, evidence={"mail_from": envelope.mail_from}
    )
    evidence = {"rcpt_to": ", ".join(envelope.rcpt_to)}
    rcpt_at = _at(read_at, len(envelope.rcpt_to))
    if reached == 1:
        return _failed(trace, outcome, mail_at or since, evidence)
    refused = [reply for reply in outcome.rcpt_replies if reply is not None and not reply.is_success]
    trace.step(
        Phase.RCPT,
        StepVerdict.WARNING if refused else StepVerdict.DONE,
        since=mail_at or since,
        until=rcpt_at,
        detail=f"{len(refused)} of {len(envelope.rcpt_to)} refused." if refused else "",
        reply=refused[0] if refused else outcome.rcpt_replies[-1],
        evidence=evidence,
    )
    evidence = {"size_bytes": str(content.size_bytes)}
    if not outcome.accepted:
        return _failed(trace, outcome, rcpt_at or since, evidence)
    trace.step(Phase.DOT, StepVerdict.DONE, since=rcpt_at or since, reply=outcome.reply, evidence=evidence)
    return None


def _failed(trace: Trace, outcome: Outcome, since: float, evidence: dict[str, str]) -> None:
    detail = str(outcome.error) if outcome.error is not None else "The server refused."
    trace.step(
        outcome.phase, StepVerdict.FAILED, since=since, detail=detail, reply=outcome.reply, evidence=evidence
    )


def _at(read_at: Sequence[float], index: int) -> float | None:
    return read_at[index] if index < len(read_at) else None

"""The steps of one transaction, for an observer: MAIL FROM, RCPT TO, send the message."""

from collections.abc import Sequence

from transports.base import Content, Envelope, Outcome, Phase, Reply, StepVerdict
from transports.smtp.transcript import Trace

_ORDER = (Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.BODY, Phase.DOT)


def report_envelope(
    trace: Trace,
    since: float,
    read_at: Sequence[float],
    envelope: Envelope,
    rcpt_replies: Sequence[Reply | None],
) -> None:
    """Report sender and recipients, once the content may follow; `read_at` as in `report_end`."""
    mail_at, rcpt_at = _at(read_at, 0), _at(read_at, len(envelope.rcpt_to))
    trace.step(Phase.MAIL, StepVerdict.DONE, since=since, until=mail_at, evidence=_sender(envelope))
    refused = [reply for reply in rcpt_replies if reply is not None and not reply.is_success]
    trace.step(
        Phase.RCPT,
        StepVerdict.WARNING if refused else StepVerdict.DONE,
        since=mail_at or since,
        until=rcpt_at,
        detail=f"{len(refused)} of {len(envelope.rcpt_to)} refused." if refused else "",
        reply=refused[0] if refused else rcpt_replies[-1],
        evidence=_recipients(envelope),
    )


def report_end(
    trace: Trace,
    since: float,
    read_at: Sequence[float],
    envelope: Envelope,
    content: Content,
    outcome: Outcome,
    *,
    told: bool,
) -> None:
    """Report how far a transaction came; `told`: its envelope was reported already.

    `read_at` are the times of the replies to MAIL, RCPT, .., DATA, dot. A step that was not tried is not
    reported.
    """
    reached = _ORDER.index(outcome.phase)
    mail_at, rcpt_at = _at(read_at, 0), _at(read_at, len(envelope.rcpt_to))
    if reached == 0:
        return _failed(trace, outcome, since, _sender(envelope))
    if reached == 1:
        trace.step(Phase.MAIL, StepVerdict.DONE, since=since, until=mail_at, evidence=_sender(envelope))
        return _failed(trace, outcome, mail_at or since, _recipients(envelope))
    if not told:
        report_envelope(trace, since, read_at, envelope, outcome.rcpt_replies)
    evidence = {"size_bytes": str(content.size_bytes)}
    if not outcome.accepted:
        return _failed(trace, outcome, rcpt_at or since, evidence)
    trace.step(Phase.DOT, StepVerdict.DONE, since=rcpt_at or since, reply=outcome.reply, evidence=evidence)
    return None


def _sender(envelope: Envelope) -> dict[str, str]:
    return {"mail_from": envelope.mail_from}


def _recipients(envelope: Envelope) -> dict[str, str]:
    return {"rcpt_to": ", ".join(envelope.rcpt_to)}


def _failed(trace: Trace, outcome: Outcome, since: float, evidence: dict[str, str]) -> None:
    detail = str(outcome.error) if outcome.error is not None else "The server refused."
    trace.step(
        outcome.phase, StepVerdict.FAILED, since=since, detail=detail, reply=outcome.reply, evidence=evidence
    )


def _at(read_at: Sequence[float], index: int) -> float | None:
    return read_at[index] if index < len(read_at) else None

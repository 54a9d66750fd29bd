"""What became of messages, as lines of the email log (`smtp_settings.email_log`)."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from email.parser import BytesHeaderParser
from email.policy import compat32

from delivery.composing import readable
from delivery.dispatcher.recording.outcomes import Logged, Result
from delivery.queue import AttemptResult, Claimed, SmallState
from smtp_settings.email_log import Entry

#: What every message has, or what a line says by itself: all others are a message's own.
_USUAL = re.compile(
    r"(?i)(from|to|cc|bcc|subject|date|message-id|mime-version|content-.*|sender|reply-to|received|return-path"
    r"|references|in-reply-to)"
)
_CHARSET = re.compile(rb"(?i)charset=\"?([a-z0-9._:+-]+)")
#: Of a header a line needs so much at most, and of a message so many.
_MOST_TEXT, _MOST_HEADERS = 1000, 50


def entries(results: Iterable[Result], now: datetime) -> Iterator[Entry]:
    """Yield a line for each message that ended, was put off or may have arrived; none for one given back."""
    for result in results:
        event = event_of(result)
        if event:
            yield _entry(result, event, now)


def event_of(result: Result) -> str:
    """Return the word for what happened, "" for nothing that concerns anybody."""
    if result.finished is not None:
        word = SmallState(result.finished.state).name.lower()
        return "simulated failure" if result.logged is Logged.SIMULATED else word
    if result.tried is None or result.tried.outcome == AttemptResult.RELEASED:
        return ""
    if result.logged is Logged.SIMULATED:
        return "simulated failure"
    return {AttemptResult.RETRY.value: "deferred"}.get(result.tried.outcome, result.tried.outcome)


def _entry(result: Result, event: str, now: datetime) -> Entry:
    claimed = result.work.claimed
    is_told = not claimed.sensitive
    return Entry(
        at=now,
        event=event,
        message=claimed.message_id,
        message_id=claimed.message_id_header,
        sender=claimed.mail_from,
        recipients=result.work.recipients or tuple(claimed.rcpt_to),
        subject=readable(claimed.subject) if is_told else "",
        profile=result.work.way.name if result.work.way.profile_id else "",
        charset=_charset(claimed),
        reply=_reply(result),
        redirected_to=result.work.redirected_to,
        headers=_own_headers(claimed) if is_told else {},
    )


def _reply(result: Result) -> str:
    said = result.tried if result.tried is not None else result.finished
    if said is None:
        return ""
    return " ".join(str(part) for part in (said.code, said.enhanced, said.reply) if part)


def _charset(claimed: Claimed) -> str:
    found = _CHARSET.search(claimed.data[:16384])
    return found[1].decode("ascii").lower() if found else "us-ascii"


def _own_headers(claimed: Claimed) -> dict[str, str]:
    """Return the headers that not every message has, decoded; of several of one name the last."""
    head = claimed.data[: claimed.data.find(b"\r\n\r\n") + 4]
    parsed = BytesHeaderParser(policy=compat32).parsebytes(head)
    own = [(name, str(value)) for name, value in parsed.items() if not _USUAL.fullmatch(name)]
    return {name: readable(value)[:_MOST_TEXT] for name, value in own[:_MOST_HEADERS]}

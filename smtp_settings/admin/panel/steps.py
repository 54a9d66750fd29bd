"""The steps of a test run in words: every stage is always listed, in the order of the session."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings import explaining
from smtp_settings.models import Auth, Security, TestRun
from smtp_settings.test_send import LIMIT
from transports.base import Phase, StepVerdict

_ORDER: tuple[str, ...] = (
    Phase.DNS,
    Phase.CONNECT,
    Phase.BANNER,
    Phase.EHLO,
    Phase.TLS,
    Phase.AUTH,
    Phase.MAIL,
    Phase.RCPT,
    Phase.DOT,
)
#: TLS from the first byte comes before the greeting.
_ORDER_TLS_FIRST = (*_ORDER[:2], Phase.TLS, *(phase for phase in _ORDER[2:] if phase != Phase.TLS))
#: What the other methods do.
_ORDERS: dict[str, tuple[str, ...]] = {
    "sendmail": (Phase.FIND, Phase.PERMISSION, Phase.DOT),
    "pickup": (Phase.FIND, Phase.PERMISSION, Phase.SPACE, Phase.DOT),
    "mailgun": (Phase.DNS, Phase.CONNECT, Phase.KEY, Phase.IDENTITY, Phase.DOT),
    "ses": (Phase.FIND, Phase.KEY, Phase.IDENTITY, Phase.DOT),
}
#: What a connection check leaves out.
_WITH_A_MESSAGE = (Phase.MAIL, Phase.RCPT, Phase.DOT)

_WORDS: dict[str, Promise] = {
    StepVerdict.DONE: gettext_lazy("done"),
    StepVerdict.WARNING: gettext_lazy("warning"),
    StepVerdict.FAILED: gettext_lazy("failed"),
    StepVerdict.SKIPPED: gettext_lazy("skipped"),
    "waiting": gettext_lazy("waiting"),
    "running": gettext_lazy("running"),
    "untried": gettext_lazy("not tried"),
}

#: What the wire says of itself, in English, and how pages say it.
_DETAILS: dict[str, Promise] = {
    "Not encrypted (as configured).": gettext_lazy("Not encrypted (as configured)"),
    "The certificate was not checked (as configured).": gettext_lazy(
        "The certificate was not checked (as configured)"
    ),
    "No sign-in.": gettext_lazy("Skipped: no sign-in"),
    "The server refused.": gettext_lazy("The server refused."),
    "This key may not read the domain's state. Sending shows whether it may send.": gettext_lazy(
        "This key may not read the domain's state. Sending shows whether it may send."
    ),
    "This key may not read the account's state. Sending shows whether it may send.": gettext_lazy(
        "This key may not read the account's state. Sending shows whether it may send."
    ),
    "Mailgun has not verified this domain.": gettext_lazy("Mailgun has not verified this domain."),
    "Amazon SES has not verified the sender here.": gettext_lazy(
        "Amazon SES has not verified the sender in this region."
    ),
    "The account is in the sandbox: only verified recipients get mail.": gettext_lazy(
        "The account is in the sandbox: only verified recipients get mail."
    ),
    "Not told.": gettext_lazy("Not told: this key may only send"),
}

_STILL: dict[str, Promise] = {
    Phase.TOKEN: gettext_lazy("Still waiting for a token"),
    Phase.DNS: gettext_lazy("Still looking up the name"),
    Phase.CONNECT: gettext_lazy("Still connecting"),
    Phase.BANNER: gettext_lazy("Still waiting for the greeting"),
    Phase.EHLO: gettext_lazy("Still waiting for the answer to EHLO"),
    Phase.TLS: gettext_lazy("Still setting up encryption"),
    Phase.AUTH: gettext_lazy("Still signing in"),
    Phase.MAIL: gettext_lazy("Still waiting for the answer about the sender"),
    Phase.RCPT: gettext_lazy("Still waiting for the answer about the recipient"),
    Phase.DOT: gettext_lazy("Still sending the message"),
    Phase.FIND: gettext_lazy("Still looking for it"),
    Phase.PERMISSION: gettext_lazy("Still looking whether it may be used"),
    Phase.SPACE: gettext_lazy("Still looking for free space"),
    Phase.KEY: gettext_lazy("Still waiting for the answer about the key"),
    Phase.IDENTITY: gettext_lazy("Still waiting for the answer about the sender"),
}
#: A step that takes longer than this, in seconds, says that it is still at it.
_PATIENCE = 5

#: Where common servers name the message in their last reply: Postfix, Exim, Sendmail, Amazon SES, Google.
_QUEUE_ID = (
    re.compile(r"queued as <?([\w.-]+)", re.IGNORECASE),
    re.compile(r"\bid=([\w.-]+)"),
    re.compile(r"^2\d\d (?:2\.\d\.\d )?([\w.-]+) Message accepted", re.IGNORECASE),
    re.compile(r"^250 (?:2\.\d\.\d )?Ok ([\w-]{12,})\s*$", re.IGNORECASE),
    re.compile(r"^250 2\.0\.0 OK\s+\d+ ([\w.-]+) - gsmtp", re.IGNORECASE),
)


@dataclass(frozen=True, slots=True)
class StepRow:
    """One line of the list. `tone` is done, running, warning, failed, waiting, skipped or untried."""

    phase: str
    name: str
    word: str
    tone: str
    ms: str = ""
    detail: str = ""
    reply: str = ""
    evidence: tuple[tuple[str, str], ...] = ()


def step_rows(run: TestRun) -> list[StepRow]:
    """Return every stage of a run, tried or not; nine for SMTP."""
    order = _order(run)
    told = _told(run)
    if run.failed_phase and run.state == TestRun.State.FAILED:
        # A run that ended at its limit leaves the stage it hung in without a step of its own.
        told.setdefault(
            _stage(run.failed_phase, str(run.settings.get("transport"))), {"verdict": StepVerdict.FAILED}
        )
    pending = running_phase(run)
    return [
        _row(run, phase, told[phase]) if phase in told else _untold(run, phase, is_running=phase == pending)
        for phase in order
    ]


def running_phase(run: TestRun) -> str:
    """Return the stage a running run is at: the one after the last finished; "" for any other run."""
    if run.state != TestRun.State.RUNNING:
        return ""
    told, order = _told(run), _order(run)
    reached = max((order.index(phase) for phase in told if phase in order), default=-1)
    return order[reached + 1] if reached + 1 < len(order) else ""


def step_name(run: TestRun, phase: str) -> str:
    """Return what a stage is called, "" for none."""
    method = str(run.settings.get("transport") or "smtp")
    phase = _stage(phase, method)
    if method != "smtp":
        return explaining.step_name(phase, method)
    if phase == Phase.TLS and run.settings.get("security") == Security.TLS:
        return _("TLS and certificate")
    return explaining.step_name(phase)


def failed_step(run: TestRun) -> str:
    """Return the name of the step at which a run failed, "" for none."""
    return step_name(run, run.failed_phase) if run.failed_phase else ""


def still(run: TestRun, now: datetime) -> str:
    """Say that a running step is at work and how long it may be; "" while it is young."""
    phase = running_phase(run)
    if not phase or run.started_at is None:
        return ""
    began = total_ms(run) / 1000
    seconds = (now - run.started_at).total_seconds() - began
    if seconds < _PATIENCE:
        return ""
    limit = float(
        run.settings.get("connect_timeout" if phase == Phase.CONNECT else "command_timeout") or LIMIT
    )
    return _("%(doing)s (%(seconds)d s of at most %(most)d s)…") % {
        "doing": _STILL[phase],
        "seconds": seconds,
        "most": min(limit, LIMIT - began),
    }


def total_ms(run: TestRun) -> float:
    """Return how long a session took until its last step ended."""
    return max(map(_ended_ms, run.steps), default=0.0)


def queue_id(reply: str) -> str:
    """Return the name a server gave the message in its last reply, "" when it tells none.

    >>> queue_id("250 2.0.0 Ok: queued as 4F1C2A")
    '4F1C2A'
    """
    found = next(filter(None, (pattern.search(reply) for pattern in _QUEUE_ID)), None)
    return found[1] if found else ""


def warnings(run: TestRun) -> list[str]:
    """Return the sentences of the steps that went with a warning.

    That nothing is encrypted, as the profile wants it, is left to the diagnosis, which says what it means.
    """
    is_clear = run.settings.get("security") == Security.NONE
    return [
        _detail(step) or step_name(run, str(step.get("phase", "")))
        for step in run.steps
        if step.get("verdict") == StepVerdict.WARNING and not (is_clear and step.get("phase") == Phase.TLS)
    ]


def transcript_rows(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:  # Any: JSON
    """Return (class, text) for each line of a transcript, as the template shows it."""
    marks = {"client": "C: ", "server": "S: ", "note": "- "}
    return [
        (f"is-{line.get('direction')}", marks.get(str(line.get("direction")), "") + str(line.get("text", "")))
        for line in lines
    ]


def _order(run: TestRun) -> tuple[str, ...]:
    if (others := _ORDERS.get(str(run.settings.get("transport")))) is not None:
        return others
    order = _ORDER_TLS_FIRST if run.settings.get("security") == Security.TLS else _ORDER
    return (Phase.TOKEN, *order) if run.settings.get("auth") == Auth.OAUTH2 else order


def _stage(phase: str, method: str) -> str:
    """Count DATA, the body and the final dot as one stage, and what goes wrong in their place elsewhere."""
    if phase in (Phase.DATA, Phase.BODY, Phase.DOT, Phase.LOCAL, Phase.API):
        return Phase.DOT
    if method == "ses" and phase in (Phase.DNS, Phase.CONNECT, Phase.TLS):
        return Phase.KEY
    return Phase.CONNECT if method == "mailgun" and phase == Phase.TLS else phase


def _told(run: TestRun) -> dict[str, Mapping[str, Any]]:  # Any: JSON of `TestRun.steps`
    """Return what is known of each stage; of two steps in one stage the failed one, or the later."""
    told: dict[str, Mapping[str, Any]] = {}
    for step in run.steps:
        stage = _stage(str(step.get("phase", "")), str(run.settings.get("transport")))
        if told.get(stage, {}).get("verdict") != StepVerdict.FAILED:
            told[stage] = step
    return told


def _untold(run: TestRun, phase: str, *, is_running: bool) -> StepRow:
    """Return the line of a stage without a step."""
    name = step_name(run, phase)
    if run.kind == TestRun.Kind.CONNECT and phase in _WITH_A_MESSAGE:
        return StepRow(
            phase, name, str(_WORDS["skipped"]), "skipped", detail=_("Connection check: no email is sent")
        )
    tone = "running" if is_running else "untried"
    if not is_running and run.state in (TestRun.State.WAITING, TestRun.State.RUNNING):
        tone = "waiting"
    return StepRow(phase, name, str(_WORDS[tone]), tone)


def _row(run: TestRun, phase: str, step: Mapping[str, Any]) -> StepRow:  # Any: as above
    verdict = str(step.get("verdict", ""))
    return StepRow(
        phase=phase,
        name=step_name(run, phase),
        word=str(_WORDS.get(verdict, verdict)),
        tone=verdict if verdict in _WORDS else "waiting",
        ms="" if verdict == StepVerdict.SKIPPED or "ms" not in step else duration(float(step["ms"] or 0)),
        detail=_detail(step),
        reply=str(step.get("reply") or ""),
        evidence=tuple(_evidence(phase, step)),
    )


def _detail(step: Mapping[str, Any]) -> str:  # Any: as above
    if step.get("verdict") == StepVerdict.FAILED:
        return ""  # the cause says it, in the reader's language
    detail = str(step.get("detail") or "")
    return str(_DETAILS.get(detail, detail))


def _ended_ms(step: Mapping[str, Any]) -> float:  # Any: as above
    return float(step.get("started_ms") or 0) + float(step.get("ms") or 0)


def duration(ms: float) -> str:
    """Return a span for people: milliseconds, from ten seconds on seconds."""
    return _("%(s).1f s") % {"s": ms / 1000} if ms >= 10_000 else _("%(ms)d ms") % {"ms": round(ms)}


# Evidence


def _evidence(phase: str, step: Mapping[str, Any]) -> Iterator[tuple[str, str]]:  # Any: as above
    """Yield (name, value) of what a step found; the name is "" where the value speaks for itself."""
    found = {key: str(value) for key, value in (step.get("evidence") or {}).items() if value}
    if "address" in found:
        found["address"] = _("%(address)s, port %(port)s") % {
            "address": found["address"],
            "port": found.get("port", ""),
        }
    if phase == Phase.DOT and (name := queue_id(str(step.get("reply") or ""))):
        found["queue_id"] = name
    for key in _repeated(phase, found):
        found.pop(key, None)
    for key, label in _SHOWN.items():
        if key in found and (value := _as_text(key, found[key])):
            yield str(label), value


def _repeated(phase: str, found: Mapping[str, str]) -> tuple[str, ...]:
    """Name what another row or another part of this one says already."""
    if phase != Phase.TLS:
        return ()
    names = found.get("certificate_names", "").split(", ")
    subject = found.get("certificate_subject", "")
    # Of what is offered after STARTTLS only the sign-in is news.
    said = ("certificate_names",) if names == [_common_name(subject)] else ()
    nameless = ("certificate_subject",) if names != [""] and "CN=" not in subject else ()
    return ("capabilities", "size", *said, *nameless)


#: What is shown of a step's evidence, in this order; the rest repeats it or is for the conversation.
_SHOWN: dict[str, str | Promise] = {
    "path": "",
    "free_bytes": gettext_lazy("free"),
    "region": gettext_lazy("region"),
    "quota": gettext_lazy("sent of the daily quota"),
    "rate": gettext_lazy("messages per second"),
    "domain_state": gettext_lazy("state"),
    "identity": gettext_lazy("sender"),
    "addresses": "",
    "address": "",
    "tls_version": "",
    "certificate_subject": gettext_lazy("certificate"),
    "certificate_names": gettext_lazy("certificate for"),
    "certificate_issuer": gettext_lazy("issued by"),
    "certificate_starts_at": gettext_lazy("from"),
    "certificate_expires_at": gettext_lazy("until"),
    "certificate_sha256": gettext_lazy("SHA-256"),
    "size": gettext_lazy("largest message"),
    "mechanisms": gettext_lazy("sign-in with"),
    "mechanism": gettext_lazy("with"),
    "capabilities": gettext_lazy("offers"),
    "explanation": gettext_lazy("the server explains"),
    "mail_from": gettext_lazy("sender"),
    "rcpt_to": gettext_lazy("recipient"),
    "size_bytes": gettext_lazy("size"),
    "queue_id": gettext_lazy("queue id"),
}


def _as_text(key: str, value: str) -> str:
    if key == "size":
        return (
            _("%(size)s MB") % {"size": f"{int(value) / 1_000_000:.1f}".removesuffix(".0")}
            if value.strip("0")
            else _("any")
        )
    if key == "free_bytes":
        return _("%(size)s MB") % {"size": int(value) // 1_000_000}
    if key == "size_bytes":
        return _("%(size)s kB") % {"size": f"{int(value) / 1000:.1f}"}
    if key in ("certificate_starts_at", "certificate_expires_at"):
        moment = _moment(value)
        # The first day is of interest only while it has not come.
        if moment is None or (key == "certificate_starts_at" and moment <= timezone.now()):
            return ""
        return date_format(timezone.localtime(moment), "j F Y")
    if key in ("certificate_subject", "certificate_issuer"):
        return _common_name(value)
    return value


def _common_name(name: str) -> str:
    """Return what people call the owner of a certificate: its common name, else all of RFC 4514's text."""
    found = re.search(r"(?:^|,)CN=((?:\\.|[^,\\])+)", name)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else name


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

"""What a search found, in words: the table of the page, and the one sentence above it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from smtp_settings import correction, presets
from smtp_settings.finding import searching
from smtp_settings.finding.recommending import Recommendation, Worth, correction_for, recommend
from smtp_settings.finding.rows import Cause, Row
from smtp_settings.gate import RunState
from smtp_settings.models import TestRun
from smtp_settings.presets.words import security_words
from transports.base import Security

_CAUSES: dict[str, Promise] = {
    Cause.UNREACHABLE: gettext_lazy("It could not be reached."),
    Cause.REFUSED: gettext_lazy("Nothing listens on this port."),
    Cause.TIMEOUT: gettext_lazy("No answer in time: a firewall may block the port."),
    Cause.NO_NAME: gettext_lazy("The name does not exist."),
    Cause.NO_LOOKUP: gettext_lazy("The name could not be looked up."),
    Cause.SILENT: gettext_lazy("It takes connections and says nothing."),
    Cause.CLOSED: gettext_lazy("It closed the connection."),
    Cause.NOT_SMTP: gettext_lazy("It is not a mail server."),
    Cause.NO_TLS: gettext_lazy("It does not speak TLS."),
    Cause.TURNED_AWAY: gettext_lazy("It is a mail server that refuses this machine."),
}

_CERTIFICATES: dict[str, Promise] = {
    "ok": gettext_lazy("valid"),
    "expired": gettext_lazy("expired"),
    "early": gettext_lazy("not valid yet"),
    "name": gettext_lazy("for another name"),
    "self-signed": gettext_lazy("self-signed"),
    "unknown": gettext_lazy("of an unknown authority"),
    "weak": gettext_lazy("too weak"),
    "long": gettext_lazy("chain too long"),
}

_WHY: dict[Worth, Promise] = {
    Worth.TRUSTED_SIGN_IN: gettext_lazy("encrypted, the certificate is valid, and it offers a sign-in."),
    Worth.SIGN_IN: gettext_lazy(
        "encrypted, and it offers a sign-in; its certificate will not pass the check."
    ),
    Worth.TRUSTED: gettext_lazy(
        "encrypted with a valid certificate; without a sign-in it sends only for machines it knows."
    ),
    Worth.ENCRYPTED: gettext_lazy(
        "the only kind that is encrypted; its certificate will not pass the check."
    ),
    Worth.CLEAR: gettext_lazy("the only one that answered. It is not encrypted: for a trusted network only."),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table. `cause` is why nothing usable answered, "" for an answer.

    `fix` is the value of "Use these settings", "" when there is nothing to use.
    """

    server: str
    security: str
    tone: str
    cause: str
    certificate: str
    is_valid: bool
    certificate_name: str
    mechanisms: str
    size: str
    ms: str
    provider: str
    fix: str
    is_recommended: bool


def lines_of(run: TestRun) -> list[Line]:
    """Return the table: answers first and the recommended one on top, then what did not answer."""
    rows = searching.rows_of(run)
    best = recommend(rows)
    address = searching.wanted_of(run).address
    held = {name: str(run.settings.get(name, "")) for name in searching.HELD}
    lines = []
    for place, row in enumerate(rows):
        if row.answered:
            fix = correction.encode(correction_for(row, address=address, held=held).changes)
            is_best = best is not None and best.place == place
            lines.append((not is_best, _line(row, fix=fix, is_recommended=is_best)))
    answers = [line for _rank, line in sorted(lines, key=lambda pair: pair[0])]
    return [*answers, *_failures(rows, is_over=RunState(run.state).is_final)]


def _failures(rows: Sequence[Row], *, is_over: bool) -> Iterator[Line]:
    """Yield what did not answer; a server whose name does not lead anywhere is one line, not one a port."""
    told = set()
    for row in rows:
        is_name = row.cause in (Cause.NO_NAME, Cause.NO_LOOKUP)
        if row.answered or (is_name and row.host in told):
            continue
        told.add(row.host)
        yield _line(row, without_port=is_name, is_over=is_over)


def _line(
    row: Row,
    *,
    fix: str = "",
    is_recommended: bool = False,
    without_port: bool = False,
    is_over: bool = True,
) -> Line:
    preset = presets.by_key(row.preset)
    return Line(
        server=_host(row.host) if without_port else f"{_host(row.host)}:{row.port}",
        security="" if without_port else _security(row),
        tone="is-quiet" if not row.answered else ("is-ok" if row.is_encrypted else "is-bad"),
        cause=_cause(row, is_over=is_over),
        certificate=_certificate(row),
        is_valid=row.certificate == "ok",
        certificate_name=row.names if row.certificate == "name" else "",
        mechanisms=", ".join(row.mechanisms),
        size=_size(row.size_bytes),
        ms=_("%(ms)d ms") % {"ms": row.ms} if row.ms else "",
        provider=preset.name if preset is not None else "",
        fix=fix,
        is_recommended=is_recommended,
    )


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _security(row: Row) -> str:
    if row.security == Security.NONE:
        return _("Not encrypted")
    name = "TLS" if row.security == Security.TLS else "STARTTLS"
    return f"{name}, {row.tls_version.replace('TLSv', 'TLS ')}" if row.tls_version else name


def _cause(row: Row, *, is_over: bool) -> str:
    if row.cause == Cause.NOT_TRIED:
        return _("The search ended before it answered.") if is_over else _("Looking…")
    return str(_CAUSES.get(Cause(row.cause), row.cause)) if row.cause else ""


def _certificate(row: Row) -> str:
    """Return what is known of the certificate: valid until when, or what is wrong with it."""
    if not row.certificate:
        return ""
    word = str(_CERTIFICATES.get(row.certificate, gettext_lazy("not accepted")))
    ends = parse_datetime(row.expires_at) if row.expires_at else None
    if row.certificate != "ok" or ends is None:
        return word
    return _("valid until %(day)s") % {"day": date_format(ends, "j M Y")}


def _size(size_bytes: int) -> str:
    return _("%(size)d MB") % {"size": size_bytes // 1_000_000} if size_bytes >= 1_000_000 else ""


def sentence_of(run: TestRun) -> str:
    """Return one sentence for the whole search: where it stands, or what to take and why."""
    rows = searching.rows_of(run)
    if run.state == TestRun.State.WAITING:
        return _("The search begins…")
    if run.state == TestRun.State.RUNNING:
        tried = sum(row.cause != Cause.NOT_TRIED for row in rows)
        return _("Looked at %(tried)d of %(all)d…") % {"tried": tried, "all": len(rows)}
    if run.state == TestRun.State.STOPPED and run.sentence:
        return run.sentence
    best = recommend(rows)
    return _recommended(rows, best) if best is not None else _nothing(rows)


def _recommended(rows: Sequence[Row], best: Recommendation) -> str:
    row = rows[best.place]
    return _("Recommended: %(server)s, port %(port)d, %(security)s: %(why)s") % {
        "server": row.host,
        "port": row.port,
        "security": security_words(row.security),
        "why": _WHY[best.worth],
    }


def _nothing(rows: Sequence[Row]) -> str:
    if not rows:
        return _("There was nothing to look at: none of the usual ports is allowed here.")
    count = sum(1 for _line in _failures(rows, is_over=True))  # as many as the table shows
    return ngettext(
        "Nothing answered at the %(count)d place looked at. Ask the owner of the mail server for its name.",
        "Nothing answered at the %(count)d places looked at. Ask the owner of the mail server for its name.",
        count,
    ) % {"count": count}


def context_of(run: TestRun) -> dict[str, Any]:  # Any: a template's context
    """Return a search for the template that shows it."""
    is_final = RunState(run.state).is_final
    tone = {"passed": "is-ok", "failed": "is-warn"}.get(run.state, "is-info")
    return {"lines": lines_of(run), "sentence": sentence_of(run), "tone": tone, "is_final": is_final}

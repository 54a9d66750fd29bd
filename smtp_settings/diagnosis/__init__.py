"""From what went wrong to what a person should change. Pure: values in, value out.

A table of causes, top to bottom inside the step where it happened; the first row that matches wins, `other`
comes last. Here is only what matches and what it leads to: ids, fields, corrections. The words are in
`smtp_settings.explaining`, because they are translated.

Classes of errors and stable words come first, a server's English last: it is the least reliable.
"""

from collections.abc import Mapping
from typing import Any

from smtp_settings.diagnosis import elsewhere, reaching, sending, signing_in, tls
from smtp_settings.diagnosis.facts import facts_of, minutes_named
from smtp_settings.diagnosis.row import STANDARD_WAYS, Case, Diagnosis, Known, Row, Who
from smtp_settings.diagnosis.symptom import Symptom

__all__ = [
    "NOTES",
    "STANDARD_WAYS",
    "TABLE",
    "Diagnosis",
    "Known",
    "Row",
    "Symptom",
    "Who",
    "diagnose",
    "minutes_named",
    "notes",
]

#: A server of no provider we know.
NOBODY = Known()

#: The rows of each phase, in the order in which they are tried.
TABLE: Mapping[str, tuple[Row, ...]] = {
    "secret": signing_in.SECRET,
    "token": signing_in.TOKEN,
    "dns": reaching.DNS,
    "connect": reaching.CONNECT,
    "banner": reaching.BANNER,
    "ehlo": reaching.EHLO,
    "tls": tls.TLS,
    "auth": signing_in.AUTH,
    **dict.fromkeys(("mail", "rcpt", "data", "body", "dot"), sending.SENDING),
    **dict.fromkeys(("find", "permission", "space", "local"), elsewhere.LOCAL),
    **dict.fromkeys(("key", "identity", "api"), elsewhere.API),
    "fault": elsewhere.FAULT,
    "after": elsewhere.AFTER,
}

#: What may be said beside a pass: all that match, in this order.
NOTES: tuple[Row, ...] = (*reaching.NOTES, *elsewhere.NOTES)


def diagnose(
    symptom: Symptom,
    settings: Mapping[str, Any],  # Any: JSON
    known: Known = NOBODY,
) -> Diagnosis:
    """Return the cause of a failure; `settings` are the profile's columns that were used, as plain values."""
    case = Case(symptom, settings, known)
    for row in TABLE.get(symptom.phase, ()):
        if row.matches(case):
            return _of(row, case)
    fields = elsewhere.fields_of_step(symptom.phase)
    return Diagnosis("other", Who.SETTINGS, fields, (), facts_of(case))


def notes(symptom: Symptom, settings: Mapping[str, Any]) -> list[Diagnosis]:  # Any: JSON
    """Return what is worth knowing although the test passed; `symptom.seen` is all that is asked of it."""
    case = Case(symptom, settings)
    return [_of(row, case) for row in NOTES if row.matches(case)]


def _of(row: Row, case: Case) -> Diagnosis:
    return Diagnosis(row.id, row.who, row.fields, tuple(row.fixes(case)), facts_of(case))

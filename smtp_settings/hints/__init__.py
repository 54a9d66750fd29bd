"""What is worth saying about the values in an open profile form, before anything is tested. Pure.

Values in, sentences out: nothing is looked up and nothing is changed. A hint may carry a correction, which a
person applies with one click.
"""

from collections.abc import Mapping

from smtp_settings.hints import limits, ports, sender, server, signing_in
from smtp_settings.hints.hint import Hint, Known, PasswordShape, Tone, see, shape_of
from smtp_settings.hints.ports import port_for
from smtp_settings.hints.previews import Preview, previews

__all__ = [
    "Hint",
    "Known",
    "PasswordShape",
    "Preview",
    "Tone",
    "hints",
    "port_for",
    "previews",
    "shape_of",
    "stops",
]

_PARTS = (server.hints, ports.hints, signing_in.hints, sender.hints, limits.hints)


def hints(values: Mapping[str, str], known: Known | None = None) -> list[Hint]:
    """Return what is worth saying, in the order of the form; several may be about one field.

    `values` are the texts of the form by field, a ticked box "on". Only settings for SMTP are judged.
    """
    if values.get("transport", "smtp") != "smtp":
        return []
    seen = see(values, known or Known())
    return [hint for part in _PARTS for hint in part(seen)]


def stops(values: Mapping[str, str], known: Known | None = None) -> list[Hint]:
    """Return the hints that are errors when a test is started or the form is saved."""
    return [hint for hint in hints(values, known) if hint.tone is Tone.STOP]

"""A diagnosis in words: the cause, what to try, and what its buttons are called. All through gettext."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings.correction import Correction
from smtp_settings.diagnosis import Diagnosis, Symptom, Who, diagnose, minutes_named, notes
from smtp_settings.explaining import elsewhere, reaching, sending, signing_in, tls
from smtp_settings.explaining.providers import known_of
from smtp_settings.explaining.words import Words
from transports.base import Phase

__all__ = ["WORDS", "Explanation", "explain", "explain_failure", "explain_notes", "label_of", "step_name"]

WORDS: Mapping[str, Words] = reaching.WORDS | tls.WORDS | signing_in.WORDS | sending.WORDS | elsewhere.WORDS

#: The steps as the test panel calls them.
_STEPS: Mapping[str, Promise] = {
    Phase.DNS: gettext_lazy("Look up the server name"),
    Phase.CONNECT: gettext_lazy("Connect"),
    Phase.BANNER: gettext_lazy("Server greeting"),
    Phase.EHLO: gettext_lazy("EHLO"),
    Phase.TLS: gettext_lazy("STARTTLS and certificate"),
    Phase.AUTH: gettext_lazy("Sign in"),
    Phase.MAIL: gettext_lazy("MAIL FROM"),
    Phase.RCPT: gettext_lazy("RCPT TO"),
    Phase.DATA: gettext_lazy("Send the message"),
    Phase.BODY: gettext_lazy("Send the message"),
    Phase.DOT: gettext_lazy("Send the message"),
    Phase.TOKEN: gettext_lazy("Get a token"),
}

#: Where another method means something else by a step, or has its own.
_STEPS_OF: Mapping[tuple[str, str], Promise] = {
    ("sendmail", Phase.FIND): gettext_lazy("Find the program"),
    ("sendmail", Phase.PERMISSION): gettext_lazy("May it be run?"),
    ("sendmail", Phase.DOT): gettext_lazy("Hand the message over, exit status"),
    ("pickup", Phase.FIND): gettext_lazy("Find the directory"),
    ("pickup", Phase.PERMISSION): gettext_lazy("May it be written to?"),
    ("pickup", Phase.SPACE): gettext_lazy("Free space"),
    ("pickup", Phase.DOT): gettext_lazy("Write and rename"),
    ("mailgun", Phase.CONNECT): gettext_lazy("Connect and TLS"),
    ("mailgun", Phase.KEY): gettext_lazy("Key accepted"),
    ("mailgun", Phase.IDENTITY): gettext_lazy("Domain ready"),
    ("ses", Phase.FIND): gettext_lazy("Find boto3"),
    ("ses", Phase.KEY): gettext_lazy("Key accepted, quota"),
    ("ses", Phase.IDENTITY): gettext_lazy("Sender verified"),
}

#: Buttons by the field they change.
_SAYS: Mapping[str, Promise] = {
    "ca": gettext_lazy("Trust this certificate"),
    "username": gettext_lazy("Use the user name “%(value)s”"),
    "from_address": gettext_lazy("Send as %(value)s"),
    "max_connections": gettext_lazy("Use %(value)s connections at once"),
    "messages_per_connection": gettext_lazy("Use %(value)s messages per connection"),
    "per_minute": gettext_lazy("Send %(value)s a minute"),
    "max_size": gettext_lazy("Allow %(value)s MB"),
    "region": gettext_lazy("Use the region %(value)s"),
}
_CHOICES: Mapping[tuple[str, str], Promise] = {
    ("auth", "none"): gettext_lazy("Do not sign in"),
    ("auth", "oauth2"): gettext_lazy("Sign in with OAuth 2.0"),
    ("ip_version", "any"): gettext_lazy("Use IPv4 and IPv6"),
    ("ip_version", "4"): gettext_lazy("Use IPv4 only"),
}

#: Whose move it is when the settings are not to blame.
_FINE = frozenset({Who.RECIPIENT, Who.MESSAGE, Who.WAIT})


@dataclass(frozen=True, slots=True)
class Explanation:
    """A diagnosis for people. `is_fine_so_far`: nothing is wrong with the settings up to this step."""

    diagnosis: Diagnosis
    cause: str
    advice: tuple[str, ...]
    corrections: tuple[Correction, ...]
    is_fine_so_far: bool

    @property
    def fine(self) -> str:
        """The sentence that says so, or ""."""
        return _("Settings are fine up to here.") if self.is_fine_so_far else ""


def explain_failure(symptom: Symptom, settings: Mapping[str, Any]) -> Explanation:  # Any: JSON
    """Say why a session with these settings failed."""
    return explain(diagnose(symptom, settings, known_of(settings)))


def explain_notes(symptom: Symptom, settings: Mapping[str, Any]) -> list[Explanation]:  # Any: JSON
    """Say what is worth knowing of one that went well."""
    return [explain(found) for found in notes(symptom, settings)]


def explain(diagnosis: Diagnosis) -> Explanation:
    """Put a diagnosis into words, in the language of whoever asks."""
    facts = _shown(diagnosis.facts)
    words = _words_for(diagnosis)
    cause = words.cause(facts)
    if facts["refused"] and "," in facts["recipient"]:
        cause = _("%(cause)s It was %(refused)s.") % {"cause": cause, "refused": facts["refused"]}
    return Explanation(
        diagnosis=diagnosis,
        cause=cause,
        advice=words.advice(facts),
        corrections=tuple(Correction(label_of(changes), changes) for changes in diagnosis.fixes),
        is_fine_so_far=diagnosis.who in _FINE,
    )


def _words_for(diagnosis: Diagnosis) -> Words:
    """Return the words of a row; what a test says and a message of the queue cannot is a variant."""
    variant = "test" if diagnosis.facts.get("is_test") else ""
    if diagnosis.id == "send32" and "recipient" in diagnosis.fields:
        variant = "recipient"
    return WORDS.get(f"{diagnosis.id}-{variant}") or WORDS[diagnosis.id]


def step_name(phase: str, method: str = "smtp") -> str:
    """Return what a step is called, its own word for one nobody knows."""
    own = _STEPS_OF.get((method, phase))
    return str(own if own is not None else _STEPS.get(phase, phase))


def label_of(changes: Mapping[str, str]) -> str:
    """Return what a button that makes these changes is called."""
    if "security" in changes:
        mode = _("TLS from the first byte") if changes["security"] == "tls" else "STARTTLS"
        if "port" in changes:
            return _("Use %(mode)s on %(port)s") % {"mode": mode, "port": changes["port"]}
        return _("Use %(mode)s") % {"mode": mode}
    name, value = next(iter(changes.items()))
    if name == "mechanism":
        value = value.upper()
    if name in _SAYS:
        return str(_SAYS[name]) % {"value": value}
    return str(_CHOICES.get((name, value), gettext_lazy("Use %(value)s"))) % {"value": value}


def _shown(facts: Mapping[str, str]) -> dict[str, str]:
    """Return facts as people read them: dates in words, sizes in MB, steps by their names."""
    shown = dict(facts)
    for name in ("starts_at", "expires_at"):
        shown[name] = _date(facts.get(name, ""))
    shown["now"] = date_format(timezone.localtime(), "j M Y H:i")
    shown["size"], shown["limit"] = _compared(facts.get("size_bytes", ""), facts.get("limit_bytes", ""))
    shown["step"] = step_name(facts.get("step", ""))
    minutes = minutes_named(facts.get("reply", ""))
    shown["minutes"] = "" if minutes is None else str(minutes)
    return shown


def _date(iso: str) -> str:
    try:
        return date_format(timezone.localtime(datetime.fromisoformat(iso)), "j M Y") if iso else ""
    except (ValueError, OverflowError):  # a certificate's year may be one that no time zone can have
        return iso


def _compared(size: str, limit: str) -> tuple[str, str]:
    """Return both in MB, or "" for both when the first is not seen to be the larger one."""
    shown = _megabytes(size), _megabytes(limit)
    return shown if all(shown) and float(shown[0]) > float(shown[1]) else ("", "")


def _megabytes(size: str) -> str:
    return f"{int(size) / 1_000_000:.1f}" if size.isdecimal() and int(size) else ""

"""How a test ended, in one sentence for people; the server's own words stay apart and unchanged.

What a failure means is said by the diagnosis (`smtp_settings.explaining`), here only how far the test came.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings.diagnosis import Symptom
from smtp_settings.explaining import explain_failure
from smtp_settings.models import Auth, DeliveryMethod, Security, SMTPProfile, TestRun
from smtp_settings.sealing import SealingError
from smtp_settings.test_send.session import Ended
from transports.base import Outcome, Phase
from transports.errors import TransportError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run ended: its state; `phase` is where it was decided, `reply` what the server said.

    `symptom` is what the diagnosis of a failure reads.
    """

    state: TestRun.State
    sentence: str
    phase: str = ""
    reply: str = ""
    symptom: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON


def verdict_of(
    ended: Ended, *, profile: SMTPProfile, recipients: Sequence[str], last_phase: str, seconds: float
) -> Verdict:
    """Word the end of a session. Of most failures the sentence is "": `diagnosed` gives it."""
    if ended.is_stopped:
        return _of_stop(ended)
    if ended.outcome is not None:
        return _of_outcome(ended.outcome, profile, recipients)
    error = ended.error
    if error is None:
        return Verdict(state=TestRun.State.PASSED, sentence=_signed_in(profile))
    pending = _after(last_phase, profile.security) if profile.transport == "smtp" else Phase.DOT
    if isinstance(error, TransportError):
        reply = str(error.reply) if error.reply is not None else ""
        return Verdict(state=TestRun.State.FAILED, sentence="", phase=str(error.phase), reply=reply)
    if isinstance(error, SealingError):
        return Verdict(state=TestRun.State.FAILED, sentence="", phase=str(Phase.AUTH))
    if isinstance(error, TimeoutError):
        return Verdict(state=TestRun.State.FAILED, sentence=_late(pending, seconds), phase=str(pending))
    logger.error("A test run ended by a fault.", exc_info=error)
    return Verdict(state=TestRun.State.FAILED, sentence="", phase=str(pending))


def diagnosed(verdict: Verdict, symptom: Symptom, settings: Mapping[str, Any]) -> Verdict:  # Any: JSON
    """Return a failure with its symptom, and with its cause for a sentence where it has none yet (V45)."""
    sentence = verdict.sentence or explain_failure(symptom, settings).cause
    return replace(verdict, sentence=sentence, symptom=symptom.to_json())


def _of_stop(ended: Ended) -> Verdict:
    if ended.is_handed_over:
        sentence = _(
            "The test was stopped after the message had been handed over: the server may have accepted it. "
            "Look in the inbox."
        )
    else:
        sentence = _("The test was stopped. No email was sent.")
    return Verdict(state=TestRun.State.STOPPED, sentence=sentence)


def _signed_in(profile: SMTPProfile) -> str:
    if profile.transport in _PREPARED:
        return str(_PREPARED[profile.transport])
    if profile.auth == Auth.NONE:
        said = _("%(server)s answers. No sign-in was asked for, and no email was sent.")
    else:
        said = _("%(server)s answers and accepted the sign-in. No email was sent.")
    return said % {"server": profile.host}


def _of_outcome(outcome: Outcome, profile: SMTPProfile, recipients: Sequence[str]) -> Verdict:
    reply = str(outcome.reply) if outcome.reply is not None else ""
    if outcome.accepted and all(one is not None and one.is_success for one in outcome.rcpt_replies):
        return Verdict(
            state=TestRun.State.PASSED, sentence=_accepted(outcome, profile, recipients), reply=reply
        )
    phase = Phase.RCPT if outcome.accepted else outcome.phase
    return Verdict(state=TestRun.State.FAILED, sentence="", phase=str(phase), reply=reply)


#: What a check without an email found.
_PREPARED: Mapping[str, Promise] = {
    DeliveryMethod.SENDMAIL: gettext_lazy("The program is there and may be run. No email was sent."),
    DeliveryMethod.PICKUP: gettext_lazy("The directory is there and can be written to. No email was sent."),
    DeliveryMethod.MAILGUN: gettext_lazy("Mailgun answers. No email was sent."),
    DeliveryMethod.SES: gettext_lazy("Amazon SES answers. No email was sent."),
}

#: What it means that a message was taken.
_TAKEN: Mapping[str, Promise] = {
    DeliveryMethod.SENDMAIL: gettext_lazy(
        "The mail program took the email for %(recipients)s. What it does with it, only its log knows."
    ),
    DeliveryMethod.PICKUP: gettext_lazy(
        "Written to the directory, for %(recipients)s. What empties it sends the message."
    ),
    DeliveryMethod.MAILGUN: gettext_lazy(
        "Mailgun accepted the email for %(recipients)s in %(ms)d ms. "
        "Accepted is not the same as delivered: look in the inbox, and in the spam folder."
    ),
    DeliveryMethod.SES: gettext_lazy(
        "Amazon SES accepted the email for %(recipients)s in %(ms)d ms. "
        "Accepted is not the same as delivered: look in the inbox, and in the spam folder."
    ),
}


def _accepted(outcome: Outcome, profile: SMTPProfile, recipients: Sequence[str]) -> str:
    if (taken := _TAKEN.get(profile.transport)) is not None:
        return str(taken) % {"recipients": ", ".join(recipients), "ms": round(outcome.ms)}
    return _(
        "%(server)s accepted the email for %(recipients)s in %(ms)d ms. "
        "Accepted is not the same as delivered: look in the inbox, and in the spam folder."
    ) % {"server": profile.host, "recipients": ", ".join(recipients), "ms": round(outcome.ms)}


_AFTER: Mapping[str, Phase] = {
    "": Phase.DNS,
    Phase.DNS: Phase.CONNECT,
    Phase.CONNECT: Phase.BANNER,
    Phase.BANNER: Phase.EHLO,
    Phase.EHLO: Phase.AUTH,
    Phase.TLS: Phase.AUTH,
    Phase.AUTH: Phase.MAIL,
    Phase.MAIL: Phase.RCPT,
    Phase.RCPT: Phase.DATA,
}

#: What TLS changes in that, by the profile's security.
_AFTER_WITH: Mapping[str, Mapping[str, Phase]] = {
    Security.TLS: {Phase.CONNECT: Phase.TLS, Phase.TLS: Phase.BANNER},
    Security.STARTTLS: {Phase.EHLO: Phase.TLS},
}


def _after(last_phase: str, security: str) -> Phase:
    """Name the stage that follows the last finished one, as well as can be known from outside."""
    after = _AFTER_WITH.get(security, {}).get(last_phase)
    return after or _AFTER.get(last_phase, Phase.DOT)


def _late(pending: Phase, seconds: float) -> str:
    waits = {
        Phase.DNS: _("looking up the server"),
        Phase.CONNECT: _("connecting"),
        Phase.TLS: _("setting up encryption"),
        Phase.BANNER: _("waiting for the greeting"),
        Phase.EHLO: _("waiting for the answer to EHLO"),
        Phase.AUTH: _("signing in"),
        Phase.MAIL: _("waiting for the answer about the sender"),
        Phase.RCPT: _("waiting for the answer about the recipient"),
        Phase.DATA: _("sending the message"),
        Phase.DOT: _("waiting for the final answer"),
    }
    return _("The test ended after %(seconds)d seconds, while %(waiting)s.") % {
        "seconds": round(seconds),
        "waiting": waits[pending],
    }

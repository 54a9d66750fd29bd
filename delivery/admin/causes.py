"""Why an attempt failed and what to try: the table that explains tests, asked about a message.

Of an attempt the queue keeps the reply, not what the session saw, so only what a server said is explained;
anything else is a sentence already.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Any

from django.utils.translation import gettext as _

from delivery.classification import OVERRIDE
from delivery.composing import readable
from delivery.models import Attempt, Message
from smtp_settings.admin.panel.causes import FieldLink, links_of
from smtp_settings.clearance.candidate import settings_of
from smtp_settings.diagnosis import Symptom, Who
from smtp_settings.explaining import explain_failure
from smtp_settings.models import FromPolicy, SMTPProfile
from transports.base import Phase, Reply

#: Rows that say no more than the page does without them: refused, or put off.
_NOTHING_NEW = frozenset({"other", "auth19", "send33", "send34", "send37", "send38"})
#: Replies from here on are final.
_REFUSED = 500
#: What can be said without a word about the profile.
_NOT_OF_THE_PROFILE = frozenset({Who.RECIPIENT, Who.MESSAGE, Who.WAIT})


@dataclass(frozen=True, slots=True)
class Cause:
    """One attempt explained; `fields` are those of the profile to look at, empty where it is not to blame."""

    sentence: str
    advice: tuple[str, ...] = ()
    fields: tuple[FieldLink, ...] = ()
    profile_id: int | None = None


def cause_of(attempt: Attempt, message: Message, profile: SMTPProfile | None) -> Cause | None:
    """Explain an attempt; None where the table knows no more than the server's words.

    `profile` is the one it went through as it is now, None where it is gone or may not be seen: then only
    what does not depend on it is said.
    """
    if not attempt.code or attempt.cause == OVERRIDE:
        return None
    settings = _settings(message, profile)
    explained = explain_failure(_symptom(attempt, message), settings)
    found = explained.diagnosis
    if found.id in _NOTHING_NEW or (profile is None and found.who not in _NOT_OF_THE_PROFILE):
        return None
    fields = links_of((name for name in found.fields if name != "recipient"), settings) if profile else ()
    is_tried_again = found.who is Who.RECIPIENT and attempt.code < _REFUSED
    advice = [] if is_tried_again else list(explained.advice)
    if profile is not None and fields and profile.changed_at > attempt.at:
        advice.append(_("The profile was changed after this attempt."))
    return Cause(explained.cause, tuple(advice), fields, profile.pk if profile else None)


def _symptom(attempt: Attempt, message: Message) -> Symptom:
    # What refused some recipients was said about them, although the session went on to its end.
    phase = Phase.RCPT if attempt.outcome == Attempt.Result.PARTIAL else attempt.phase
    seen = {"mail_from": message.mail_from or ""}
    if len(message.rcpt_to) == 1:
        seen["rcpt_to"] = message.rcpt_to[0]
    reply = Reply(attempt.code or 0, attempt.reply, attempt.enhanced)
    return Symptom.of_reply(str(phase), reply, seen=seen)


def _settings(message: Message, profile: SMTPProfile | None) -> Mapping[str, Any]:  # Any: JSON
    """Return the profile's values, with the sender this message had."""
    values = settings_of(profile) if profile is not None else {}
    own = parseaddr(readable(message.from_header))[1]
    if own and values.get("from_policy") != FromPolicy.FORCE:
        return {**values, "from_address": own}
    return values

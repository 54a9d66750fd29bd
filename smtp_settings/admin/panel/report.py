"""A test in plain text for whoever runs the server: what was tried, when, from where, and what was said.

No secret can be in it: the conversation was cleared of them while it came in. The user name is left out, too.
A provider finds the account by time, server and sender, and such a text may end in a public ticket.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any

from django.utils.translation import gettext as _

from smtp_settings.explaining import step_name
from smtp_settings.models import TestRun
from smtp_settings.test_send.symptoms import seen_in

_MARKS = {"client": "C: ", "server": "S: ", "note": "-- "}
_SECURITY = {"starttls": "STARTTLS", "tls": "TLS from the first byte", "none": "not encrypted"}
#: A user name shorter than this may be part of any other word.
_SHORTEST_NAME = 3


def report_of(run: TestRun, cause: str) -> str:
    """Return the text; `cause` is the sentence the page shows above it."""
    text = "\n".join((*_head(run, cause), "", *_steps(run), "", *_conversation(run)))
    return _without_user(text, run.settings)


def _head(run: TestRun, cause: str) -> Iterator[str]:
    values, seen = run.settings, seen_in(run.steps)
    began = (run.started_at or run.created_at).astimezone(UTC)
    yield cause
    yield ""
    yield _("Time: %(time)s UTC") % {"time": f"{began:%Y-%m-%d %H:%M:%S}"}
    yield _("Server: %(server)s, %(security)s") % {
        "server": f"{values.get('host')}:{values.get('port')}",
        "security": _SECURITY.get(str(values.get("security")), ""),
    }
    if address := seen.get("address") or seen.get("addresses"):
        yield _("Its address: %(address)s") % {"address": address}
    if ours := seen.get("our_address"):
        yield _("Our address, as this machine sees it: %(address)s") % {"address": ours}
    if name := values.get("ehlo_name"):
        yield _("Our name (EHLO): %(name)s") % {"name": name}
    if fingerprint := seen.get("certificate_sha256"):
        yield _("Certificate SHA-256: %(fingerprint)s") % {"fingerprint": fingerprint}
    yield _("Sent with mailconf, test %(id)s") % {"id": run.uuid}


def _steps(run: TestRun) -> Iterator[str]:
    for step in run.steps:
        line = f"{step_name(str(step.get('phase')))}: {step.get('verdict')}, {round(step.get('ms') or 0)} ms"
        yield f"{line}, {step['reply']}" if step.get("reply") else line


def _conversation(run: TestRun) -> Iterator[str]:
    for line in run.transcript:
        yield _MARKS.get(str(line.get("direction")), "") + str(line.get("text", ""))


def _without_user(text: str, settings: Mapping[str, Any]) -> str:  # Any: JSON
    """Take the user name out, unless it is the sender's address, which the provider was told anyway."""
    user = str(settings.get("username") or "")
    senders = (settings.get("from_address"), settings.get("bounce_address"))
    if len(user) < _SHORTEST_NAME or user in senders:
        return text
    return text.replace(user, "<user>")

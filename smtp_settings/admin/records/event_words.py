"""The event log in words: what happened, and its details as sentences instead of keys."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from smtp_settings import test_send
from smtp_settings.admin.panel.steps import step_name
from smtp_settings.admin.records import detail_words
from smtp_settings.models import Event, OAuthCredential, TestRun

Data = Mapping[str, Any]  # Any: JSON

#: Characters of a value that are shown; a list of domains may be long.
_VALUE = 80

#: Every kind of event there is, in words; an unknown one is shown as it is.
NAMES: dict[str, Promise] = {
    "profile.saved": gettext_lazy("Profile saved"),
    "profile.saved_untested": gettext_lazy("Profile saved without a test"),
    "profile.draft": gettext_lazy("Saved as a draft"),
    "profile.cleared": gettext_lazy("Profile cleared"),
    "profile.deleted": gettext_lazy("Profile deleted"),
    "oauth.added": gettext_lazy("OAuth credential added"),
    "oauth.saved": gettext_lazy("OAuth credential saved"),
    "oauth.deleted": gettext_lazy("OAuth credential deleted"),
    "oauth.connected": gettext_lazy("OAuth credential connected"),
    "oauth.refused": gettext_lazy("Provider gave no token"),
    "oauth.answered": gettext_lazy("Provider gives tokens again"),
    "server.paused": gettext_lazy("Profile paused"),
    "server.resumed": gettext_lazy("Profile resumed"),
    "server.try_now": gettext_lazy("Next try brought forward"),
    "server.breaker_opened": gettext_lazy("Breaker opened"),
    "server.breaker_closed": gettext_lazy("Breaker closed"),
    "server.breaker_half_open": gettext_lazy("Breaker half-open: one message tries"),
    "server.thawed": gettext_lazy("Pause ended by itself: one message tries"),
    "server.learned": gettext_lazy("Limit of a server learned"),
    "server.forgotten": gettext_lazy("What was learned of a server forgotten"),
    "server.sequential": gettext_lazy("One command at a time for a day"),
    "test.started": gettext_lazy("Test started"),
    "test.passed": gettext_lazy("Test passed"),
    "test.failed": gettext_lazy("Test failed"),
    "test.stopped": gettext_lazy("Test stopped"),
    "test.stop_asked": gettext_lazy("Test asked to stop"),
    "test.received": gettext_lazy("Test email received"),
    "person.signed_in": gettext_lazy("Signed in"),
    "person.sign_in_refused": gettext_lazy("Sign-in refused"),
    "act.refused": gettext_lazy("Forged request refused"),
    "message.content_read": gettext_lazy("Content of a message read"),
    "message.put_back": gettext_lazy("Message queued again"),
    "message.retried": gettext_lazy("Message tried again now"),
    "message.cancelled": gettext_lazy("Message cancelled"),
    "message.held": gettext_lazy("Message held"),
    "message.moved": gettext_lazy("Message moved to another profile"),
    "message.sent_again": gettext_lazy("Message sent again as a copy"),
    "message.resent": gettext_lazy("Message sent again to other recipients"),
    "message.is_copy": gettext_lazy("Message queued as a copy"),
    "job.started": gettext_lazy("Job begun"),
    "job.stopped": gettext_lazy("Job stopped"),
    "job.done": gettext_lazy("Job done"),
    "queue.taken_over": gettext_lazy("Waiting mail of another package taken over"),
    "notifications.saved": gettext_lazy("Notifications saved"),
    "notifications.tested": gettext_lazy("Notifications tested"),
    "notification.no_way": gettext_lazy("No server could carry a notification"),
    "webhook.given_up": gettext_lazy("A call of the webhook was given up"),
    "password.leak_answered": gettext_lazy("A leaked password was taken out of use"),
    "keys.rotated": gettext_lazy("Secrets sealed with the new key"),
    "log.exported": gettext_lazy("Log exported"),
    "policy.saved": gettext_lazy("Sending policy saved"),
    "policy.place_confirmed": gettext_lazy("Place of the database confirmed"),
    "message.suppressed": gettext_lazy("Log only: not sent"),
    "message.simulated_failure": gettext_lazy("Sending failed (simulated)"),
    "worker.lost": gettext_lazy("Worker lost"),
    "journal.replayed": gettext_lazy("Worker ended without a goodbye"),
    "journal.given_up": gettext_lazy("Worker goes on without a journal"),
}
#: What the columns beside it say, or nobody wants to read.
_ELSEWHERE = frozenset({"name", "version", "fields", "site", "credential"})
_SECRET = {
    "set": gettext_lazy("Set %(field)s"),
    "changed": gettext_lazy("Changed %(field)s"),
    "removed": gettext_lazy("Removed %(field)s"),
}
#: The ticks that override a warning say what was accepted.
_TICKS = {
    "accepts_clear_auth": gettext_lazy("Accepted: the password is sent without encryption"),
    "accepts_unverified": gettext_lazy("Accepted: another machine could pretend to be this server"),
}
_PLAIN = gettext_lazy("%(value)s")
_WHY = {
    "unchanged": gettext_lazy("connection settings unchanged"),
    "passed": gettext_lazy("after a passed test"),
}


def name_of(kind: str) -> str:
    """Return what happened."""
    return str(NAMES.get(kind, kind))


def details_of(event: Event) -> list[str]:
    """Return what there is to say of an event beside its name; each is a sentence or a part of one."""
    data = {key: value for key, value in event.data.items() if key not in _ELSEWHERE}
    known = [key for key in _PARTS if key in data]  # JSON keeps no order
    return [
        part
        for key in [*known, *sorted(data.keys() - _PARTS.keys())]
        for part in _PARTS.get(key, _other(key))(event, data[key])
        if part
    ]


def _changes(_event: Event, changes: Iterable[Data]) -> Iterable[str]:
    for change in changes:
        yield change_in_words(change)


def change_in_words(change: Data) -> str:
    """Say what became of a field.

    >>> change_in_words({"field": "host", "old": "a.example", "new": "b.example"})
    'Changed Server: a.example → b.example'
    """
    field = str(change["field"])
    if field in _TICKS and change.get("new"):
        return str(_TICKS[field])
    label = detail_words.label(field)
    if "did" in change:
        return str(_SECRET.get(change["did"], _SECRET["changed"])) % {"field": label}
    if "new" not in change:  # what is named only
        return str(_SECRET["changed"]) % {"field": label}
    new = _value(field, change["new"])
    if "old" not in change:
        return _("%(field)s: %(value)s") % {"field": label, "value": new}
    old = _value(field, change["old"])
    return _("Changed %(field)s: %(old)s → %(new)s") % {"field": label, "old": old, "new": new}


def _value(field: str, value: object) -> str:
    """Return a stored value as the form shows it."""
    if value is None or value == "" or value == []:
        return _("empty")
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    shown = (
        ", ".join(map(str, value))
        if isinstance(value, list)
        else detail_words.choices(field).get(value, value)
    )
    text = str(shown)
    return text if len(text) <= _VALUE else text[: _VALUE - 1] + "…"


def _reason(event: Event, reason: str) -> Iterable[str]:
    if event.kind == "profile.saved_untested":
        yield _("Reason: %(reason)s") % {"reason": reason}
    else:
        yield str(_WHY.get(reason, reason))


def _phase(event: Event, phase: str) -> Iterable[str]:
    if phase:
        run = TestRun(settings=event.data)
        yield _("at: %(step)s") % {"step": step_name(run, phase)}


def _say(text: Promise) -> Callable[[Event, Any], Iterable[str]]:  # Any: JSON
    def part(_event: Event, value: Any) -> Iterable[str]:  # Any: JSON
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        return [str(text) % {"value": shown}] if shown else []

    return part


def _worded(text: Promise, words: Callable[[str], str]) -> Callable[[Event, Any], Iterable[str]]:  # Any: JSON
    """As `_say`, for a code that has words of its own."""
    return lambda event, value: _say(text)(event, words(str(value)))


def _of(words: Mapping[str, Promise]) -> Callable[[str], str]:
    return lambda code: detail_words.worded(words, code)


def _count(one: str, many: str) -> Callable[[Event, Any], Iterable[str]]:  # Any: JSON
    def part(_event: Event, value: Any) -> Iterable[str]:  # Any: JSON
        number = len(value) if isinstance(value, list) else int(value or 0)
        return [ngettext(one, many, number) % {"n": number}] if number else []

    return part


def _moved_to(_event: Event, name: str) -> Iterable[str]:
    yield _("to %(profile)s") % {"profile": name} if name else _("to any server that serves its site")


def _flag(text: Promise) -> Callable[[Event, Any], Iterable[str]]:  # Any: JSON
    return lambda _event, value: [str(text)] if value else []


def _where(_event: Event, ran_on: str) -> Iterable[str]:
    if ran_on == test_send.SHELL:
        return [_("from a command")]
    if ran_on in (test_send.WEB, test_send.WEB_IN_PLACE):
        return [_("on the web server")]
    return [_("on %(where)s") % {"where": ran_on}] if ran_on else []


def _nothing(_event: Event, _value: object) -> Iterable[str]:
    return []


def _test(_event: Event, kind: str) -> Iterable[str]:
    return [str(TestRun.Kind(kind).label)] if kind in TestRun.Kind.values else []


def _other(key: str) -> Callable[[Event, Any], Iterable[str]]:  # Any: JSON
    """Word a detail nobody has thought of: "given_back": 96 is "given back: 96"."""
    words = key.replace("_", " ")
    return lambda _event, value: [f"{words}: {value}"] if value not in (None, "", [], {}) else []


def _columns(_event: Event, names: Iterable[str]) -> Iterable[str]:
    for name in names:
        label = OAuthCredential._meta.get_field(name).verbose_name  # type: ignore[union-attr]  # a column
        yield str(_SECRET["changed"]) % {"field": capfirst(str(label))}


_PARTS: dict[str, Callable[[Event, Any], Iterable[str]]] = {  # Any: JSON
    "changed": _columns,
    "words": _say(_PLAIN),
    "account": _say(gettext_lazy("as %(value)s")),
    "changes": _changes,
    "reason": _reason,
    "default_lost_by": _say(gettext_lazy("no longer the default: %(value)s")),
    "moved_from": _say(gettext_lazy("from %(value)s")),
    "moved_to": _moved_to,
    "copy_of": _say(gettext_lazy("a copy of %(value)s")),
    "off_the_air": _flag(gettext_lazy("It was live and does not send any more")),
    "run": _nothing,
    "batch": _nothing,
    "server": _say(_PLAIN),
    "recipients": _say(gettext_lazy("to %(value)s")),
    "test": _test,
    "phase": _phase,
    "ran_on": _where,
    "part": _worded(_PLAIN, detail_words.part),
    "package": _say(_PLAIN),
    "taken": _count("%(n)d message taken over", "%(n)d messages taken over"),
    "left": _count("%(n)d message left there", "%(n)d messages left there"),
    "settings": lambda _event, names: detail_words.settings_changed(names),
    "host": _say(gettext_lazy("webhook at %(value)s")),
    "what": _worded(gettext_lazy("about %(value)s"), _of(detail_words.SUBJECTS)),
    "attempts": _count("after %(n)d attempt", "after %(n)d attempts"),
    "key": _say(gettext_lazy("key %(value)s")),
    "resealed": _count("%(n)d secret sealed anew", "%(n)d secrets sealed anew"),
    "act": _worded(_PLAIN, _of(detail_words.ACTS)),
    "copy": _say(gettext_lazy("as #%(value)s")),
    "done": _count("%(n)d message done", "%(n)d messages done"),
    "skipped": _count("%(n)d skipped", "%(n)d skipped"),
    "per_minute": _count("%(n)d a minute at most", "%(n)d a minute at most"),
    "rcpt_count": _count("to %(n)d other recipient", "to %(n)d other recipients"),
    "why": _worded(gettext_lazy("refused: %(value)s"), _of(detail_words.REFUSED)),
    "worker": _say(gettext_lazy("worker %(value)s")),
    "workers": _say(gettext_lazy("worker %(value)s")),
    "messages": _count("%(n)d message taken back", "%(n)d messages taken back"),
    "slots": _count("%(n)d connection freed", "%(n)d connections freed"),
    "held": _count("%(n)d message held", "%(n)d messages held"),
    "given_back": _count("%(n)d message given back", "%(n)d messages given back"),
    "uncertain": _count("%(n)d message uncertain", "%(n)d messages uncertain"),
    "deferred": _count("%(n)d message deferred", "%(n)d messages deferred"),
    "connections": _count("at most %(n)d connection at once", "at most %(n)d connections at once"),
    "session_messages": _count("at most %(n)d message a session", "at most %(n)d messages a session"),
    "recipients_taken": _count("at most %(n)d recipient a message", "at most %(n)d recipients a message"),
    "expired": _count("%(n)d message expired", "%(n)d messages expired"),
    "suspects": _count("%(n)d message in doubt", "%(n)d messages in doubt"),
    "sent": _count("%(n)d message sent", "%(n)d messages sent"),
    "failed": _count("%(n)d message failed", "%(n)d messages failed"),
}

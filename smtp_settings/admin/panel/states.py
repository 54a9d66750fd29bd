"""Where the test panel stands: one state out of what is known, and its words.

`state_of` is a pure function of facts; static/mailconf/testpanel.js decides by the same order while a person
types, with the same words (`wording`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from smtp_settings.clearance.verdicts import field_label
from smtp_settings.gate import RunState


class State(StrEnum):
    """What the badge and the save bar say. Save is open in UNCHANGED, PASSED and NOTES."""

    UNCHANGED = "unchanged"
    ALWAYS = "always"
    NEVER = "never"
    DRAFT = "draft"
    INCOMPLETE = "incomplete"
    WAITING = "waiting"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    PASSED = "passed"
    NOTES = "notes"
    STALE = "stale"
    EXPIRED = "expired"
    OFFLINE = "offline"
    SIGNED_OUT = "signed_out"
    LIMITED = "limited"


_OPEN = frozenset({State.UNCHANGED, State.PASSED, State.NOTES})


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides the state.

    `run` is the test email shown on the page, None for none; `differs` whether the form's values are others
    than it tested; `is_expired` whether it passed too long ago; `has_notes` whether it passed with notes.
    `is_unchanged`: the form holds what is saved and live. `always` wants a test before every save.
    """

    run: RunState | None = None
    differs: bool = False
    is_expired: bool = False
    has_notes: bool = False
    has_errors: bool = False
    is_unchanged: bool = False
    is_draft: bool = False
    always: bool = False


def state_of(facts: Facts) -> State:
    """Return the state: a test under way first, then what opens Save, then what is missing.

    A pass outweighs a wrong field elsewhere, which the page names anyway.
    """
    if facts.run in (RunState.WAITING, RunState.RUNNING):
        return State.WAITING if facts.run is RunState.WAITING else State.RUNNING
    passed = facts.run is RunState.PASSED
    if passed and not facts.differs and not facts.is_expired:
        return State.NOTES if facts.has_notes else State.PASSED
    if facts.has_errors:
        return State.INCOMPLETE
    if facts.is_unchanged:
        return State.ALWAYS if facts.always else State.UNCHANGED
    if passed:
        return State.STALE if facts.differs else State.EXPIRED
    if facts.run is not None:
        return State.STOPPED if facts.run is RunState.STOPPED else State.FAILED
    return State.DRAFT if facts.is_draft else State.NEVER


#: Badge, tone and line of each state. Lines with a name in %()s need it.
_WORDS: dict[State, tuple[str | Promise, str, str | Promise]] = {
    State.UNCHANGED: (
        _("Saved settings passed"), "is-ok", _("Connection settings are unchanged. You can save."),
    ),
    State.ALWAYS: (_("Saved settings passed"), "is-ok", _("A test is needed before every save here.")),
    State.NEVER: (
        _("Not tested"), "is-quiet",
        _("Save is available after a test email with these settings has succeeded."),
    ),
    State.DRAFT: (
        _("Draft"), "is-quiet", _("This profile is a draft and is not used. Send a test email, then save."),
    ),
    State.INCOMPLETE: (_("Not tested"), "is-quiet", _("Not tested: %(problem)s")),
    State.WAITING: (_("Waiting"), "is-info", _("Waiting for a mail worker…")),
    State.RUNNING: (
        _("Testing…"), "is-info", _("The test is running. Save becomes available when it succeeds."),
    ),
    State.STOPPED: (
        _("Stopped"), "is-quiet", _("The test was stopped. Send another test email to enable Save."),
    ),
    State.FAILED: (
        _("Failed"), "is-bad",
        _("The test failed. Fix the settings and send another test email to enable Save."),
    ),
    State.PASSED: (_("Passed"), "is-ok", _("The test succeeded. You can save now.")),
    State.NOTES: (_("Passed with notes"), "is-ok", ""),  # its line counts: see `panel.noted`
    State.STALE: (
        _("Test again"), "is-warn",
        _("You changed %(fields)s after the test. Send another test email to enable Save."),
    ),
    State.EXPIRED: (
        _("Test again"), "is-warn",
        _("The test is older than 30 minutes. Send another test email to enable Save."),
    ),
    State.OFFLINE: ("", "", _("The connection to mailconf was lost. Trying again…")),
    State.SIGNED_OUT: (
        _("Not tested"), "is-quiet",
        _(
            "You have been signed out. Sign in again in another tab, then send the test again. Your entries "
            "are still here."
        ),
    ),
    State.LIMITED: (_("Not tested"), "is-quiet", "%(problem)s"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Panel:
    """A state in words. `is_open` says whether Save would pass as the page stands."""

    state: State
    badge: str
    tone: str
    line: str
    is_open: bool


def panel_of(state: State, *, line: str = "", fields: Sequence[str] = (), problem: str = "") -> Panel:
    """Put a state into words; `fields` are those changed after the test, `line` stands in for its own."""
    badge, tone, own = _WORDS[state]
    text = line or str(own) % {"fields": shortened(fields), "problem": problem}
    return Panel(state, str(badge), tone, text, is_open=state in _OPEN)


def shortened(names: Sequence[str], most: int = 2) -> str:
    """Name two fields as the form does, and count the rest."""
    shown, rest = ", ".join(map(field_label, names[:most])), len(names) - most
    return str(_("%(fields)s and %(rest)d more")) % {"fields": shown, "rest": rest} if rest > 0 else shown


def wording() -> dict[str, dict[str, object]]:
    """Return the words of every state for the script; %(fields)s and %(problem)s are filled in there."""
    return {
        state.value: {"badge": str(badge), "tone": tone, "line": str(line), "open": state in _OPEN}
        for state, (badge, tone, line) in _WORDS.items()
    }

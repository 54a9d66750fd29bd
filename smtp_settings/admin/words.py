"""Words and badges of the lists: the state of a profile and of a test run, always as text."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from smtp_settings import test_send
from smtp_settings.admin.health import line_of
from smtp_settings.entries import judges
from smtp_settings.facts import ProfileFacts
from smtp_settings.models import DeliveryMethod, Security, SMTPProfile, TestRun

_RUN_TONES = {
    TestRun.State.WAITING: "is-quiet",
    TestRun.State.RUNNING: "is-info",
    TestRun.State.PASSED: "is-ok",
    TestRun.State.FAILED: "is-bad",
    TestRun.State.STOPPED: "is-quiet",
}
_SECURITY = {
    Security.STARTTLS: ("is-ok", "STARTTLS"),
    Security.TLS: ("is-ok", "TLS"),
}


#: What says where a profile leads.
_WHERE = ("transport", "host", "port", "directory", "api_domain", "region", "program")


def badge(text: str | Promise, tone: str = "is-quiet") -> SafeString:
    """Return a state in a pill."""
    shown = conditional_escape(text if isinstance(text, str) else str(text))
    return SafeString(f'<span class="mc-badge {tone}">{shown}</span>')


def run_badge(run: TestRun) -> SafeString:
    """Return a test run's state."""
    state = TestRun.State(run.state)
    return badge(state.label, _RUN_TONES[state])


#: A cell without a value; on phones, where a row is a card, it is left out.
NOTHING = SafeString('<span class="mc-none">-</span>')


def security_badge(profile: SMTPProfile) -> SafeString:
    """Return when TLS begins, red for never; nothing where no SMTP server is spoken to."""
    if profile.transport != DeliveryMethod.SMTP:
        return NOTHING
    tone, text = _SECURITY.get(Security(profile.security), ("is-bad", _("Not encrypted")))
    return badge(text, tone)


def server(profile: SMTPProfile) -> str:
    """Return where a profile leads, whatever its method."""
    return server_of({name: getattr(profile, name) for name in _WHERE})


def server_of(settings: Mapping[str, Any]) -> str:  # Any: JSON
    """Return where settings lead, as a run keeps them."""
    if settings.get("transport", "smtp") == "smtp":
        host = settings.get("host") or ""
        return f"{f'[{host}]' if ':' in host else host}:{settings.get('port')}" if host else "-"
    return next(filter(None, map(settings.get, _WHERE[3:])), "-")


def health(profile: SMTPProfile, *, known: ProfileFacts | None) -> SafeString:
    """Return how a profile is doing, the strongest reason first."""
    line = line_of(profile, known)
    return badge(line.words, line.tone)


def note(profile: SMTPProfile, *, known: ProfileFacts | None) -> str:
    """Return what else there is to know of a profile in use, "" when there is nothing."""
    is_in_use = profile.enabled and not profile.is_draft
    return known.note if known is not None and is_in_use else ""


def when(moment: datetime | None) -> str:
    """Return a moment in the user's zone, to the minute."""
    return date_format(timezone.localtime(moment), "j M, H:i") if moment else "-"


def ran_where(run: TestRun) -> str:
    """Say where a run's session started from: another network may answer otherwise (V43)."""
    if run.ran_on.startswith("worker "):
        return _("Ran on %(worker)s, where your mail leaves.") % {"worker": run.ran_on}
    if run.ran_on == test_send.SHELL:
        return _("Ran from a command.")
    if run.ran_on == test_send.WEB_IN_PLACE:
        return _("Ran on the web server, because no worker took the test. Workers may have another network.")
    return _("Ran on the web server, because no worker is running. Workers may have another network.")


def history(profile: SMTPProfile, runs: Iterable[TestRun]) -> SafeString:
    """Return who made and changed a profile, and its last tests as links."""
    made = _person(profile.created_by, profile.created_at)
    changed = _person(profile.changed_by, profile.changed_at)
    tests = format_html_join(
        "",
        '<li><a href="{}">{}</a> {} <span class="mc-quiet">{}</span></li>',
        (
            (
                reverse("admin:smtp_settings_testrun_change", args=[run.pk]),
                when(run.created_at),
                run_badge(run),
                run.sentence,
            )
            for run in runs
        ),
    )
    return format_html(
        '<dl class="mc-facts"><dt>{}</dt><dd>{}</dd><dt>{}</dt><dd>{}</dd><dt>{}</dt><dd>{}</dd></dl>',
        _("Created"),
        made,
        _("Changed"),
        changed,
        _("Tests"),
        format_html('<ul class="mc-plain-list">{}</ul>', tests) if tests else _("Never"),
    )


def _person(user: AbstractBaseUser | None, moment: datetime) -> str:
    if user is None:
        return when(moment)
    return _("%(when)s by %(who)s") % {"when": when(moment), "who": user.get_username()}


def reply_rules(profile: SMTPProfile) -> SafeString | str:
    """Return a profile's rules about replies, one a line."""
    if not profile.classification_overrides:
        return _("None")
    lines = judges.reply_rules_as_text(profile.classification_overrides).splitlines()
    items = format_html_join("", "<li>{}</li>", ((line,) for line in lines))
    return format_html('<ul class="mc-plain-list mc-mono">{}</ul>', items)


def delete_refused(waiting: int) -> str:
    """Say why a profile stays; `waiting` 0: none waits, but some are being sent, failed or are held."""
    if not waiting:
        return _(
            "This profile cannot be deleted: messages that are being sent, failed or are held are for it"
            " alone. Move them to another profile first."
        )
    return ngettext(
        "This profile cannot be deleted: %(waiting)s message is waiting for it. "
        "Move it to another profile or cancel it first.",
        "This profile cannot be deleted: %(waiting)s messages are waiting for it. "
        "Move them to another profile or cancel them first.",
        waiting,
    ) % {"waiting": f"{waiting:,}"}


def saved_sentence(profile: SMTPProfile) -> str:
    """Say what is true of a profile now."""
    if profile.is_draft:
        return _("Saved as a draft. It is not used until it is tested and saved.")
    if not profile.enabled:
        return _("“%(name)s” is saved. It is disabled and not used.") % {"name": profile.name}
    if profile.cleared_without_test:
        return _("“%(name)s” is saved without a passed test, and is live.") % {"name": profile.name}
    return _("“%(name)s” is saved and live.") % {"name": profile.name}

"""The words of the list of test runs, for each kind of run."""

from dataclasses import replace
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from smtp_settings import test_send
from smtp_settings.admin import words
from smtp_settings.admin.discovery import finding_words
from smtp_settings.models import TestRun


def title(run: TestRun) -> str:
    """Return the title of a run's page."""
    if run.kind == TestRun.Kind.SEARCH:
        return _("Search for the settings of %(what)s") % {"what": run.settings.get("search", "")}
    if run.kind == TestRun.Kind.CONNECT:
        return _("Connection check of %(name)s, %(when)s") % {
            "name": run.name,
            "when": words.when(run.created_at),
        }
    return str(run)


def server(run: TestRun) -> str:
    """Return where a test went; of a search what was looked for."""
    if run.kind == TestRun.Kind.SEARCH:
        return str(run.settings.get("search") or "-")
    return words.server_of(run.settings)


def place(run: TestRun) -> str:
    """Return where a run was carried out, in a word or two."""
    if run.ran_on in (test_send.WEB, test_send.WEB_IN_PLACE):
        return _("web server")
    if run.ran_on == test_send.SHELL:
        return _("command")
    kind, _space, name = run.ran_on.partition(" ")
    return _("worker %(name)s") % {"name": name} if kind == "worker" else run.ran_on or "-"


def result(run: TestRun) -> SafeString:
    """Return how a run ended: a search and a check do not pass, they find and connect."""
    if run.kind == TestRun.Kind.SEARCH and run.state == TestRun.State.PASSED:
        return words.badge(_("Found"), "is-ok")
    if run.kind == TestRun.Kind.SEARCH and run.state == TestRun.State.FAILED:
        return words.badge(_("Nothing found"), "is-warn")
    if run.kind == TestRun.Kind.CONNECT and run.state == TestRun.State.PASSED:
        return words.badge(_("Connected"), "is-ok")
    return words.run_badge(run)


def found(run: TestRun) -> dict[str, Any]:  # Any: a template's context
    """Return what a search found, without the buttons: there is no form beside it to fill in."""
    context = finding_words.context_of(run)
    return context | {"lines": [replace(line, fix="") for line in context["lines"]]}

"""What the script of the test panel works with: fields that count, their saved texts, addresses, words."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from smtp_settings.admin.panel.states import Panel, wording
from smtp_settings.clearance import activation
from smtp_settings.clearance.candidate import settings_of
from smtp_settings.clearance.verdicts import field_label
from smtp_settings.fingerprint import shaping_fields
from smtp_settings.forms import ProfileForm
from smtp_settings.gate import RunState
from smtp_settings.models import DeliveryMethod, TestRun

#: The form's fields for the names of the fingerprint that are none; None for what no form has.
_FIELDS = {"secret": "password", "oauth": "oauth_credential", "uuid": None}
#: The columns of the form's fields that are named otherwise.
_COLUMNS = {"oauth_credential": "oauth_credential_id"}

#: What the script says by itself; the words of the states are in `states`.
_SAID: dict[str, str | Promise] = {
    "busy": _("Testing…"),
    "blocked": _("Not saved yet. %(line)s"),
    "look": _("Look here"),
    "more": _("%(fields)s and %(rest)s more"),
    "route": _("to %(to)s, from %(from)s, through %(server)s"),
    "nobody": _("nobody yet"),
    "nowhere": _("no server yet"),
    "changed": _("Changed: %(changes)s."),
    "change": _("%(field)s: %(before)s → %(after)s"),
    "restored": _("The tested values are back."),
    "started": _("The test begins…"),
    "unreachable": _("mailconf did not answer. Send the test again."),
    "unsaved": _("Not saved: mailconf did not answer. Your entries are still here. Try again."),
    "empty": _("(empty)"),
    "keep_tested": _("from your test, not saved yet"),
}


def form_fields(method: str) -> list[str]:
    """Name the form's fields that count for a method, in the order of the form; the password among them."""
    return [name for one in shaping_fields(method) if (name := _FIELDS.get(one, one))]


def texts_of(values: Mapping[str, Any]) -> dict[str, str]:  # Any: JSON
    """Return settings as the form holds them, text by text, of the fields that count; never a secret."""
    names = form_fields(str(values.get("transport", "")))
    return {name: _text(values.get(_COLUMNS.get(name, name))) for name in names if name != "password"}


def _text(value: object) -> str:
    """Return a value as a form posts it: a ticked box is "on"."""
    if isinstance(value, bool):
        return "on" if value else ""
    return "" if value is None else str(value)


def route(form: ProfileForm) -> str:
    """Say where a test email would go, as the entries stand; the script keeps it up to date."""
    value = {
        name: str(form[name].value() or "")
        for name in ("host", "port", "from_address")
        if name in form.fields
    }
    if not value:
        return ""
    to = form["test_to"].value()
    to = ", ".join(to) if isinstance(to, list) else str(to or "")
    return str(_SAID["route"]) % {
        "to": to or _SAID["nobody"],
        "from": value["from_address"] or to or _SAID["nobody"],
        "server": _way(form) or (f"{value['host']}:{value['port']}" if value["host"] else _SAID["nowhere"]),
    }


def _way(form: ProfileForm) -> str:
    """Return what a method that is no SMTP leads to, "" for SMTP."""
    names = {"sendmail": "program", "pickup": "directory", "mailgun": "api_domain", "ses": "region"}
    method = str(form["transport"].value() or "") if "transport" in form.fields else ""
    return str(form[names[method]].value() or _SAID["nowhere"]) if method in names else ""


def run_data(run: TestRun) -> dict[str, str]:
    """Return the data of the script on a run's own page: what to follow, nothing once it is over."""
    if RunState(run.state).is_final:
        return {"poll": ""}
    return {"poll": reverse("admin:smtp_settings_testrun_state", args=[run.uuid])}


def script_data(
    form: ProfileForm, panel: Panel, run: TestRun | None, problem: str
) -> dict[str, Any]:  # Any: JSON
    """Return the data of the page's script.

    `fields` names for each method the fields that count, in the order of the form; `saved` holds their saved
    texts, None for a new profile; `live` whether those may send.
    """
    saved = form.saved
    counting = {method: form_fields(method) for method in DeliveryMethod.values}
    return {
        "object": str(saved.pk) if saved is not None else "",
        "start": reverse("admin:smtp_settings_testrun_start"),
        "session": reverse("admin:smtp_settings_testrun_session"),
        "poll": reverse("admin:smtp_settings_testrun_state", args=[run.uuid]) if run is not None else "",
        "fields": counting,
        "labels": {name: field_label(name) for name in dict.fromkeys(chain(*counting.values()))},
        "saved": texts_of(settings_of(saved)) if saved is not None else None,
        "live": saved is not None and not saved.is_draft and activation.is_live(saved),
        "draft": saved is not None and saved.is_draft,
        "always": settings.MAILCONF_TEST_BEFORE_SAVE == "always",
        "state": panel.state.value,
        "line": panel.line,
        "problem": problem,
        "words": wording(),
        "say": {name: str(text) for name, text in _SAID.items()},
    }

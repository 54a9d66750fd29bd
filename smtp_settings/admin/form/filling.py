"""What buttons and the script put into the profile form: presets, corrections and hints. Nothing is saved.

With scripts the page asks the two endpoints here while a person types; without them the same comes from the
buttons "Fill in", "Undo" and those of the hints, which submit the form and show it again.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlencode

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, JsonResponse, QueryDict
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from smtp_settings import correction, presets
from smtp_settings.admin.form import hinting
from smtp_settings.admin.form.page import problems_of
from smtp_settings.forms import Act, ProfileForm
from smtp_settings.forms.presets import Filled, about
from smtp_settings.forms.profile import ENTERED_FOR_OTHERS
from smtp_settings.forms.texts import posted_texts, texts_of
from smtp_settings.hints import ports
from smtp_settings.models import SMTPProfile
from smtp_settings.secret_source import PasswordNeeded

if TYPE_CHECKING:
    from smtp_settings.admin.profiles import SMTPProfileAdmin

#: The fields of a password's destination (D6): with one of them changed it is asked for again.
DESTINATION = ("transport", "host", "port", "security", "verification", "ca", "username", "mechanism")
#: What "Undo" may put back: what a preset fills in, and the choice of it.
_FILLED = frozenset(presets.DEFAULTS) | {"name", "preset", "_preset_before"}
#: More characters than the values of one form's fields have.
_LONGEST = 8_000


def press(request: HttpRequest) -> Filled | None:
    """Carry out the button that changes entries, if one was pressed, on the request's own values.

    `_apply` is a correction with another test, so it becomes "Send test email".
    """
    if request.method != "POST":
        return None
    data = request.POST.copy()
    filled: Filled | None = None
    if "_fill" in data:
        filled = _fill(data)
    elif "_undo" in data:
        _change(data, _decode(data.get("_undo", "")))
    elif "_fix" in data or "_apply" in data:
        if "_apply" in data:
            data["_send_test"] = "1"
        filled = _correct(data, correction.decode(data.get("_apply") or data.get("_fix", "")))
    else:
        return None
    request.POST = data  # type: ignore[assignment]  # read by everything after this
    return filled


def _fill(data: QueryDict) -> Filled:
    preset = presets.by_key(data.get("preset", ""))
    if preset is None:
        return Filled(_("Choose a provider first."), focus="preset")
    found = _filling(data, preset, posted_texts(data, keeps_password=False))
    undo = _undo(data, found.held)
    _change(data, {**found.changes, "_preset_before": preset.key})
    return Filled(found.sentence, undo, found.focus)


def _filling(data: Mapping[str, str], preset: presets.Preset, texts: Mapping[str, str]) -> presets.Filling:
    before = presets.by_key(data.get("_preset_before", ""))
    found = presets.filling(texts, preset, before, region=data.get("preset_region", ""))
    proposal = _proposed_name(texts, preset, before)
    if not proposal or proposal == texts.get("name", ""):
        return found
    return presets.Filling(
        changes={**found.changes, "name": proposal},
        held={**found.held, "name": texts.get("name", "")},
        sentence=found.sentence,
        note=found.note,
        focus=found.focus,
    )


def _proposed_name(
    texts: Mapping[str, str], preset: presets.Preset | None, before: presets.Preset | None
) -> str:
    """Return a name while nobody has typed one: the field is empty or holds a proposal."""
    now, address = texts.get("name", "").strip(), texts.get("from_address", "")
    proposals = {"", presets.proposed_name(before, address), presets.proposed_name(before, "")}
    return _free_name(preset, address) if now in proposals else ""


def _free_name(preset: presets.Preset | None, address: str) -> str:
    wanted = presets.proposed_name(preset, address)
    taken = SMTPProfile.objects.filter(name__startswith=wanted).values_list("name", flat=True)
    return presets.proposed_name(preset, address, frozenset(taken)) if wanted else ""


def _correct(data: QueryDict, changes: Mapping[str, str]) -> Filled | None:
    changes = {name: value for name, value in changes.items() if data.get(name, "") != value}
    if not changes:
        return None
    undo = urlencode({name: data.get(name, "") for name in changes})
    _change(data, changes)
    return Filled("", undo, next(iter(changes)))


def _change(data: QueryDict, changes: Mapping[str, str]) -> None:
    for name, value in changes.items():
        data[name] = value


def _undo(data: QueryDict, held: Mapping[str, str]) -> str:
    before = data.get("_preset_before", "")
    return urlencode({**held, "preset": before, "_preset_before": before})


def _decode(text: str) -> dict[str, str]:
    pairs: Iterable[tuple[str, str]] = (
        parse_qsl(text, keep_blank_values=True) if len(text) <= _LONGEST else ()
    )
    return {name: value for name, value in pairs if name in _FILLED | correction.FIELDS}


# What the page shows


def finish(request: HttpRequest, form: ProfileForm, context: dict[str, Any]) -> None:  # Any: a template's
    """Add hints and the script's data to the page; after a button that only fills in, no error shows."""
    if "preset" not in form.fields:
        return  # a page for looking
    if form.act is Act.SHOW:
        form.errors.clear()
        context["problems"], context["refused"] = list(problems_of(form)), False
    # After a correction with a test the address leads to the test; a browser then ignores this, and says so.
    if form.act is Act.SHOW and form.filled is not None and form.filled.focus in form.fields:
        form.fields[form.filled.focus].widget.attrs["autofocus"] = True
    shape = hinting.shape_posted(request.POST)
    form.hints = hinting.hints_of(texts_of(form), form.saved, shape, refused=form.errors)
    context["form_data"] = _form_data(form)


def _form_data(form: ProfileForm) -> dict[str, Any]:  # Any: JSON
    """Return what the script needs: addresses, what a kept password was entered for, well-known ports."""
    return {
        "object": str(form.saved.pk) if form.saved is not None else "",
        "hints": reverse("admin:smtp_settings_smtpprofile_hints"),
        "fill": reverse("admin:smtp_settings_smtpprofile_fill"),
        "usual": {security: str(port) for security, port in ports.USUAL.items()},
        "known": ["", *map(str, sorted(ports.KNOWN))],
        "starts": hinting.key_starts(),
        "kept": list(_kept_passwords(form)),
        "words": {"undo": _("Undo")},
    }


def _kept_passwords(form: ProfileForm) -> Iterable[dict[str, Any]]:  # Any: JSON
    """Yield what each password that an empty field may mean was entered for, and what to say elsewhere."""
    run, saved = form.carried_run, form.saved
    if run is not None and run.secret is not None:
        yield {"values": _destination(run.settings.get), "sentence": str(ENTERED_FOR_OTHERS)}
    if saved is not None and saved.password is not None:
        yield {
            "values": _destination(lambda name: getattr(saved, name)),
            "sentence": str(PasswordNeeded((), saved.host)),
        }


def _destination(value_of: Callable[[str], Any]) -> dict[str, str]:  # Any: values of several columns
    return {name: str(value_of(name) or "") for name in DESTINATION}


# What the script asks for


def urls(profiles: "SMTPProfileAdmin") -> list[URLPattern]:
    """Return the addresses of the two endpoints, for the profiles' own."""
    views = _Endpoints(profiles)
    wrap = profiles.admin_site.admin_view
    return [
        path("hints/", wrap(views.hints), name="smtp_settings_smtpprofile_hints"),
        path("fill/", wrap(views.fill), name="smtp_settings_smtpprofile_fill"),
    ]


@method_decorator([never_cache, require_POST, sensitive_post_parameters("password")], name="hints")
@method_decorator([never_cache, require_POST, sensitive_post_parameters("password")], name="fill")
class _Endpoints:
    """Answers about the values in an open form, for those who may save it."""

    def __init__(self, profiles: "SMTPProfileAdmin") -> None:
        self.profiles = profiles

    def hints(self, request: HttpRequest) -> JsonResponse:
        """Return what is worth knowing about the values, and a name while there is none."""
        profile = self._edited(request)
        texts = _texts(request.POST, profile)
        found = hinting.hints_of(texts, profile, hinting.shape_posted(request.POST))
        preset = presets.by_key(texts.get("preset", ""))
        return JsonResponse(
            {
                "hints": [{"field": field, "html": html} for field, html in found.items()],
                "name": _free_name(preset, texts.get("from_address", "")),
            }
        )

    def fill(self, request: HttpRequest) -> JsonResponse:
        """Return what choosing a preset changes; for none, nothing."""
        profile = self._edited(request)
        texts = _texts(request.POST, profile)
        preset = presets.by_key(texts.get("preset", ""))
        if preset is None:
            return JsonResponse({"changes": {}, "sentence": "", "note": "", "focus": "", "html": ""})
        found = _filling(request.POST, preset, texts)
        host = found.changes.get("host", texts.get("host", ""))
        context = {"about": about(preset.key, host)}
        return JsonResponse(
            {
                "changes": dict(found.changes),
                "sentence": found.sentence,
                "note": found.note,
                "focus": found.focus,
                "html": render_to_string("mailconf/_preset_note.html", context, request),
            }
        )

    def _edited(self, request: HttpRequest) -> SMTPProfile | None:
        """Return the profile of the page, None for a new one. Raises PermissionDenied."""
        id_ = request.POST.get("_object_id", "")
        profile: Any = self.profiles.get_object(request, id_) if id_ else None  # Any: as ModelAdmin's
        if (id_ and profile is None) or not self.profiles.may_test_values(request, profile):
            raise PermissionDenied
        return cast("SMTPProfile | None", profile)


def _texts(data: QueryDict, profile: SMTPProfile | None) -> dict[str, str]:
    keeps = profile is not None and profile.password is not None and "remove_password" not in data
    return posted_texts(data, keeps_password=keeps)

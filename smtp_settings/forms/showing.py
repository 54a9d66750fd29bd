"""What the form says about its fields before anything is typed: defaults, and help for this row."""

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sites.models import Site
from django.db.models import F, QuerySet, Value
from django.utils.functional import lazy
from django.utils.translation import gettext as _

from smtp_settings import sealing
from smtp_settings.clearance.candidate import stored_secret
from smtp_settings.clearance.standing import UNREADABLE
from smtp_settings.forms.sentences import password_age
from smtp_settings.models import OAuthCredential, SMTPProfile

if TYPE_CHECKING:
    from smtp_settings.forms.fields import ProfileFields

#: The shown mask has one length, whatever the password's (V47).
MASK = "••••••••"

#: Environments whose mail is meant for its recipients: their subjects need no mark.
_REAL = frozenset({"", "production", "prod", "live"})


def describe(form: "ProfileFields") -> None:
    """Say about each field what depends on the row, the user or the installation."""
    other_default = cache(partial(_other_default, form))  # asked where it is shown, not in a form that tests
    if not form.is_bound and form.saved is None:
        form.initial["notify_user"] = form.user.pk
        form.initial["is_default"] = other_default() is None
        form.initial["subject_prefix"] = proposed_prefix(settings.MAILCONF_ENVIRONMENT)
    form.initial["test_to"] = [form.user.email] if form.user.email else []
    form.fields["test_to"].help_text = (
        _("Your own address is filled in. Up to 3, separated by commas.")
        if form.user.email
        else _("Your account has no email address. Enter one here.")
    )
    if "is_default" in form.fields:
        form.fields["is_default"].help_text = lazy(_default_help, str)(other_default)
    if "password" in form.fields:
        _describe_password(form)
    if "oauth_credential" in form.fields:
        _describe_credential(form)
    _describe_choices(form)


def proposed_prefix(environment: str) -> str:
    """Return the mark for the subjects of an environment that is not production.

    >>> proposed_prefix("Staging")
    '[STAGING] '
    """
    return "" if environment.strip().lower() in _REAL else f"[{environment.strip().upper()[:47]}] "


def _other_default(form: "ProfileFields") -> str | None:
    """Name the profile that loses the default when this one becomes it; the default takes it from none."""
    if form.saved is not None and form.saved.is_default:
        return None
    others = SMTPProfile.objects.filter(is_default=True).exclude(pk=form.instance.pk)
    return others.order_by("pk").values_list("name", flat=True).first()


def _default_help(other_default: Callable[[], str | None]) -> str:
    text, loser = _("Used first for every message it may carry."), other_default()
    if loser is None:
        return text
    lost = _("%(name)s is the default now. Ticked here, it stops being the default.") % {"name": loser}
    return f"{text} {lost}"


def _describe_credential(form: "ProfileFields") -> None:
    """Say where credentials come from; secrets and tokens are not read for a list of names."""
    field = cast("forms.ModelChoiceField[OAuthCredential]", form.fields["oauth_credential"])
    field.queryset = OAuthCredential.objects.only("name")
    field.empty_label = _("None chosen")
    field.help_text = _("Made under “OAuth credentials”; several profiles may share one.")


def _describe_choices(form: "ProfileFields") -> None:
    """Let the lists of rows be read together, with one statement, when the first of them is shown."""
    found = cache(_rows_to_choose)
    for name in ("sites", "oauth_credential", "notify_user"):
        if name in form.fields:
            field = cast("forms.ModelChoiceField[Any]", form.fields[name])  # Any: one of three models
            field.choices = partial(_choices, name, field.empty_label, found)


def _choices(
    name: str, empty_label: object, found: Callable[[], dict[str, list[tuple[int, str]]]]
) -> list[tuple[int | str, str]]:
    """Return what one field offers; `empty_label` None offers no "none"."""
    return [*([] if empty_label is None else [("", str(empty_label))]), *found().get(name, [])]


def _rows_to_choose() -> dict[str, list[tuple[int, str]]]:
    """Return ids and names by the field that offers them."""
    people = get_user_model()
    staff = people._default_manager.filter(is_active=True, is_staff=True)
    sources: list[QuerySet[Any]] = [  # Any: of three models
        Site.objects.annotate(field=Value("sites"), label=F("domain")),
        OAuthCredential.objects.annotate(field=Value("oauth_credential"), label=F("name")),
        staff.annotate(field=Value("notify_user"), label=F(people.USERNAME_FIELD)),
    ]
    first, *others = (rows.order_by().values_list("field", "pk", "label") for rows in sources)
    found: dict[str, list[tuple[int, str]]] = {}
    for field, pk, label in first.union(*others, all=True).order_by("label"):
        found.setdefault(field, []).append((pk, label))
    return found


def _describe_password(form: "ProfileFields") -> None:
    """Say whether a password is saved, never anything of it."""
    field, run = form.fields["password"], form.carried_run
    if run is not None and run.secret is not None:
        field.widget.attrs["placeholder"] = _("from your test, not saved yet")
        field.help_text = _("Leave empty to save the password you just tested.")
    elif form.saved is not None and form.saved.password is not None:
        _describe_saved_password(field, form.saved)
    if form.saved is None or form.saved.password is None:
        form.fields["remove_password"].widget = forms.HiddenInput()


def _describe_saved_password(field: forms.Field, saved: SMTPProfile) -> None:
    try:
        stored_secret(saved)
    except sealing.SealingError:
        field.help_text = UNREADABLE
        return
    field.widget.attrs["placeholder"] = _("%(mask)s saved") % {"mask": MASK}
    field.help_text = _("Leave empty to keep the saved password%(when)s. Enter a new one to replace it.") % {
        "when": password_age(saved)
    }

"""`field=value` texts become a profile's values, as strictly as in the form."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.postgres.fields import ArrayField
from django.contrib.sites.models import Site
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.utils.translation import gettext as _

from smtp_settings.entries import rules
from smtp_settings.entries.judges import JUDGES
from smtp_settings.models import OAuthCredential, SMTPProfile

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


def split(texts: Iterable[str]) -> dict[str, str]:
    """Split `field=value` texts. Raises ValidationError for one without `=` and for a field named twice."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValidationError(_("“%(text)s” is not of the form field=value.") % {"text": text})
        if name in found:
            raise ValidationError(_("%(field)s is given twice.") % {"field": name})
        found[name] = value
    return found


def assign(profile: SMTPProfile, texts: Mapping[str, str]) -> list[Site] | None:
    """Put values into a profile; returns its sites when they were given.

    Raises ValidationError with one sentence that names the field.
    """
    sites = None
    for name, text in texts.items():
        try:
            if name == "sites":
                sites = _sites(text)
            else:
                _assign_one(profile, name, text)
        except ValidationError as error:
            raise ValidationError(f"{name}: {' '.join(error.messages)}") from error
    return sites


def complaints(profile: SMTPProfile) -> list[str]:
    """Return what is wrong with the values together, a sentence each; a draft needs only its name."""
    found: list[str] = []
    try:
        profile.full_clean(validate_constraints=False)
    except ValidationError as error:
        found += [f"{name}: {' '.join(messages)}" for name, messages in error.message_dict.items()]
    values = vars(profile) | {"oauth_credential": profile.oauth_credential_id}
    broken = rules.broken(values, is_draft=profile.is_draft)
    return found + [f"{rule.field}: {rule.sentence}" for rule in broken]


def _assign_one(profile: SMTPProfile, name: str, text: str) -> None:
    field = _field(name)
    value = _read(field, text)
    if name in JUDGES and value:
        value = JUDGES[name](value)
    if field.choices and value and value not in dict(field.flatchoices):
        raise ValidationError(
            _("“%(text)s” is not one of %(choices)s.") % {"text": text, "choices": ", ".join(_choices(field))}
        )
    if value is not None and value != "" and not field.is_relation:
        value = field.clean(value, profile)
    setattr(profile, name, value)


def _choices(field: "models.Field[Any, Any]") -> list[str]:  # Any: values of every kind of column
    """Name what works so far of what can be chosen."""
    available = {"transport": rules.AVAILABLE_METHODS, "auth": rules.AVAILABLE_AUTH}.get(field.name)
    return [str(value) for value, _label in field.flatchoices if available is None or value in available]


def _field(name: str) -> "models.Field[Any, Any]":  # Any: values of every kind of column
    if name == "password":
        raise ValidationError(_("A password is only read from standard input: use --password-stdin."))
    try:
        field = SMTPProfile._meta.get_field(name)
    except FieldDoesNotExist:
        field = None
    if not isinstance(field, models.Field) or not field.editable or field.primary_key:
        raise ValidationError(_("There is no such field."))
    return field


def _read(field: "models.Field[Any, Any]", text: str) -> Any:  # Any: as above
    if isinstance(field, models.BooleanField):
        return _boolean(text)
    if isinstance(field, ArrayField):
        return [part.strip() for part in text.split(",") if part.strip()]
    if isinstance(field, models.JSONField):
        return _json(text)
    if field.is_relation:
        return _related(field.name, text)
    if field.null and not text:
        return None
    return field.to_python(text)


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValidationError(_("Enter yes or no."))
    return word in _TRUE


def _json(text: str) -> Any:  # Any: JSON
    """Read JSON; what does not look like it is left to the field's judge, which may read it as typed."""
    if text.strip() and text.lstrip()[0] not in "[{":
        return text
    try:
        return json.loads(text.strip() or "[]")
    except ValueError as error:
        raise ValidationError(_("This is not JSON.")) from error


def _related(name: str, text: str) -> models.Model | None:
    """Find a user by name, an OAuth credential by its name; an empty text means none."""
    if not text:
        return None
    found: models.Model | None
    if name == "notify_user":
        users = get_user_model()
        found = users._default_manager.filter(**{users.USERNAME_FIELD: text}).first()
    else:
        found = OAuthCredential.objects.filter(name=text).first()
    if found is None:
        raise ValidationError(_("“%(name)s” does not exist.") % {"name": text})
    return found


def _sites(text: str) -> list[Site]:
    domains = [part.strip() for part in text.split(",") if part.strip()]
    found = {site.domain: site for site in Site.objects.filter(domain__in=domains)}
    unknown = [domain for domain in domains if domain not in found]
    if unknown:
        raise ValidationError(_("There is no site “%(domain)s”.") % {"domain": unknown[0]})
    return list(found.values())

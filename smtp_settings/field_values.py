"""`field=value` texts become a profile's values, as strictly as in the form."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.postgres.fields import ArrayField
from django.contrib.sites.models import Site
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.utils.translation import gettext as _

from smtp_settings import entries
from smtp_settings.models import (
    Auth,
    DeliveryMethod,
    FromPolicy,
    OAuthCredential,
    Security,
    SMTPProfile,
    Verification,
)

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})

#: What judges a value beyond its type, and gives its canonical form.
_JUDGES: dict[str, Callable[[Any], Any]] = {  # Any: text or a list of texts
    "host": entries.host_name,
    "from_address": entries.address,
    "reply_to": entries.address,
    "bounce_address": entries.address,
    "from_name": entries.header_text,
    "subject_prefix": entries.subject_prefix,
    "ca": entries.ca_certificates,
    "source_address": entries.source_address,
    "ehlo_name": entries.ehlo_name,
    "api_domain": entries.domain,
    "debug_recipients": entries.addresses,
    "sender_domains": lambda names: [entries.domain(name) for name in names],
}


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
    if profile.retry_cap < profile.retry_delay:
        found.append("retry_cap: " + _("The retry cap cannot be less than the retry delay."))
    return found if profile.is_draft else found + _missing(profile)


def _missing(profile: SMTPProfile) -> list[str]:
    signs_in = profile.auth != Auth.NONE
    rules = (
        (profile.transport == DeliveryMethod.SMTP and not profile.host, "host", _("Enter the server.")),
        (
            profile.auth == Auth.PASSWORD and not profile.username,
            "username",
            _("Enter the user name, or choose “None”."),
        ),
        (
            profile.from_policy == FromPolicy.FORCE and not profile.from_address,
            "from_address",
            _("Enter the address every message is sent from."),
        ),
        (
            profile.security == Security.NONE and signs_in and not profile.accepts_clear_auth,
            "accepts_clear_auth",
            _("Tick this, or choose an encrypted connection."),
        ),
        (
            profile.verification == Verification.NONE
            and profile.security != Security.NONE
            and not profile.accepts_unverified,
            "accepts_unverified",
            _("Tick this, or let the certificate be checked."),
        ),
    )
    return [f"{name}: {sentence}" for applies, name, sentence in rules if applies]


def _assign_one(profile: SMTPProfile, name: str, text: str) -> None:
    field = _field(name)
    value = _read(field, text)
    if name in _JUDGES and value:
        value = _JUDGES[name](value)
    if value is not None and value != "" and not field.is_relation:
        value = field.clean(value, profile)
    setattr(profile, name, value)


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
    try:
        return json.loads(text or "[]")
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

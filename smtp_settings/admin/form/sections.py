"""The sections of the profile form and the order of their fields.

No two fields share a line: Django opens a closed section with an error only for fields it names directly.
The style sheet puts numbers that belong together side by side.
"""

from collections.abc import Callable, Iterator
from typing import Any

from django.contrib import admin
from django.db.models import BooleanField
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from smtp_settings import presets
from smtp_settings.entries.rules import unused_by
from smtp_settings.models import Auth, DeliveryMethod, SMTPProfile

_CLOSED = ("collapse",)

_PROFILE = [
    "preset",
    "name",
    "description",
    "transport",
    "enabled",
    "is_default",
    "priority",
    "sites",
    "sender_domains",
]
_SERVER = [
    "host",
    "security",
    "port",
    "auth",
    "accepts_clear_auth",
    "program",
    "program_arguments",
    "line_ends",
    "directory",
    "file_style",
    "api_domain",
    "region",
    "uses_machine_role",
    "username",
    "password",
    "remove_password",
    "oauth_credential",
    "configuration_set",
]
_SENDER = [
    "from_address",
    "from_policy",
    "from_name",
    "reply_to",
    "bounce_address",
    "subject_prefix",
    "debug_recipients",
]
_LIMITS = [
    "max_connections",
    "messages_per_connection",
    "per_minute",
    "per_hour",
    "per_day",
    "send_offset",
    "max_retries",
    "retry_delay",
    "backoff",
    "retry_cap",
    "give_up_hours",
    "max_size",
    "on_uncertain",
    "notify_user",
    "classification_overrides",
]
_NETWORK = [
    "verification",
    "accepts_unverified",
    "minimum_tls",
    "ca",
    "ip_version",
    "source_address",
    "ehlo_name",
    "mechanism",
    "connect_timeout",
    "command_timeout",
    "pipelining",
]

#: For those who may change.
SECTIONS: list[tuple[Any, dict[str, Any]]] = [  # Any: lazy strings and mixed lines, as Django types them
    (_("Profile"), {"fields": _PROFILE}),
    (_("Server and sign-in"), {"fields": _SERVER, "classes": ("mc-server",)}),
    (_("Sender"), {"fields": _SENDER}),
    (_("Limits and retries"), {"fields": _LIMITS, "classes": _CLOSED}),
    (_("TLS and network details"), {"fields": _NETWORK, "classes": (*_CLOSED, "mc-network")}),
    (_("Notes and history"), {"fields": ["notes", "history"], "classes": _CLOSED}),
]


#: What stands in the place of a field for those who may only look.
_SHOWN_AS = {"password": "password_state", "classification_overrides": "reply_rules"}


def _without_inputs(fields: list[Any]) -> list[Any]:
    """Show whether there is a password instead of the fields that set one, and rules as they are typed."""
    return [_SHOWN_AS.get(name, _in_words(name)) for name in fields if name != "remove_password"]


def _in_words(name: str) -> str | Callable[[SMTPProfile], str]:
    """Show what is true or not as a word (the stock admin has a picture, described in English).

    A preset is shown by its name, no site ticked as what it means.
    """
    if name in _WORDED:
        return _WORDED[name]
    field = next((one for one in SMTPProfile._meta.fields if one.name == name), None)
    if not isinstance(field, BooleanField):
        return name

    @admin.display(description=field.verbose_name)
    def shown(profile: SMTPProfile) -> str:
        return gettext("Yes") if getattr(profile, name) else gettext("No")

    shown.__name__ = name
    return shown


@admin.display(description=SMTPProfile._meta.get_field("preset").verbose_name)
def _preset(profile: SMTPProfile) -> str:
    preset = presets.by_key(profile.preset)
    return str(preset.name) if preset is not None else gettext("Other / own server")


@admin.display(description=SMTPProfile._meta.get_field("sites").verbose_name)
def _sites(profile: SMTPProfile) -> str:
    return ", ".join(site.domain for site in profile.sites.all()) or gettext("Every site")


_preset.__name__, _sites.__name__ = "preset", "sites"
_WORDED: dict[str, Callable[[SMTPProfile], str]] = {"preset": _preset, "sites": _sites}

#: For those who may only look: no field of this form is ever made from a secret.
VIEW_SECTIONS = [
    (title, options | {"fields": _without_inputs(options["fields"])}) for title, options in SECTIONS
]
#: What else a method has no use for, beside what another method's test asks for.
_OF_SMTP = ("auth", "oauth_credential", "reply_rules")
#: What a way to sign in has no use for.
_NOT_OF = {
    Auth.NONE: ("username", "password", "oauth_credential", "mechanism"),
    Auth.PASSWORD: ("oauth_credential",),
    Auth.OAUTH2: ("password",),
}
_OF_SERVERS = ("connect_timeout", "messages_per_connection")


def view_sections(profile: SMTPProfile | None) -> list[tuple[Any, dict[str, Any]]]:  # Any: as SECTIONS
    """Return the sections for those who may only look: what the method uses, and none that is empty."""
    if profile is None:
        return VIEW_SECTIONS
    unused = {_SHOWN_AS.get(name, name) for name in _unused_by(profile)}
    found = [
        (title, options | {"fields": [one for one in options["fields"] if _name_of(one) not in unused]})
        for title, options in VIEW_SECTIONS
    ]
    return [(title, options) for title, options in found if options["fields"]]


def _unused_by(profile: SMTPProfile) -> Iterator[str]:
    yield from unused_by(profile.transport, role=profile.uses_machine_role)
    if profile.transport != DeliveryMethod.SMTP:
        yield from _OF_SMTP
    else:
        yield from _NOT_OF[Auth(profile.auth)]
    yield from (name for name in ("accepts_clear_auth", "accepts_unverified") if not getattr(profile, name))
    if profile.transport in (DeliveryMethod.SENDMAIL, DeliveryMethod.PICKUP):
        yield from _OF_SERVERS


def _name_of(field: str | Callable[[SMTPProfile], str]) -> str:
    return field if isinstance(field, str) else str(getattr(field, "__name__", ""))

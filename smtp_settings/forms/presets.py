"""The choice of a provider: a grouped select whose options carry its ports, and what is said of it."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.translation import gettext as _

from smtp_settings import presets
from smtp_settings.entries.rules import AVAILABLE_METHODS

#: The order of the groups.
_GROUPS = (
    presets.Kind.SERVICE,
    presets.Kind.MAILBOX,
    presets.Kind.OWN,
    presets.Kind.METHOD,
    presets.Kind.DEVELOPMENT,
)

#: Presets whose set-up the manual tells step by step, with the anchor in its chapter "providers".
STEPS = {
    "gmail": "gmail",
    "workspace": "google-workspace",
    "m365": "microsoft-365",
    "sendgrid": "sendgrid",
    "ses": "amazon-ses",
    "mailgun": "mailgun",
    "postmark": "postmark",
    "sparkpost": "sparkpost",
    "exchange": "internal-exchange-server",
    "relay": "postfix-or-another-relay",
}


@dataclass(frozen=True, slots=True)
class AboutPreset:
    """What stands below the choice of a provider; `region` is the one of the server now, "" for none.

    `transport` is the delivery method it is for, `steps` the anchor of its set-up in the manual, "" where the
    manual has none.
    """

    name: str
    transport: str
    note: str
    help_url: str
    regions: tuple[str, ...]
    region: str
    steps: str


@dataclass(frozen=True, slots=True)
class Filled:
    """What a button has put into the form: a sentence, the value of "Undo" or "", and where to go on."""

    sentence: str
    undo: str = ""
    focus: str = ""


def about(key: str, host: str) -> AboutPreset | None:
    """Return what to say of a preset; None when none is chosen."""
    preset = presets.by_key(key)
    if preset is None:
        return None
    return AboutPreset(
        name=preset.name,
        transport=preset.transport,
        note=" ".join(
            filter(None, (presets.note_of(preset), presets.user_rule(preset), presets.secret_rule(preset)))
        ),
        help_url=preset.help_url,
        regions=tuple(region.name for region in preset.regions if region.name),
        region=preset.region_of(host.strip().lower()),
        steps=STEPS.get(key, ""),
    )


def offered() -> list[presets.Preset]:
    """Return the presets whose delivery method works."""
    return [preset for preset in presets.all_presets() if preset.transport in AVAILABLE_METHODS]


def preset_choices() -> list[tuple[str, Any]]:  # Any: a label, or a group of choices
    """Return the choices in their groups; the first is nobody's preset."""
    groups: list[tuple[str, Any]] = [("", _("Other / own server"))]
    for kind in _GROUPS:
        members = [(preset.key, preset.name) for preset in offered() if preset.kind is kind]
        if members:
            groups.append((str(presets.kind_label(kind)), members))
    return groups


class PresetSelect(forms.Select):
    """Says in `data-ports` of each option which port goes with which security ("starttls:587 tls:465")."""

    def create_option(self, name: str, value: Any, label: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Add the ports."""  # Any: as Select.create_option
        option = super().create_option(name, value, label, *args, **kwargs)
        preset = presets.by_key(str(value))
        if preset is not None:
            ports = {port.security: preset.port_for(port.security) for port in preset.ports}
            option["attrs"]["data-ports"] = " ".join(f"{security}:{port}" for security, port in ports.items())
        return option

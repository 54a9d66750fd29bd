"""What choosing a preset changes in the form. Pure: texts in, texts out, nothing a person typed is lost."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings.entries.rules import AVAILABLE_AUTH, AVAILABLE_METHODS
from smtp_settings.presets.catalog import all_presets, for_host
from smtp_settings.presets.preset import LIMITS, Preset, User
from smtp_settings.presets.words import note_of, security_words

#: What the form's fields hold before anybody touched them.
DEFAULTS: Mapping[str, str] = {
    "transport": "smtp",
    "host": "",
    "port": "587",
    "security": "starttls",
    "auth": "password",
    "username": "",
    "file_style": "eml",
    **{name: str(number) for name, number in LIMITS.items()},
}

_LABELS: Mapping[str, Promise] = {
    "host": gettext_lazy("Server"),
    "port": gettext_lazy("Port"),
    "security": gettext_lazy("Security"),
    "auth": gettext_lazy("Sign-in"),
    "username": gettext_lazy("User name"),
    "max_connections": gettext_lazy("Connections at once"),
    "messages_per_connection": gettext_lazy("Messages per connection"),
    "per_minute": gettext_lazy("Per minute"),
    "per_hour": gettext_lazy("Per hour"),
    "per_day": gettext_lazy("Per day"),
    "max_size": gettext_lazy("Max attachments size"),
}


@dataclass(frozen=True, slots=True)
class Filling:
    """What a preset changes: `changes` by form field, `held` what each of these fields held before.

    `sentence` says what was filled in and what stayed, `note` what else is known of the provider, `focus` is
    the field to go to next, "" when none is empty.
    """

    changes: Mapping[str, str]
    held: Mapping[str, str]
    sentence: str
    note: str
    focus: str


def filling(
    values: Mapping[str, str], preset: Preset, previous: Preset | None = None, *, region: str = ""
) -> Filling:
    """Fill a preset into what the form holds now (form field to text; `password` only as "" or not).

    A field is changed only while it is empty or holds its default, a value of `previous` (the preset chosen
    before) or some preset's server or fixed user name. `region` picks one of the provider's servers.
    """
    if preset.transport not in AVAILABLE_METHODS:
        return Filling({}, {}, _("This delivery method is not available yet."), note_of(preset), "")
    wanted = _wanted(values, preset, previous, region=region)
    changes: dict[str, str] = {}
    kept: list[str] = []
    for name, value in wanted.items():
        if values.get(name, DEFAULTS[name]).strip() == value:
            continue
        if _is_free(name, values, previous):
            changes[name] = value
        elif value:
            kept.append(name)
    after = {**values, **changes}
    held = {name: values.get(name, "") for name in changes}
    return Filling(changes, held, _sentence(preset, after, wanted, kept), note_of(preset), _focus(after))


def proposed_name(preset: Preset | None, from_address: str, taken: Collection[str] = ()) -> str:
    """Propose a name for a profile that nobody has yet: "SendGrid (example.com)".

    >>> proposed_name(None, "shop@example.com", taken={"example.com"})
    'example.com 2'
    """
    domain = from_address.strip().rpartition("@")[2]
    name = f"{preset.name} ({domain})" if preset and domain else preset.name if preset else domain
    number = 2
    found = name[:95]
    while found and found in taken:
        found, number = f"{name[:95]} {number}", number + 1
    return found


def filled_by(preset: Preset) -> dict[str, str]:
    """Return what a preset fills into an empty form, whole fields only."""
    usable = [one for one in preset.sign_ins if one in AVAILABLE_AUTH]
    wanted = {
        "transport": preset.transport,
        "host": preset.host,
        "auth": usable[0] if usable else DEFAULTS["auth"],
        "username": preset.user_name if preset.user is User.FIXED else "",
    }
    if preset.ports:
        wanted |= {"port": str(preset.ports[0].number), "security": preset.ports[0].security}
    wanted |= {name: str(number) for name, number in preset.fills.items()}
    return wanted | {name: value for name, value in preset.values.items() if name in DEFAULTS}


def _wanted(
    values: Mapping[str, str], preset: Preset, previous: Preset | None, *, region: str
) -> dict[str, str]:
    """Return what the preset would have in the form, seen what is there."""
    wanted = filled_by(preset)
    host = values.get("host", "").strip().lower()
    wanted["host"] = preset.host_in(region) or (host if preset.has_host(host) else wanted["host"])
    _fit_port(wanted, values, preset, previous)
    for name in DEFAULTS:
        if name not in wanted and previous and name in filled_by(previous):
            wanted[name] = DEFAULTS[name]  # what the one before filled in leaves with it
    return wanted


def _fit_port(
    wanted: dict[str, str], values: Mapping[str, str], preset: Preset, previous: Preset | None
) -> None:
    """Let a port or a security that stays choose its partner among what the provider offers."""
    port, security = values.get("port", "").strip(), values.get("security", "")
    if not preset.ports:
        return
    if not _is_free("port", values, previous) and port.isascii() and port.isdigit():
        if found := preset.security_of(int(port)):
            wanted.update(port=port, security=found)
    elif not _is_free("security", values, previous) and (number := preset.port_for(security)):
        wanted.update(port=str(number), security=security)


def _is_free(name: str, values: Mapping[str, str], previous: Preset | None) -> bool:
    """Whether a field holds nothing a person chose."""
    value = values.get(name, "").strip()
    if value in ("", DEFAULTS[name]):
        return True
    if name == "host":
        return for_host(value) is not None
    if name == "username" and any(value == one.user_name for one in all_presets()):
        return True
    return previous is not None and _is_of(previous, name, value)


def _is_of(preset: Preset, name: str, value: str) -> bool:
    if name == "port":
        return any(value == str(port.number) for port in preset.ports)
    if name == "security":
        return any(value == port.security for port in preset.ports)
    return filled_by(preset).get(name) == value


# Words


def _sentence(
    preset: Preset, after: Mapping[str, str], wanted: Mapping[str, str], kept: Collection[str]
) -> str:
    """Say first what makes the connection, then what else was filled in, then what stayed."""
    there = {name: value for name, value in wanted.items() if after.get(name, DEFAULTS[name]) == value}
    connection = _in_words(there, ("host", "port", "security", "auth"))
    others = _in_words(there, ("username", *LIMITS))
    said = [_("Nothing was filled in for %(provider)s.") % {"provider": preset.name}]
    if first := connection or others:
        pattern = _("Filled in for %(provider)s: %(values)s.")
        said = [pattern % {"provider": preset.name, "values": first}]
    if connection and others:
        said.append(_("Also: %(values)s.") % {"values": others})
    if kept:
        fields = ", ".join(str(_LABELS.get(name, name)) for name in kept)
        said.append(_("Kept as you entered it: %(fields)s.") % {"fields": fields})
    return " ".join(said)


def _in_words(values: Mapping[str, str], names: Collection[str]) -> str:
    return ", ".join(filter(None, (_shown(name, values.get(name, "")) for name in names)))


def _shown(name: str, value: str) -> str:
    """Return one value in words, "" for one that needs none."""
    if not value or (name in LIMITS and value == DEFAULTS[name]):
        return ""
    if name == "auth":
        return _("no sign-in") if value == "none" else ""
    if name == "security":
        return security_words(value)
    shown = number_format(value, force_grouping=True) if name in LIMITS else value
    return str(_PATTERNS[name]) % {"value": shown}


_PATTERNS: Mapping[str, Promise | str] = {
    "host": "%(value)s",
    "port": gettext_lazy("port %(value)s"),
    "username": gettext_lazy("user name %(value)s"),
    "max_connections": gettext_lazy("%(value)s connections"),
    "messages_per_connection": gettext_lazy("%(value)s messages a connection"),
    "per_minute": gettext_lazy("%(value)s a minute"),
    "per_hour": gettext_lazy("%(value)s an hour"),
    "per_day": gettext_lazy("%(value)s a day"),
    "max_size": gettext_lazy("%(value)s MB"),
}


def _focus(after: Mapping[str, str]) -> str:
    """Return the next empty field to type into."""
    names = ["host", "username", "password", "from_address"]
    if after.get("auth") == "none":
        names = ["host", "from_address"]
    elif after.get("auth") == "oauth2":
        names = ["host", "username", "oauth_credential", "from_address"]
    return next((name for name in names if not after.get(name, "").strip()), "")

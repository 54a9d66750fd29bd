"""What is known of mail providers, as data: their servers, ports, user names, secrets, limits and DNS.

The data is `providers.toml` beside this; operators may add a file of their own (`MAILCONF_PRESETS_FILE`).
Nothing here is looked up, and no secret comes near it.
"""

from smtp_settings.presets.catalog import (
    all_presets,
    by_key,
    check_operators_file,
    for_domain,
    for_host,
    for_mx,
    near_host,
    preset_of,
)
from smtp_settings.presets.filling import DEFAULTS, Filling, filling, proposed_name
from smtp_settings.presets.loading import PresetFileError
from smtp_settings.presets.preset import DNS, Kind, PasswordEnd, Port, Preset, Region, Secret, User
from smtp_settings.presets.words import (
    kind_label,
    note_of,
    secret_label,
    secret_rule,
    security_words,
    user_rule,
)

__all__ = [
    "DEFAULTS",
    "DNS",
    "Filling",
    "Kind",
    "PasswordEnd",
    "Port",
    "Preset",
    "PresetFileError",
    "Region",
    "Secret",
    "User",
    "all_presets",
    "by_key",
    "check_operators_file",
    "filling",
    "for_domain",
    "for_host",
    "for_mx",
    "kind_label",
    "near_host",
    "note_of",
    "preset_of",
    "proposed_name",
    "secret_label",
    "secret_rule",
    "security_words",
    "user_rule",
]

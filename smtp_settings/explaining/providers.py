"""What the diagnosis is told of the provider: the presets, in its own form."""

from collections.abc import Mapping
from typing import Any

from smtp_settings.diagnosis import STANDARD_WAYS, Known
from smtp_settings.presets import near_host, preset_of


def known_of(settings: Mapping[str, Any]) -> Known:  # Any: JSON
    """Return what is known beforehand of the provider these settings reach."""
    host = str(settings.get("host") or "")
    preset = preset_of(str(settings.get("preset") or ""), host)
    if preset is None:
        return Known(near=near_host(host))
    ways = tuple((port.number, port.security) for port in preset.ports)
    return Known(
        provider=preset.name,
        user=preset.user_name,
        per_minute=preset.most.get("per_minute", 0) or preset.fills.get("per_minute", 0),
        ways=ways or STANDARD_WAYS,
    )

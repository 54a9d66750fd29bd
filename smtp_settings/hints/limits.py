"""Hints about limits and retries."""

from collections.abc import Iterator, Mapping

from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings.correction import Correction
from smtp_settings.hints.hint import Hint, Seen, Tone
from smtp_settings.presets import Preset

#: Servers that greylist take a message after some minutes; asked more often, some start anew.
GREYLISTING_SECONDS = 300
_SHORTEST_SECONDS = 60

_ALLOWS: Mapping[str, Promise] = {
    "per_minute": gettext_lazy("%(provider)s allows %(n)s a minute."),
    "per_hour": gettext_lazy("%(provider)s allows %(n)s an hour."),
    "per_day": gettext_lazy("%(provider)s allows %(n)s a day."),
    "max_connections": gettext_lazy("%(provider)s allows %(n)s connections at once."),
    "messages_per_connection": gettext_lazy("%(provider)s allows %(n)s messages per connection."),
    "max_size": gettext_lazy("%(provider)s takes messages of up to %(n)s MB."),
}


def hints(seen: Seen) -> Iterator[Hint]:
    """Say where a limit is above the provider's own, and where retries come too soon."""
    if seen.preset:
        for name in _ALLOWS:
            if is_above(name, seen.number(name), seen.preset):
                yield _above(name, seen.preset)
    if 0 < seen.number("retry_delay") < _SHORTEST_SECONDS:
        label = _("Use %(n)s seconds") % {"n": GREYLISTING_SECONDS}
        yield Hint(
            "retry_delay",
            _("Servers that greylist ask for 5 minutes."),
            corrections=(Correction(label, {"retry_delay": str(GREYLISTING_SECONDS)}),),
        )


def is_above(name: str, number: int, preset: Preset) -> bool:
    """Whether a limit allows more than the provider does; 0, no limit, is not held against anybody."""
    most = preset.most.get(name, 0)
    return 0 < most < number


def _above(name: str, preset: Preset) -> Hint:
    most = preset.most[name]
    value = min(most, preset.fills.get(name, most))
    label = _("Use %(n)s") % {"n": number_format(value, force_grouping=True)}
    said = {"provider": preset.name, "n": number_format(most, force_grouping=True)}
    return Hint(name, str(_ALLOWS[name]) % said, Tone.WARN, (Correction(label, {name: str(value)}),))

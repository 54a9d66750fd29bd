"""The chips of the profile list: by health, provider, method, security and site.

Only what some profile has is offered; one query answers for provider, method and site.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from smtp_settings.admin import health
from smtp_settings.models import DeliveryMethod, Security, SMTPProfile
from smtp_settings.presets import by_key

Choices = Iterable[tuple[str, str | Promise]]

#: What every-site profiles come under in the address.
_EVERY = "every"


def _present(request: HttpRequest) -> list[tuple[str, str, int | None, str | None]]:
    """Return what profiles have: preset, method, site id and domain; read once a request."""
    known: list[tuple[str, str, int | None, str | None]] | None = getattr(request, "profile_chips", None)
    if known is None:
        rows = SMTPProfile.objects.order_by("preset", "transport", "sites__domain")
        known = list(rows.values_list("preset", "transport", "sites__id", "sites__domain").distinct())
        request.profile_chips = known  # type: ignore[attr-defined]  # for the chips of this page only
    return known


class _Chip(SimpleListFilter):
    """A chip is there when there is something to choose between."""

    def has_output(self) -> bool:
        """Show it for more than one choice, or to be taken off."""
        return len(self.lookup_choices) > 1 or self.value() is not None


class HealthChip(_Chip):
    """By health, which no column holds: `ProfileList` does the work."""

    title = _("Health")  # type: ignore[assignment]  # the stubs know no lazy text
    parameter_name = "health"

    def lookups(
        self, request: HttpRequest, model_admin: Any
    ) -> Iterable[tuple[str, str | Promise]]:  # Any: as Django
        """Offer every kind."""
        return [(kind.value, label) for kind, label in health.LABELS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SMTPProfile]) -> QuerySet[SMTPProfile]:
        """Leave the rows as they are."""
        return queryset


class ProviderChip(_Chip):
    """By the preset a profile was made from."""

    title = _("Provider")  # type: ignore[assignment]  # as above
    parameter_name = "provider"

    def lookups(
        self, request: HttpRequest, model_admin: Any
    ) -> Iterable[tuple[str, str | Promise]]:  # Any: as Django
        """Offer the presets in use."""
        keys = sorted({preset for preset, *_rest in _present(request)})
        return [(key or "own", _name_of(key)) for key in keys]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SMTPProfile]) -> QuerySet[SMTPProfile]:
        """Narrow down to one preset."""
        value = self.value()
        if value is None:
            return queryset
        return queryset.filter(preset="" if value == "own" else value)


def _name_of(key: str) -> str | Promise:
    preset = by_key(key) if key else None
    return preset.name if preset is not None else (key or _("Other / own server"))


class MethodChip(_Chip):
    """By delivery method."""

    title = _("Method")  # type: ignore[assignment]  # as above
    parameter_name = "method"

    def lookups(
        self, request: HttpRequest, model_admin: Any
    ) -> Iterable[tuple[str, str | Promise]]:  # Any: as Django
        """Offer the methods in use."""
        used = {transport for _preset, transport, *_rest in _present(request)}
        return [(method.value, method.label) for method in DeliveryMethod if method in used]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SMTPProfile]) -> QuerySet[SMTPProfile]:
        """Narrow down to one method."""
        value = self.value()
        return queryset.filter(transport=value) if value is not None else queryset


class SecurityChip(_Chip):
    """By when TLS begins, in short words."""

    title = _("Security")  # type: ignore[assignment]  # as above
    parameter_name = "security"

    def lookups(
        self, request: HttpRequest, model_admin: Any
    ) -> Iterable[tuple[str, str | Promise]]:  # Any: as Django
        """Offer all three."""
        return [
            (Security.STARTTLS.value, "STARTTLS"),
            (Security.TLS.value, _("TLS from the first byte")),
            (Security.NONE.value, _("Not encrypted")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SMTPProfile]) -> QuerySet[SMTPProfile]:
        """Narrow down to one."""
        value = self.value()
        return queryset.filter(security=value) if value is not None else queryset


class SiteChip(_Chip):
    """By site; a profile without one serves every site."""

    title = _("Site")  # type: ignore[assignment]  # as above
    parameter_name = "site"

    def lookups(
        self, request: HttpRequest, model_admin: Any
    ) -> Iterable[tuple[str, str | Promise]]:  # Any: as Django
        """Offer the sites that profiles name."""
        sites = {site_id: domain for *_rest, site_id, domain in _present(request) if site_id is not None}
        named = sorted(sites.items(), key=lambda item: str(item[1]))
        return [*((str(site_id), str(domain)) for site_id, domain in named), (_EVERY, _("Every site"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SMTPProfile]) -> QuerySet[SMTPProfile]:
        """Narrow down to one site's own, or to those of every site."""
        value = self.value()
        if value == _EVERY:
            return queryset.filter(sites=None)
        if value is None:
            return queryset
        is_number = value.isascii() and value.isdigit() and len(value) < 10
        return queryset.filter(sites=int(value)) if is_number else queryset.none()


CHIPS = (HealthChip, ProviderChip, MethodChip, SecurityChip, SiteChip)

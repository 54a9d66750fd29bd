"""The chips of the profile list: by health, provider, method, security and site.

Only what some profile has is offered; one query answers for provider, method and site.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from smtp_settings.admin import health
from smtp_settings.models import DeliveryMethod, Security, SMTPProfile
from smtp_settings.presets import by_key

Choices = Iterable[tuple[str, Any]]  # Any: text, lazy or not; the stubs have a type of their own

#: What every-site profiles come under in the address.
_EVERY = "every"


@dataclass(frozen=True, slots=True)
class _Known:
    """What a profile has, once for each of its sites."""

    profile_id: int
    preset: str
    transport: str
    site_id: int | None
    domain: str | None


def _known(request: HttpRequest) -> list[_Known]:
    """Return what the profiles have; read once a request."""
    known: list[_Known] | None = getattr(request, "profile_chips", None)
    if known is None:
        rows = SMTPProfile.objects.order_by("sites__domain", "pk")
        columns = ("pk", "preset", "transport", "sites__id", "sites__domain")
        known = [_Known(*row) for row in rows.values_list(*columns)]
        request.profile_chips = known  # type: ignore[attr-defined]  # for this page only
    return known


def sites_of_all(request: HttpRequest) -> dict[int, list[tuple[int, str]]]:
    """Return the sites of each profile that has any, as id and domain, by domain."""
    found: dict[int, list[tuple[int, str]]] = {}
    for one in _known(request):
        if one.site_id is not None:
            found.setdefault(one.profile_id, []).append((one.site_id, str(one.domain)))
    return found


class _Chip(SimpleListFilter):
    """A chip is there when there is something to choose between."""

    def has_output(self) -> bool:
        """Show it for more than one choice, or to be taken off."""
        return len(self.lookup_choices) > 1 or self.value() is not None


class HealthChip(_Chip):
    """By health, which no column holds: `ProfileList` does the work."""

    title = _("Health")
    parameter_name = "health"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:  # Any: as Django's
        """Offer every kind."""
        return [(kind.value, label) for kind, label in health.LABELS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SMTPProfile]) -> QuerySet[SMTPProfile]:
        """Leave the rows as they are."""
        return queryset


class ProviderChip(_Chip):
    """By the preset a profile was made from."""

    title = _("Provider")
    parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:  # Any: as Django's
        """Offer the presets in use."""
        keys = sorted({one.preset for one in _known(request)})
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

    title = _("Method")
    parameter_name = "method"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:  # Any: as Django's
        """Offer the methods in use."""
        used = {one.transport for one in _known(request)}
        return [(method.value, method.label) for method in DeliveryMethod if method in used]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SMTPProfile]) -> QuerySet[SMTPProfile]:
        """Narrow down to one method."""
        value = self.value()
        return queryset.filter(transport=value) if value is not None else queryset


class SecurityChip(_Chip):
    """By when TLS begins, in short words."""

    title = _("Security")
    parameter_name = "security"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:  # Any: as Django's
        """Offer all three."""
        return [
            (Security.STARTTLS.value, "STARTTLS"),
            (Security.TLS.value, _("TLS from the first byte")),
            (Security.NONE.value, _("Not encrypted")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SMTPProfile]) -> QuerySet[SMTPProfile]:
        """Narrow down to one."""
        value = self.value()
        if value is None:
            return queryset
        return queryset.filter(transport=DeliveryMethod.SMTP, security=value)


class SiteChip(_Chip):
    """By site; a profile without one serves every site."""

    title = _("Site")
    parameter_name = "site"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:  # Any: as Django's
        """Offer the sites that profiles name."""
        sites = {site_id: domain for own in sites_of_all(request).values() for site_id, domain in own}
        named = sorted(sites.items(), key=lambda item: item[1])
        return [*((str(site_id), domain) for site_id, domain in named), (_EVERY, _("Every site"))]

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

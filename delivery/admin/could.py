"""The filter of what could leave by a profile if it were moved: its sender's domain was listed too late."""

from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import Exists, F, Func, OuterRef, Q, QuerySet, TextField
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext_lazy as _

from delivery.admin.asked import number_of
from delivery.admin.states import ENDED, FAILURES
from delivery.models import Message, QueueEntry
from delivery.queue.passed_by import SENDER_DOMAIN, passed_by
from smtp_settings.models import SMTPProfile

_PARAMETER = "could"
_SENDER_DOMAIN = Func(
    F("from_header"),
    template=SENDER_DOMAIN.replace("from_header", "%(expressions)s"),
    output_field=TextField(),
)


def could_of(asked: QueryDict) -> int | None:
    """Read by which profile it could leave; None for any, and on the tabs of what does not wait."""
    return None if asked.get("state", "") in ENDED | FAILURES else number_of(asked.get(_PARAMETER, ""))


class CouldFilter(SimpleListFilter):
    """By which profile it could leave; offered where a link has chosen one, to be taken away.

    The list looks at the newest messages only: no index knows senders.
    """

    title = _("Could leave by")
    parameter_name = _PARAMETER

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> list[tuple[str, Any]]:  # Any: as Django's stubs
        """Offer what is chosen: by its number to those who may not see profiles."""
        chosen = could_of(request.GET)
        if chosen is None:
            return []
        if not request.user.has_perm("smtp_settings.view_smtpprofile"):
            return [(request.GET[_PARAMETER], f"#{chosen}")]
        name = SMTPProfile.objects.filter(pk=chosen).values_list("name", flat=True).first()
        return [(request.GET[_PARAMETER], name if name is not None else _("a removed profile"))]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Message]") -> "QuerySet[Message]":
        """Narrow to what waits in a pool without a domain, from a domain that the profile lists."""
        chosen = could_of(request.GET)
        if chosen is None:
            return queryset
        found = passed_by(chosen)
        quick = Q(pk__in=[])  # no domain, no message
        for domain in found.domains:
            quick |= Q(from_header__icontains=domain)
        waiting = QueueEntry.objects.filter(pk=OuterRef("pk"), lease_id=None, pool_id__in=found.pools)
        return queryset.alias(sender_domain=_SENDER_DOMAIN).filter(
            quick, Exists(waiting), sender_domain__in=found.domains
        )

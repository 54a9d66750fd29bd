"""The filter of what only one profile may send: the list that a refused deletion leads to."""

from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, Q, QuerySet
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext_lazy as _

from delivery.admin.asked import number_of
from delivery.admin.states import ENDED, any_of
from delivery.models import Failure, Message, Pool, QueueEntry
from smtp_settings.admin.records.bounded import COUNT_LIMIT
from smtp_settings.models import SMTPProfile

_PARAMETER = "pinned"


def pinned_of(asked: QueryDict) -> int | None:
    """Read which profile alone may send what an address asks for; None for all, and for what is over."""
    return None if asked.get("state", "") in ENDED else number_of(asked.get(_PARAMETER, ""))


class PinFilter(SimpleListFilter):
    """Which profile alone may send it; offered where a link has chosen one, to be taken away."""

    title = _("Only through")
    parameter_name = _PARAMETER

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> list[tuple[str, Any]]:  # Any: as Django's stubs
        """Offer what is chosen: by its number to those who may not see profiles."""
        self._pools: list[int] = []
        chosen = pinned_of(request.GET)
        if chosen is None:
            return []
        pools = ArraySubquery(Pool.objects.filter(profile_id=OuterRef("pk")).values("pk"))
        found = SMTPProfile.objects.filter(pk=chosen).values_list("name", pools).first()
        name, self._pools = found or (str(_("a removed profile")), [])
        may_see = request.user.has_perm("smtp_settings.view_smtpprofile")
        return [(request.GET[_PARAMETER], name if may_see else f"#{chosen}")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Message]") -> "QuerySet[Message]":
        """Narrow to what waits, or needs a person, and has a way of that profile's."""
        if self.value() is None:
            return queryset
        tables = (  # the first two have an index each
            QueueEntry.objects.filter(lease_id=None),
            QueueEntry.objects.filter(lease_id__isnull=False),
            Failure.objects.all(),
        )
        found = [
            rows.filter(pool_id__in=self._pools).order_by("-pk").values_list("pk", flat=True)
            for rows in tables
        ]
        some = [any_of(ids[: COUNT_LIMIT + 1]) for ids in found]
        return queryset.filter(Q(some[0]) | Q(some[1]) | Q(some[2]))

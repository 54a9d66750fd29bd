"""Lists of any length: counts that stop, and a window of the newest rows that filters and sorting look at.

An exact count of a million rows costs more than the page, and a filter that finds little would read all of
them. Older rows are a link away: the list goes on before a number.
"""

from functools import cached_property
from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

#: What no count passes; one more row is read to know that there are more.
COUNT_LIMIT = 10_000
#: Newest rows that are looked through: their numbers are read from the index in some ten ms.
WINDOW = 100_000


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # not generic at run time
    """Counts at most COUNT_LIMIT rows."""

    @cached_property
    def count(self) -> int:
        """The number of rows, at most COUNT_LIMIT."""
        return min(self._counted, COUNT_LIMIT)

    @cached_property
    def is_capped(self) -> bool:
        """Whether there are more rows than are counted."""
        return self._counted > COUNT_LIMIT

    @cached_property
    def _counted(self) -> int:
        rows = self.object_list
        assert isinstance(rows, QuerySet)  # noqa: S101  # the change list's
        return rows.order_by()[: COUNT_LIMIT + 1].count()


class BeforeFilter(SimpleListFilter):
    """Goes on where the list ends: rows older than a number. It is a link, not a choice."""

    title = gettext_lazy("Older")
    parameter_name = "before"

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> list[tuple[str, str]]:
        """Offer only what is chosen, so that the filter works and shows nothing else."""
        before = before_of(request)
        return [] if before is None else [(str(before), f"#{before}")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        """Narrow to older rows."""
        before = before_of(request)
        return queryset if before is None else queryset.filter(pk__lt=before)


def before_of(request: HttpRequest) -> int | None:
    """Return the number the address goes on before."""
    chosen = request.GET.get(BeforeFilter.parameter_name, "")
    return int(chosen) if chosen.isascii() and chosen.isdigit() and len(chosen) < 19 else None


def floor_of(rows: "QuerySet[Any]", before: int | None) -> int | None:
    """Return the id of the newest row that a window no longer holds; None when it holds all."""
    older = rows if before is None else rows.filter(pk__lt=before)
    found: int | None = older.order_by("-pk").values_list("pk", flat=True)[WINDOW : WINDOW + 1].first()
    return found


class BoundedList(ChangeList):
    """The change list of a log: it looks at the newest rows, or at those before a number."""

    floor: int | None = None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> "QuerySet[Any]":
        """Narrow to the window; a log that fits into it is not narrowed."""
        # Any: as ChangeList
        rows = super().get_queryset(request, exclude_parameters)
        self.floor = floor_of(self.model._default_manager.all(), before_of(request))
        return rows if self.floor is None else rows.filter(pk__gt=self.floor)

    @property
    def window(self) -> int:
        """How many rows are looked through."""
        return WINDOW

    @property
    def range_shown(self) -> tuple[int, int]:
        """The first and last row of this page, counted from 1."""
        first = (self.page_num - 1) * self.list_per_page + 1
        return first, first + len(self.result_list) - 1

    @property
    def older(self) -> str:
        """The link to what comes after the last counted page; "" where nothing does.

        Sorted by anything but time there is no last row to go on from: then behind the window.
        """
        if self.page_num < self.paginator.num_pages:
            return ""
        rows = list(self.result_list)
        if getattr(self.paginator, "is_capped", False) and ORDER_VAR not in self.params and rows:
            return self.get_query_string({"before": rows[-1].pk}, ["p"])
        return self.get_query_string({"before": self.floor + 1}, ["p"]) if self.floor is not None else ""

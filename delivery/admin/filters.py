"""The filters of the list of messages, and the choice that a job gets of them.

A little long, so that each chip stands beside what a job reads of it.
"""

from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR
from django.contrib.sites.models import Site
from django.core.cache import cache
from django.db.models import Q, QuerySet
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext_lazy as _

from delivery import jobs
from delivery.admin.asked import (
    PERIODS,
    REPLIES,
    number_of,
    period_words,
    reply_of,
    reply_words,
    since_of,
)
from delivery.admin.could import CouldFilter, could_of
from delivery.admin.pins import PinFilter, pinned_of
from delivery.admin.sentences import cause_words
from delivery.admin.states import FAILURES, State, any_of, messages_in
from delivery.models import Failure, Message, MessageState, QueueEntry
from smtp_settings.admin.records.bounded import COUNT_LIMIT, BeforeFilter, before_of
from smtp_settings.models import SMTPProfile

#: Sites that are offered, and seconds for which the same are.
_MOST_SITES, _KEPT_SECONDS = 200, 10
_SITES, _PROFILES = "mailconf.messages.sites", "mailconf.messages.profiles"
#: The word of an address for messages that have no site.
_NO_SITE = "none"


class StateFilter(SimpleListFilter):
    """The tabs."""

    title = _("Status")
    parameter_name = "state"

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> list[tuple[str, Any]]:  # Any: as Django's stubs
        """Offer the nine states."""
        return list(State.choices)

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Message]") -> "QuerySet[Message]":
        """Narrow to the chosen state and by what belongs to its list; an unknown word narrows nothing."""
        chosen = self.value()
        if chosen not in State.values:
            return queryset
        # A search, a site, a pin or another order is not about the newest.
        is_plain = not request.GET.keys() & {
            SEARCH_VAR,
            ORDER_VAR,
            SiteFilter.parameter_name,
            PinFilter.parameter_name,
            CouldFilter.parameter_name,
        }
        newest = COUNT_LIMIT + 1 if is_plain else None
        narrowed = _of_failures(request.GET) if chosen in FAILURES else None
        return messages_in(
            State(chosen),
            queryset,
            newest=newest,
            before=before_of(request),
            narrowed=narrowed,
            floor=getattr(request, "floor", None),
            also=getattr(getattr(request, "search", None), "number", None),
        )


class _Chosen(SimpleListFilter):
    """What narrows a list of what needs a person; the state's filter does it.

    What a link chose is offered beside the usual, to be taken away.
    """

    def usual(self) -> list[tuple[str, Any]]:  # Any: lazy words
        """Return what is always offered."""
        return []

    def words(self, chosen: str, request: HttpRequest) -> str:
        """Say what was chosen."""
        raise NotImplementedError

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> list[tuple[str, Any]]:  # Any: as Django's stubs
        """Offer the usual and what else is chosen, on the tabs that have such columns."""
        if request.GET.get(StateFilter.parameter_name) not in FAILURES:
            return []
        usual, chosen = self.usual(), request.GET.get(str(self.parameter_name))
        if chosen is None or chosen in {value for value, _words in usual}:
            return usual
        return [*usual, (chosen, self.words(chosen, request))]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Message]") -> "QuerySet[Message]":
        """Change nothing: see the state's filter."""
        return queryset


class CauseFilter(_Chosen):
    """Why it failed, is held or expired."""

    title = _("Cause")
    parameter_name = "cause"

    def words(self, chosen: str, request: HttpRequest) -> str:
        """Say the cause."""
        return cause_words(request.GET.get("state", ""), chosen)


class ProfileFilter(_Chosen):
    """Who had it last."""

    title = _("Profile")
    parameter_name = "profile"

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> list[tuple[str, Any]]:  # Any: as above
        """Offer none to those who may not see profiles: the names are not for them."""
        if not request.user.has_perm("smtp_settings.view_smtpprofile"):
            return []
        return super().lookups(request, model_admin)

    def usual(self) -> list[tuple[str, Any]]:  # Any: as above
        """Offer the profiles there are."""
        kept: list[tuple[str, str]] | None = cache.get_or_set(_PROFILES, _read_profiles, _KEPT_SECONDS)
        return list(kept or [])

    def words(self, chosen: str, request: HttpRequest) -> str:
        """Say the name."""
        return profile_name(number_of(chosen))


class PeriodFilter(_Chosen):
    """Since when it has failed, is held or expired; a link may name a moment."""

    title = _("Period")
    parameter_name = "since"

    def usual(self) -> list[tuple[str, Any]]:  # Any: as above
        """Offer the usual spans."""
        return list(PERIODS.items())

    def words(self, chosen: str, request: HttpRequest) -> str:
        """Say the moment."""
        return period_words(since_of(chosen))


class ReplyFilter(_Chosen):
    """What the server replied last."""

    title = _("Reply")
    parameter_name = "reply"

    def usual(self) -> list[tuple[str, Any]]:  # Any: as above
        """Offer the classes; an address may name a code."""
        return list(REPLIES.items())

    def words(self, chosen: str, request: HttpRequest) -> str:
        """Say the code."""
        return reply_words(chosen)


class UncertainFilter(SimpleListFilter):
    """Messages handed over without a readable answer."""

    title = _("Mark")
    parameter_name = "uncertain"

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> list[tuple[str, Any]]:  # Any: as Django's stubs
        """Offer the one mark there is."""
        return [("1", _("Uncertain"))]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Message]") -> "QuerySet[Message]":
        """Narrow to marked messages: the mark is kept while they wait or need a person."""
        if self.value() != "1":
            return queryset
        waiting = QueueEntry.objects.filter(uncertain=True).values_list("pk", flat=True)
        needing = Failure.objects.filter(uncertain=True).values_list("pk", flat=True)
        some = [any_of(rows.order_by("-pk")[: COUNT_LIMIT + 1]) for rows in (waiting, needing)]
        return queryset.filter(Q(some[0]) | Q(some[1]))


class SiteFilter(SimpleListFilter):
    """Whose mail it is; the list looks at the newest messages only, for no index knows sites."""

    title = _("Site")
    parameter_name = "site"

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Any]"
    ) -> list[tuple[str, Any]]:  # Any: as Django's stubs
        """Offer no site, and the sites there are; one that is gone can still be asked for by its number."""
        kept: list[tuple[str, str]] | None = cache.get_or_set(_SITES, _read_sites, _KEPT_SECONDS)
        offered, chosen = kept or [], site_of(request.GET)
        is_known = not chosen or str(chosen) in {pk for pk, _domain in offered}
        gone = [] if is_known else [(str(chosen), f"#{chosen}")]
        return [(_NO_SITE, _("No site")), *offered, *gone]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Message]") -> "QuerySet[Message]":
        """Narrow down; an unknown word narrows nothing."""
        chosen = site_of(request.GET)
        if chosen is None:
            return queryset
        return queryset.filter(site_id=chosen) if chosen else queryset.filter(site__isnull=True)


def _read_profiles() -> list[tuple[str, str]]:
    rows = SMTPProfile.objects.order_by("name").values_list("pk", "name")[:_MOST_SITES]
    return [(str(pk), name) for pk, name in rows]


def _read_sites() -> list[tuple[str, str]]:
    rows = Site.objects.order_by("domain").values_list("pk", "domain")[:_MOST_SITES]
    return [(str(pk), domain) for pk, domain in rows]


#: Those that only the lists of what needs a person have.
_OF_FAILURES = (CauseFilter, ProfileFilter, PeriodFilter, ReplyFilter)
OF_FAILURES = frozenset(kind.parameter_name for kind in _OF_FAILURES)
#: In the order of the chips.
CHIPS = (StateFilter, UncertainFilter, SiteFilter, PinFilter, CouldFilter, *_OF_FAILURES, BeforeFilter)
#: The filters an address may name; with any other, a column could be searched by guessing.
FILTERS = frozenset(kind.parameter_name for kind in CHIPS)
#: Those that mean nothing of what is over, and of what needs a person.
OF_WAITING = frozenset({PinFilter.parameter_name, CouldFilter.parameter_name})
NOT_OF_FAILURES = frozenset({CouldFilter.parameter_name})


def choice_of(asked: QueryDict) -> jobs.Choice:
    """Read the filter of an address as the list does: what it would ignore is ignored."""
    state = asked.get("state", "")
    has_cause = state in FAILURES
    before = number_of(asked.get("before", ""), most=2**63 - 1)
    return jobs.Choice(
        state=MessageState(state) if state in State.values else None,
        cause=asked.get("cause") if has_cause else None,
        profile_id=number_of(asked.get("profile", "")) if has_cause else None,
        recipient=asked.get(SEARCH_VAR, "").strip(),
        before=before,
        only_uncertain=asked.get("uncertain") == "1",
        site_id=site_of(asked),
        since=since_of(asked.get("since", "")) if has_cause else None,
        reply=reply_of(asked.get("reply", "")) if has_cause else "",
        pinned_id=pinned_of(asked),
        could_id=could_of(asked),
    )


def address_of(choice: jobs.Choice) -> dict[str, str]:
    """Give the parameters of the list that shows what a choice means."""
    wanted = {
        "state": choice.state.value if choice.state is not None else "",
        "cause": choice.cause,
        "profile": "" if choice.profile_id is None else str(choice.profile_id),
        SEARCH_VAR: choice.recipient,
        "before": "" if choice.before is None else str(choice.before),
        "uncertain": "1" if choice.only_uncertain else "",
        "site": "" if choice.site_id is None else str(choice.site_id or _NO_SITE),
        "since": "" if choice.since is None else choice.since.isoformat(),
        "reply": choice.reply,
        "pinned": "" if choice.pinned_id is None else str(choice.pinned_id),
        "could": "" if choice.could_id is None else str(choice.could_id),
    }
    return {name: value for name, value in wanted.items() if value or (name == "cause" and value is not None)}


def site_of(asked: QueryDict) -> int | None:
    """Read which site an address asks for: its number, 0 for none, None for any."""
    text = asked.get("site", "")
    return 0 if text == _NO_SITE else number_of(text) or None


def profile_name(profile_id: int | None) -> str:
    """Name a profile."""
    name = SMTPProfile.objects.filter(pk=profile_id or 0).values_list("name", flat=True).first()
    return str(name) if name is not None else str(_("a removed profile"))


def site_name(site_id: int) -> str:
    """Name a site, or say that there is none."""
    if not site_id:
        return str(_("No site"))
    domain = Site.objects.filter(pk=site_id).values_list("domain", flat=True).first()
    return str(domain) if domain is not None else f"#{site_id}"


def _of_failures(asked: QueryDict) -> Q:
    wanted = Q()
    if (cause := asked.get("cause")) is not None:
        wanted &= Q(cause=cause)
    if (profile_id := number_of(asked.get("profile", ""))) is not None:
        wanted &= Q(profile_id=profile_id)
    if (since := since_of(asked.get("since", ""))) is not None:
        wanted &= Q(at__gte=since)
    if (reply := reply_of(asked.get("reply", ""))) == jobs.NO_REPLY:
        wanted &= Q(code=None)
    elif (codes := jobs.reply_range(reply)) is not None:
        wanted &= Q(code__range=codes)
    return wanted

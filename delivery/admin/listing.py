"""The list of messages: capped counts, our own filters only, the facts of a page in a handful of queries."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from delivery import stats
from delivery.admin.blind import Blind
from delivery.admin.content import PERMISSION
from delivery.admin.could import could_of
from delivery.admin.filters import (
    FILTERS,
    NOT_OF_FAILURES,
    OF_FAILURES,
    OF_WAITING,
    StateFilter,
    site_of,
)
from delivery.admin.searching import in_window, search_for
from delivery.admin.sentences import words_of
from delivery.admin.states import ENDED, FAILURES, OPEN, Standing, State, standings
from delivery.admin.waiting import WhyNot, whys_of
from delivery.models import Attempt, Message
from smtp_settings.admin.records import bounded
from smtp_settings.admin.records.bounded import COUNT_LIMIT, CappedPaginator, before_of, floor_of
from smtp_settings.models import SMTPProfile

#: Rows of a page.
PAGE_SIZE = 50
#: What a link to another tab leaves behind.
_OF_ONE_TAB = ["before", *sorted(OF_FAILURES)]


@dataclass(frozen=True, slots=True)
class Tab:
    """One link of the row of states."""

    label: str | Promise
    url: str
    is_current: bool
    count: str


@dataclass(frozen=True, slots=True)
class Line:
    """What one row of the list shows besides the message itself."""

    standing: Standing
    profile: str
    reply: str
    why: WhyNot | None = None


class MessageList(ChangeList):
    """The change list: attaches `line` to each message of the page."""

    #: The newest message that is not looked at, where a state has no list of its own.
    floor: int | None = None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> "QuerySet[Message]":
        """Find a site's, a sender's, sent, cancelled or suppressed ones among the newest: no index has them.

        So it is with those of a common start of an address. Of any other all are found, wherever they lie.
        """
        # Any: as ChangeList
        search = search_for(self.query)
        is_of_newest = (
            self.params.get(StateFilter.parameter_name) in ENDED
            or site_of(request.GET) is not None
            or could_of(request.GET) is not None
        )
        if is_of_newest if search is None else search.is_common:
            self.floor = floor_of(Message.objects.all(), before_of(request))
        request.search = search  # type: ignore[attr-defined]  # read by `MessageAdmin.get_search_results`
        request.floor = self.floor  # type: ignore[attr-defined]  # read by the state's filter
        rows = super().get_queryset(request, exclude_parameters)
        if self.floor is None:
            return rows
        return in_window(rows, search, floor=self.floor, before=before_of(request))

    def get_filters_params(self, params: dict[str, Any] | None = None) -> dict[str, Any]:  # Any: as Django's
        """Return the filters of the address; one that does not exist is left out, here and in all links.

        An old bookmark or a mistyped address then shows more than was meant, never an error. Django asks
        before anything is read, so no other column is looked at.
        """
        found = super().get_filters_params(params)
        state = found.get(StateFilter.parameter_name, [""])[-1]
        known = FILTERS - (NOT_OF_FAILURES if state in FAILURES else OF_FAILURES)
        known -= OF_WAITING if state in ENDED else frozenset()
        for name in found.keys() - known:
            del found[name]
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        return found

    def get_results(self, request: HttpRequest) -> None:
        """Read the page, then what belongs to its rows; never more than the page."""
        super().get_results(request)
        self.result_list = list(self.result_list)
        for message, line in lines(
            self.result_list,
            may_see_content=request.user.has_perm(PERMISSION),
            may_see_profiles=request.user.has_perm("smtp_settings.view_smtpprofile"),
        ):
            message.line = line  # type: ignore[attr-defined]  # read by the columns

    @property
    def next_messages(self) -> tuple[str, datetime] | None:
        """Where to go on after the last counted page: the link and the time of its oldest row."""
        paginator = self.paginator
        if not isinstance(paginator, CappedPaginator) or self.page_num != paginator.num_pages:
            return None
        if paginator.is_capped and self.result_list:
            oldest = self.result_list[len(self.result_list) - 1]
            return self.get_query_string({"before": oldest.pk}, ["p"]), oldest.created_at
        if self.floor is None:
            return None
        newest_left = Message.objects.only("created_at").get(pk=self.floor)
        return self.get_query_string({"before": self.floor + 1}, ["p"]), newest_left.created_at

    @property
    def older(self) -> str:
        """The link to go on with, "" for none: where the newest hold nothing, the page still has it."""
        following = self.next_messages
        return following[0] if following is not None else ""

    @property
    def window(self) -> int | None:
        """How many of the newest messages were looked through, None for all."""
        return None if self.floor is None else bounded.WINDOW

    @property
    def range_shown(self) -> tuple[int, int]:
        """The first and last row of this page, counted from 1."""
        first = (self.page_num - 1) * self.list_per_page + 1
        return first, first + len(self.result_list) - 1

    def tabs(self) -> list[Tab]:
        """Return the links to the states, with counts that are at most ten seconds old."""
        chosen = self.params.get(StateFilter.parameter_name, "")
        everything = Tab(
            _("All"), self.get_query_string(remove=["state", *_OF_ONE_TAB]), chosen not in State.values, ""
        )
        counts = stats.cached_counts()
        return [everything] + [
            Tab(
                state.label,
                self.get_query_string({"state": state.value}, _OF_ONE_TAB),
                chosen == state.value,
                shown_count(counts[stats.MessageState(state.value)]),
            )
            for state in State
        ]


def shown_count(number: int) -> str:
    """Write a capped count; nothing for none, so that the eye finds what there is."""
    if number > COUNT_LIMIT:
        return f"{COUNT_LIMIT:,}+"
    return f"{number:,}" if number else ""


def lines(
    messages: "list[Message]", *, may_see_content: bool, may_see_profiles: bool
) -> list[tuple[Message, Line]]:
    """Read what belongs to these messages: standing, profile's name, last reply, why one that waits does.

    Without the content permission a reply names no recipient but the first, whom the row shows: which of the
    others are blind is in the content, and that would be fifty readings. Who may not see profiles is told no
    name of one.
    """
    standing = standings(messages)
    waiting = [
        message.pk for message in messages if standing[message.pk].next_try_at or message.reply is None
    ]
    last = {attempt.message_id: attempt for attempt in _last_attempts(waiting)}
    profile_ids = {known.profile_id for known in standing.values() if known.profile_id is not None}
    names: dict[int, str] = {}
    whys: dict[int, WhyNot] = {}
    if still_open := [pk for pk, known in standing.items() if known.state in OPEN]:
        snapshot = stats.snapshot_of_page(still_open)
        if may_see_profiles:
            names = {server.profile_id: server.name for server in snapshot.servers}
        whys = whys_of(snapshot, may_see_profiles=may_see_profiles)
    elif profile_ids and may_see_profiles:
        names = dict(SMTPProfile.objects.filter(pk__in=profile_ids).values_list("pk", "name"))
    return [
        (
            message,
            Line(
                standing[message.pk],
                names.get(standing[message.pk].profile_id or 0, ""),
                Blind([] if may_see_content else message.rcpt_to[1:], may_see_profiles=may_see_profiles).mask(
                    reply_of(last[message.pk]) if message.pk in last else words_of(message)
                ),
                whys.get(message.pk),
            ),
        )
        for message in messages
    ]


def reply_of(attempt: Attempt) -> str:
    """Return what the server said, or what happened instead."""
    return words_of(attempt) or str(Attempt.Result(attempt.outcome).label)


def _last_attempts(message_ids: list[int]) -> "QuerySet[Attempt]":
    return (
        Attempt.objects.filter(message_id__in=message_ids)
        .order_by("message_id", "-pk")
        .distinct("message_id")
        .defer("transcript")
        if message_ids
        else Attempt.objects.none()
    )

"""What may be done with all messages of a list, and with those that failed for one cause."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from delivery import jobs, stats
from delivery.admin import actions, job_words
from delivery.admin.filters import address_of, choice_of
from delivery.admin.sentences import cause_words
from delivery.admin.states import FAILURES, State
from delivery.queue import SmallState
from smtp_settings.models import SMTPProfile

#: Messages a minute that a group is offered to go again at: enough to see whether the cause is gone.
PACE = 100


@dataclass(frozen=True, slots=True)
class ForAll:
    """One act for everything a list shows: a link to the question."""

    action: actions.Action
    url: str


@dataclass(frozen=True, slots=True)
class Group:
    """Messages that need a person for one cause: how many, why, after which profile, and what may be done."""

    count: int
    cause: str
    profile: str
    profile_id: int | None
    url: str
    acts: list[ForAll]


def for_all(request: HttpRequest) -> list[ForAll]:
    """Return what this person may do with all that the list shows."""
    return _acts(request, choice_of(request.GET))


def groups(request: HttpRequest) -> list[Group]:
    """Return the failures of the tab by cause; none where the list is narrowed already."""
    choice = choice_of(request.GET)
    state = None if choice.state is None else State(choice.state.value)
    if state not in FAILURES or choice != jobs.Choice(state=choice.state):
        return []
    found = stats.failure_groups(SmallState[state.name])
    ids = {group.profile_id for group in found if group.profile_id is not None}
    if not request.user.has_perm("smtp_settings.view_smtpprofile"):
        ids = set()  # no names for them
    names = dict(SMTPProfile.objects.filter(pk__in=ids).values_list("pk", "name")) if ids else {}
    return [_group(request, group, state, names) for group in found]


def _group(request: HttpRequest, group: stats.FailureGroup, state: State, names: dict[int, str]) -> Group:
    choice = jobs.Choice(
        state=stats.MessageState(state.value), cause=group.cause, profile_id=group.profile_id
    )
    is_there = group.profile_id in names
    return Group(
        count=group.count,
        cause=cause_words(state, group.cause),
        profile=names.get(group.profile_id or 0, ""),
        profile_id=group.profile_id if is_there else None,
        url=job_words.list_of(choice),
        acts=[one for one in _acts(request, choice, pace=PACE) if jobs.ACTS[one.action.name].sends],
    )


def _acts(request: HttpRequest, choice: jobs.Choice, *, pace: int = 0) -> list[ForAll]:
    """Return what this person may do with all that a choice means, each with the address of the question."""
    page = reverse("admin:delivery_bulkjob_start")
    state = None if choice.state is None else State(choice.state.value)
    return [
        ForAll(action, f"{page}?{urlencode(_asked(action, choice, pace))}")
        for action in actions.allowed_for_all(request, state)
    ]


def _asked(action: actions.Action, choice: jobs.Choice, pace: int) -> dict[str, str]:
    asked = {"action": action.name} | address_of(choice)
    return asked | ({"pace": str(pace)} if pace else {})

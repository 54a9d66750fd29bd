"""Jobs in words: what they do, to which messages, how far they are and what they left out."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from delivery import jobs
from delivery.admin import actions
from delivery.admin.asked import period_words, reply_words
from delivery.admin.filters import address_of, profile_name, site_name
from delivery.admin.moving import WHY_LEFT, destination_words
from delivery.admin.sentences import cause_words
from delivery.admin.states import State
from delivery.models import BulkJob
from delivery.reading import one_line
from delivery.showing import clock

#: What a job is called while it goes on and afterwards.
TITLES: dict[str, Promise] = {
    "retry": gettext_lazy("Retrying messages"),
    "release": gettext_lazy("Releasing messages"),
    "hold": gettext_lazy("Holding messages"),
    "cancel": gettext_lazy("Cancelling messages"),
    "move": gettext_lazy("Moving messages"),
}
TONES = {
    BulkJob.State.RUNNING: "is-info",
    BulkJob.State.DONE: "is-ok",
    BulkJob.State.STOPPED: "is-quiet",
}
#: Why messages were skipped, by the stable word of the job; any other word is a state.
_REASONS: dict[str, Promise] = {
    "content": gettext_lazy("without content"),
    "uncertain": gettext_lazy("may have arrived"),
    "removed": gettext_lazy("removed"),
    "sent": gettext_lazy("already sent"),
    **WHY_LEFT,
}
#: Fewer than this done say nothing about the speed.
_LEAST = 20


@dataclass(frozen=True, slots=True)
class Skipped:
    """Messages left out for one reason, and the list they are in now, "" for none."""

    count: int
    reason: str
    url: str


@dataclass(frozen=True, slots=True)
class Progress:
    """What a job's page shows of it. `value` of `of` is how far the bar is."""

    job: BulkJob
    title: str
    value: int
    of: int
    sentence: str
    rate: str
    stalled: str
    skipped: list[Skipped]
    seq: str

    @property
    def is_running(self) -> bool:
        """Whether there is anything to wait for."""
        return self.job.state == BulkJob.State.RUNNING

    @property
    def tone(self) -> str:
        """The badge's tone."""
        return TONES[BulkJob.State(self.job.state)]


def title_of(job: BulkJob) -> str:
    """Say what a job does."""
    return str(TITLES.get(job.action, job.action))


def filter_words(
    choice: jobs.Choice,
    *,
    with_names: bool = True,
    may_see_profiles: bool = True,
    to: jobs.Destination | None = None,
) -> list[tuple[str, str]]:
    """Say which messages a filter shows, a pair each: what it looks at, and for what.

    Without names profiles and sites are numbers, and nothing is asked for; a profile's name is left out for
    those who may not see profiles, too. `to` is where a job moves them.
    """
    is_named = with_names and may_see_profiles
    found = list(_filter(choice, with_names=with_names, may_see_profiles=may_see_profiles))
    if to is not None:
        name = profile_name(to.profile_id) if is_named and to.profile_id is not None else ""
        found.append((_("Where to"), destination_words(to, name)))
    return found


def _filter(choice: jobs.Choice, *, with_names: bool, may_see_profiles: bool) -> Iterator[tuple[str, str]]:
    state = State(choice.state.value) if choice.state is not None else None
    # Not "Status": the job has one of its own beside it.
    of_any = _("any that waits") if choice.could_id is not None else _("any that waits or needs a person")
    yield _("Chosen"), str(state.label) if state else of_any
    yield from _filter_of_failures(choice, state)
    for what, profile_id in (
        (_("Profile"), choice.profile_id),
        (_("Only through"), choice.pinned_id),
        (_("Could leave by"), choice.could_id),
    ):
        if profile_id is not None:
            is_named = with_names and may_see_profiles
            yield what, profile_name(profile_id) if is_named else f"#{profile_id}"
    if choice.site_id is not None:
        is_plain = with_names or not choice.site_id
        yield _("Site"), site_name(choice.site_id) if is_plain else f"#{choice.site_id}"
    if choice.recipient:
        yield _("Recipient or number"), one_line(choice.recipient, 100)
    if choice.only_uncertain:
        yield _("Mark"), _("Uncertain")
    if choice.before is not None:
        yield _("Older than"), f"#{choice.before}"


def _filter_of_failures(choice: jobs.Choice, state: State | None) -> Iterator[tuple[str, str]]:
    if choice.cause is not None:
        yield _("Cause"), cause_words(state or "", choice.cause)
    if choice.since is not None:
        yield _("Period"), period_words(choice.since)
    if choice.reply:
        yield _("Reply"), reply_words(choice.reply)


def progress_of(job: BulkJob) -> Progress:
    """Say how far a job is."""
    skipped = sum(job.skipped.values())
    value, of = _bar(job, skipped)
    stalled = _stalled(job)
    return Progress(
        job=job,
        title=title_of(job),
        value=value,
        of=of,
        sentence=_sentence(job, skipped),
        rate=_rate(job, value, of) if job.state == BulkJob.State.RUNNING and not stalled else "",
        stalled=stalled,
        skipped=[_skipped(reason, count) for reason, count in sorted(job.skipped.items(), key=_most_first)],
        seq=f"{job.state}-{job.done}-{skipped}-{bool(stalled):d}",
    )


def _most_first(pair: tuple[str, int]) -> tuple[int, str]:
    return -pair[1], pair[0]


def _bar(job: BulkJob, skipped: int) -> tuple[int, int]:
    """How far it is: by messages where they were counted, else by their numbers."""
    if job.state != BulkJob.State.RUNNING:
        return (1, 1) if job.state == BulkJob.State.DONE else (job.done + skipped, max(job.estimate, 1))
    if job.estimate <= jobs.COUNT_LIMIT:
        return min(job.done + skipped, job.estimate), max(job.estimate, 1)
    return job.cursor_id - job.lower_id + 1, job.upper_id - job.lower_id + 1


def _sentence(job: BulkJob, skipped: int) -> str:
    if job.state == BulkJob.State.RUNNING:
        return _going_on(job, skipped)
    action = actions.BY_NAME.get(job.action)
    done = str(action.done % {"n": job.done}) if action and job.done else ""  # type: ignore[operator]  # a lazy ngettext
    parts = [done or _("Nothing was done.")]
    if job.state == BulkJob.State.STOPPED:
        parts.append(_("It was stopped; what was done stays done."))
    if skipped:
        parts.append(ngettext("%(n)s was skipped.", "%(n)s were skipped.", skipped) % {"n": f"{skipped:,}"})
    return " ".join(parts)


def _going_on(job: BulkJob, skipped: int) -> str:
    numbers = {"done": f"{job.done:,}", "of": f"{job.estimate:,}", "skipped": f"{skipped:,}"}
    if job.estimate > jobs.COUNT_LIMIT:
        numbers["of"] = f"{jobs.COUNT_LIMIT:,}"
        return _("%(done)s of more than %(of)s done, %(skipped)s skipped") % numbers
    return _("%(done)s of %(of)s done, %(skipped)s skipped") % numbers


def _rate(job: BulkJob, value: int, of: int) -> str:
    """Say how fast it is and how long it will take, as soon as that can be told."""
    if job.per_minute:
        return ngettext("%(n)s a minute at most.", "%(n)s a minute at most.", job.per_minute) % {
            "n": f"{job.per_minute:,}"
        } + _left(timedelta(minutes=(of - value) / job.per_minute if job.estimate <= jobs.COUNT_LIMIT else 0))
    if job.began_at is None or value < _LEAST:
        return ""
    took = job.heartbeat_at - job.began_at
    if took < timedelta(seconds=1):
        return ""
    rate = round((job.done + sum(job.skipped.values())) / took.total_seconds())
    return _("About %(n)s a second.") % {"n": f"{rate:,}"} + _left(took * ((of - value) / value))


def _left(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    if span <= timedelta():
        return ""
    if not minutes:
        return " " + _("Less than a minute left.")
    return " " + ngettext("About %(n)d minute left.", "About %(n)d minutes left.", minutes) % {"n": minutes}


def _stalled(job: BulkJob) -> str:
    """Say that no worker is at it; "" when one is."""
    if job.state != BulkJob.State.RUNNING:
        return ""
    seen_at: datetime = max(job.heartbeat_at, job.next_at) if job.began_at else job.created_at
    if timezone.now() - seen_at < timedelta(seconds=jobs.IDLE_SECONDS):
        return ""
    since = clock(seen_at)
    if job.began_at is None:
        return _("No worker has begun with it (asked for at %(when)s). It begins as soon as one runs.") % {
            "when": since
        }
    return _("No worker has gone on with it since %(when)s. It goes on as soon as one runs.") % {
        "when": since
    }


def _skipped(reason: str, count: int) -> Skipped:
    is_state = reason in State.values
    words = _REASONS.get(reason) or (str(State(reason).label).lower() if is_state else reason)
    url = list_of(jobs.Choice(), state=reason) if is_state else ""
    if reason == "uncertain":
        url = list_of(jobs.Choice(only_uncertain=True))
    return Skipped(count, str(words), url)


def list_of(choice: jobs.Choice, **more: str) -> str:
    """Return the address of the list that shows what a choice means."""
    page = reverse("admin:delivery_message_changelist")
    asked = urlencode(address_of(choice) | more)
    return f"{page}?{asked}" if asked else page

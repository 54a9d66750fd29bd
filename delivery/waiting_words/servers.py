"""Why a server takes a message or does not, in words."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from delivery.fitting import MEGABYTE
from delivery.pacing import Kind
from delivery.showing import clock, span
from delivery.waiting import reasons as why
from delivery.waiting.facts import CAP
from delivery.waiting.reasons import Reason
from delivery.waiting_words.telling import Said, Telling, count
from smtp_settings.clearance import standing

_LESS_THAN_A_MINUTE = timedelta(seconds=30)  # as `span` rounds
_RATES: dict[Kind, Promise] = {
    Kind.MINUTE: gettext_lazy("It sends at most %(limit)s a minute."),
    Kind.HOUR: gettext_lazy("It sends at most %(limit)s an hour."),
    Kind.DAY: gettext_lazy("It sends at most %(limit)s a day."),
}


def say_of_server(reason: Reason, telling: Telling) -> Said:
    """Say one server's reason."""
    return _WORDS[type(reason)](reason, telling)


def _same(text: Promise) -> Callable[[Reason, Telling], Said]:
    """Say the same whatever the facts."""
    return lambda _reason, _telling: Said(str(text))


def _not_live(reason: why.NotLive, _telling: Telling) -> Said:
    return Said(standing.line(standing.Standing(standing.Cause(reason.cause))) + ".")


def _by_person(reason: why.PausedByPerson, telling: Telling) -> Said:
    who = (telling.may_name and reason.who) or _("a person")
    return Said(_("Paused by %(who)s since %(since)s.") % {"who": who, "since": clock(reason.since)})


def _by_fault(reason: why.PausedByFault, telling: Telling) -> Said:
    words = reason.words if telling.may_name else ""
    return Said(_("Paused since %(since)s: the server refuses us.") % {"since": clock(reason.since)}, words)


def _breaker(reason: why.BreakerOpen, telling: Telling) -> Said:
    words = reason.words if telling.may_name else ""
    return Said(_("Breaker open until %(at)s.") % {"at": clock(reason.at, seconds=True)}, words)


def _pinned(reason: why.PinnedElsewhere, telling: Telling) -> Said:
    return Said(_("The message may go only through %(name)s.") % {"name": telling.name(reason.profile_id)})


def _sites(reason: why.OtherSites, _telling: Telling) -> Said:
    if reason.site_id is None:
        return Said(_("It serves certain sites only, and this message is of none."))
    return Said(_("It does not serve this site."))


def _senders(reason: why.OtherSenders, _telling: Telling) -> Said:
    if reason.sender_domain is None:
        return Said(_("It serves other From domains only."))
    return Said(_("It does not serve the From domain %(domain)s.") % {"domain": reason.sender_domain})


def _too_large(reason: why.TooLarge, _telling: Telling) -> Said:
    sizes = {"size": _megabytes(reason.size_bytes), "most": _megabytes(reason.most_bytes)}
    return Said(_("Too large: %(size)s, and it takes at most %(most)s.") % sizes)


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / MEGABYTE:.1f} MB"


def _busy(reason: why.AllBusy, _telling: Telling) -> Said:
    said = ngettext(
        "Its one connection is at work.",
        "All its connections are at work (%(taken)d of %(allowed)d).",
        reason.allowed,
    ) % {"taken": reason.taken, "allowed": reason.allowed}
    return Said(said + (" " + _("The server bears no more of them.") if reason.is_learned else ""))


def _rate(reason: why.AtRate, _telling: Telling) -> Said:
    limit = str(_RATES[reason.limit]) % {"limit": f"{reason.number:,}"}
    facts = {"limit": limit, "place": count(reason.place), "span": span(reason.wait)}
    if reason.place >= CAP:
        return Said(_("%(limit)s Position %(place)s.") % facts)
    if reason.wait < _LESS_THAN_A_MINUTE:
        return Said(_("%(limit)s Position %(place)s, %(span)s.") % facts)
    return Said(_("%(limit)s Position %(place)s, about %(span)s.") % facts)


def _spacing(reason: why.Spacing, _telling: Telling) -> Said:
    facts = {"place": count(reason.place), "at": clock(reason.at, seconds=True)}
    if reason.place >= CAP:
        return Said(_("Waits for the send offset. Position %(place)s.") % facts)
    if reason.place > 1:
        return Said(_("Waits for the send offset. Position %(place)s, about %(at)s.") % facts)
    return Said(_("Waits for the send offset until %(at)s.") % facts)


def _takes(reason: why.Takes, _telling: Telling) -> Said:
    if reason.is_probe:
        return Said(_("It takes the message, as the one try after its breaker was open."))
    return Said(_("It takes the message now."))


def _later(reason: why.ComesLater, telling: Telling) -> Said:
    return Said(_("It could; %(name)s comes first.") % {"name": telling.name(reason.profile_id)})


_WORDS: dict[type[Reason], Callable[[Any, Telling], Said]] = {  # Any: the reason of that type
    why.PinnedElsewhere: _pinned,
    why.OtherSites: _sites,
    why.OtherSenders: _senders,
    why.TooLarge: _too_large,
    why.Draft: _same(gettext_lazy("It is a draft.")),
    why.Disabled: _same(gettext_lazy("It is disabled.")),
    why.Untested: _same(gettext_lazy("Not live: it has not passed a test yet.")),
    why.NotLive: _not_live,
    why.PausedByPerson: _by_person,
    why.PausedByFault: _by_fault,
    why.BreakerOpen: _breaker,
    why.Probing: _same(
        gettext_lazy("A worker tries the server with one message; the others wait for the result.")
    ),
    why.AllBusy: _busy,
    why.AtRate: _rate,
    why.Spacing: _spacing,
    why.Takes: _takes,
    why.ComesLater: _later,
}

"""Why a message waits, in half a sentence beside it: for a row of a list.

No place in the line: of many messages none was counted. A moment only where it holds for this very message. A
server's own words are left to the message's page.
"""

from collections.abc import Callable
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from delivery.pacing import Kind
from delivery.showing import clock
from delivery.waiting import reasons as why
from delivery.waiting.reasons import Reason
from delivery.waiting_words.telling import Telling

_RATES: dict[Kind, Promise] = {
    Kind.MINUTE: gettext_lazy("%(name)s is at %(limit)s per minute"),
    Kind.HOUR: gettext_lazy("%(name)s is at %(limit)s per hour"),
    Kind.DAY: gettext_lazy("%(name)s is at %(limit)s per day"),
}


def say_shortly(reason: Reason, telling: Telling) -> str:
    """Say one reason of a message that waits."""
    return _WORDS[type(reason)](reason, telling)


def _same(text: Promise) -> Callable[[Reason, Telling], str]:
    """Say the same whatever the facts."""
    return lambda _reason, _telling: str(text)


def _in_hand(reason: why.InHand, _telling: Telling) -> str:
    if reason.is_silent:
        return _("worker %(id)d is silent: it comes back") % {"id": reason.worker_id}
    return _("in the hands of worker %(id)d") % {"id": reason.worker_id}


def _stranded(reason: why.Stranded, _telling: Telling) -> str:
    if reason.site_id is not None:
        return _("no live profile for this site")
    return _("no live profile for mail of no site")


def _is_next(reason: why.IsNext, telling: Telling) -> str:
    if not telling.may_name:
        return _("in line") if reason.ahead else _("the next in line")
    name = {"name": telling.name(reason.profile_id)}
    return (_("in line for %(name)s") if reason.ahead else _("the next for %(name)s")) % name


def _waits_for(reason: why.WaitsFor, telling: Telling) -> str:
    what = reason.reason
    name = telling.name(reason.profile_id) if telling.may_name else ""
    if isinstance(what, why.AtRate):
        limit = {"name": name or _("the server"), "limit": f"{what.number:,}"}
        return str(_RATES[what.limit]) % limit
    text = _OF_SERVERS[type(what)](what, telling)
    return _("%(name)s: %(why)s") % {"name": name, "why": text} if name else text


def _by_person(reason: why.PausedByPerson, telling: Telling) -> str:
    return _("paused by %(who)s") % {"who": (telling.may_name and reason.who) or _("a person")}


def _breaker(reason: why.BreakerOpen, _telling: Telling) -> str:
    if reason.at is None:
        return _("breaker open")
    return _("breaker open until %(at)s") % {"at": clock(reason.at)}


def _busy(reason: why.AllBusy, _telling: Telling) -> str:
    return ngettext(
        "its one connection is in use", "all %(allowed)d connections are in use", reason.allowed
    ) % {"allowed": reason.allowed}


def _spacing(reason: why.Spacing, _telling: Telling) -> str:
    if reason.place > 1:
        return _("waits for the send offset")
    return _("waits for the send offset until %(at)s") % {"at": clock(reason.at)}


_OF_SERVERS: dict[type[Reason], Callable[[Any, Telling], str]] = {  # Any: the reason of that type
    why.TooLarge: _same(gettext_lazy("the message is too large")),
    why.Draft: _same(gettext_lazy("a draft")),
    why.Disabled: _same(gettext_lazy("disabled")),
    why.Untested: _same(gettext_lazy("not tested yet")),
    why.NotLive: _same(gettext_lazy("not live")),
    why.PausedByPerson: _by_person,
    why.PausedByFault: _same(gettext_lazy("paused: the server refuses us")),
    why.BreakerOpen: _breaker,
    why.Probing: _same(gettext_lazy("a worker tries the server again")),
    why.AllBusy: _busy,
    why.Spacing: _spacing,
}
_WORDS: dict[type[Reason], Callable[[Any, Telling], str]] = {  # Any: the reason of that type
    why.Held: _same(gettext_lazy("held")),
    why.InHand: _in_hand,
    why.NobodyDrains: _same(gettext_lazy("nobody is sending: no worker runs")),
    why.SwitchedOff: _same(gettext_lazy("sending is switched off")),
    why.Unconfirmed: _same(gettext_lazy("this database may be a copy: a person has to confirm it")),
    why.OnlyLogged: _same(gettext_lazy("debug mode: it will not be sent")),
    why.Scheduled: _same(gettext_lazy("its sender wants it sent later")),
    why.RetryAt: _same(gettext_lazy("waits for the next try")),
    why.Suspect: _same(gettext_lazy("goes alone: a worker stopped with it in hand")),
    why.Stranded: _stranded,
    why.IsNext: _is_next,
    why.WaitsFor: _waits_for,
}

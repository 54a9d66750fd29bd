"""Why a message waits, in words."""

from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from delivery.showing import clock, moment
from delivery.waiting import reasons as why
from delivery.waiting.reasons import Reason
from delivery.waiting_words.servers import say_of_server
from delivery.waiting_words.telling import Said, Telling, count

MAY_HAVE_ARRIVED = gettext_lazy(
    "The connection broke after the message was sent and before the server answered."
    " It may have been delivered."
)
#: Why a message is held, by the stable word of the queue.
HELD = {
    "crashes": gettext_lazy(
        "Three workers stopped while sending this message. It is held: release it or cancel it."
    ),
    "worker_lost": gettext_lazy("A worker stopped while sending this message. It may have been delivered."),
    "uncertain": MAY_HAVE_ARRIVED,
    "internal_error": gettext_lazy(
        "mailconf itself failed while it sent this message or recorded what became of it. The log of the"
        " worker says why."
    ),
    "no_route": gettext_lazy(
        "Its site, or the one profile it may leave by, was deleted while it was handed over."
        " Move it to another profile and release it, or cancel it."
    ),
    "person": gettext_lazy("A person holds this message. Release it to send it, or cancel it."),
}
HELD_SOMEHOW = gettext_lazy("This message is held: release it or cancel it.")


def say(reason: Reason, telling: Telling) -> Said:
    """Say one reason, of the message or of a server."""
    words = _WORDS.get(type(reason))
    return words(reason, telling) if words is not None else say_of_server(reason, telling)


def _held(reason: why.Held, _telling: Telling) -> Said:
    return Said(str(HELD.get(reason.cause, HELD_SOMEHOW)))


def _in_hand(reason: why.InHand, telling: Telling) -> Said:
    facts = {"id": reason.worker_id, "host": reason.host or "?", "at": clock(reason.heard_at)}
    if reason.is_silent:
        return Said(_comes_back(reason, facts))
    if not telling.may_name or reason.profile_id is None:
        return Said(_("Worker %(id)d on %(host)s has it in hand.") % facts)
    through = facts | {"profile": telling.name(reason.profile_id)}
    return Said(_("Worker %(id)d on %(host)s has it in hand, to send it through %(profile)s.") % through)


def _comes_back(reason: why.InHand, facts: dict[str, Any]) -> str:  # Any: numbers and words
    if reason.heard_at is None:
        silent = _("Worker %(id)d had it in hand and is no more.") % facts
    else:
        silent = _("Worker %(id)d on %(host)s had it in hand and is silent since %(at)s.") % facts
    return silent + " " + _("It comes back to the queue as soon as another worker looks.")


def _nobody(reason: why.NobodyDrains, _telling: Telling) -> Said:
    if reason.heard_at is None:
        return Said(_("Nobody is sending: no worker has ever reported."))
    at = {"at": clock(reason.heard_at)}
    return Said(_("Nobody is sending: no worker has reported since %(at)s.") % at)


def _switched_off(reason: why.SwitchedOff, telling: Telling) -> Said:
    text = _("Sending is switched off.")
    if reason.since is not None:
        who = reason.who if telling.may_name else ""
        facts = {"who": who, "at": clock(reason.since)}
        text = (
            _("Sending is switched off by %(who)s since %(at)s.") % facts
            if who
            else _("Sending is switched off since %(at)s.") % facts
        )
    return Said(text + " " + _("The message waits and is not lost."))


def _unconfirmed(_reason: why.Unconfirmed, _telling: Telling) -> Said:
    return Said(_("This database may be a copy: nothing is sent until a person confirms where it is."))


def _only_logged(_reason: why.OnlyLogged, _telling: Telling) -> Said:
    return Said(_("Debug mode is on: the message will be recorded as Suppressed and not sent."))


def _scheduled(reason: why.Scheduled, telling: Telling) -> Said:
    when = {"when": moment(reason.at, telling.now)}
    return Said(_("Its sender wants it sent %(when)s, not before.") % when)


def _retry(reason: why.RetryAt, telling: Telling) -> Said:
    text = _("Next try %(when)s.") % {"when": moment(reason.at, telling.now)}
    if reason.attempts:
        tried = ngettext("Tried %(n)d time.", "Tried %(n)d times.", reason.attempts) % {"n": reason.attempts}
        text = f"{tried} {text}"
    reply = reason.reply
    if reply is None or reply.code is None:  # nobody answered: the words say what happened
        return Said(text, reply.words if reply is not None else "")
    return Said(text + " " + _("Last answer:"), reply.words)


def _suspect(reason: why.Suspect, telling: Telling) -> Said:
    text = ngettext(
        "A worker stopped with this message in hand. It goes alone, while no other is being sent.",
        "%(n)d workers stopped with this message in hand. It goes alone, while no other is being sent.",
        reason.crashes,
    ) % {"n": reason.crashes}
    if reason.at is None:
        return Said(text)
    when = {"when": moment(reason.at, telling.now)}
    return Said(text + " " + _("Next try %(when)s.") % when)


def _stranded(reason: why.Stranded, _telling: Telling) -> Said:
    if reason.serving:
        return Said(_("No profile that may send it is live."))
    if reason.site_id is None and reason.sender_domain is None:
        return Said(_("No profile may send it: it is of no site, and no profile serves every site."))
    return Said(_("No profile serves its site and sender."))


def _is_next(reason: why.IsNext, telling: Telling) -> Said:
    text = _("Nothing keeps it: a worker takes it within seconds.")
    if reason.ahead:
        before = ngettext("%(n)s message goes before it.", "%(n)s messages go before it.", reason.ahead)
        text = _("Nothing keeps it. %(before)s") % {"before": before % {"n": count(reason.ahead)}}
    if not telling.may_name:
        return Said(text)
    return Said(text + " " + _("It goes through %(name)s.") % {"name": telling.name(reason.profile_id)})


def _waits_for(reason: why.WaitsFor, telling: Telling) -> Said:
    said = say_of_server(reason.reason, telling)
    if not telling.may_name:
        return said
    text = _("Only %(name)s may send it. %(why)s") if reason.is_pinned else _("%(name)s: %(why)s")
    return Said(text % {"name": telling.name(reason.profile_id), "why": said.text}, said.reply)


_WORDS: dict[type[Reason], Callable[[Any, Telling], Said]] = {  # Any: the reason of that type
    why.Held: _held,
    why.InHand: _in_hand,
    why.NobodyDrains: _nobody,
    why.SwitchedOff: _switched_off,
    why.Unconfirmed: _unconfirmed,
    why.OnlyLogged: _only_logged,
    why.Scheduled: _scheduled,
    why.RetryAt: _retry,
    why.Suspect: _suspect,
    why.Stranded: _stranded,
    why.IsNext: _is_next,
    why.WaitsFor: _waits_for,
}

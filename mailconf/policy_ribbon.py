"""The ribbon's lines about the sending policy: mail is off, only logged, led elsewhere, or this is a copy."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.sites.models import Site
from django.core.cache import cache
from django.http import HttpRequest
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mailconf import waiting_mail
from smtp_settings.facts import CAP
from smtp_settings.policy import Course, Effective, Policies, recent

#: Seconds for which what was read is shown again.
KEPT_SECONDS = 5
KEY = "mailconf.ribbon.policy"
#: Sites that are named; the others are counted.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class _Known:
    """What the lines are made of."""

    policies: Policies
    domains: dict[int, str]
    waiting: int


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence, how grave it is, and where it can be ended ("" for whoever may not look)."""

    text: str
    tone: str
    link: str
    url: str


def lines(request: HttpRequest) -> Iterable[Said]:
    """Say what is not as usual, to everybody: mail that does not leave concerns all."""
    known = _read()
    may_look = request.user.has_perm("smtp_settings.view_sendingpolicy")
    may_change = request.user.has_perm("smtp_settings.change_sendingpolicy")
    home = reverse("admin:smtp_settings_sendingpolicy_changelist") if may_look else ""
    overall = known.policies.overall
    if not known.policies.is_confirmed:
        text = _("Nothing is sent: this database may be a copy.") + _waits(known.waiting)
        yield Said(text, "is-bad", _("Look and decide") if may_look else "", home)
        return
    if overall.course is not Course.SEND:
        text, tone = _said(overall, "")
        link = _("Switch on") if may_change and overall.course is Course.OFF else _("Sending policy")
        yield Said(text + _waits(known.waiting), tone, link if may_look else "", home)
    if overall.redirect is not None:
        text = _("Every message goes to %(address)s.") % {"address": overall.redirect.to}
        yield Said(text, "is-warn", _("Sending policy") if may_look else "", home)
    if overall.course is Course.SEND and not overall.queue_enabled:
        yield Said(_directly(""), "is-warn", _("Sending policy") if may_look else "", home)
    yield from _of_sites(known, may_look=may_look)


def _of_sites(known: _Known, *, may_look: bool) -> Iterable[Said]:
    overall = known.policies.overall
    others = [
        (site_id, own)
        for site_id, own in sorted(known.policies.of_sites.items())
        if _differs(own, overall) and site_id in known.domains
    ]
    for site_id, own in others[:_NAMED]:
        text, tone = _said_of_site(own, overall, known.domains[site_id])
        url = reverse("admin:smtp_settings_sendingpolicy_site", args=[site_id]) if may_look else ""
        yield Said(text, tone, _("Sending policy") if may_look else "", url)
    if len(others) > _NAMED:
        n = len(others) - _NAMED
        text = ngettext(
            "%(n)d more site has a policy of its own.", "%(n)d more sites have a policy of their own.", n
        )
        yield Said(text % {"n": n}, "is-warn", "", "")


def _differs(own: Effective, overall: Effective) -> bool:
    if own.course is not overall.course:
        return True
    return own.course is Course.SEND and own.queue_enabled is not overall.queue_enabled


def _said_of_site(own: Effective, overall: Effective, site: str) -> tuple[str, str]:
    if own.course is not overall.course:
        return _said(own, site)
    if own.queue_enabled:
        return _("%(site)s uses the queue all the same.") % {"site": site}, "is-warn"
    return _directly(site), "is-warn"


def _directly(site: str) -> str:
    if site:
        return _("The queue of %(site)s is off: messages are sent while the program waits.") % {"site": site}
    return _("The queue is off: messages are sent while the program waits.")


def _said(policy: Effective, site: str) -> tuple[str, str]:
    """Return the sentence about a course and its tone; `site` "" is all mail."""
    if policy.course is Course.LOG:
        if site:
            return _("Debug mode for %(site)s: nothing is sent, only logged.") % {"site": site}, "is-warn"
        return _("Debug mode: nothing is sent, only logged."), "is-warn"
    if policy.course is Course.SEND:
        return _("%(site)s sends all the same.") % {"site": site}, "is-warn"
    what = _("Sending of %(site)s is switched off") % {"site": site} if site else _("Sending is switched off")
    who = " " + _("by %(who)s") % {"who": policy.off_by} if policy.off_by else ""
    since = " " + _("since %(time)s") % {"time": _time(policy)} if policy.off_at else ""
    return f"{what}{who}{since}.", "is-bad"


def _time(policy: Effective) -> str:
    if policy.off_at is None:
        return ""
    at = timezone.localtime(policy.off_at)
    is_today = at.date() == timezone.localdate()
    return formats.time_format(at, "H:i") if is_today else formats.date_format(at, "j M, H:i")


def _waits(count: int) -> str:
    if not count:
        return ""
    shown = f"{CAP - 1:,}+" if count >= CAP else f"{count:,}"
    return " " + ngettext("%(n)s message waits.", "%(n)s messages wait.", count) % {"n": shown}


def _read() -> _Known:
    known: _Known | None = cache.get(KEY)
    if known is None:
        found = recent()
        as_all = not any(_differs(own, found.overall) for own in found.of_sites.values())
        is_usual = found.is_confirmed and found.overall.course is Course.SEND and as_all
        domains = {} if is_usual else dict(Site.objects.values_list("pk", "domain"))
        counted = [None, *domains] if found.overall.course.waits else []
        known = _Known(found, domains, waiting_mail.waiting(counted) if counted else 0)
        cache.set(KEY, known, KEPT_SECONDS)
    return known

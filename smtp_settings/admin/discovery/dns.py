"""DNS for the From domain: advice beside the form, and the provider that a typed address speaks of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from smtp_settings import presets
from smtp_settings.admin.discovery import dns_limits
from smtp_settings.admin.discovery.dns_limits import Ask
from smtp_settings.admin.discovery.finding import may_search
from smtp_settings.advice import reading
from smtp_settings.advice.advising import advise
from smtp_settings.advice.findings import Finding, Verdict
from smtp_settings.entries.rules import AVAILABLE_METHODS
from smtp_settings.finding.candidates import NothingToSearch, Wanted, provider_of, read
from smtp_settings.forms import ProfileForm
from smtp_settings.forms.texts import texts_of
from smtp_settings.models import DeliveryMethod, TestRun
from smtp_settings.presets import Preset
from transports.dns import Found

if TYPE_CHECKING:
    from smtp_settings.admin.profiles import SMTPProfileAdmin

_VERDICTS: dict[Verdict, tuple[Promise, str]] = {
    Verdict.GOOD: (gettext_lazy("Good"), "is-ok"),
    Verdict.LOOK: (gettext_lazy("Look at this"), "is-warn"),
    Verdict.MISSING: (gettext_lazy("Missing"), "is-bad"),
    Verdict.NOT_CHECKED: (gettext_lazy("Not checked"), "is-quiet"),
}


#: Characters of a record that are shown; of a key the beginning says enough.
_RECORD_CHARACTERS, _KEY_CHARACTERS = 450, 80


@dataclass(frozen=True, slots=True)
class Entries:
    """What of the form the advice is about: the From address's domain, the bounce domain, and who sends."""

    domain: str = ""
    bounce_domain: str = ""
    preset: Preset | None = None


def entries_of(values: Any) -> Entries:  # Any: a QueryDict or a mapping of texts
    """Read what the advice is about off the form's entries; what is no address counts as empty."""
    preset = presets.preset_of(values.get("preset") or "", values.get("host") or "")
    domain, bounce = (_domain(values.get(name) or "") for name in ("from_address", "bounce_address"))
    return Entries(domain, bounce, preset)


def _domain(address: str) -> str:
    return _wanted(address).domain if "@" in address else ""


def _wanted(text: str) -> Wanted:
    try:
        return read(text)
    except NothingToSearch:
        return Wanted()


def advice_for(entries: Entries, user_id: int) -> dict[str, Any]:  # Any: a template's context
    """Ask DNS, at most 5 s, and return the advice for its template; or why it was not asked."""
    if not entries.domain:
        return {"problem": _("Enter the From address first.")}
    if refusal := dns_limits.admit(Ask.ADVICE, user_id):
        return {"problem": refusal}
    servers = settings.MAILCONF_DNS_SERVERS
    records = reading.read(entries.domain, entries.preset, entries.bounce_domain, servers=servers)
    if all(answer.found is Found.FAILED for answer in records.values()):
        problem = _("Not checked: the name service gave no answer. Try again later.")
        return {"domain": entries.domain, "problem": problem}
    findings = advise(entries.domain, records, entries.preset, entries.bounce_domain)
    word, tone = _summary(findings)
    return {"domain": entries.domain, "rows": [_row(one) for one in findings], "word": word, "tone": tone}


def _summary(findings: Sequence[Finding]) -> tuple[str, str]:
    """Return what the closed section says of it all, and how it looks."""
    faulty = [one.record for one in findings if one.verdict in (Verdict.LOOK, Verdict.MISSING)]
    if faulty:
        return _("Look at %(records)s") % {"records": ", ".join(faulty)}, "is-warn"
    is_good = any(one.verdict is Verdict.GOOD for one in findings)
    word, tone = _VERDICTS[Verdict.GOOD if is_good else Verdict.NOT_CHECKED]
    return str(word), tone


def _row(finding: Finding) -> dict[str, object]:
    word, tone = _VERDICTS[finding.verdict]
    most = _KEY_CHARACTERS if finding.record == "DKIM" else _RECORD_CHARACTERS
    return {
        "finding": finding,
        "word": word,
        "tone": tone,
        "advice": with_code(finding.advice),
        "most": most,
    }


def with_code(sentence: str) -> SafeString:
    """Return a sentence as HTML; what stands between backticks is code.

    >>> with_code("Add `a<b` now.")
    'Add <code>a&lt;b</code> now.'
    """
    parts = sentence.split("`")
    pieces = [
        ("<code>{}</code>" if n % 2 and n < len(parts) - 1 else "{}", part) for n, part in enumerate(parts)
    ]
    return SafeString("".join(format_html(pattern, part) for pattern, part in pieces))


def _user_id(request: HttpRequest) -> int:
    """Return who is signed in: the admin site lets nobody else in."""
    return cast("User", request.user).pk


# The page


def press(request: HttpRequest, profiles: "SMTPProfileAdmin") -> None:
    """Carry out "Check DNS" without scripts, and advise after a passed test; left on the request."""
    run: TestRun | None = getattr(request, "finished_test", None)
    has_passed = run is not None and run.state == TestRun.State.PASSED
    if request.method != "POST" or not ("_check_dns" in request.POST or has_passed):
        return
    if not may_search(profiles, request):
        raise PermissionDenied
    request.dns_advice = advice_for(entries_of(request.POST), _user_id(request))  # type: ignore[attr-defined]  # read by `page`


def page(request: HttpRequest, form: ProfileForm) -> dict[str, Any]:  # Any: a template's context
    """Return what the profile page shows of DNS, and where the script asks."""
    return {
        "dns": getattr(request, "dns_advice", None),
        "dns_domain": entries_of(texts_of(form)).domain,
        "dns_url": reverse("admin:smtp_settings_smtpprofile_dns"),
        "offer_url": reverse("admin:smtp_settings_smtpprofile_offer"),
    }


# What the script asks for


def urls(profiles: "SMTPProfileAdmin") -> list[URLPattern]:
    """Return the endpoints, for the profile admin's `get_urls`."""
    views = _DNS(profiles)

    def view(function: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        guarded = sensitive_post_parameters("password")(require_POST(function))
        return profiles.admin_site.admin_view(never_cache(guarded))

    return [
        path("dns/", view(views.advice), name="smtp_settings_smtpprofile_dns"),
        path("offer/", view(views.offer), name="smtp_settings_smtpprofile_offer"),
    ]


class _DNS:
    """The views, for those who may save a profile: nobody else may ask through this machine."""

    def __init__(self, profiles: "SMTPProfileAdmin") -> None:
        self._profiles = profiles

    def advice(self, request: HttpRequest) -> JsonResponse:
        """Return the advice about the form's From domain as HTML."""
        self._check(request)
        found = advice_for(entries_of(request.POST), _user_id(request))
        html = render_to_string("mailconf/_dns_advice.html", {"dns": found})
        told = {name: found.get(name, "") for name in ("domain", "word", "tone")}
        return JsonResponse({**told, "html": html})

    def offer(self, request: HttpRequest) -> JsonResponse:
        """Return the provider that the From address speaks of, while no server was typed."""
        self._check(request)
        return JsonResponse({"html": offer_for(request.POST, _user_id(request))})

    def _check(self, request: HttpRequest) -> None:
        if not may_search(self._profiles, request):
            raise PermissionDenied


def offer_for(values: Any, user_id: int) -> str:  # Any: as `entries_of`
    """Return the offer as HTML: "example.com uses Google for mail. Fill in?", "" when there is none.

    Nothing is offered over a server somebody typed, or over the provider that is chosen already. Nobody asked
    for it: over the limit there is none, and no word about it.
    """
    wanted = _wanted(values.get("from_address") or "")
    host, chosen = (values.get("host") or "").strip(), values.get("preset") or ""
    if not wanted.address or (host and presets.for_host(host) is None):
        return ""
    if reading.remembered_mx(wanted.domain) is None and dns_limits.admit(Ask.OFFER, user_id):
        return ""
    mx = reading.mx_of(wanted.domain, servers=settings.MAILCONF_DNS_SERVERS)
    preset = provider_of(wanted.domain, mx)
    if preset is None or preset.transport != DeliveryMethod.SMTP or preset.transport not in AVAILABLE_METHODS:
        return ""
    if chosen == preset.key or (host and preset.has_host(host.lower())):
        return ""
    return render_to_string("mailconf/_dns_offer.html", {"domain": wanted.domain, "preset": preset})

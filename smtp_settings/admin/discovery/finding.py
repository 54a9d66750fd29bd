"""Find my settings: starting a search and telling how it stands."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from smtp_settings import carrying, test_send
from smtp_settings.admin.discovery.finding_words import context_of
from smtp_settings.finding import searching
from smtp_settings.finding.candidates import NothingToSearch
from smtp_settings.models import TestRun

if TYPE_CHECKING:
    from smtp_settings.admin.profiles import SMTPProfileAdmin

#: The field of what is searched for; it is no column of a profile.
FIELD = "_search"


def state_of(run: TestRun) -> dict[str, Any]:  # Any: JSON
    """Return how a search stands, for the script."""
    context = context_of(run)
    return {
        "status": str(run.state),
        "is_final": context["is_final"],
        "announce": context["sentence"],
        "html": render_to_string("mailconf/_finding_results.html", {"search": context}),
    }


# Without scripts


def press(request: HttpRequest, profiles: "SMTPProfileAdmin") -> None:
    """Carry out the button "Find my settings"; what was found, or why not, is left on the request."""
    if request.method != "POST" or "_find" not in request.POST:
        return
    if not may_search(profiles, request):
        raise PermissionDenied
    try:
        run = carrying.finished(_ordered(request))
    except (NothingToSearch, test_send.TooManyTests) as refusal:
        request.search_refused = str(refusal)  # type: ignore[attr-defined]  # read by `page`
    else:
        request.search = context_of(run)  # type: ignore[attr-defined]  # as above


def page(request: HttpRequest) -> dict[str, Any]:  # Any: a template's context
    """Return what the profile page shows of a search, and what the script needs."""
    return {
        "search": getattr(request, "search", None),
        "search_refused": getattr(request, "search_refused", ""),
        "search_text": request.POST.get(FIELD, ""),
        "search_url": reverse("admin:smtp_settings_smtpprofile_find"),
    }


def _ordered(request: HttpRequest) -> TestRun:
    return searching.order(request.POST.get(FIELD, ""), _person(request), held=request.POST)


def _person(request: HttpRequest) -> User:
    """Return who is signed in: the admin site lets nobody else in."""
    return cast("User", request.user)


# What the script asks for


def urls(profiles: "SMTPProfileAdmin") -> list[URLPattern]:
    """Return the endpoints, for the profile admin's `get_urls`."""
    search = _Search(profiles)

    def view(function: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        return profiles.admin_site.admin_view(never_cache(function))

    start = sensitive_post_parameters("password")(require_POST(search.start))
    return [
        path("find/", view(start), name="smtp_settings_smtpprofile_find"),
        path("find/<uuid:uuid>/", view(require_GET(search.state)), name="smtp_settings_smtpprofile_found"),
        path(
            "find/<uuid:uuid>/stop/",
            view(require_POST(search.stop)),
            name="smtp_settings_smtpprofile_find_stop",
        ),
    ]


class _Search:
    """The views: for those who may save a profile, and a search only for whoever started it."""

    def __init__(self, profiles: "SMTPProfileAdmin") -> None:
        self._profiles = profiles

    def start(self, request: HttpRequest) -> JsonResponse:
        """Start a search; an error comes with its words, and 200 (a 4xx is a fault of the page)."""
        if not may_search(self._profiles, request):
            raise PermissionDenied
        try:
            run = _ordered(request)
        except (NothingToSearch, test_send.TooManyTests) as refusal:
            return JsonResponse({"error": str(refusal)})
        carrying.start(run)
        urls = {name: reverse(f"admin:smtp_settings_smtpprofile_{name}", args=[run.uuid]) for name in _FOLLOW}
        return JsonResponse({"poll": urls["found"], "stop": urls["find_stop"]})

    def state(self, request: HttpRequest, uuid: UUID) -> JsonResponse:
        """Tell how a search stands."""
        return JsonResponse(state_of(carrying.look_after(self._own(request, uuid))))

    def stop(self, request: HttpRequest, uuid: UUID) -> JsonResponse:
        """Stop a search."""
        run = self._own(request, uuid)
        test_send.stop(run, _person(request))
        return JsonResponse(state_of(run))

    def _own(self, request: HttpRequest, uuid: UUID) -> TestRun:
        if not may_search(self._profiles, request):
            raise PermissionDenied
        runs = TestRun.objects.defer("secret").select_related("user")
        run = runs.filter(uuid=uuid, kind=TestRun.Kind.SEARCH, user_id=_person(request).pk).first()
        if run is None:
            raise Http404(_("This search does not exist. It may have been removed."))
        return run


_FOLLOW = ("found", "find_stop")


def may_search(profiles: "SMTPProfileAdmin", request: HttpRequest) -> bool:
    """Whether this person may search: who may save a profile, new or old."""
    return profiles.has_add_permission(request) or profiles.has_change_permission(request)

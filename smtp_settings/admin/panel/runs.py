"""The test panel's endpoints: start a test, tell how it stands, stop it (UX 4.6).

Each checks its own permission: an open start would be a port scanner. Everything that was asked properly is
answered 200, an error with its words (the browser's console shows each 4xx as a fault of the page).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from smtp_settings import carrying, key_check, sealing, test_send
from smtp_settings.admin.panel.panel import run_state
from smtp_settings.clearance.candidate import stored_secret
from smtp_settings.models import SMTPProfile, TestRun

if TYPE_CHECKING:
    from smtp_settings.admin.profiles import SMTPProfileAdmin

#: What a page may start; searches have their own endpoint.
_KINDS = (TestRun.Kind.SEND, TestRun.Kind.CONNECT)
_WHOLE = "__all__"


class NotStarted(Exception):
    """A test did not begin; `answer` is what the page is told."""

    def __init__(self, answer: dict[str, Any]) -> None:  # Any: JSON
        super().__init__()
        self.answer = answer

    @property
    def sentence(self) -> str:
        """The same in one line, for a page without scripts."""
        sentences = [one for found in self.answer.get("errors", {}).values() for one in found]
        return " ".join(sentences) or str(self.answer.get("limited", ""))


def urls(profile_admin: "SMTPProfileAdmin") -> list[URLPattern]:
    """Return the endpoints, for the profile admin's `get_urls`."""
    runs = Runs(profile_admin)

    def view(function: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        return profile_admin.admin_site.admin_view(never_cache(function))

    return [
        path(
            "test-runs/start/",
            view(sensitive_post_parameters("password")(require_POST(runs.start))),
            name="smtp_settings_testrun_start",
        ),
        path("test-runs/session/", view(require_GET(runs.session)), name="smtp_settings_testrun_session"),
        path("test-runs/<uuid:uuid>/", view(require_GET(runs.state)), name="smtp_settings_testrun_state"),
        path("test-runs/<uuid:uuid>/stop/", view(require_POST(runs.stop)), name="smtp_settings_testrun_stop"),
    ]


class Runs:
    """The views; `profile_admin` knows the form and who may use it."""

    def __init__(self, profile_admin: "SMTPProfileAdmin") -> None:
        self._profiles = profile_admin

    def start(self, request: HttpRequest) -> JsonResponse:
        """Start a test of the form's values, or with `_saved` of a profile as it is saved."""
        kind = request.POST.get("_kind", TestRun.Kind.SEND)
        if kind not in _KINDS:
            return JsonResponse(_errors(_("There is no such test.")))
        try:
            run = self._run(request, kind)
        except NotStarted as refusal:
            return JsonResponse(refusal.answer)
        carrying.start(run)
        return JsonResponse({"id": str(run.uuid), "poll": _poll_url(run), "stop": _stop_url(run)})

    def _run(self, request: HttpRequest, kind: str) -> TestRun:
        profile = self._profile(request)
        if "_saved" in request.POST:
            return saved_candidate(request, profile, kind=kind)
        if not self._profiles.may_test_values(request, profile):
            raise PermissionDenied
        form = self._profiles.form_to_test(request, profile, kind=kind)
        if not form.is_valid():
            errors = {name: [str(one) for one in found if one] for name, found in form.errors.items()}
            raise NotStarted({"errors": errors})
        recipients = form.cleaned_data.get("test_to") or []
        return begun(request, form.instance, form.effective.secret, recipients, kind=kind)

    def _profile(self, request: HttpRequest) -> SMTPProfile | None:
        """Return the profile that was opened, None for a new one."""
        object_id = request.POST.get("_object_id", "")
        if not object_id:
            return None
        profile = cast("SMTPProfile | None", self._profiles.get_object(request, object_id))
        if profile is None:
            if not self._profiles.has_view_permission(request):
                raise PermissionDenied
            raise NotStarted(_errors(_("This profile was deleted after you opened it.")))
        return profile

    def session(self, request: HttpRequest) -> JsonResponse:
        """Tell an open form that its person is still signed in, and the token of its next POST.

        Who is not is sent to the sign-in, as from every page; one who signed in again has another token.
        """
        if not self._profiles.may_change_any(request):
            raise PermissionDenied
        return JsonResponse({"token": get_token(request)})

    def state(self, request: HttpRequest, uuid: UUID) -> JsonResponse:
        """Tell how a run stands; without its HTML when that has not changed since `seq`."""
        run = carrying.look_after(self._run_for(request, uuid))
        answer = run_state(run, _person(request))
        if request.GET.get("seq") == str(answer["seq"]):
            answer.pop("html", None)
        return JsonResponse(answer)

    def stop(self, request: HttpRequest, uuid: UUID) -> JsonResponse:
        """Stop a run; its owner may, and who changes profiles."""
        run, person = self._run_for(request, uuid), _person(request)
        if run.user_id != person.pk and not person.has_perm("smtp_settings.change_smtpprofile"):
            raise PermissionDenied
        test_send.stop(run, person)
        return JsonResponse(run_state(run, person))

    def _run_for(self, request: HttpRequest, uuid: UUID) -> TestRun:
        """Return a run this person may see, without its secret."""
        run = TestRun.objects.defer("secret").select_related("user").filter(uuid=uuid).first()
        # Whoever may see it may open its page: one rule for both. The steps tell of the profile.
        may_see = admin.site.get_model_admin(TestRun).has_view_permission(request, run)
        if not (may_see and self._profiles.has_view_permission(request)):
            raise PermissionDenied
        if run is None:
            raise Http404(_("This test does not exist. It may have been removed."))
        return run


def saved_candidate(
    request: HttpRequest, profile: SMTPProfile | None, *, kind: str = TestRun.Kind.SEND
) -> TestRun:
    """Make the run of a profile as it is saved, to the person's own address; operators may.

    Raises NotStarted, and PermissionDenied.
    """
    if profile is None or not request.user.has_perm("smtp_settings.test_smtpprofile"):
        raise PermissionDenied
    try:
        secret = stored_secret(profile)
    except sealing.SealingError as error:
        raise NotStarted(_errors(key_check.remedy(error))) from None
    return begun(request, profile, secret, [], kind=kind)


def begun(
    request: HttpRequest,
    profile: SMTPProfile,
    secret: sealing.Secret | None,
    recipients: list[str],
    *,
    kind: str,
) -> TestRun:
    """Make a run, not carried out yet. Raises NotStarted."""
    try:
        return test_send.candidate(
            profile, secret, _person(request), recipients, kind=kind, link_base=link_base(request)
        )
    except ValidationError as error:
        raise NotStarted(_errors(*error.messages, field="test_to")) from None
    except test_send.TooManyTests as wait:
        mine = wait.run if wait.run is None or wait.run.kind != TestRun.Kind.SEARCH else None
        run = _poll_url(mine) if mine is not None else ""  # a search has no steps the panel could show
        raise NotStarted({"limited": str(wait), "run": run}) from None
    except sealing.SealingError as error:
        raise NotStarted(_errors(str(error))) from None


def link_base(request: HttpRequest) -> str:
    """Return what leads this installation's links in an email: the address the person reached it by."""
    return f"{request.scheme}://{request.get_host()}"[:255]


def _errors(*sentences: str, field: str = _WHOLE) -> dict[str, Any]:  # Any: JSON
    return {"errors": {field: list(sentences)}}


def _poll_url(run: TestRun) -> str:
    return reverse("admin:smtp_settings_testrun_state", args=[run.uuid])


def _stop_url(run: TestRun) -> str:
    return reverse("admin:smtp_settings_testrun_stop", args=[run.uuid])


def _person(request: HttpRequest) -> User:
    """Return who is signed in: the admin site lets nobody else in."""
    return cast("User", request.user)

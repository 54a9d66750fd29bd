"""The profile pages: the list, and the form with its test panel.

Every POST to the form goes through `ProfileForm`, whatever button name it carries (trap 1); this class only
chooses what to do with a form that passed. A test runs before Django opens the request's transaction: none is
open during SMTP.
"""

from collections.abc import Callable
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from smtp_settings import carrying
from smtp_settings.admin import words
from smtp_settings.admin.discovery import dns, finding
from smtp_settings.admin.form import filling, passing
from smtp_settings.admin.form.page import asks_first, page_context
from smtp_settings.admin.form.sections import SECTIONS, view_sections
from smtp_settings.admin.listing import acts, testall
from smtp_settings.admin.listing.deleting import Deleting
from smtp_settings.admin.listing.listing import Columns
from smtp_settings.admin.panel import runs
from smtp_settings.admin.records.test_runs import runs_for
from smtp_settings.clearance import activation
from smtp_settings.forms import Act, ProfileForm, act_of, password_age
from smtp_settings.models import SMTPProfile, TestRun

#: How many earlier tests the form shows.
HISTORY = 10


def _person(request: HttpRequest) -> User:
    """Return who is signed in: the admin site lets nobody else in."""
    return cast("User", request.user)


@admin.register(SMTPProfile)
class SMTPProfileAdmin(Columns, Deleting):
    """Lists, edits and tests profiles."""

    form = ProfileForm
    readonly_fields = ("history", "password_state", "reply_rules")
    view_on_site = False

    # The list

    def get_actions(
        self, request: HttpRequest, action_location: object = None
    ) -> dict[str, Any]:  # Any: as ModelAdmin's
        """Offer what this person may do with ticked profiles; none of it goes round the gate.

        Django 6.1 asks for the form, too, which has acts of its own: with any here, it would take a test of
        the form for an act without a choice, and send the browser back.
        """
        is_list = getattr(action_location, "name", "CHANGE_LIST") == "CHANGE_LIST"
        return acts.actions(request) if is_list else {}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list; a POST does an act to the ticked, or a notice says why not."""
        if request.method == "POST" and self.has_view_permission(request):
            acts.refuse_forged(request)
            if why_not := acts.why_not(request):
                messages.warning(request, why_not)
                return HttpResponseRedirect(request.get_full_path())
        offered = {"bulk_acts": acts.offered(request), "may_test": request.user.has_perm(acts.TEST)}
        return super().changelist_view(request, (extra_context or {}) | offered)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow no lookup in the address but the chips' own words: nothing about secrets (E20)."""
        return lookup in {chip.parameter_name for chip in self.list_filter} | {"id", "pk", "id__exact"}

    # The form

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:  # Any: as ModelAdmin's
        """Put the tests this person may open beside the profile, for `history`."""
        profile = super().get_object(request, *args, **kwargs)
        if profile is not None:
            tests = TestRun.objects.filter(profile_uuid=profile.uuid)
            profile.shown_runs = runs_for(request, tests)[:HISTORY]
        return profile

    def get_fieldsets(
        self, request: HttpRequest, obj: SMTPProfile | None = None
    ) -> Any:  # Any: as Django types it
        """Show inputs to those who may change, and values to those who may look."""
        may_edit = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return SECTIONS if may_edit else view_sections(obj)

    def get_form(
        self, request: HttpRequest, obj: SMTPProfile | None = None, change: bool = False, **kwargs: Any
    ) -> Any:  # Any: the class made for this request
        """Tell the form who asks for what."""
        kwargs["fields"] = [
            name
            for name in kwargs.get("fields") or []
            if name not in self.readonly_fields and name != "password"
        ]
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.user = _person(request)
        form.act = act_of(request.POST)
        form.fresh_run = getattr(request, "finished_test", None)
        form.filled = getattr(request, "filled", None)
        form.held_back = form.act in (Act.TEST, Act.CHECK, Act.SHOW) or asks_first(request, obj)
        return form

    @method_decorator(sensitive_post_parameters("password"))
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Run a test that was asked for, then let Django handle the form; the gate is in the form."""
        request.filled = filling.press(request)  # type: ignore[attr-defined]  # read by get_form
        act = act_of(request.POST)
        if request.method == "POST" and act in (Act.TEST, Act.CHECK):
            kind = TestRun.Kind.SEND if act is Act.TEST else TestRun.Kind.CONNECT
            self._run_test(request, None if "_saveasnew" in request.POST else object_id, kind=kind)
        finding.press(request, self)
        dns.press(request, self)
        if act is Act.ANYWAY and not request.user.has_perm("smtp_settings.save_untested_smtpprofile"):
            raise PermissionDenied
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except (activation.GateShut, activation.StaleProfile):
            # Somebody saved between this request's check and its lock: check again, with what is there now.
            return super().changeform_view(request, object_id, form_url, extra_context)

    def _run_test(self, request: HttpRequest, object_id: str | None, *, kind: str) -> None:
        """Test the values in the form; the run is left on the request for the page. Nothing is saved.

        A form with errors is not tested; the ordinary pass shows them.
        """
        profile = self.get_object(request, unquote(object_id)) if object_id else None
        if object_id and profile is None:
            return
        if not self.may_test_values(request, profile):
            raise PermissionDenied
        form = self.form_to_test(request, profile, kind=kind)
        if not form.is_valid():
            return
        try:
            run = runs.begun(
                request,
                form.instance,
                form.effective.secret,
                form.cleaned_data.get("test_to") or [],
                kind=kind,
            )
        except runs.NotStarted as refusal:
            messages.error(request, refusal.sentence)
        else:
            request.finished_test = carrying.finished(run)  # type: ignore[attr-defined]  # read by get_form and the page

    def may_test_values(self, request: HttpRequest, profile: SMTPProfile | None) -> bool:
        """Whether this person may test what the form holds: who may save it."""
        return self.has_change_permission(request, profile) if profile else self.has_add_permission(request)

    def may_change_any(self, request: HttpRequest) -> bool:
        """Whether this person may have the form open at all, for a new profile or a saved one."""
        return self.has_add_permission(request) or self.has_change_permission(request)

    def form_to_test(
        self, request: HttpRequest, profile: SMTPProfile | None, *, kind: str = TestRun.Kind.SEND
    ) -> ProfileForm:
        """Return the submitted form without the gate; a connection check asks for no recipient."""
        fields = flatten_fieldsets(self.get_fieldsets(request, profile))
        form_class = self.get_form(request, profile, change=profile is not None, fields=fields)
        form_class.act, form_class.held_back = Act.TEST, False
        form: ProfileForm = form_class(request.POST, request.FILES, instance=profile)
        if kind == TestRun.Kind.CONNECT:
            del form.fields["test_to"]
        return form

    def save_model(self, request: HttpRequest, obj: SMTPProfile, form: ProfileForm, change: bool) -> None:
        """Hand over to activation, the only writer of what is live."""
        sites = form.cleaned_data.get("sites", ())
        match form.act:
            case Act.DRAFT:
                activation.save_draft(obj, form.effective, user=_person(request), sites=sites)
            case Act.ANYWAY:
                activation.save_untested(
                    obj,
                    form.effective,
                    user=_person(request),
                    sites=sites,
                    reason=form.cleaned_data["anyway_reason"],
                )
            case _:
                activation.save_profile(obj, form.effective, user=_person(request), sites=sites)
        for note in form.notes if form.act is Act.DRAFT else ():
            messages.warning(request, note)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Leave the sites alone: activation has set them."""  # Any: as ModelAdmin

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the test panel and the save bar; the page shows its own list of errors."""
        context |= page_context(request, context)
        context |= finding.page(request) | dns.page(request, context["adminform"].form)
        filling.finish(request, context["adminform"].form, context)
        return super().render_change_form(request, context, *args, **kwargs)

    def response_add(
        self, request: HttpRequest, obj: SMTPProfile, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Say what became of the profile in the words of the act."""
        return self._said(request, obj, lambda: super(SMTPProfileAdmin, self).response_add(request, obj))

    def response_change(self, request: HttpRequest, obj: SMTPProfile) -> HttpResponse:
        """Say what became of the profile in the words of the act."""
        return self._said(request, obj, lambda: super(SMTPProfileAdmin, self).response_change(request, obj))

    def _said(
        self, request: HttpRequest, obj: SMTPProfile, respond: Callable[[], HttpResponse]
    ) -> HttpResponse:
        if "_popup" in request.POST:
            return respond()
        if "_continue" in request.POST:
            answer = respond()
        else:
            messages.success(request, words.saved_sentence(obj))
            answer = HttpResponseRedirect(reverse("admin:smtp_settings_smtpprofile_changelist"))
        passing.offer_move(request, obj)
        return answer

    # What the form shows and does not edit

    @admin.display(description=gettext_lazy("Password"))
    def password_state(self, profile: SMTPProfile) -> str:
        """Say whether a password is saved, never anything of it."""
        if profile.password is None:
            return _("None")
        return _("saved%(when)s") % {"when": password_age(profile)}

    @admin.display(description=gettext_lazy("Rules about replies"))
    def reply_rules(self, profile: SMTPProfile) -> SafeString | str:
        """Return the rules as they are typed."""
        return words.reply_rules(profile)

    @admin.display(description=gettext_lazy("History"))
    def history(self, profile: Any) -> SafeString | str:  # Any: a row with what `get_object` put beside it
        """Return who made and changed the profile, and its last tests."""
        if not profile.pk:
            return _("Not saved yet.")
        return words.history(profile, profile.shown_runs)

    # Tests of saved settings

    def get_urls(self) -> list[URLPattern]:
        """Add the test of a saved profile."""
        view = self.admin_site.admin_view(require_POST(self.test_saved_view))
        return [
            path("<int:pk>/test/", view, name="smtp_settings_smtpprofile_test"),
            *acts.urls(self),
            *testall.urls(self),
            *runs.urls(self),
            *filling.urls(self),
            *finding.urls(self),
            *dns.urls(self),
            *super().get_urls(),
        ]

    def test_saved_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Start a test of a profile as it is saved, and show it; operators may, to their own address."""
        try:
            run = runs.saved_candidate(request, self.get_object(request, str(pk)))
        except runs.NotStarted as refusal:
            messages.error(request, refusal.sentence)
            return HttpResponseRedirect(reverse("admin:smtp_settings_smtpprofile_changelist"))
        carrying.start(run)
        return HttpResponseRedirect(reverse("admin:smtp_settings_testrun_change", args=[run.pk]))

"""Doing something with chosen messages, from the list or from the page of one: asked first, done, told."""

from typing import Any

from django.contrib import messages as notices
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, ActionForm
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from delivery.admin import actions, moving
from delivery.admin.searching import LARGEST_ID
from delivery.models import Message


class ChosenOnly(ActionForm):
    """The action form without "all matching": what is done is done to the rows that were ticked."""

    def clean_select_across(self) -> bool:
        """Refuse a forged "all": bulk work over a filter is a job."""
        return False


class Acting(ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """The actions of messages, each with its own permission."""

    action_form = ChosenOnly
    actions_selection_counter = True

    def get_actions(
        self, request: HttpRequest, action_location: object = None
    ) -> dict[str, Any]:  # Any: as ModelAdmin.get_actions
        """Offer what this user may do with the rows of the tab.

        Django 6.1 names the page; there is only the list, because one message has a page of our own.
        """
        return {
            action.name: (_list_action(action), action.name, str(action.label))
            for action in actions.allowed_on_tab(request)
        }

    def stopped(self, request: HttpRequest) -> HttpResponse | None:
        """Answer a POST of the list with a notice why nothing can be done; None for one that may begin."""
        request.POST = _with_numbers_only(request.POST)  # type: ignore[assignment]  # the stubs: immutable
        why_not = _why_not(request)
        if not why_not:
            return None
        self.message_user(request, why_not, notices.WARNING)
        return HttpResponseRedirect(request.get_full_path())

    def act(
        self,
        request: HttpRequest,
        action: actions.Action,
        chosen: "QuerySet[Message] | list[Message]",
        *,
        back: str = "",
    ) -> HttpResponse | None:
        """Do an action with the chosen messages and say what happened; or answer with a question first."""
        if not (self.has_view_permission(request) and request.user.has_perm(action.permission)):
            raise PermissionDenied(action.permission_name)
        if action.asks_where:
            form = moving.form_for(request)
            if not form.is_valid():
                return self._where(request, actions.plan(action, chosen), chosen, form, back)
            action = action.towards(form.destination)
        plan = actions.plan(action, chosen)
        if plan.needs_confirmation and "confirmed" not in request.POST:
            return self._question(request, plan, back)
        done, skipped = actions.carry_out(plan, request.user.pk)
        level = notices.SUCCESS if done else notices.WARNING
        self.message_user(request, actions.report(action, done, skipped), level)
        return None

    def _question(self, request: HttpRequest, plan: actions.Plan, back: str) -> TemplateResponse:
        return TemplateResponse(
            request,
            "admin/delivery/message/confirm.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": plan.action.label,
                "plan": plan,
                "chosen": [message_id for ids in plan.ids.values() for message_id in ids],
                "back": back or reverse("admin:delivery_message_changelist"),
            },
        )

    def _where(
        self,
        request: HttpRequest,
        plan: actions.Plan,
        chosen: "QuerySet[Message] | list[Message]",
        form: moving.MoveForm,
        back: str,
    ) -> TemplateResponse | None:
        """Ask where messages are moved to; None, with a notice, when none of them can be."""
        if not plan.count:
            self.message_user(request, actions.report(plan.action, 0, plan.skipped), notices.WARNING)
            return None
        return TemplateResponse(
            request,
            "admin/delivery/message/move.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": plan.action.heading,
                "plan": plan,
                "skipped": actions.reasons(plan.skipped),
                "form": form,
                "chosen": [message.pk for message in chosen],
                "back": back or request.get_full_path(),
            },
        )


def _with_numbers_only(posted: QueryDict) -> QueryDict:
    """Leave out chosen "numbers" that no message can have: PostgreSQL would refuse the whole statement."""
    cleaned = posted.copy()
    cleaned.setlist(
        ACTION_CHECKBOX_NAME,
        [text for text in posted.getlist(ACTION_CHECKBOX_NAME) if _is_message_number(str(text))],
    )
    return cleaned


def _is_message_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= LARGEST_ID


def _why_not(request: HttpRequest) -> str:
    """Say why the action of this POST cannot begin, "" if it can; Django would say nothing."""
    action = actions.BY_NAME.get(request.POST.get("action", ""))
    if action is None:
        return _("Nothing was done: no action was chosen.")
    if not request.user.has_perm(action.permission):
        return _("Nothing was done. It needs the permission “%(name)s”.") % {"name": action.permission_name}
    if not request.POST.getlist(ACTION_CHECKBOX_NAME):
        return _("Nothing was done: no message was chosen.")
    return ""


def _list_action(action: actions.Action) -> Any:  # Any: the shape ModelAdmin.get_actions asks for
    def run(model_admin: Acting, request: HttpRequest, chosen: "QuerySet[Message]") -> HttpResponse | None:
        return model_admin.act(request, action, chosen)

    return run

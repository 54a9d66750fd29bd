"""The pages of messages: the list, one message, its content, and what people may do there.

Messages are never added, changed or deleted through a form: they come from a handover, change by an action (a
POST with its own permission) and go by retention. Every GET only reads, but for the event that says who read
content.
"""

from typing import Any

from django.contrib import messages as notices
from django.contrib.admin import ShowFacets
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _

from delivery.admin import actions, content, grouping, resending, routing
from delivery.admin.acting import Acting
from delivery.admin.columns import Columns
from delivery.admin.filters import CHIPS, FILTERS
from delivery.admin.listing import PAGE_SIZE, MessageList
from delivery.admin.page import page_of
from delivery.admin.searching import LARGEST_ID, Search
from delivery.admin.states import standings
from delivery.composing import readable
from delivery.models import Message
from delivery.reading import one_line
from smtp_settings.admin.records.bounded import CappedPaginator


class MessageAdmin(Columns, Acting):
    """Messages in the admin."""

    list_filter = CHIPS
    list_per_page = PAGE_SIZE
    list_max_show_all = PAGE_SIZE
    ordering = ("-pk",)
    sortable_by = ("number",)
    search_fields = ("rcpt_first",)
    search_label = _("Recipient or message number")
    search_help_text = _("Searches the start of the address. A Message-ID that mailconf gave is found too.")
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER

    # What is allowed

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody: messages are handed over."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Message | None = None) -> bool:
        """Nobody: messages change by actions."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Message | None = None) -> bool:
        """Nobody: messages go by retention."""
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow our own filters only."""
        return lookup in FILTERS

    # The list

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Message]":
        """Read the list's columns only."""
        return Message.objects.only(
            "pk",
            "created_at",
            "state",
            "priority",
            "attempts",
            "profile_id",
            "rcpt_to",
            "subject",
            "code",
            "enhanced",
            "reply",
        )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[MessageList]:  # Any: as ModelAdmin
        """Use our change list."""
        return MessageList

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Message]", search_term: str
    ) -> "tuple[QuerySet[Message], bool]":
        """Find by the start of the first recipient's address, or by number."""
        search: Search | None = getattr(request, "search", None)  # the change list has understood it
        return queryset if search is None else search.narrow(queryset), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list; a POST does an action, or a notice says why not."""
        is_act = request.method == "POST" and self.has_view_permission(request)
        if is_act and (stopped := self.stopped(request)) is not None:
            return stopped
        allowed = {
            "message_actions": actions.allowed_on_tab(request),
            "may_ask_route": request.user.has_perm(routing.PERMISSION),
            "may_open_profile": request.user.has_perm("smtp_settings.view_smtpprofile"),
        }
        if self.has_view_permission(request):
            allowed |= {"for_all": grouping.for_all(request), "groups": grouping.groups(request)}
        return super().changelist_view(request, (extra_context or {}) | allowed)

    # One message

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of one message; the stock ones that change something are not there."""
        wrap = self.admin_site.admin_view
        name = "delivery_message"
        return [
            path("", wrap(self.changelist_view), name=f"{name}_changelist"),
            path("route/", wrap(self.route_view), name=f"{name}_route"),
            path("<int:pk>/", wrap(self.message_view), name=f"{name}_change"),
            path("<int:pk>/content/", wrap(self.content_view), name=f"{name}_content"),
            path("<int:pk>/content/preview/", wrap(self.preview_view), name=f"{name}_preview"),
            path(
                "<int:pk>/content/attachment/<int:number>/",
                wrap(self.attachment_view),
                name=f"{name}_attachment",
            ),
            path("<int:pk>/content/download/", wrap(self.download_view), name=f"{name}_download"),
            path("<int:pk>/resend/", wrap(self.resend_view), name=f"{name}_resend"),
            path("<int:pk>/do/<slug:action>/", wrap(self.action_view), name=f"{name}_action"),
        ]

    def message_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show how the delivery went."""
        if (refused := self._refused(request, "GET")) is not None:
            return refused
        message = self._found(request, pk)
        may_open_profile = request.user.has_perm("smtp_settings.view_smtpprofile")
        page = page_of(
            message,
            may_see_content=request.user.has_perm(content.PERMISSION),
            may_see_profile=may_open_profile,
        )
        return self._page(
            request,
            message,
            "delivery",
            {
                "page": page,
                "may_open_profile": may_open_profile,
                "question": routing.query_of(message),
                "may_change_profile": request.user.has_perm("smtp_settings.change_smtpprofile"),
                "offered": [
                    action
                    for action in actions.allowed(request)
                    if action.move_for(page.standing) is not None
                ],
                "may_resend": resending.may(request)
                and resending.is_for(page.standing)
                and not message.sensitive,
            },
        )

    def resend_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask who else gets a message; a POST queues a new one for them."""
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "POST"])
        message = self._found(request, pk)
        resending.require(request)
        standing = standings([message])[pk]
        form = resending.ResendForm(request.POST if request.method == "POST" else None, label_suffix="")
        context = resending.context_of(message, standing, form)
        if not context["why_not"] and form.is_valid() and (made := resending.send(request, message, form)):
            self.message_user(request, _("Queued as #%(id)d.") % {"id": made.id}, notices.SUCCESS)
            return HttpResponseRedirect(reverse("admin:delivery_message_change", args=[made.id]))
        title = _("Send to others")
        base = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "message": message,
        }
        return TemplateResponse(request, "admin/delivery/message/resend.html", base | context)

    def route_view(self, request: HttpRequest) -> HttpResponse:
        """Say which server would take a message; with a permission of its own."""
        if (refused := self._refused(request, "GET")) is not None:
            return refused
        if not request.user.has_perm(routing.PERMISSION):
            raise PermissionDenied(_("Can view SMTP profile"))
        context = self.admin_site.each_context(request) | routing.context_for(request.GET)
        return TemplateResponse(request, "admin/delivery/message/route.html", {"opts": self.opts, **context})

    def content_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show what the message says; an event says who looked."""
        if (refused := self._refused(request, "GET")) is not None:
            return refused
        message = self._found(request, pk)
        content.require(request)
        content.note(request, message, "page")
        reading, why_not = content.reading_of(message)
        return self._page(
            request, message, "content", {"reading": reading, "why_not": why_not, "content_url": request.path}
        )

    def preview_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer with the HTML body, for the sandboxed frame."""
        return self._content(request, pk, "preview")

    def attachment_view(self, request: HttpRequest, pk: int, number: int) -> HttpResponse:
        """Answer with one attachment."""
        return self._content(request, pk, "attachment", number)

    def download_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer with the whole message as a file."""
        return self._content(request, pk, "download")

    def action_view(self, request: HttpRequest, pk: int, action: str) -> HttpResponse:
        """Do one action with one message, by POST."""
        if (refused := self._refused(request, "POST")) is not None:
            return refused
        chosen = actions.BY_NAME.get(action)
        if chosen is None:
            raise Http404
        message = self._found(request, pk)
        page = reverse("admin:delivery_message_change", args=[pk])
        return self.act(request, chosen, [message], back=page) or HttpResponseRedirect(page)

    def _content(self, request: HttpRequest, pk: int, part: str, number: int = 0) -> HttpResponse:
        if (refused := self._refused(request, "GET")) is not None:
            return refused
        message = self._found(request, pk)
        content.require(request)
        content.note(request, message, part if part != "attachment" else f"attachment {number}")
        match part:
            case "preview":
                return content.preview(message)
            case "attachment":
                return content.attachment_file(message, number)
            case _:
                return content.whole_file(message)

    def _refused(self, request: HttpRequest, method: str) -> HttpResponse | None:
        """Answer 405 to any other method: nothing is changed by looking."""
        known = {method, "HEAD"} if method == "GET" else {method}
        return None if request.method in known else HttpResponseNotAllowed(sorted(known))

    def _found(self, request: HttpRequest, pk: int) -> Message:
        if not self.has_view_permission(request):
            raise PermissionDenied(_("Can view message"))
        found = Message.objects.filter(pk=pk).select_related("site")
        message = found.first() if pk <= LARGEST_ID else None
        if message is None:
            raise Http404(_("This message does not exist. It may have been removed after its time."))
        return message

    def _page(
        self, request: HttpRequest, message: Message, tab: str, context: dict[str, Any]
    ) -> TemplateResponse:
        return TemplateResponse(
            request,
            "admin/delivery/message/change_form.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": f"#{message.pk} {one_line(readable(message.subject), 200) or _('(no subject)')}",
                "message": message,
                "tab": tab,
                "may_see_content": request.user.has_perm(content.PERMISSION),
                **context,
            },
        )

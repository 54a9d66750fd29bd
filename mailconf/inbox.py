"""The sandbox inbox: what the sandbox server caught, as pages of the admin.

The pages exist where the sandbox does; elsewhere they answer 404. Caught mail is content like any other: the
list needs the permission to see messages, a message the one to read them.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from delivery import reading, showing
from mailconf import sandbox

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite

#: Messages of the list; the sandbox keeps more as files.
NEWEST = 100
_MAY_LIST = "delivery.view_message"
_MAY_READ = "delivery.view_message_body"
T = TypeVar("T")


def is_there() -> bool:
    """Whether this installation has a sandbox: one on this machine, or its folder."""
    return bool(settings.MAILCONF_LOCAL) or sandbox.folder().is_dir()


def may_list(request: HttpRequest) -> bool:
    """Whether this user may see the list."""
    return request.user.has_perm(_MAY_LIST)


class Inbox:
    """The pages, for one admin site."""

    def __init__(self, site: "AdminSite") -> None:
        self._site = site

    def urls(self) -> list[URLPattern]:
        """Return the addresses, below the admin's."""
        wrap = self._site.admin_view
        return [
            path("sandbox/", wrap(require_safe(self.list_page)), name="sandbox"),
            path("sandbox/<slug:id>/", wrap(require_safe(self.message_page)), name="sandbox_message"),
            path("sandbox/<slug:id>/preview/", wrap(require_safe(self.preview)), name="sandbox_preview"),
            path(
                "sandbox/<slug:id>/attachment/<int:number>/",
                wrap(require_safe(self.attachment)),
                name="sandbox_attachment",
            ),
            path("sandbox/<slug:id>/download/", wrap(require_safe(self.download)), name="sandbox_download"),
        ]

    def list_page(self, request: HttpRequest) -> HttpResponse:
        """List the newest messages."""
        _require(request, _MAY_LIST, _("Can view message"))
        caught = sandbox.inbox(limit=NEWEST)
        return self._page(
            request,
            "mailconf/inbox.html",
            title=_("Sandbox inbox"),
            caught=caught,
            newest=NEWEST,
            may_read=request.user.has_perm(_MAY_READ),
            port=settings.MAILCONF_SANDBOX_PORT,
        )

    def message_page(self, request: HttpRequest, id: str) -> HttpResponse:  # noqa: A002  # the address's word
        """Show one message."""
        content = _content(request, id)
        try:
            found, why_not = reading.read(content), ""
        except reading.CannotShow as error:
            found, why_not = None, str(error)
        caught = sandbox.find(id)
        return self._page(
            request,
            "mailconf/inbox_message.html",
            title=reading.one_line(caught.subject) or _("(no subject)"),
            caught=caught,
            reading=found,
            why_not=why_not,
            content_url=reverse("admin:sandbox_message", args=[id], current_app=self._site.name),
        )

    def preview(self, request: HttpRequest, id: str) -> HttpResponse:  # noqa: A002
        """Answer with the HTML body, for the sandboxed frame."""
        return showing.preview(_shown(reading.html_of, _content(request, id)))

    def attachment(self, request: HttpRequest, id: str, number: int) -> HttpResponse:  # noqa: A002
        """Answer with one attachment."""
        content = _content(request, id)
        found = _shown(lambda data: reading.attachment(data, number), content)
        if found is None:
            raise Http404(_("This attachment does not exist."))
        return showing.download(found[1], found[0].name)

    def download(self, request: HttpRequest, id: str) -> HttpResponse:  # noqa: A002
        """Answer with the whole message; its name is ours."""
        return showing.download(_content(request, id), f"sandbox-{id}.eml")

    def _page(self, request: HttpRequest, template: str, **context: object) -> TemplateResponse:
        return TemplateResponse(request, template, {**self._site.each_context(request), **context})


def _require(request: HttpRequest, permission: str, name: str) -> None:
    if not is_there():
        raise Http404(_("There is no sandbox here."))
    if not request.user.has_perm(permission):
        raise PermissionDenied(name)


def _content(request: HttpRequest, message_id: str) -> bytes:
    _require(request, _MAY_READ, _("Can read the content of messages"))
    try:
        return sandbox.read(message_id)
    except sandbox.NotInInbox as error:
        raise Http404(_("This message is no longer in the sandbox.")) from error


def _shown(take: Callable[[bytes], T], content: bytes) -> T:
    try:
        return take(content)
    except reading.CannotShow as error:
        raise Http404(str(error)) from error

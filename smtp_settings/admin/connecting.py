"""Getting a token by hand: “Connect…”, the return from the provider, “Get a token now”.

“Connect…” answers a page with a link: the strict CSP would stop a POST that redirects to another site. The
return is a GET from another site, so it changes something only with the state of this very session.
"""

import time
from typing import cast

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_POST

from smtp_settings import sealing
from smtp_settings.models import OAuthCredential
from smtp_settings.oauth import connecting
from smtp_settings.oauth.tokens import access_token
from smtp_settings.oauth.words import explanation_of, reply_of
from transports.errors import TransportError

_NAME = "smtp_settings_oauthcredential"


def urls(model_admin: "ModelAdmin[OAuthCredential]") -> list[URLPattern]:
    """Return the addresses; each view asks for its own permission."""
    view = model_admin.admin_site.admin_view

    def connect(request: HttpRequest, pk: int) -> HttpResponse:
        return _connect(model_admin, request, pk)

    def connected(request: HttpRequest) -> HttpResponse:
        return _connected(model_admin, request)

    def token(request: HttpRequest, pk: int) -> HttpResponse:
        return _get_token(model_admin, request, pk)

    return [
        path("<int:pk>/connect/", view(require_POST(connect)), name=f"{_NAME}_connect"),
        path("connected/", view(require_GET(never_cache(connected))), name=f"{_NAME}_connected"),
        path("<int:pk>/token/", view(require_POST(token)), name=f"{_NAME}_token"),
    ]


def redirect_uri(request: HttpRequest) -> str:
    """Return the fixed address a provider sends people back to."""
    return request.build_absolute_uri(reverse(f"admin:{_NAME}_connected"))


def _opened(model_admin: "ModelAdmin[OAuthCredential]", request: HttpRequest, pk: int) -> OAuthCredential:
    credential: OAuthCredential | None = model_admin.get_object(request, str(pk))
    if not model_admin.has_change_permission(request, credential):
        raise PermissionDenied
    if credential is None:
        raise Http404
    return credential


def _connect(model_admin: "ModelAdmin[OAuthCredential]", request: HttpRequest, pk: int) -> HttpResponse:
    """Show where the sign-in is, with a link."""
    credential = _opened(model_admin, request, pk)
    if credential.flow != OAuthCredential.Flow.BROWSER:
        raise Http404
    url = connecting.begin(request.session, credential, redirect_uri=redirect_uri(request), now=time.time())
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": _("Connect %(name)s") % {"name": credential.name},
        "object": credential,
        "url": url,
        "redirect_uri": redirect_uri(request),
    }
    answer = TemplateResponse(request, "admin/smtp_settings/oauthcredential/connect.html", context)
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


@sensitive_variables()
def _connected(model_admin: "ModelAdmin[OAuthCredential]", request: HttpRequest) -> HttpResponse:
    """Take a person back who comes from a provider; where to is fixed, whatever the address says."""
    if not model_admin.has_change_permission(request):
        raise PermissionDenied
    home = HttpResponseRedirect(reverse(f"admin:{_NAME}_changelist"))
    try:
        begun = connecting.returned(request.session, request.GET.get("state", ""), now=time.time())
    except connecting.NotOurs as error:
        messages.error(request, str(error))
        return home
    credential = OAuthCredential.objects.filter(pk=begun.credential_id).first()
    if credential is None:
        messages.error(request, _("The credential was deleted during the sign-in."))
        return home
    try:
        row = connecting.finish(begun, request.GET.dict(), user=cast("User", request.user))
    except (connecting.NotOurs, sealing.SealingError) as error:
        messages.error(request, str(error))
    except TransportError as error:
        _say_why(request, error, credential)
    else:
        messages.success(request, _("Connected as %(account)s.") % {"account": row.account or row.name})
    return _page(credential)


def _get_token(model_admin: "ModelAdmin[OAuthCredential]", request: HttpRequest, pk: int) -> HttpResponse:
    """Ask the provider for a token now, whatever it said before."""
    credential = _opened(model_admin, request, pk)
    try:
        refused = connecting.newest_token(credential)
        access_token(credential.pk, refused=refused, asks_again=True)
    except sealing.SealingError as error:
        messages.error(request, str(error))
    except TransportError as error:
        _say_why(request, error, credential)
    else:
        connecting.try_again(credential)
        messages.success(request, _("A token was received. Account and scope are right."))
    return _page(credential)


def _say_why(request: HttpRequest, error: TransportError, credential: OAuthCredential) -> None:
    found, said = explanation_of(error, credential), reply_of(error)
    words = format_html(" <code>{}</code>", said) if said else ""
    messages.error(
        request, format_html("{} {} {}{}", _("No token."), found.cause, " ".join(found.advice), words)
    )


def _page(credential: OAuthCredential) -> HttpResponse:
    return HttpResponseRedirect(reverse(f"admin:{_NAME}_change", args=[credential.pk]))

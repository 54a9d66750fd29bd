"""What a failed request answers: a sentence, a reference for the log, and 503 when it is the database."""

import logging
import re
import secrets
import sys

from django.apps import apps
from django.db import InterfaceError, OperationalError
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseForbidden,
    HttpResponseNotFound,
    HttpResponseServerError,
)
from django.template.loader import render_to_string
from django.utils.functional import Promise

logger = logging.getLogger("mailconf.pages")

#: Seconds after which a client may ask again while the database is away.
RETRY_AFTER = 30


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001  # Django's signature
    """Answer 400; the reason may repeat what an attacker sent, so it is in the log only."""
    return HttpResponseBadRequest(render_to_string("400.html"))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 403 with the permission that is missing, where it can be told."""
    said = exception.args[0] if exception.args else _permission_for(request)
    name = said if isinstance(said, str | Promise) else ""
    return HttpResponseForbidden(render_to_string("403.html", {"exception": name}))


_PAGES = {"add": "add", "delete": "delete", "change": "view", "changelist": "view", "history": "view"}


def _permission_for(request: HttpRequest) -> str:
    """Name the permission a stock page of the admin wants, as the page of a group names it; "" if unknown."""
    name = getattr(request.resolver_match, "url_name", None) or ""
    found = re.fullmatch(r"([a-z_]+)_([a-z]+)_(add|delete|change|changelist|history)", name)
    try:
        model = apps.get_model(found[1], found[2]) if found else None
    except LookupError:
        model = None
    user = getattr(request, "user", None)
    if found is None or model is None or user is None:
        return ""
    verb = "change" if found[3] == "change" and request.method == "POST" else _PAGES[found[3]]
    if user.has_perm(f"{found[1]}.{verb}_{found[2]}"):
        return ""  # refused for another reason: nobody may
    return f"Can {verb} {model._meta.verbose_name_raw}"


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001  # Django's signature
    """Answer 404, with the sentence of whoever raised it (the resolver's own words are not for people)."""
    said = exception.args[0] if isinstance(exception, Http404) and exception.args else ""
    return HttpResponseNotFound(
        render_to_string("404.html", {"sentence": said if isinstance(said, str | Promise) else ""})
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500 with a reference that is in the log too, or 503 when the database is away."""
    error = sys.exc_info()[1]
    if isinstance(error, OperationalError | InterfaceError):
        logger.error("The database does not answer: %s %s", request.method, request.path)
        response = HttpResponse(render_to_string("503.html"), status=503)
        response["Retry-After"] = str(RETRY_AFTER)
        return response
    code = secrets.token_hex(3).upper()
    reference = f"{code[:4]}-{code[4:]}"
    logger.error("Reference %s: %s %s failed", reference, request.method, request.path)
    return HttpResponseServerError(render_to_string("500.html", {"reference": reference}))

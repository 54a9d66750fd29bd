"""What a failed request answers: a sentence, a reference for the log, and 503 when it is the database."""

import logging
import secrets
import sys

from django.db import InterfaceError, OperationalError
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
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

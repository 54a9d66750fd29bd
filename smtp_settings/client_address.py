"""The address a request came from: who wrote an event is known by the name, this says from where.

A middleware remembers it while a request is answered, and the column of the event log takes it from there, so
that no event a person causes lacks it and no caller has to carry it along.
"""

from collections.abc import Callable
from contextvars import ContextVar
from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse

_current: ContextVar[str | None] = ContextVar("client_address", default=None)


def current() -> str | None:
    """Return the address of the request being answered; None in workers, commands and threads."""
    return _current.get()


def of(request: HttpRequest) -> str | None:
    """Return a request's address, None when there is none to be had (a Unix socket).

    Behind a proxy (MAILCONF_BEHIND_PROXY) it is the last of X-Forwarded-For, which that proxy wrote; those
    before it are whatever the client said.
    """
    found = request.META.get("REMOTE_ADDR", "")
    if getattr(settings, "MAILCONF_BEHIND_PROXY", False):
        found = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2] or found
    try:
        return str(ip_address(found.strip()))
    except ValueError:
        return None


class ClientAddressMiddleware:
    """Remembers the address while a request is answered."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request, its address known on the way."""
        token = _current.set(of(request))
        try:
            return self.get_response(request)
        finally:
            _current.reset(token)

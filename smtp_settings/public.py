"""The page outside the admin: where the link in a test email leads. Nobody signs in, and nothing is told."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from smtp_settings.test_send import received


@never_cache
@csrf_exempt  # who knows the link may say so from anywhere; mail programs often keep no cookie
@require_http_methods(["GET", "HEAD", "POST"])
def test_received(request: HttpRequest, token: str) -> HttpResponse:
    """Ask whether a test email arrived; a POST notes it.

    Not the GET: mail scanners follow each link before the person does.
    """
    run = received.run_of(token)
    if run is None:
        raise Http404(_("This link is not complete, or the test it belongs to has been removed."))
    if request.method == "POST":
        received.receive(run)
    return render(request, "mailconf/test_received.html", {"is_received": run.received_at is not None})

"""What probes ask: `/healthz` (the process answers) and `/readyz` (it can do its work)."""

from collections.abc import Callable

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse

from smtp_settings import sealing


class HealthMiddleware:
    """Answers probes before anything else looks at the request: they know neither host name nor HTTPS."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a probe, or pass the request on."""
        if request.path == "/healthz":
            return JsonResponse({"process": "ok"})
        if request.path == "/readyz":
            return _ready()
        return self.get_response(request)


def _ready() -> HttpResponse:
    """Answer 200 when database, migrations and keys are as they must be, else 503; name no host or value."""
    states = {"database": _database(), "keys": _keys()}
    if states["database"] == "ok":
        states["migrations"] = _migrations()
    return JsonResponse(states, status=200 if set(states.values()) == {"ok"} else 503)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_read_only")
            return "ok" if cursor.fetchone() == ("off",) else "read only"
    except DatabaseError:
        return "no answer"


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    return "pending" if executor.migration_plan(executor.loader.graph.leaf_nodes()) else "ok"


def _keys() -> str:
    try:
        sealing.current_keyring()
    except sealing.SealingError:
        return "missing"
    return "ok"

"""Changes of the policy and of where the database may send from, each one transaction with its event."""

from collections.abc import Mapping
from typing import Any

from django.contrib.sites.models import Site
from django.db import transaction
from django.utils import timezone

from smtp_settings import facts
from smtp_settings.models import DebugMode, Event, SendingPolicy, Whereabouts
from smtp_settings.policy.reading import read

_FOR_ALL = {
    "emails_enabled": True,
    "queue_enabled": True,
    "debug_mode": DebugMode.OFF,
    "simulated_failures": 0,
}
#: What a person sets; the rest is written along.
FIELDS = (
    "emails_enabled",
    "queue_enabled",
    "debug_mode",
    "simulated_failures",
    "simulated_kind",
    "batch_size",
    "email_log",
    "redirect_to",
    "redirect_except",
)


class StalePolicy(Exception):
    """Somebody saved the row after it was read."""


def row_for(site: Site | None) -> SendingPolicy:
    """Return the row for all, or a site's; one that says nothing yet is made, which changes nothing."""
    values = _FOR_ALL if site is None else {}
    row, _is_new = SendingPolicy.objects.get_or_create(site=site, defaults=values)
    return row


def save(row: SendingPolicy, *, user_id: int | None) -> bool:
    """Store a row a person changed, note what changed, and let workers hear; False when nothing did.

    Raises StalePolicy when somebody else saved it after it was read.
    """
    with transaction.atomic():
        stored = SendingPolicy.objects.select_for_update().get(pk=row.pk)
        if stored.version != row.version:
            raise StalePolicy
        changes = [
            {"field": name, "old": _plain(getattr(stored, name)), "new": _plain(getattr(row, name))}
            for name in FIELDS
            if getattr(stored, name) != getattr(row, name)
        ]
        if not changes:
            return False
        if stored.emails_enabled != row.emails_enabled:
            is_off = row.emails_enabled is False
            row.emails_off_at = timezone.now() if is_off else None
            row.emails_off_by_id = user_id if is_off else None
        row.version = stored.version + 1
        row.save()
        _note("policy.saved", user_id, {"name": str(row), "site": row.site_id, "changes": changes})
        facts.mail().wake()
    return True


def confirm_place(*, user_id: int | None, logs_only: bool = False) -> bool:
    """Let mail leave from where the database is now; False when it may already.

    With `logs_only` it is called a copy: the policy for all becomes log only in the same transaction.
    """
    with transaction.atomic():
        found = read()
        if found.is_confirmed:
            return False
        if logs_only:
            row = row_for(None)
            row.debug_mode = DebugMode.LOG
            save(row, user_id=user_id)
        place = Whereabouts.objects.get(digest=found.here.digest)
        place.confirmed_at, place.confirmed_by_id = timezone.now(), user_id
        place.key_ids = list(found.key_ids)
        place.save(update_fields=["confirmed_at", "confirmed_by", "key_ids"])
        _note("policy.place_confirmed", user_id, {"name": found.here.address})
        facts.mail().wake()
    return True


def _note(kind: str, user_id: int | None, data: Mapping[str, Any]) -> None:  # Any: JSON
    Event.objects.create(kind=kind, level="warning", user_id=user_id, data=dict(data))


def _plain(value: object) -> object:
    return list(value) if isinstance(value, list | tuple) else value

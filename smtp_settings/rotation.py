"""All sealed secrets at once: moved to the primary key, counted by key, tried.

Rows are taken in batches under their locks, each batch a transaction, so that a rotation can be stopped and
started again, and never loses a password that somebody is saving.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import models, transaction

from smtp_settings import key_check, sealing
from smtp_settings.clearance import activation
from smtp_settings.clearance.candidate import run_binding
from smtp_settings.models import NotificationSettings, OAuthCredential, SMTPProfile, TestRun

BATCH = 100

#: Every sealed column. A test finds one that is missing here.
SEALED: tuple[tuple[type[models.Model], tuple[str, ...]], ...] = (
    (SMTPProfile, ("password",)),
    (OAuthCredential, ("client_secret", "access_token", "refresh_token")),
    (TestRun, ("secret",)),
    (NotificationSettings, ("webhook_secret",)),
)


@dataclass(frozen=True, slots=True)
class Broken:
    """A secret that does not open: where, and why in one sentence."""

    where: str
    column: str
    sentence: str


@dataclass
class Progress:
    """What a rotation did so far."""

    seen: int = 0
    total: int = 0
    resealed: int = 0
    broken: list[Broken] = field(default_factory=list)


def reseal_all(batch: int = BATCH) -> Iterator[Progress]:
    """Seal everything with the primary key that is not yet; yields after each batch, the same object.

    What does not open stays as it is and is reported. Raises KeyMissing, or WrongKey before anything is
    written.
    """
    key_check.confirm()
    primary = sealing.current_keyring().primary.kid
    progress = Progress(total=sum(_rows(model, columns).count() for model, columns in SEALED))
    for model, columns in SEALED:
        last = 0
        rows = _rows(model, columns).order_by("pk").values_list("pk", flat=True)
        while pks := list(rows.filter(pk__gt=last)[:batch]):
            with transaction.atomic():
                locked = model._default_manager.select_for_update(no_key=True).filter(pk__in=pks)
                for row in locked.order_by("pk"):
                    progress.seen += 1
                    _reseal(row, columns, primary, progress)
            last = pks[-1]
            yield progress


def count_by_kid() -> Counter[str]:
    """Count sealed secrets by the name of their key; "?" for what is no sealed secret."""
    found: Counter[str] = Counter()
    for model, columns in SEALED:
        for column in columns:
            rows = model._default_manager.filter(**{f"{column}__isnull": False})
            for value in rows.values_list(column, flat=True).iterator():
                try:
                    found[sealing.kid_of(value)] += 1
                except sealing.SealBroken:
                    found["?"] += 1
    return found


def verify_all() -> Iterator[Broken | None]:
    """Open every secret, one after another; yields what is wrong with it, or None."""
    for model, columns in SEALED:
        for row in model._default_manager.order_by("pk").iterator():
            for column in columns:
                if getattr(row, column) is not None:
                    yield _trouble(row, column)


def _rows(model: type[models.Model], columns: tuple[str, ...]) -> models.QuerySet[Any]:  # Any: three models
    """Return the rows a rotation looks at: every profile (its fingerprint), and what holds a secret."""
    if model is SMTPProfile:
        return SMTPProfile.objects.all()
    holds = models.Q()
    for column in columns:
        holds |= models.Q(**{f"{column}__isnull": False})
    return model._default_manager.filter(holds)


def _reseal(
    row: Any, columns: tuple[str, ...], primary: str, progress: Progress
) -> None:  # Any: three models
    changes: dict[str, bytes] = {}
    opened = None
    for column in columns:
        sealed = getattr(row, column)
        if sealed is None:
            continue
        try:
            opened = sealing.open_sealed(sealed, _binding(row, column))
        except sealing.SealingError as error:
            progress.broken.append(Broken(_name(row), column, str(error)))
            return
        if sealing.kid_of(sealed) != primary:
            changes[column] = sealing.seal(opened, _binding(row, column))
    if changes:
        type(row)._default_manager.filter(pk=row.pk).update(**changes)
        progress.resealed += len(changes)
    if isinstance(row, SMTPProfile):
        activation.renew_clearance(row, opened)


def _trouble(row: Any, column: str) -> Broken | None:  # Any: three models
    try:
        sealing.open_sealed(getattr(row, column), _binding(row, column))
    except sealing.SealingError as error:
        return Broken(_name(row), column, str(error))
    return None


def _binding(row: Any, column: str) -> sealing.Binding:  # Any: three models
    return run_binding(row) if isinstance(row, TestRun) else sealing.binding_for(row, column)


def _name(row: models.Model) -> str:
    return f"{row._meta.verbose_name} “{row}”"

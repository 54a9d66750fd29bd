"""What the rows have in common: no constraint where it would cost, a bound where readers need one."""

from datetime import UTC, datetime
from typing import Any

from django.db import models
from django.db.models import Q


class Row(models.Model):
    """What workers write and nobody edits."""

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{type(self).__name__} {self.pk}"


def loose(to: Any, **kwargs: Any) -> Any:  # Any: ForeignKey's own signature
    """Make a reference without constraint or index, for hot and historic rows."""
    return models.ForeignKey(
        to,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        related_name="+",
        **kwargs,
    )


def in_range(column: str, *, name: str) -> models.CheckConstraint:
    """Keep a moment within what every reader can hold: Python has no year 0 and none after 9999.

    One row beyond would stop the workers, which read it before anything else.
    """
    soonest, latest = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
    return models.CheckConstraint(condition=Q(**{f"{column}__range": (soonest, latest)}), name=name)

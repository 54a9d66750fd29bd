"""Validators several models share."""

from django.core.validators import MinValueValidator


def at_least(value: int) -> list[MinValueValidator]:
    """Give the validators of a number that is never below `value`."""
    return [MinValueValidator(value)]

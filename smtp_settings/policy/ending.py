"""Whose waiting mail goes to its real recipients once a restriction ends. Pure."""

from collections.abc import Iterable

from smtp_settings.policy.deciding import Course, Effective, Policies


def freed(before: Policies, after: Policies, sites: Iterable[int | None]) -> frozenset[int | None]:
    """Return the sites (None: mail of none) whose mail was kept back or led elsewhere, and will not be."""
    return frozenset(one for one in sites if _is_freed(before.of(one), after.of(one)))


def _is_freed(before: Effective, after: Effective) -> bool:
    if after.course is not Course.SEND:
        return False
    if before.course is not Course.SEND:
        return True
    return before.redirect is not None and _spares_more(before, after)


def _spares_more(before: Effective, after: Effective) -> bool:
    """Whether somebody gets mail now who did not before."""
    if before.redirect is None or after.redirect is None:
        return after.redirect is None
    return (
        after.redirect.to != before.redirect.to
        or not after.redirect.except_domains <= before.redirect.except_domains
    )

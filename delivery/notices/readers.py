"""Who is told: the profile's notify user, else the one of the site's default, else of the default."""

from collections.abc import Iterable
from dataclasses import dataclass

from delivery.composing import CannotCompose
from delivery.composing.addresses import checked
from smtp_settings.models import SMTPProfile


@dataclass(frozen=True, slots=True)
class Keeper:
    """A profile and its notify user's address, "" for none."""

    profile_id: int
    is_default: bool
    site_ids: frozenset[int]
    address: str


class Readers:
    """The profiles' notify users, read once for many messages."""

    def __init__(self) -> None:
        rows = SMTPProfile.objects.select_related("notify_user").prefetch_related("sites").defer("password")
        self._keepers = [
            Keeper(row.pk, row.is_default, frozenset(site.pk for site in row.sites.all()), address_of(row))
            for row in rows.order_by("pk")
        ]

    def of(self, profile_id: int | None, site_id: int | None) -> str:
        """Return the address to tell, "" when nobody is to be told."""
        return reader(self._keepers, profile_id, site_id)


def reader(keepers: Iterable[Keeper], profile_id: int | None, site_id: int | None) -> str:
    """Choose who is told of a message of this site that was tried through this profile."""

    def rank(keeper: Keeper) -> tuple[bool, bool]:
        return (keeper.profile_id != profile_id, site_id not in keeper.site_ids)

    fit = [
        keeper
        for keeper in keepers
        if keeper.address
        and (
            keeper.profile_id == profile_id
            or (keeper.is_default and (not keeper.site_ids or site_id in keeper.site_ids))
        )
    ]
    return min(fit, key=rank).address if fit else ""


def address_of(profile: SMTPProfile) -> str:
    """Return where a profile's notify user is written to; "" when there is none, or no address to use."""
    user = profile.notify_user
    if user is None or not user.is_active:
        return ""
    try:
        return checked(str(getattr(user, "email", "") or ""), "The notify user")
    except CannotCompose:
        return ""

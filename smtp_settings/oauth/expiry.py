"""When a credential ends: its client secret, or the connection a person made. The clock is an argument."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from smtp_settings.models import OAuthCredential

#: A client secret or a connection that ends within this is worth a word.
NOTICE = timedelta(days=30)

#: How long a refresh token lives that nobody uses (Microsoft: 90 days; Google: six months).
_UNUSED = {
    OAuthCredential.Provider.MICROSOFT: timedelta(days=90),
    OAuthCredential.Provider.GOOGLE: timedelta(days=180),
}


class What(StrEnum):
    """What ends."""

    CLIENT_SECRET = "client_secret"  # noqa: S105  # the name of a column
    CONNECTION = "connection"


@dataclass(frozen=True, slots=True)
class Ending:
    """Something of a credential that ends at a known moment, unless somebody does something."""

    credential_id: int
    name: str
    what: What
    ends_at: datetime


def endings_of(credential: OAuthCredential) -> list[Ending]:
    """Return what of a credential ends and when, soonest first; not what a refusal has ended.

    A renewed access token is no ending. A connection ends when its provider said so, or when nobody used
    it for as long as its provider keeps such; each new token counts from the beginning.
    """
    found = []
    if credential.client_secret_expires_at is not None:
        found.append((What.CLIENT_SECRET, credential.client_secret_expires_at))
    if (connection_ends := _connection_ends(credential)) is not None:
        found.append((What.CONNECTION, connection_ends))
    return [
        Ending(credential.pk, credential.name, what, ends_at)
        for what, ends_at in sorted(found, key=lambda one: one[1])
    ]


def expiring(
    credentials: Iterable[OAuthCredential], *, now: datetime, within: timedelta = NOTICE
) -> list[Ending]:
    """Return what of these ends within a time from now, soonest first; what has ended is among them."""
    found = (ending for credential in credentials for ending in endings_of(credential))
    return sorted((one for one in found if one.ends_at <= now + within), key=lambda one: one.ends_at)


def _connection_ends(credential: OAuthCredential) -> datetime | None:
    if credential.flow != OAuthCredential.Flow.BROWSER or credential.fault:
        return None
    if credential.refresh_token_expires_at is not None:
        return credential.refresh_token_expires_at
    unused = _UNUSED.get(OAuthCredential.Provider(credential.provider))
    if unused is None or credential.token_received_at is None or credential.refresh_token is None:
        return None
    return credential.token_received_at + unused

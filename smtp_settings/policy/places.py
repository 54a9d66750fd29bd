"""Whether the database is where it was confirmed to be, or a copy that woke up elsewhere. Pure.

Four facts make a place, because each tells what the others miss:

- the server's own identifier, made once when its files are: a restored dump has another;
- the database's number on that server: a copy beside the original has another;
- the address as it is written in the settings: a copy of the files, on another machine, has another;
- the name of the environment (MAILCONF_ENVIRONMENT): copies of whole machines, addresses and all, may differ
  in nothing else.

The machine that a worker runs on is none of them: deploying the application anew, or adding workers, changes
nothing. Nor is a key, which may be rotated; but where none of the keys known is at hand, it is another place.
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where a database is. `address` is host, port and name as they are written, never user or password."""

    server: str
    database: str
    address: str
    environment: str

    @property
    def digest(self) -> str:
        """Return what the place is known by."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class KnownPlace:
    """A place that was seen before, with the keys that were at hand there so far."""

    place: Place
    key_ids: tuple[str, ...]
    is_confirmed: bool


def confirmed(known: Iterable[KnownPlace], here: Place, key_ids: Collection[str]) -> bool:
    """Say whether mail may leave from here. Who has no key at all sends nothing, and is not asked for one."""
    return any(one.is_confirmed and one.place == here and _shares_a_key(one, key_ids) for one in known)


def differences(known: Iterable[KnownPlace], here: Place, key_ids: Collection[str]) -> tuple[str, ...]:
    """Name what is other than at the confirmed place most like this one: fields of `Place`, and "keys"."""
    found = [_differences(one, here, key_ids) for one in known if one.is_confirmed]
    return min(found, key=len, default=())


def _differences(one: KnownPlace, here: Place, key_ids: Collection[str]) -> tuple[str, ...]:
    then, now = asdict(one.place), asdict(here)
    other = [name for name in then if then[name] != now[name]]
    if not _shares_a_key(one, key_ids):
        other.append("keys")
    return tuple(other)


def _shares_a_key(one: KnownPlace, key_ids: Collection[str]) -> bool:
    return not one.key_ids or not key_ids or not set(one.key_ids).isdisjoint(key_ids)

"""What was read, before anybody judged it: one `Mailer` for each way mail left."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Habit(StrEnum):
    """What a program does where its settings say nothing."""

    DJANGO = "django"  #: port 25, no encryption
    OTHER = "other"  #: not known: the port decides


#: What a mailer may say; the names are those of the options of Django's SMTP backend, and a few more.
KEYS = frozenset(
    {
        "host", "port", "username", "password", "use_tls", "use_ssl", "encryption", "timeout", "ssl_certfile",
        "ssl_keyfile", "from_email", "from_name",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mailer:
    """One way out as it was written down: `label` says where, `values` is by `KEYS`, as texts or as typed.

    `backend` is a dotted path, "" for plain SMTP. `name` is what its owner called it, "" for nothing.
    `notes` are sentences on what was not understood.
    """

    label: str
    values: Mapping[str, Any] = field(repr=False)  # Any: as in the settings; holds a password
    backend: str = ""
    name: str = ""
    habit: Habit = Habit.DJANGO
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that was found, and sentences on what belongs to no mailer."""

    mailers: tuple[Mailer, ...] = ()
    notes: tuple[str, ...] = ()

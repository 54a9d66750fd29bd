"""What PostgreSQL's settings do to our promises: pure, on what the server says of itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from django.core.checks import CheckMessage, Error, Info
from django.core.checks import Warning as CheckWarning
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

#: The oldest major version the statements are tested with.
OLDEST = 14
#: Connections of the pages, the worker of tests and commands; a session has one for mail and one for upkeep.
_OTHERS, _PER_SESSION = 30, 2
#: A transaction of ours may pause so long: a bulk action composes, a caller does work of its own.
_PAUSE_MS = 10_000

#: Settings asked for, as `pg_settings` names them.
NAMES = (
    "autovacuum",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "fsync",
    "full_page_writes",
    "idle_in_transaction_session_timeout",
    "max_connections",
    "server_version",
    "server_version_num",
    "superuser_reserved_connections",
    "reserved_connections",
    "synchronous_commit",
    "track_counts",
)


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says: its settings, and what is between it and us.

    `is_pooled`: something hands out its connections. `is_shared`: to others as well, between two transactions
    of ours. `sessions` are the worker sessions that live.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    is_replica: bool = False
    is_pooled: bool = False
    is_shared: bool = False
    sessions: int = 0

    def is_(self, name: str, value: str) -> bool:
        """Whether a setting has this value."""
        return self.settings.get(name) == value

    def number(self, name: str) -> int:
        """Return a setting's number; 0 for one this version does not have."""
        return int(self.settings.get(name, "0"))


# Name, value: id, what breaks, what to do.
_SWITCHES = {
    ("fsync", "off"): (
        "W011",
        gettext_lazy(
            "PostgreSQL does not wait for the disk (fsync is off): a power cut can destroy the database, "
            "and the mail that waits in it."
        ),
        gettext_lazy("Set fsync = on in postgresql.conf and reload it."),
    ),
    ("synchronous_commit", "off"): (
        "W012",
        gettext_lazy(
            "PostgreSQL confirms before it has written (synchronous_commit is off): after a crash the mail "
            "of the last moments is missing, and what was sent in them is sent again."
        ),
        gettext_lazy("Set synchronous_commit = on, for the server, the database and the user."),
    ),
    ("full_page_writes", "off"): (
        "W013",
        gettext_lazy(
            "PostgreSQL writes no full pages (full_page_writes is off): a crash in the middle of a write can "
            "leave broken rows."
        ),
        gettext_lazy("Set full_page_writes = on in postgresql.conf and reload it."),
    ),
    ("autovacuum", "off"): (
        "W014",
        gettext_lazy(
            "Nothing clears away rows that are gone (autovacuum is off): each claim reads more of them, "
            "until mail is slow."
        ),
        gettext_lazy("Set autovacuum = on in postgresql.conf and reload it."),
    ),
    ("track_counts", "off"): (
        "W014",
        gettext_lazy(
            "Autovacuum does not know what to do (track_counts is off): each claim reads more rows that are "
            "gone, until mail is slow."
        ),
        gettext_lazy("Set track_counts = on in postgresql.conf and reload it."),
    ),
}


def judge(facts: ServerFacts) -> Iterator[CheckMessage]:
    """Yield what breaks a promise, each with what to do."""
    yield from _unusable(facts)
    for (name, value), (number, what, hint) in _SWITCHES.items():
        if facts.is_(name, value):
            yield CheckWarning(str(what), hint=str(hint), id=f"mailconf.{number}")
    yield from _pooling(facts)
    yield from _limits(facts)


def _unusable(facts: ServerFacts) -> Iterator[CheckMessage]:
    if 0 < facts.number("server_version_num") < OLDEST * 10_000:
        yield Error(
            _("PostgreSQL %(version)s is too old: statements of the queue fail.")
            % {"version": facts.settings.get("server_version", "")},
            hint=_("Upgrade it to %(oldest)d or newer.") % {"oldest": OLDEST},
            id="mailconf.E011",
        )
    if facts.is_replica:
        yield Error(
            _("The database is a replica: no message can be taken, claimed or recorded."),
            hint=_("Let DATABASE_URL name the primary server."),
            id="mailconf.E012",
        )
    elif facts.is_("default_transaction_read_only", "on"):
        yield Error(
            _("Transactions are read-only (default_transaction_read_only): no message can be taken or sent."),
            hint=_("Turn it off for the server, the database and the user."),
            id="mailconf.E013",
        )
    isolation = facts.settings.get("default_transaction_isolation", "read committed")
    if isolation != "read committed":
        yield Error(
            _("Transactions are “%(isolation)s”: claims of two workers at once fail instead of sharing.")
            % {"isolation": isolation},
            hint=_("Set default_transaction_isolation = 'read committed' for the database and the user."),
            id="mailconf.E014",
        )


def _pooling(facts: ServerFacts) -> Iterator[CheckMessage]:
    hint = _("Connect to PostgreSQL itself, or let the pool keep sessions (PgBouncer: pool_mode = session).")
    if facts.is_shared:
        yield CheckWarning(
            _(
                "A pool gives each transaction another connection: prepared statements are missing there, "
                "and the workers' time limits reach other programs."
            ),
            hint=hint,
            id="mailconf.W015",
        )
    elif facts.is_pooled:
        yield Info(
            _("A connection pool stands before PostgreSQL: if it pools transactions, workers fail."),
            hint=hint,
            id="mailconf.I015",
        )


def _limits(facts: ServerFacts) -> Iterator[CheckMessage]:
    pause = facts.number("idle_in_transaction_session_timeout")
    if 0 < pause < _PAUSE_MS:
        yield CheckWarning(
            _(
                "PostgreSQL ends transactions that pause for %(seconds)g s "
                "(idle_in_transaction_session_timeout): mail handed over in such a one is not taken."
            )
            % {"seconds": pause / 1000},
            hint=_("Set it to 30 s or more, or to 0."),
            id="mailconf.W016",
        )
    reserved = facts.number("superuser_reserved_connections") + facts.number("reserved_connections")
    available, needed = (
        facts.number("max_connections") - reserved,
        _OTHERS + _PER_SESSION * facts.sessions,
    )
    if 0 < available < needed:
        yield CheckWarning(
            _(
                "PostgreSQL takes %(available)d connections (max_connections), and %(needed)d may be wanted "
                "with %(sessions)d worker sessions: pages and workers are turned away when they are used up."
            )
            % {"available": available, "needed": needed, "sessions": facts.sessions},
            hint=_("Raise max_connections and restart PostgreSQL, or run fewer workers."),
            id="mailconf.W017",
        )

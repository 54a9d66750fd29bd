"""The environment: every variable mailconf reads, in one table.

`Environment` is the table: one typed field a variable, with what it means. The README's table is tested
against it, and a `MAILCONF_` variable that is not in it is refused: a typing error does not go unnoticed.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any

#: Where manage.py lies; relative paths start here, wherever a command is called from.
BASE_DIR = Path(__file__).resolve().parent.parent

#: A port, or the first and last of a range.
Ports = tuple[int | tuple[int, int], ...]


class VariableError(ValueError):
    """A variable holds what mailconf does not understand; one sentence names it."""


def _text(value: str) -> str:
    return value


def _flag(value: str) -> bool:
    words = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    try:
        return words[value.lower()]
    except KeyError:
        raise ValueError("use true or false") from None


def _port(value: str) -> int:
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 65535):
        raise ValueError("use a number from 1 to 65535")
    return int(value)


def _days(value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) <= 3650):
        raise ValueError("use a number of days, 0 to 3650")
    return int(value)


def _kept_days(value: str) -> int | None:
    """Read how long something is kept; None is for ever. 0 is refused: it could be meant either way."""
    if value == "never":
        return None
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 3650):
        raise ValueError("use a number of days, 1 to 3650, or never, which removes nothing")
    return int(value)


def _to_a_thousand(value: str) -> int:
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 1000):
        raise ValueError("use a number from 1 to 1000")
    return int(value)


def _file(value: str) -> str:
    return str(_path(value)) if value else ""


def _ports(value: str) -> Ports:
    return tuple(_port_or_range(part) for part in _words(value))


def _port_or_range(part: str) -> int | tuple[int, int]:
    low, dash, high = part.partition("-")
    return (_port(low), _port(high)) if dash else _port(low)


def _words(value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.split(",") if word.strip())


def _path(value: str) -> Path:
    return (BASE_DIR / Path(value).expanduser()).resolve()


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"use one of {', '.join(choices)}")
        return value

    return parse


def _name_servers(value: str) -> tuple[tuple[str, int], ...]:
    return tuple(_name_server(part) for part in _words(value))


def _name_server(part: str) -> tuple[str, int]:
    host, colon, port = part.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):  # an IPv6 address without a port
        host, port = part, "53"
    try:
        return str(ip_address(host.removeprefix("[").removesuffix("]"))), _port(port)
    except ValueError:
        raise ValueError("use addresses, with a port where it is not 53") from None


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: its name, how its text is read, its default as text ("" = none), and what it means.

    A `secret` may also come from a file: NAME_FILE holds the path (as container secrets do).
    """

    name: str
    parse: Callable[[str], object]
    default: str
    meaning: str
    secret: bool = False


def _variable(
    name: str, parse: Callable[[str], object], default: str, meaning: str, *, secret: bool = False
) -> dict[str, Variable]:
    return {"variable": Variable(name, parse, default, meaning, secret)}


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The environment, read. Fields are in the order of the README's table."""

    database_url: str = field(
        repr=False,
        metadata=_variable(
            "DATABASE_URL",
            _text,
            "",
            "PostgreSQL 14 or newer, `postgresql://user:password@host/name`. Empty: a private server.",
            secret=True,
        ),
    )
    redis_url: str = field(
        repr=False,
        metadata=_variable(
            "REDIS_URL",
            _text,
            "",
            "The broker. Empty: files in `MAILCONF_VAR`, for one machine.",
            secret=True,
        ),
    )
    secret_key: str = field(
        repr=False,
        metadata=_variable(
            "SECRET_KEY",
            _text,
            "",
            "Signs sessions; 50 random characters. Required in production; `make run` makes one.",
            secret=True,
        ),
    )
    keys_file: str = field(
        metadata=_variable(
            "MAILCONF_KEYS_FILE",
            _text,
            "",
            "File with the keys that seal passwords (`manage.py generate_key`). `make run` makes one.",
        )
    )
    keys: str = field(
        repr=False,
        metadata=_variable(
            "MAILCONF_KEYS",
            _text,
            "",
            "The keys themselves, `id:base64,id:base64`; the first one seals.",
            secret=True,
        ),
    )
    hosts: tuple[str, ...] = field(
        metadata=_variable(
            "MAILCONF_HOSTS", _words, "", "Names the pages are served under. Required in production."
        )
    )
    https: str = field(
        metadata=_variable(
            "MAILCONF_HTTPS",
            _one_of("auto", "true", "false"),
            "auto",
            "Pages over HTTPS only. `auto`: yes in production, no with `make run`.",
        )
    )
    behind_proxy: bool = field(
        metadata=_variable(
            "MAILCONF_BEHIND_PROXY",
            _flag,
            "false",
            "A proxy sets (and strips) `X-Forwarded-Proto` and adds to `X-Forwarded-For`: believe it.",
        )
    )
    environment: str = field(
        metadata=_variable(
            "MAILCONF_ENVIRONMENT", _text, "", "Shown beside the user name: `Production`, `Staging`."
        )
    )
    time_zone: str = field(metadata=_variable("MAILCONF_TIME_ZONE", _text, "UTC", "Time zone of the pages."))
    var: Path = field(
        metadata=_variable(
            "MAILCONF_VAR",
            _path,
            "var",
            "Folder for what a running mailconf writes: database, keys, caught mail.",
        )
    )
    state_dir: str = field(
        metadata=_variable(
            "MAILCONF_STATE_DIR",
            _text,
            "",
            "Folder for the workers' journals. Empty: `state` in `MAILCONF_VAR`.",
        )
    )
    journal_sync: bool = field(
        metadata=_variable(
            "MAILCONF_JOURNAL_SYNC",
            _flag,
            "false",
            "Journals wait for the disk: after a power cut, too, less is sent twice.",
        )
    )
    batch_size: int = field(
        metadata=_variable(
            "MAILCONF_BATCH_SIZE",
            _to_a_thousand,
            "100",
            "Messages a worker takes from the queue at once, 1 to 1000: large is much data at a time, small"
            " is more queries.",
        )
    )
    default_site: str = field(
        metadata=_variable(
            "MAILCONF_DEFAULT_SITE",
            _text,
            "",
            "Site of messages that name none: its domain or number. Empty: they have none.",
        )
    )
    port: int = field(
        metadata=_variable("MAILCONF_PORT", _port, "8000", "Port of the pages with `make run` (127.0.0.1).")
    )
    sandbox_port: int = field(
        metadata=_variable(
            "MAILCONF_SANDBOX_PORT", _port, "2525", "Port of the mail sandbox with `make run` (127.0.0.1)."
        )
    )
    allowed_ports: Ports = field(
        metadata=_variable(
            "MAILCONF_ALLOWED_PORTS",
            _ports,
            "",
            "Ports a profile may use besides 25, 465, 587, 2465, 2525, 2587: `26,1025-1030`.",
        )
    )
    allowed_networks: tuple[str, ...] = field(
        metadata=_variable(
            "MAILCONF_ALLOWED_NETWORKS",
            _words,
            "",
            "Internal networks a profile may reach: `10.1.0.0/16,fd00::/8`.",
        )
    )
    allow_private: bool = field(
        metadata=_variable(
            "MAILCONF_ALLOW_PRIVATE", _flag, "false", "Profiles may reach every private network (RFC 1918)."
        )
    )
    sendmail_programs: tuple[str, ...] = field(
        metadata=_variable(
            "MAILCONF_SENDMAIL_PROGRAMS",
            _words,
            "/usr/sbin/sendmail,/usr/lib/sendmail",
            "Programs that a profile may hand mail to. Empty: none.",
        )
    )
    oauth_allow_http: bool = field(
        metadata=_variable(
            "MAILCONF_OAUTH_ALLOW_HTTP",
            _flag,
            "false",
            "Token addresses may be plain `http://`: for a sign-in service of your own on this machine.",
        )
    )
    dns_servers: tuple[tuple[str, int], ...] = field(
        metadata=_variable(
            "MAILCONF_DNS_SERVERS",
            _name_servers,
            "",
            "Name servers asked about domains (MX, SPF, DKIM, DMARC): `10.0.0.53,10.0.0.54:5353`. "
            "Empty: the system's.",
        )
    )
    password_age_days: int = field(
        metadata=_variable(
            "MAILCONF_PASSWORD_AGE_DAYS",
            _days,
            "90",
            "Days after which a profile's password is called old. `0`: never.",
        )
    )
    keep_content_days: int | None = field(
        metadata=_variable(
            "MAILCONF_KEEP_CONTENT_DAYS",
            _kept_days,
            "7",
            "Days that the content of messages that ended well is kept. `never`: not removed.",
        )
    )
    keep_sent_days: int | None = field(
        metadata=_variable(
            "MAILCONF_KEEP_SENT_DAYS",
            _kept_days,
            "90",
            "Days that sent messages are kept, without their content.",
        )
    )
    keep_cancelled_days: int | None = field(
        metadata=_variable(
            "MAILCONF_KEEP_CANCELLED_DAYS", _kept_days, "90", "Days that cancelled messages are kept."
        )
    )
    keep_suppressed_days: int | None = field(
        metadata=_variable(
            "MAILCONF_KEEP_SUPPRESSED_DAYS", _kept_days, "90", "Days that suppressed messages are kept."
        )
    )
    keep_failed_days: int | None = field(
        metadata=_variable(
            "MAILCONF_KEEP_FAILED_DAYS",
            _kept_days,
            "365",
            "Days that failed messages are kept, with their content.",
        )
    )
    keep_expired_days: int | None = field(
        metadata=_variable(
            "MAILCONF_KEEP_EXPIRED_DAYS",
            _kept_days,
            "365",
            "Days that expired messages are kept, with their content.",
        )
    )
    keep_attempts_days: int | None = field(
        metadata=_variable("MAILCONF_KEEP_ATTEMPTS_DAYS", _kept_days, "365", "Days that attempts are kept.")
    )
    keep_events_days: int | None = field(
        metadata=_variable(
            "MAILCONF_KEEP_EVENTS_DAYS",
            _kept_days,
            "365",
            "Days that the event log, tests and jobs are kept.",
        )
    )
    keep_minutes_days: int | None = field(
        metadata=_variable(
            "MAILCONF_KEEP_MINUTES_DAYS",
            _kept_days,
            "14",
            "Days that statistics are kept by the minute, then by the hour.",
        )
    )
    email_log: str = field(
        metadata=_variable(
            "MAILCONF_EMAIL_LOG",
            _file,
            "",
            "File that workers write what became of each message to, a line of JSON each (docs/policy.md)."
            " Empty: none.",
        )
    )
    email_log_mb: int = field(
        metadata=_variable(
            "MAILCONF_EMAIL_LOG_MB",
            _to_a_thousand,
            "10",
            "Megabytes of the email log before a new file is begun.",
        )
    )
    email_log_files: int = field(
        metadata=_variable(
            "MAILCONF_EMAIL_LOG_FILES",
            _to_a_thousand,
            "5",
            "Files of the email log that are kept, 1 to 1000.",
        )
    )
    presets_file: str = field(
        metadata=_variable(
            "MAILCONF_PRESETS_FILE",
            _text,
            "",
            "TOML file with mail providers of your own (docs/providers.md).",
        )
    )
    test_before_save: str = field(
        metadata=_variable(
            "MAILCONF_TEST_BEFORE_SAVE",
            _one_of("connection", "always"),
            "connection",
            "When a profile needs a new test: when its connection changed, or at every save.",
        )
    )
    log_level: str = field(
        metadata=_variable(
            "MAILCONF_LOG_LEVEL", _one_of("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "What is logged."
        )
    )
    local: bool = field(
        metadata=_variable(
            "MAILCONF_LOCAL",
            _flag,
            "false",
            "One machine, for trying out; `make run` sets it: HTTP on loopback, keys in `MAILCONF_VAR`.",
        )
    )
    debug: bool = field(
        metadata=_variable(
            "MAILCONF_DEBUG", _flag, "false", "Django's debug pages; refused outside `make run`."
        )
    )


def variables() -> dict[str, Variable]:
    """Every variable by its field's name, in the order of the table."""
    return {entry.name: entry.metadata["variable"] for entry in fields(Environment)}


def read(environ: Mapping[str, str]) -> Environment:
    """Read all variables. Raises VariableError with a sentence that names the variable."""
    table = variables()
    _refuse_unknown(environ, {variable.name for variable in table.values()})
    return Environment(**{name: _value(environ, variable) for name, variable in table.items()})


def _value(environ: Mapping[str, str], variable: Variable) -> Any:  # each variable has its own type
    text = environ.get(variable.name, "").strip() or _from_file(environ, variable) or variable.default
    try:
        return variable.parse(text)
    except ValueError as error:  # no secret is parsed: every one is taken as it is
        raise VariableError(f"{variable.name} is {text!r}: {error}.") from None


def _from_file(environ: Mapping[str, str], variable: Variable) -> str:
    path = environ.get(f"{variable.name}_FILE", "") if variable.secret else ""
    if not path or variable.name == "MAILCONF_KEYS":  # MAILCONF_KEYS_FILE is a variable of its own
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise VariableError(f"{variable.name}_FILE cannot be read: {error}.") from None


def _refuse_unknown(environ: Mapping[str, str], known: set[str]) -> None:
    for name in environ:
        if name.startswith("MAILCONF_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise VariableError(f"{name} is not a variable mailconf knows.{hint}")

"""Reads presets from TOML and refuses what it does not understand, in one sentence."""

import tomllib
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from smtp_settings.presets.preset import (
    DNS,
    LIMITS,
    Kind,
    PasswordEnd,
    Port,
    Preset,
    Region,
    Secret,
    User,
)

_SECURITIES = ("starttls", "tls", "none")
_SIGN_INS = ("password", "oauth2", "none")
_TRANSPORTS = ("smtp", "sendmail", "pickup", "mailgun", "ses")


class PresetFileError(ValueError):
    """A file of presets cannot be used; the sentence names the file, the preset and the entry."""


class _Wrong(ValueError):
    """What is wrong with one entry."""


def read(path: Path) -> tuple[Preset, ...]:
    """Read a file of presets, in its order. Raises PresetFileError."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PresetFileError(f"{path} cannot be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise PresetFileError(f"{path} is not TOML: {error}.") from None
    sources = tables.pop("sources", {})
    return tuple(_preset(path, key, table, sources) for key, table in tables.items())


def _preset(path: Path, key: str, table: Any, sources: Any) -> Preset:  # Any: TOML, looked at here
    """Read one table; what is wrong with it names the place."""
    parts: dict[str, Any] = {}
    entry = ""
    try:
        for entry, value in _table(table).items():
            parts.update(_reader(entry)(entry, value))
        entry = ""
        return _whole(key, parts, _mapping("sources", sources)["sources"])
    except _Wrong as wrong:
        place = f"[{key}] {entry}".strip()
        raise PresetFileError(f"{path}: {place} {wrong}.") from None


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong("must be a table of entries")
    return value


def _whole(key: str, parts: dict[str, Any], sources: Mapping[str, str]) -> Preset:
    """Put a preset together from entries that are right each by itself."""
    missing = [name for name in ("name", "kind") if name not in parts]
    if missing:
        raise _Wrong(f"has no {missing[0]}")
    pattern = parts.get("host_pattern", "")
    names = parts.pop("region_names", ())
    if bool(pattern) != bool(names):
        raise _Wrong("needs both host_pattern and region_names, or neither")
    if pattern:
        parts["regions"] = tuple(Region(name, pattern.replace("{region}", name)) for name in names)
    if (parts.get("user") is User.FIXED) != bool(parts.get("user_name")):
        raise _Wrong('has a user_name exactly when user is "fixed"')
    if parts.get("transport", "smtp") == "smtp" and not parts.get("ports"):
        raise _Wrong("has no ports")
    parts["source"] = tuple(sources.get(one, one) for one in parts.get("source", ()))
    return Preset(key=key, **parts)


# One entry at a time: each reader returns what becomes of it

_Reader = Callable[[str, Any], dict[str, Any]]  # Any: TOML in, a field of Preset out


def _reader(entry: str) -> _Reader:
    try:
        return _READERS[entry]
    except KeyError:
        raise _Wrong("is not an entry of a preset") from None


def _text(entry: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise _Wrong("must be a text on one line")
    return {entry: value}


def _number(entry: str, value: Any) -> dict[str, Any]:
    if type(value) is not int or value < 1:
        raise _Wrong(f"is {value!r}: use a number from 1")
    return {entry: value}


def _texts(entry: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise _Wrong("must be a list of texts")
    return {entry: tuple(value)}


def _mapping(entry: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise _Wrong("must be a table of texts")
    return {entry: value}


def _one_of(*choices: str) -> _Reader:
    def read_one(entry: str, value: Any) -> dict[str, Any]:
        if value not in choices:
            raise _Wrong(f"is {value!r}: use one of {', '.join(choices)}")
        return {entry: value}

    return read_one


def _pattern(entry: str, value: Any) -> dict[str, Any]:
    text = _text(entry, value)[entry]
    if text.count("{region}") != 1 or "{" in text.replace("{region}", ""):
        raise _Wrong("must hold {region} once")
    return {entry: text}


def _member(kind: type[Kind] | type[User] | type[Secret]) -> _Reader:
    choose = _one_of(*kind)
    return lambda entry, value: {entry: kind(choose(entry, value)[entry])}


def _hosts(_entry: str, value: Any) -> dict[str, Any]:
    """One server as a text, several as a table by region."""
    found = {"": value} if isinstance(value, str) else value
    _mapping("hosts", found)
    for host in found.values():
        if host != host.strip().lower() or not host or any(sign in host for sign in " /:@"):
            raise _Wrong(f"is {host!r}: use a host name alone, in small letters")
    return {"regions": tuple(Region(name, host) for name, host in found.items())}


def _ports(_entry: str, value: Any) -> dict[str, Any]:
    return {"ports": tuple(_port(text) for text in _texts("ports", value)["ports"])}


def _port(text: str) -> Port:
    number, _space, security = text.partition(" ")
    is_port = number.isascii() and number.isdigit() and 1 <= int(number) <= 65535
    if not is_port or security not in _SECURITIES:
        raise _Wrong(f'are {text!r}: use "587 starttls", "465 tls" or "25 none"')
    return Port(int(number), security)


def _sign_ins(entry: str, value: Any) -> dict[str, Any]:
    found = _texts(entry, value)
    for one in found[entry]:
        _one_of(*_SIGN_INS)(entry, one)
    return found


def _limits(entry: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong("must be a table of numbers")
    for name, number in value.items():
        if name not in LIMITS:
            raise _Wrong(f"has {name!r}: use {', '.join(LIMITS)}")
        if type(number) is not int or number < 1:
            raise _Wrong(f"has {name} = {number!r}: use a number from 1")
    return {entry: value}


def _dns(entry: str, value: Any) -> dict[str, Any]:
    allowed = {"spf": str, "dkim": list, "own_bounce": bool}
    if not isinstance(value, dict) or any(
        name not in allowed or not isinstance(one, allowed[name]) for name, one in value.items()
    ):
        raise _Wrong("must be a table of spf (a text), dkim (a list of texts), own_bounce (true or false)")
    dkim = _texts(entry, value.get("dkim", []))[entry]
    return {entry: DNS(value.get("spf", ""), dkim, value.get("own_bounce", False))}


def _password_end(entry: str, value: Any) -> dict[str, Any]:
    if (
        not isinstance(value, dict)
        or value.keys() != {"on", "before", "after"}
        or type(value["on"]) is not date
    ):
        raise _Wrong("must be a table of on (a date), before and after (texts)")
    _mapping(entry, {name: one for name, one in value.items() if name != "on"})
    return {entry: PasswordEnd(**value)}


def _day(entry: str, value: Any) -> dict[str, Any]:
    if type(value) is not date:
        raise _Wrong("must be a date such as 2026-11-20")
    return {entry: value}


def _address(entry: str, value: Any) -> dict[str, Any]:
    if not str(value).startswith("https://"):
        raise _Wrong("must begin with https://")
    return _text(entry, value)


_READERS: Mapping[str, _Reader] = {
    "name": _text,
    "kind": _member(Kind),
    "transport": _one_of(*_TRANSPORTS),
    "hosts": _hosts,
    "host_pattern": _pattern,
    "region_names": _texts,
    "ports": _ports,
    "user": _member(User),
    "user_name": _text,
    "secret": _member(Secret),
    "secret_name": _text,
    "secret_prefix": _text,
    "secret_length": _number,
    "company": _text,
    "sign_ins": _sign_ins,
    "fills": _limits,
    "most": _limits,
    "values": _mapping,
    "note": _text,
    "warning": _text,
    "password_end": _password_end,
    "obsolete": _texts,
    "domains": _texts,
    "mx": _texts,
    "shares_host_with": _text,
    "dns": _dns,
    "help_url": _address,
    "source": _texts,
    "checked": _day,
}

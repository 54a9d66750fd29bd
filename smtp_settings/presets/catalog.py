"""All presets, and which of them a name speaks of."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from smtp_settings.presets import loading
from smtp_settings.presets.preset import Preset
from smtp_settings.presets.spelling import distance, is_near

_OURS = Path(__file__).with_name("providers.toml")


def all_presets() -> tuple[Preset, ...]:
    """Return every preset in the order to offer; the operators' own come last or replace ours by key.

    A file of the operators that cannot be read is left out: `check_operators_file` says what is wrong.
    """
    return _merged(_operators_file())


def check_operators_file() -> None:
    """Raise PresetFileError when the operators' file cannot be used."""
    if path := _operators_file():
        loading.read(path)


def _operators_file() -> Path | None:
    return getattr(settings, "MAILCONF_PRESETS_FILE", None) or None


@lru_cache(maxsize=4)  # a process reads a file once
def _merged(path: Path | None) -> tuple[Preset, ...]:
    found = {preset.key: preset for preset in loading.read(_OURS)}
    try:
        own = loading.read(path) if path else ()
    except loading.PresetFileError:
        own = ()
    return tuple((found | {preset.key: preset for preset in own}).values())


def by_key(key: str) -> Preset | None:
    """Return a preset by its key; None for a key that is not known (any more)."""
    return _by_key(_operators_file()).get(key)


@lru_cache(maxsize=4)  # a page asks for each of the options it offers
def _by_key(path: Path | None) -> dict[str, Preset]:
    return {preset.key: preset for preset in reversed(_merged(path))}


def for_host(host: str) -> Preset | None:
    """Return whose server this is, by its listed names, its region or a name it had before.

    Where two share a server (Gmail and Google Workspace) it is the first.

    >>> for_host("email-smtp.eu-west-1.amazonaws.com").key
    'ses'
    """
    return _for_host(_plain(host), _operators_file())


@lru_cache(maxsize=256)  # a page asks up to eight times
def _for_host(host: str, path: Path | None) -> Preset | None:
    if not host:
        return None
    presets = _merged(path)
    return next((one for one in presets if one.has_host(host)), None) or next(
        (one for one in presets if host in one.obsolete), None
    )


def preset_of(key: str, host: str) -> Preset | None:
    """Return the preset that settings speak of: the chosen one while the server is its, else the server's.

    A chosen preset without servers of its own (a relay, an internal Exchange) stays for any server that is
    nobody's.
    """
    chosen, owner = by_key(key), for_host(host)
    if chosen is None:
        return owner
    host = _plain(host)
    if not host or chosen.has_host(host) or host in chosen.obsolete:
        return chosen
    return owner if owner or chosen.regions else chosen


def near_host(host: str) -> str:
    """Return the provider's server that was probably meant by a name one or two letters off, else "".

    >>> near_host("smtp.gmial.com")
    'smtp.gmail.com'
    """
    return _near(_plain(host), _operators_file())


@lru_cache(maxsize=256)  # a page asks up to three times, and three hundred names are compared each time
def _near(host: str, path: Path | None) -> str:
    presets = _merged(path)
    known = [name for preset in presets for name in preset.hosts]
    if not host or host in known or any(host in preset.obsolete for preset in presets):
        return ""
    near = [name for name in dict.fromkeys(known) if is_near(host, name)]
    return min(near, key=lambda name: distance(host, name), default="")


def for_mx(hosts: Iterable[str]) -> Preset | None:
    """Return who receives a domain's mail, by the names of its MX records in their order.

    >>> for_mx(["alt1.aspmx.l.google.com"]).key
    'workspace'
    """
    for host in map(_plain, hosts):
        for preset in all_presets():
            if any(_fits(host, pattern) for pattern in preset.mx):
                return preset
    return None


def for_domain(domain: str) -> Preset | None:
    """Return the mailbox provider whose own domain this is.

    >>> for_domain("gmail.com").key
    'gmail'
    """
    domain = _plain(domain)
    return next((preset for preset in all_presets() if domain in preset.domains), None)


def _fits(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _plain(name: str) -> str:
    return name.strip().lower().removesuffix(".")

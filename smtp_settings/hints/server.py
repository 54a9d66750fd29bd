"""Hints about the server's name."""

import re
from collections.abc import Iterator

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from smtp_settings.correction import Correction
from smtp_settings.entries import judges, pasted
from smtp_settings.hints.hint import Hint, Seen, Tone, ip_of
from smtp_settings.presets import Preset, for_host, for_mx, near_host

_FETCHING = re.compile(r"(?:imap|imaps|imap4|pop|pops|pop3)(?:[0-9]|-mail)?\.(?P<rest>.+)")
_FETCHING_PORTS = frozenset({110, 143, 993, 995})


def hints(seen: Seen) -> Iterator[Hint]:
    """Say what is odd about the server; only the first, because the others would follow from it."""
    if not seen.host:
        return
    for find in (_not_a_name, _fetching, _receiving, _obsolete, _near, _address, _region):
        if found := find(seen):
            yield found
            return


def _not_a_name(seen: Seen) -> Hint | None:
    """Find what is more or other than a host name: a form error, too (`judges.host_name`)."""
    typed = seen.values.get("host", "").strip()
    try:
        judges.host_name(typed)
    except ValidationError as error:
        parts = pasted.server(typed)
        host = parts.host if parts.host != typed else judges.meant_host(typed)
        is_cured = getattr(error, "code", "") == "host_only"
        return Hint("host", _first(error), Tone.STOP, _corrected(host, parts.port) if is_cured else ())
    return None


def _first(error: ValidationError) -> str:
    return str(error.messages[0])


def _corrected(host: str, port: str) -> tuple[Correction, ...]:
    if not host:
        return ()
    label = _("Use %(host)s") % {"host": host}
    if not port:
        return (Correction(label, {"host": host}),)
    both = _("Use %(host)s and port %(port)s") % {"host": host, "port": port}
    return (Correction(both, {"host": host, "port": port}),)


def _moved_to(host: str, preset: Preset | None) -> tuple[Correction, ...]:
    """Go to another server, with the provider's first port, else the usual one."""
    port, security = (preset.ports[0].number, preset.ports[0].security) if preset else (587, "starttls")
    changes = {"host": host, "port": str(port), "security": security}
    return (Correction(_("Use %(host)s and port %(port)s") % {"host": host, "port": port}, changes),)


def _fetching(seen: Seen) -> Hint | None:
    found = _FETCHING.fullmatch(seen.host)
    if not found and seen.port not in _FETCHING_PORTS:
        return None
    host = f"smtp.{found['rest']}" if found else seen.host
    preset = for_host(host)
    port = preset.ports[0].number if preset else 587
    return Hint(
        "host" if found else "port",
        _("This is for fetching mail. Sending is usually %(host)s, %(port)s.") % {"host": host, "port": port},
        Tone.WARN,
        _moved_to(host, preset),
    )


def _receiving(seen: Seen) -> Hint | None:
    """Find the MX of a provider, or of the From domain.

    A small server often receives and sends under one name, so a domain's own MX counts on port 25 only.
    """
    owner = None if for_host(seen.host) else for_mx([seen.host])
    is_mx = seen.host in {name.lower().removesuffix(".") for name in seen.known.mx or ()}
    if owner is None and not (is_mx and seen.port == 25):
        return None
    return Hint(
        "host",
        _("This receives mail for the domain. It sends only for machines it lists."),
        Tone.WARN,
        _moved_to(owner.host, owner) if owner and owner.host else (),
    )


def _obsolete(seen: Seen) -> Hint | None:
    preset = for_host(seen.host)
    if preset is None or seen.host not in preset.obsolete:
        return None
    sentence = _("Replaced by %(host)s.") % {"host": preset.host}
    return Hint("host", sentence, Tone.WARN, _corrected(preset.host, ""))


def _near(seen: Seen) -> Hint | None:
    near = near_host(seen.host)
    if not near:
        return None
    return Hint("host", _("Did you mean %(host)s?") % {"host": near}, Tone.HINT, _corrected(near, ""))


def _address(seen: Seen) -> Hint | None:
    is_checked = seen.values.get("verification", "full") == "full" and seen.security != "none"
    if not is_checked or ip_of(seen.host) is None:
        return None
    return Hint("host", _("Certificates are for names. Few hold an address: the check fails."), Tone.WARN)


def _region(seen: Seen) -> Hint | None:
    """Find a server in another region than the one chosen, where the password was made."""
    chosen = seen.values.get("preset_region", "") or seen.values.get("region", "")
    host = seen.preset.host_in(chosen) if seen.preset else ""
    if not host or host == seen.host:
        return None
    sentence = _("The password belongs to %(region)s.") % {"region": chosen}
    return Hint("host", sentence, Tone.WARN, _corrected(host, ""))

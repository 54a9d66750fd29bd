"""Hints about port and security: which go together, and what goes unencrypted."""

from collections.abc import Iterator

from django.utils.translation import gettext as _

from smtp_settings.correction import Correction
from smtp_settings.entries.rules import goes_unverified, signs_in_clear
from smtp_settings.hints.hint import Hint, Seen, Tone
from smtp_settings.presets import Kind, Preset

#: The port each security usually has.
USUAL = {"starttls": 587, "tls": 465, "none": 25}
#: Ports people know; any other is a person's own and survives a change of the security.
KNOWN = frozenset({25, 465, 587, 2465, 2525, 2587})
#: The port of mail sandboxes on a developer's machine.
SANDBOX = 1025

_TLS = frozenset({465, 2465})
_STARTTLS = frozenset({587, 2525, 2587})


def port_for(security: str, port: str, preset: Preset | None = None, *, has_sandbox: bool = False) -> str:
    """Return the port that goes with a security just chosen: the one there unless it is empty or well known.

    >>> port_for("tls", "587"), port_for("tls", "1587")
    ('465', '1587')
    """
    known = {"", *map(str, KNOWN)} | ({str(SANDBOX)} if has_sandbox else set())
    if port.strip() not in known or security not in USUAL:
        return port
    offered = preset.port_for(security) if preset else None
    return str(offered or USUAL[security])


def hints(seen: Seen) -> Iterator[Hint]:
    """Say what does not go together, and what would be readable on the way."""
    if seen.port is not None:
        if not seen.known.allows(seen.port):
            sentence = _("Port %(port)s is not allowed here. An operator can add it.")
            yield Hint("port", sentence % {"port": seen.port}, Tone.STOP)
        else:
            yield from _pair(seen, seen.port)
    yield from _readable(seen)
    if goes_unverified(seen.values.get("verification", "full"), seen.security):
        sentence = _("The certificate is not checked. Another machine could pretend to be this server.")
        is_stop = not seen.values.get("accepts_unverified")
        yield Hint("verification", sentence, Tone.STOP if is_stop else Tone.WARN)


def _pair(seen: Seen, port: int) -> Iterator[Hint]:
    """Compare the port with the security, and both with what the provider offers."""
    if port in _TLS and seen.security != "tls":
        sentence = _(
            "Port %(port)s normally expects TLS from the first byte. The test will show whether this works."
        )
        yield Hint("port", sentence % {"port": port}, corrections=(_secured("tls"),))
    elif port in _STARTTLS and seen.security == "tls":
        sentence = _("Port %(port)s normally uses STARTTLS. The test will show whether this works.")
        yield Hint("port", sentence % {"port": port}, corrections=(_secured("starttls"),))
    elif port == 25 and seen.security == "tls":
        sentence = _("Port 25 normally starts unencrypted. The test will show whether this works.")
        yield Hint("port", sentence, corrections=(_secured("starttls"),))
    elif port == 25 and seen.security == "starttls" and not seen.is_here:
        sentence = _("Port 25 is for mail between servers. Many networks block it. 587 is the usual port.")
        yield Hint("port", sentence, corrections=(Correction(_("Use port 587"), {"port": "587"}),))
    elif port == SANDBOX and seen.security != "none":
        sentence = _("Port 1025 is usual for mail sandboxes, which do not encrypt.")
        yield Hint("port", sentence, corrections=(_secured("none"),))
    else:
        yield from _not_offered(seen, port)


def _secured(security: str) -> Correction:
    labels = {
        "starttls": _("Use STARTTLS"),
        "tls": _("Use TLS from the first byte"),
        "none": _("Use no encryption"),
    }
    return Correction(labels[security], {"security": security})


def _not_offered(seen: Seen, port: int) -> Iterator[Hint]:
    """Speak of a well-known port this provider does not have."""
    preset = seen.preset
    is_theirs = preset is not None and preset.kind in (Kind.SERVICE, Kind.MAILBOX)
    if preset is None or not is_theirs or port not in KNOWN or preset.security_of(port):
        return
    best = next((one for one in preset.ports if one.security == seen.security), preset.ports[0])
    yield Hint(
        "port",
        _("%(provider)s does not list port %(port)s.") % {"provider": preset.name, "port": port},
        corrections=(
            Correction(
                _("Use port %(port)s") % {"port": best.number},
                {"port": str(best.number), "security": best.security},
            ),
        ),
    )


def _readable(seen: Seen) -> Iterator[Hint]:
    """Warn of no encryption, unless nothing leaves this machine; with a sign-in there is a tick to set."""
    if seen.security != "none":
        return
    is_stop = signs_in_clear(seen.security, seen.auth) and not seen.values.get("accepts_clear_auth")
    if not is_stop and (seen.is_here or seen.port == SANDBOX):
        return
    sentence = _(
        "Nothing is encrypted: anyone on the way can read the messages, the user name and the password."
    )
    yield Hint("security", sentence, Tone.STOP if is_stop else Tone.WARN)

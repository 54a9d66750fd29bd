"""The names, numbers and dates that a sentence about a cause may need. Pure; dates stay ISO 8601."""

import re
from collections.abc import Mapping

from smtp_settings.diagnosis.fixes import clean_host
from smtp_settings.diagnosis.reaching import greeting_name
from smtp_settings.diagnosis.row import Case
from smtp_settings.diagnosis.signing_in import ses_region

_PROTOCOLS = {"ssh": "SSH", "imap": "IMAP", "pop3": "POP3", "redis": "Redis", "http": "HTTP"}
_IDENTITY = re.compile(r"check in region \S+: *(\S.*)$", re.IGNORECASE)
_WAIT = re.compile(r"(\d{1,4}) ?(s|m|h)", re.IGNORECASE)
#: Names that a sentence shows; a certificate may have a hundred.
_MOST_NAMES = 4


def facts_of(case: Case) -> Mapping[str, str]:
    """Return every fact there is, "" for one that is not known."""
    symptom = case.symptom
    return {
        "server": _server(case),
        "port": "443" if case.get("transport") == "mailgun" else case.get("port"),
        "connect_timeout": case.get("connect_timeout"),
        "command_timeout": case.get("command_timeout"),
        "address": case.seen("address") or case.seen("addresses"),
        "our_address": case.seen("our_address"),
        "ehlo_name": case.get("ehlo_name") or _literal(case.seen("our_address")),
        "username": case.get("username"),
        "sender": _sender(case),
        "domain": _sender(case).rpartition("@")[2],
        "bounce_or_sender": case.get("bounce_address") or _sender(case),
        "recipient": case.seen("rcpt_to"),
        "refused": case.seen("refused"),
        "is_test": case.seen("is_test"),
        "ip_version": case.get("ip_version"),
        "clean": clean_host(case),
        "near": case.known.near,
        "fixed_user": case.known.user,
        "provider": case.known.provider or case.get("host"),
        "region": ses_region(case.host) or case.get("region"),
        "protocol": _PROTOCOLS.get(symptom.reason, ""),
        "greeting": greeting_name(case),
        "names": _names(case.seen("certificate_names")),
        "fingerprint": case.seen("certificate_sha256"),
        "starts_at": case.seen("certificate_starts_at"),
        "expires_at": case.seen("certificate_expires_at"),
        "offered": ", ".join(case.mechanisms),
        "mechanism": (case.seen("mechanism") or case.get("mechanism")).upper(),
        "identity": _identity(symptom.text) or _sender(case),
        "size_bytes": case.seen("size_bytes"),
        "limit_bytes": case.seen("size"),
        "limit_mb": _whole_megabytes(case.seen("size")),
        "max_size": case.get("max_size"),
        "code": str(symptom.code or ""),
        "path": case.get("program") if case.get("transport") == "sendmail" else case.get("directory"),
        "worker_user": case.seen("worker_user"),
        "failed_version": "6" if ":" in case.seen("failed_addresses") else "4",
        "step": symptom.phase,
        "reply": symptom.words,
        "detail": symptom.detail.rstrip("."),
    }


def _literal(address: str) -> str:
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]" if address else ""


def _server(case: Case) -> str:
    """Return the server's name, also where it follows from the region."""
    region = case.get("region")
    match case.get("transport"):
        case "mailgun":
            return "api.eu.mailgun.net" if region == "eu" else "api.mailgun.net"
        case "ses":
            return f"email.{region}.amazonaws.com"
        case _:
            return case.get("host")


def _sender(case: Case) -> str:
    return case.get("from_address") or case.seen("mail_from")


def _names(listed: str) -> str:
    names = list(filter(None, listed.split(", ")))
    return ", ".join(names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")


def _identity(text: str) -> str:
    found = _IDENTITY.search(text)
    return found[1].strip() if found else ""


def _whole_megabytes(size: str) -> str:
    """Return a size as the profile's limit takes it, "" below one MB."""
    return str(int(size) // 1_000_000 or "") if size.isdecimal() else ""


def minutes_named(text: str) -> int | None:
    """Return the wait a reply names, in whole minutes, None when it names none.

    >>> minutes_named("Greylisted, try again in 300 seconds")
    5
    """
    found = _WAIT.search(text)
    if found is None:
        return None
    seconds = int(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2].lower()]
    return max(1, -(-seconds // 60))

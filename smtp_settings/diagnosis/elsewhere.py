"""Rows of what is no SMTP session: programs, directories, HTTP interfaces; and what comes after a pass.

`reason` of a program or directory is the name of its errno ("ENOENT"), "exit" with the status as the code, or
"stopped". Of an HTTP interface the code is that of HTTP.
"""

from collections.abc import Sequence

from smtp_settings.diagnosis.fixes import change, size_limit
from smtp_settings.diagnosis.reaching import domain_of
from smtp_settings.diagnosis.row import Case, Changes, Row, Who, always

S, N, P, W = Who.SETTINGS, Who.NETWORK, Who.PROVIDER, Who.WAIT
NOTE = Who.NOTE

#: Exit codes of sysexits.h that say "not set up": unavailable, missing file, no permission, configuration.
_NOT_SET_UP = (69, 72, 77, 78)


def _other_region(case: Case) -> Sequence[Changes]:
    """Offer Mailgun's other region."""
    other = {"us": "eu", "eu": "us"}.get(case.get("region").lower())
    return [{"region": other}] if other else []


def _is_mailgun(case: Case) -> bool:
    return case.get("transport") == "mailgun"


LOCAL = (
    Row("local10", S, lambda c: c.reason("not-allowed"), ("program",)),
    Row("local11", S, lambda c: c.reason("maildrop"), ("directory",)),
    Row("local12", S, lambda c: c.reason("not-installed"), ("transport",)),
    Row("local13", S, lambda c: c.reason("addresses"), ("file_style",)),
    Row("local1", S, lambda c: c.reason("ENOENT", "ENOTDIR"), ("program", "directory")),
    Row("local2", S, lambda c: c.reason("EACCES", "EPERM", "EROFS"), ("program", "directory")),
    Row("local3", N, lambda c: c.reason("ENOSPC", "EDQUOT"), ("directory",)),
    Row("local4", S, lambda c: c.reason("EXDEV"), ("directory",)),
    Row("local5", W, lambda c: c.code(71, 74, 75)),
    Row("local6", S, lambda c: c.code(*_NOT_SET_UP), ("program",)),
    Row("local7", Who.MESSAGE, lambda c: c.reason("exit") or c.symptom.code > 0, ("from_address",)),
    Row("local8", Who.UNCERTAIN, lambda c: c.reason("stopped", "timeout")),
    Row("local9", NOTE, lambda c: c.reason("still-there"), ("directory",)),
)

API = (
    Row(
        "api4",
        P,
        lambda c: c.code(402) or c.says("Suspended", "Paused", "Not ?Verified", "failed the check"),
        ("from_address",),
    ),
    Row(
        "api1",
        S,
        lambda c: c.code(401, 403) or c.says("AccessDenied", "SignatureDoesNotMatch"),
        ("password",),
    ),
    Row("api2", S, lambda c: c.code(404) and _is_mailgun(c), ("region",), _other_region),
    Row("api10", S, lambda c: c.code(404), ("region", "configuration_set")),
    Row("api3", S, lambda c: 200 <= c.symptom.code <= 399, ("api_domain",)),
    Row(
        "api5",
        W,
        lambda c: c.code(429) or 500 <= c.symptom.code <= 599 or c.says("Throttling"),
        ("per_minute",),
    ),
    Row("api7", Who.MESSAGE, lambda c: c.code(413)),
    Row("api8", S, lambda c: c.reason("credentials", "no-password"), ("password",)),
    Row("api9", Who.MESSAGE, lambda c: 400 <= c.symptom.code <= 499),
    Row("api6", Who.UNCERTAIN, lambda c: c.is_broken),
)


def _keeps_in_the_house(case: Case) -> bool:
    """Whether every recipient is in the server's own domain, and nobody signed in."""
    domains = {one.rpartition("@")[2] for one in case.seen("rcpt_to").split(", ") if "@" in one}
    home = domain_of(case.host)
    return (
        not case.signs_in and "." in home and bool(domains) and {domain_of(one) for one in domains} == {home}
    )


def _allows_more_than_the_server(case: Case) -> bool:
    """Whether the profile lets attachments through that the server announces not to take."""
    limit, most = case.seen("size"), case.get("max_size")
    return limit.isdecimal() and most.isdecimal() and 0 < int(limit) < int(most) * 1_000_000


def _could_be_encrypted(case: Case) -> bool:
    """Whether nothing was encrypted though the server said that it can (STARTTLS, RFC 3207)."""
    return case.security == "none" and "STARTTLS" in case.seen("capabilities").split(", ")


NOTES = (
    Row("after3", NOTE, _keeps_in_the_house, ("recipient",)),
    Row("after6", NOTE, _could_be_encrypted, ("security",), change(security="starttls")),
    Row("after4", NOTE, lambda c: c.security == "none" and not _could_be_encrypted(c), ("security",)),
    Row("after5", NOTE, _allows_more_than_the_server, ("max_size",), size_limit),
)

#: An error of ours that nothing else explains.
FAULT = (Row("fault1", Who.US, always),)

#: What a person says after a pass.
AFTER = (
    Row("after1", NOTE, lambda c: c.reason("missing")),
    Row("after2", NOTE, lambda c: c.reason("spam"), ("from_address",)),
)

_FIELDS = {
    "dns": ("host",),
    "connect": ("host", "port"),
    "banner": ("port", "security"),
    "ehlo": ("ehlo_name",),
    "tls": ("security", "verification"),
    "auth": ("auth", "username", "password"),
    "mail": ("from_address", "bounce_address"),
    "rcpt": ("recipient",),
}


def fields_of_step(phase: str) -> tuple[str, ...]:
    """Return the fields a step depends on."""
    return _FIELDS.get(phase, ())

"""The corrections that rows offer: changes of settings whose values are known."""

from collections.abc import Callable, Sequence

from smtp_settings.diagnosis.row import Case, Changes

_PREFERRED_MECHANISMS = ("PLAIN", "LOGIN")


def change(**changes: str) -> Callable[[Case], Sequence[Changes]]:
    """Offer these changes, unless the settings have them already."""

    def offer(case: Case) -> Sequence[Changes]:
        is_new = any(case.get(name) != value for name, value in changes.items())
        return [changes] if is_new else []

    return offer


def fact(field: str, name: str) -> Callable[[Case], Sequence[Changes]]:
    """Offer what a step has found out as the value of a field, if it did."""

    def offer(case: Case) -> Sequence[Changes]:
        value = case.seen(name)
        return [{field: value}] if value and value != case.get(field) else []

    return offer


def other_ways(case: Case) -> Sequence[Changes]:
    """Offer the other ways in that this provider has, or that servers usually have; at most two."""
    here = (case.port, case.security)
    return [
        {"port": str(port), "security": security}
        for port, security in case.known.ways
        if (port, security) != here and port != case.port
    ][:2]


def clean_host(case: Case) -> str:
    """Return the name that is meant where more than a name was entered, "" when none can be seen."""
    text = case.get("host").strip().rpartition("://")[2].rpartition("@")[2]
    name = text.split("/")[0].split()[0] if text.split("/")[0].split() else ""
    return name if name.count(":") > 1 else name.partition(":")[0]


def host_only(case: Case) -> Sequence[Changes]:
    """Offer that name."""
    name = clean_host(case)
    return [{"host": name}] if name and name != case.get("host") else []


def trust(case: Case) -> Sequence[Changes]:
    """Offer to take the refused certificate into the profile's own; the server's name is still checked."""
    pem = case.symptom.pem
    if not pem or pem.strip() in case.get("ca"):
        return []
    return [{"ca": "\n".join(filter(None, (case.get("ca").strip(), pem.strip()))) + "\n"}]


def another_mechanism(case: Case) -> Sequence[Changes]:
    """Offer a mechanism that the server has and this sign-in did not use."""
    used = (case.seen("mechanism") or case.get("mechanism")).upper()
    found = [one for one in _PREFERRED_MECHANISMS if one in case.mechanisms and one != used]
    return [{"mechanism": one.lower()} for one in found[:1]]


def send_as_user(case: Case) -> Sequence[Changes]:
    """Offer the account's own address as the sender."""
    user = case.get("username")
    is_address = "@" in user[1:-1] and not any(map(str.isspace, user))
    return [{"from_address": user}] if is_address and user != case.get("from_address") else []


def fewer_connections(case: Case) -> Sequence[Changes]:
    """Offer one connection less."""
    now = case.get("max_connections")
    return [{"max_connections": str(int(now) - 1)}] if now.isdecimal() and int(now) > 1 else []


def two_connections(case: Case) -> Sequence[Changes]:
    """Offer two connections."""
    now = case.get("max_connections")
    return [{"max_connections": "2"}] if now.isdecimal() and int(now) > 2 else []


def size_limit(case: Case) -> Sequence[Changes]:
    """Offer the server's own limit as the profile's, in whole MB."""
    limit = case.seen("size")
    megabytes = int(limit) // 1_000_000 if limit.isdecimal() else 0
    now = case.get("max_size")
    known = now.isdecimal() and megabytes > 0
    return [{"max_size": str(megabytes)}] if known and not 0 < int(now) <= megabytes else []


def nearest_host(case: Case) -> Sequence[Changes]:
    """Offer the provider's server that was probably meant."""
    return [{"host": case.known.near}] if case.known.near else []


def provider_user(case: Case) -> Sequence[Changes]:
    """Offer the user name that everybody has at this provider."""
    return [{"username": case.known.user}] if case.known.user else []


def provider_rate(case: Case) -> Sequence[Changes]:
    """Offer the messages a minute that this provider allows, where that is less than now."""
    most, now = case.known.per_minute, case.get("per_minute")
    return [{"per_minute": str(most)}] if most and not (now.isdecimal() and 0 < int(now) <= most) else []

"""Which of the answers to take, and what to put into the form for it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from smtp_settings import presets
from smtp_settings.correction import Correction
from smtp_settings.entries.rules import AVAILABLE_AUTH
from smtp_settings.finding.rows import Row
from smtp_settings.presets import User


class Worth(IntEnum):
    """What an answer is worth, the best first."""

    TRUSTED_SIGN_IN = 0
    SIGN_IN = 1
    TRUSTED = 2
    ENCRYPTED = 3
    CLEAR = 4


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The place of the row to take, and why."""

    place: int
    worth: Worth


def worth_of(row: Row) -> Worth:
    """Judge one answer. Without a sign-in a server sends only for machines it lists."""
    if not row.is_encrypted:
        return Worth.CLEAR
    if row.mechanisms:
        return Worth.TRUSTED_SIGN_IN if row.is_trusted else Worth.SIGN_IN
    return Worth.TRUSTED if row.is_trusted else Worth.ENCRYPTED


def recommend(rows: Sequence[Row]) -> Recommendation | None:
    """Return the best answer, of equals the first; None when nothing answered.

    What is not encrypted is recommended only when nothing encrypted answered.
    """
    answers = [(worth_of(row), place) for place, row in enumerate(rows) if row.answered]
    if not answers:
        return None
    worth, place = min(answers)
    return Recommendation(place, worth)


def correction_for(row: Row, *, address: str = "", held: Mapping[str, str] | None = None) -> Correction:
    """Return what "Use these settings" puts into the form; what a person typed as sender or user stays.

    `address` is the one that was searched for, `held` what the form's user name and From address hold.
    """
    held = held or {}
    changes = {"host": row.host, "port": str(row.port), "security": row.security, "auth": _auth(row)}
    username = _username(row, address)
    if username and changes["auth"] != "none" and not held.get("username", "").strip():
        changes["username"] = username
    if address and not held.get("from_address", "").strip():
        changes["from_address"] = address
    return Correction("", changes)


def _auth(row: Row) -> str:
    """Return the sign-in: the provider's own first choice, else a password where any is offered."""
    preset = presets.by_key(row.preset)
    if preset is not None:
        usable = [one for one in preset.sign_ins if one in AVAILABLE_AUTH]
        if usable:
            return usable[0]
    return "password" if row.mechanisms else "none"


def _username(row: Row, address: str) -> str:
    """Return the user name by the provider's rule; at an unknown one most servers want the address."""
    preset = presets.by_key(row.preset)
    if preset is None or preset.user is User.ADDRESS:
        return address
    if preset.user is User.FIXED:
        return preset.user_name
    return address.rpartition("@")[0] if preset.user is User.LOCAL else ""

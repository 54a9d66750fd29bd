"""Rows of the transaction: one list for MAIL, RCPT, DATA, the content and the final dot.

Servers move refusals to later steps: Mail.ru asks for a sign-in at DATA, others refuse a sender at RCPT.
"""

import re
from collections.abc import Sequence

from smtp_settings.diagnosis.fixes import change, provider_rate, send_as_user, size_limit, two_connections
from smtp_settings.diagnosis.row import Case, Changes, Row, Who

S, P, R, M, W = Who.SETTINGS, Who.PROVIDER, Who.RECIPIENT, Who.MESSAGE, Who.WAIT

_RELAY = (r"relay.*(denied|not permitted|prohibited)", "unable to relay")
_PER_CONNECTION = r"messages?.*(per|for this|in this) (session|connection)"


def _at(case: Case, *phases: str) -> bool:
    return case.phase in phases


def _no_relay(case: Case) -> bool:
    return case.enhanced("5.7.54") or case.says(*_RELAY)


def _messages_a_connection(case: Case) -> Sequence[Changes]:
    """Offer the number the server names."""
    found = re.search(
        r"\b(\d{1,5}) messages?\b|per (?:session|connection)\D{0,10}(\d{1,5})", case.symptom.text
    )
    number = next(filter(None, found.groups()), "") if found else ""
    is_new = number and int(number) > 0 and number != case.get("messages_per_connection")
    return [{"messages_per_connection": number}] if is_new else []


def _wants_sign_in(case: Case) -> bool:
    if case.code(503):
        return case.says(r"\bauth", "login")
    return case.code(530) or case.enhanced("5.7.57") or case.says(r"auth\w*.*required", "not authenticated")


def _bad_address(case: Case) -> bool:
    return case.code(501, 553, 555) or case.enhanced("5.1.3", "5.1.7") or case.reason("addresses")


def _too_large(case: Case) -> bool:
    if case.reason("size") or case.enhanced("5.3.4", "5.2.3"):
        return True
    return case.is_refusal and (
        case.says(r"\bsize\b", "too large", "too big") or (case.code(552) and not case.symptom.enhanced)
    )


_encrypt = change(security="starttls")

SENDING = (
    Row("send1", Who.UNCERTAIN, lambda c: _at(c, "dot") and c.is_broken),
    Row("send2", W, lambda c: c.is_broken, ("command_timeout",)),
    Row("send3", S, lambda c: c.says(r"must issue.*starttls"), ("security",), _encrypt),
    Row("send4", S, _wants_sign_in, ("auth", "username", "password")),
    Row(
        "send5",
        S,
        lambda c: c.says("SendAsDenied") or c.enhanced("5.7.60", "5.2.252"),
        ("from_address",),
        send_as_user,
    ),
    Row(
        "send6",
        S,
        lambda c: c.enhanced("5.1.8", "4.1.8") or c.says(r"sender.*not found", "sender verify"),
        ("from_address",),
    ),
    Row(
        "send7",
        S,
        lambda c: c.says(
            "not owned by", "sender address rejected", r"sender.*not (allowed|permitted)", "send as"
        ),
        ("from_address",),
        send_as_user,
    ),
    Row(
        "send8",
        P,
        lambda c: c.says(r"failed the check in region", "address is not verified"),
        ("from_address", "host"),
    ),
    Row(
        "send9",
        P,
        lambda c: (
            c.code(403)
            or c.says(
                "verified sender",
                "sender signature",
                r"from.*not authorized",
                "not authorized to send",
                r"domain.*not verified",
                "approved sender",
            )
        ),
        ("from_address",),
    ),
    Row("send10", S, lambda c: _no_relay(c) and not c.signs_in, ("auth",)),
    Row("send11", S, _no_relay, ("host", "from_address")),
    Row("send12", R, lambda c: c.says("suppress", "inactive recipient"), ("recipient",)),
    Row(
        "send13",
        S,
        lambda c: c.code(432) or c.says(r"concurrent.*connection", "sender thread limit"),
        ("max_connections",),
        two_connections,
    ),
    Row(
        "send14",
        S,
        lambda c: c.says(_PER_CONNECTION),
        ("messages_per_connection",),
        _messages_a_connection,
    ),
    Row(
        "send15",
        R,
        lambda c: (
            _at(c, "rcpt", "dot") and (c.enhanced("4.2.2", "5.2.2") or c.says(r"mailbox.*full", "over quota"))
        ),
        ("recipient",),
    ),
    Row("send16", W, lambda c: c.says("receiving mail", "too quickly")),
    Row(
        "send17",
        W,
        lambda c: (
            c.enhanced("5.4.5", "5.7.232", "5.7.233") or c.says("daily", "quota", "per day", "sending limit")
        ),
        ("per_day",),
    ),
    Row("send18", P, lambda c: c.says("unsolicited", "bulk"), ("per_minute",)),
    Row(
        "send19",
        W,
        lambda c: c.says("throttl", r"\brate\b", "too fast", "relay limit", r"per (second|minute)"),
        ("per_minute",),
        provider_rate,
    ),
    Row(
        "send20",
        P,
        lambda c: (
            c.enhanced("5.7.705", "5.7.708", "5.7.501")
            or c.says("suspended", "test purposes", "activate", "unapproved", "paused")
        ),
    ),
    Row("send21", S, _too_large, ("max_size",), size_limit),
    Row("send22", M, lambda c: c.code(450) and c.says("data was invalid", "must provide")),
    Row(
        "send23",
        R,
        lambda c: (
            _at(c, "rcpt")
            and (c.code(556) or c.enhanced("5.1.2", "5.4.4") or c.says("null mx", r"domain.*not found"))
        ),
        ("recipient",),
    ),
    Row(
        "send24",
        R,
        lambda c: (
            _at(c, "rcpt", "dot")
            and (
                c.enhanced("5.1.1", "5.1.6", "5.1.10")
                or c.says("user unknown", r"\bno such\b", "does not exist")
            )
        ),
        ("recipient",),
    ),
    Row("send25", M, lambda c: c.enhanced("x.5.3") or c.says("too many recipients")),
    Row("send26", R, lambda c: c.enhanced("5.7.124", "5.7.133", "5.7.136"), ("recipient",)),
    Row("send27", M, lambda c: c.reason("smtputf8"), ("recipient",)),
    Row(
        "send28",
        P,
        lambda c: c.enhanced("5.7.26") or c.says("dmarc", r"\bspf\b", "dkim", "unauthenticated"),
        ("from_address",),
    ),
    Row("send29", M, lambda c: c.says("attachment", "security issue", "virus")),
    Row("send30", W, lambda c: c.code(452, 431) or c.enhanced("4.3.1") or c.says("storage")),
    Row(
        "send31",
        Who.US,
        lambda c: (
            c.says(r"bare .*lf\b", "bare linefeed", "line too long")
            or c.symptom.enhanced.startswith("5.6.")
            or c.reason("content")
        ),
    ),
    Row("send32", S, lambda c: _bad_address(c) and _at(c, "rcpt"), ("recipient",)),
    Row("send32", S, _bad_address, ("bounce_address", "from_address")),
    Row(
        "send33",
        W,
        lambda c: c.is_temporary and (c.says("gr[ea]y", "try again", "deferred") or c.enhanced("4.7.1")),
    ),
    Row("send34", W, lambda c: c.code(500, 502, 503)),
    Row("send35", S, lambda c: _at(c, "mail") and c.is_permanent, ("from_address", "bounce_address")),
    Row("send36", P, lambda c: _at(c, "rcpt") and c.is_permanent, ("recipient",)),
    Row("send37", W, lambda c: c.is_temporary),
    Row("send38", M, lambda c: c.is_permanent),
)

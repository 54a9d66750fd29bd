"""Rows of the secret, the token and the sign-in."""

import re
from collections.abc import Sequence

from smtp_settings.diagnosis.fixes import another_mechanism, change, provider_user
from smtp_settings.diagnosis.row import Case, Changes, Row, Who, always

S, P, W = Who.SETTINGS, Who.PROVIDER, Who.WAIT

_CREDENTIAL = ("oauth_credential",)


def _aadsts(*numbers: int) -> str:
    return rf"AADSTS0*({'|'.join(map(str, numbers))})\b"


SECRET = (Row("token1", S, always, ("password",)),)

#: The answers of a token address (RFC 6749 section 5.2; Microsoft adds AADSTS numbers).
TOKEN = (
    Row("token2", S, lambda c: c.says("invalid_grant", _aadsts(700082, 50173)), _CREDENTIAL),
    Row("token3", S, lambda c: c.says("invalid_client", _aadsts(7000215, 7000222)), _CREDENTIAL),
    Row("token4", S, lambda c: c.says("unauthorized_client", _aadsts(700016, 90002, 50194)), _CREDENTIAL),
    Row(
        "token5",
        P,
        lambda c: c.says(
            "invalid_scope", "consent_required", "admin_policy_enforced", _aadsts(65001, 70011, 50076, 53003)
        ),
        _CREDENTIAL,
    ),
    Row(
        "token6",
        W,
        lambda c: (
            c.is_broken
            or c.reason("busy", "trouble", "resting")
            or c.code(408, 429)
            or 500 <= c.symptom.code <= 599
        ),
    ),
    Row("token7", S, lambda c: c.reason("not-connected"), _CREDENTIAL),
    Row("token8", S, lambda c: c.reason("account"), ("username", "oauth_credential")),
    Row("token9", S, lambda c: c.reason("scope"), _CREDENTIAL),
    Row("token10", S, lambda c: c.reason("not-usable"), _CREDENTIAL),
    Row("token11", S, lambda c: c.reason("address") or 300 <= c.symptom.code <= 399, _CREDENTIAL),
    Row("token12", P, lambda c: c.is_refusal, _CREDENTIAL),
)

_OAUTH_ONLY = frozenset({"XOAUTH2", "OAUTHBEARER"})
_NOT_OURS = frozenset({"NTLM", "GSSAPI", "GSS-SPNEGO", "CRAM-MD5", "DIGEST-MD5"})
_SES = re.compile(r"email-smtp(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com")


def ses_region(host: str) -> str:
    """Return the region of an Amazon SES server, "" for any other.

    >>> ses_region("email-smtp.eu-west-1.amazonaws.com")
    'eu-west-1'
    """
    found = _SES.fullmatch(host.lower())
    return found[1] if found else ""


def _no_sign_in(case: Case) -> bool:
    return case.reason("not-offered", "not-encrypted") and not case.is_encrypted


def _only(case: Case, known: frozenset[str]) -> bool:
    return case.reason("no-mechanism") and bool(case.mechanisms) and set(case.mechanisms) <= known


def _refused_mechanism(case: Case) -> bool:
    if case.reason("no-mechanism") and case.get("mechanism") not in ("", "auto"):
        return True
    return case.code(504) or case.enhanced("5.7.4") or case.says("unrecognized auth")


def _wrong_user(case: Case) -> bool:
    return case.code(535) and bool(case.known.user) and case.known.user != case.get("username")


_starttls = change(security="starttls")


def _encrypt(case: Case) -> Sequence[Changes]:
    """Offer STARTTLS to who has no encryption; TLS from the first byte is not made weaker."""
    return _starttls(case) if case.security == "none" else []


AUTH = (
    Row("auth1", S, lambda c: _no_sign_in(c) and "STARTTLS" in c.capabilities, ("security",), _encrypt),
    Row("clear1", S, lambda c: c.reason("not-encrypted"), ("security", "accepts_clear_auth"), _encrypt),
    Row("auth2", S, lambda c: c.reason("not-offered"), ("auth", "port"), change(auth="none")),
    Row("secret2", S, lambda c: c.reason("no-password"), ("password",)),
    Row("secret1", S, lambda c: c.reason("credentials"), ("username", "password")),
    Row(
        "auth3",
        S,
        lambda c: (
            c.code(530, 538) or c.enhanced("5.7.11") or c.says("starttls", r"encryption (is )?required")
        ),
        ("security",),
        _encrypt,
    ),
    Row("auth4", S, lambda c: _only(c, _OAUTH_ONLY), ("auth",), change(auth="oauth2")),
    Row("auth5", P, lambda c: _only(c, _NOT_OURS), ("mechanism",)),
    Row("auth6", S, _refused_mechanism, ("mechanism",), another_mechanism),
    Row("auth7", P, lambda c: c.says(r"5\.7\.139.*tenant")),
    Row("auth8", P, lambda c: c.says(r"5\.7\.139.*mailbox")),
    Row(
        "auth9",
        P,
        lambda c: c.enhanced("5.7.139") and c.says("security defaults", "criteria", "conditional"),
        ("auth",),
    ),
    Row(
        "auth10",
        S,
        lambda c: c.enhanced("5.7.30") or c.says(r"basic auth.*(not supported|disabled)"),
        ("auth",),
        change(auth="oauth2"),
    ),
    Row(
        "auth11",
        S,
        lambda c: c.code(535) and c.enhanced("5.7.3") and c.is_oauth,
        ("username", "oauth_credential"),
    ),
    Row("auth12", S, lambda c: c.code(535) and c.enhanced("5.7.3", "5.7.139"), ("username", "password")),
    Row(
        "auth13",
        S,
        lambda c: bool(re.search(r'"status"\s*:\s*"?40[01]', c.seen("explanation"))),
        ("username", "oauth_credential"),
    ),
    Row(
        "auth14",
        S,
        lambda c: (
            (c.code(534) and c.enhanced("5.7.9")) or c.says("application-specific", "InvalidSecondFactor")
        ),
        ("password",),
    ),
    Row(
        "auth15",
        S,
        lambda c: (c.code(534) and c.enhanced("5.7.14")) or c.says("web browser", "WebLogin"),
        ("password",),
    ),
    Row("auth16", P, lambda c: c.says("credits exceeded")),
    Row(
        "auth17",
        P,
        lambda c: c.code(525) or c.enhanced("5.7.13") or c.says(r"account.*(disab|suspend|lock)"),
        ("username",),
    ),
    Row("auth18", W, lambda c: c.says(r"too many.*(auth|login|fail)"), ("password",)),
    Row("auth19", W, lambda c: c.is_temporary),
    Row("auth20", S, _wrong_user, ("username",), provider_user),
    Row("auth21", S, lambda c: c.code(535) and bool(ses_region(c.host)), ("username", "password")),
    Row("auth22", S, lambda c: c.code(535) and c.says("gsmtp"), ("password",)),
    Row(
        "auth23",
        S,
        lambda c: c.code(535) and c.seen("password_letters") == "not only English",
        ("password",),
    ),
    Row("auth24", S, lambda c: c.is_permanent, ("username", "password")),
    Row("auth25", P, lambda c: c.is_broken),
)

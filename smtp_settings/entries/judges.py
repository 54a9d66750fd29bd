"""What people type into a profile: each function gives the canonical value or refuses with one sentence.

Values in, values out, `ValidationError` for what cannot be meant. Nothing is looked up.
"""

import ipaddress
import json
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import idna
from cryptography import x509
from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings.entries import overrides
from smtp_settings.entries.overrides import BadRule, Fault

#: The longest password taken, in characters: longer ones are a pasted file (E10).
MAX_PASSWORD = 1024

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL_PART = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")  # RFC 5321 section 4.1.2, Dot-string
_NAMED = re.compile(r'(?:[^<>,;:@"\\\x00-\x1f]*|"[^<>@"\\\x00-\x1f]*")\s*<([^<>]*)>')  # "Foo <a@example.com>"
_HOST_IN_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(?:[^/@\s]*@)?([^/:@\s]+)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def host_name(value: str) -> str:
    """Return a server as a lower-case A-label name or an IP address without brackets.

    >>> host_name(" SMTP.Example.com. ")
    'smtp.example.com'
    >>> host_name("[2001:DB8::1]")
    '2001:db8::1'
    """
    value = value.strip()
    if not value:
        return ""
    bare = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        pass
    if any(sign in value for sign in ("://", "/", ":", "@")):
        raise ValidationError(_only_the_host_name(value), code="host_only")
    return domain(value)


def _only_the_host_name(value: str) -> str:
    """Name the host that was probably meant, else an example."""
    return _("Enter only the host name: %(host)s") % {"host": meant_host(value) or "smtp.example.com"}


def meant_host(value: str) -> str:
    """Return the host name in an address of another kind, "" when there is none.

    >>> meant_host("https://smtp.example.com/inbox")
    'smtp.example.com'
    """
    found = _HOST_IN_URL.match(value)
    try:
        return domain(found[1]) if found else ""
    except ValidationError:
        return ""


def domain(value: str) -> str:
    """Return a domain name in lower-case A-labels (IDNA 2008), without a final dot.

    >>> domain("Bücher.example")
    'xn--bcher-kva.example'
    """
    name = value.strip().removesuffix(".").lower()
    try:
        name = name if name.isascii() else idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise ValidationError(_("“%(name)s” is not a host name."), params={"name": value[:100]}) from error
    if not 0 < len(name) <= 253 or not all(map(_LABEL.fullmatch, name.split("."))):
        raise ValidationError(_("“%(name)s” is not a host name."), params={"name": value[:100]})
    return name


def address(value: str) -> str:
    """Return one bare mail address with its domain in A-labels.

    Of "Foo <a@example.com>" it is the part in brackets. Strict: a dot-string, an @ and a domain of two
    labels at least (RFC 5321 section 4.1.2, B1-B15).

    >>> address("Foo <a@example.com>")
    'a@example.com'
    """
    value = value.strip()
    named = _NAMED.fullmatch(value)
    bare = named[1].strip() if named else value
    local, at, tail = bare.rpartition("@")
    refusal = ValidationError(_("“%(address)s” is not a mail address."), params={"address": value[:100]})
    if not at or len(local) > 64 or not _LOCAL_PART.fullmatch(local):
        raise refusal
    try:
        tail = domain(tail)
    except ValidationError as error:
        raise refusal from error
    if "." not in tail or tail.rsplit(".", 1)[1].isdigit() or len(local) + 1 + len(tail) > 254:
        raise refusal
    return f"{local}@{tail}"


def domains(values: Iterable[str]) -> list[str]:
    """Return domain names without duplicates, in the order given."""
    return list(dict.fromkeys(map(domain, values)))


def addresses(values: Iterable[str]) -> list[str]:
    """Return bare addresses without exact duplicates, in the order given; all faults in one refusal."""
    found: dict[str, None] = {}
    refusals: list[ValidationError] = []
    for value in values:
        try:
            found[address(value)] = None
        except ValidationError as error:
            refusals.append(error)
    if refusals:
        raise ValidationError(refusals)
    return list(found)


def header_text(value: str) -> str:
    """Return text for a header, trimmed; line breaks and other control characters are refused (A1-A7)."""
    if _CONTROL.search(value):
        raise ValidationError(_("Line breaks and control characters are not allowed here."))
    return value.strip()


def subject_prefix(value: str) -> str:
    """Return the prefix as typed: the space at its end belongs to it."""
    header_text(value)
    return value.lstrip()


def ehlo_name(value: str) -> str:
    """Return a host name or an address literal such as [192.0.2.1] (RFC 5321 section 4.1.1.1)."""
    value = value.strip()
    if not value:
        return ""
    if value.startswith("[") and value.endswith("]"):
        try:
            ip = ipaddress.ip_address(value[1:-1].removeprefix("IPv6:"))
        except ValueError as error:
            raise ValidationError(
                _("“%(name)s” is not an IP address."), params={"name": value[:100]}
            ) from error
        return f"[{'IPv6:' if ip.version == 6 else ''}{ip}]"
    return domain(value)


def source_address(value: str) -> str:
    """Return one of this machine's IP addresses, or "" for the system's choice."""
    value = value.strip()
    if not value:
        return ""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError as error:
        raise ValidationError(_("“%(name)s” is not an IP address."), params={"name": value[:100]}) from error


def ca_certificates(value: str) -> str:
    """Return PEM certificates with plain line ends; a private key or anything unreadable is refused."""
    value = value.replace("\r\n", "\n").strip()
    if not value:
        return ""
    if "PRIVATE KEY" in value:
        raise ValidationError(_("This holds a private key. Enter only certificates."))
    try:
        x509.load_pem_x509_certificates(value.encode())
    except ValueError as error:
        raise ValidationError(
            _("This is not a certificate in PEM form (“-----BEGIN CERTIFICATE-----” …).")
        ) from error
    return value + "\n"


def password(value: str) -> str:
    """Return a typed password exactly; NUL and more than 1,024 characters are refused (E10)."""
    if "\x00" in value:
        raise ValidationError(_("A password cannot hold the NUL character."))
    if len(value) > MAX_PASSWORD:
        raise ValidationError(_("A password can have 1,024 characters at most."))
    return value


#: What is wrong with a rule about replies.
_RULE_FAULTS: Mapping[Fault, Promise] = {
    Fault.SHAPE: gettext_lazy("“%(value)s” is not of the form: stage code -> meaning."),
    Fault.STAGE: gettext_lazy("“%(value)s” is not a stage. The stages are %(stages)s, or * for all."),
    Fault.CODE: gettext_lazy("“%(value)s” is not the code of a refusal. Enter 450, 45x, 4xx, 5xx or *."),
    Fault.ENHANCED: gettext_lazy("“%(value)s” is not an enhanced code. Enter one such as 4.2 or 4.2.1."),
    Fault.CLASH: gettext_lazy("“%(value)s” fits no reply: both codes of a reply begin with the same digit."),
    Fault.WORDS: gettext_lazy(
        "“%(value)s” are not words to look for. Put them between two quotation marks, 200 characters at most."
    ),
    Fault.MEANING: gettext_lazy("“%(value)s” is not a meaning. The meanings are %(meanings)s."),
    Fault.WAIT: gettext_lazy("“%(value)s” is not a wait. Enter 90s, 10m or 2h, 24h at most."),
    Fault.NO_WAIT: gettext_lazy("After “%(value)s” there is no wait."),
    Fault.NO_MESSAGE: gettext_lazy(
        "“%(value)s” says something of a message, and at this stage there is none. Use too_many_connections, "
        "server_trouble or pause."
    ),
    Fault.TOO_MANY: gettext_lazy("A profile has 50 rules at most."),
}


def rule_fault(fault: BadRule) -> str:
    """Say what is wrong with a rule about replies."""
    shown = fault.value if len(fault.value) <= 100 else f"{fault.value[:99]}…"
    return str(_RULE_FAULTS[fault.fault]) % {
        "value": shown,
        "stages": ", ".join(overrides.STAGES),
        "meanings": ", ".join(overrides.Meaning),
    }


def reply_rules(value: Any) -> list[dict[str, str | int]]:  # Any: typed lines, or JSON
    """Return rules about replies as they are stored, from lines or from JSON; all faults in one refusal."""
    if isinstance(value, str):
        place, (found, faults) = _("Line %(n)d: %(fault)s"), overrides.read_lines(value)
    else:
        place, (found, faults) = _("Rule %(n)d: %(fault)s"), overrides.read_rows(value)
    if faults:
        raise ValidationError([place % {"n": n, "fault": rule_fault(fault)} for n, fault in faults.items()])
    return [overrides.as_row(rule) for rule in found.rules]


def reply_rules_as_text(rows: object) -> str:
    """Show stored rules as they are typed; one that cannot be read, put there by other means, as it is."""
    return "\n".join(map(_rule_as_text, rows if isinstance(rows, list) else [rows]))


def _rule_as_text(row: object) -> str:
    try:
        return overrides.as_line(overrides.read_row(row))
    except BadRule:
        return json.dumps(row, ensure_ascii=False)


#: What a mail program may be told besides sender and recipients: nothing that reads or writes files, takes
#: recipients from elsewhere, or is a recipient itself. The value is joined to its letter.
_ARGUMENT = re.compile(r"-(?:[NRVBLAa][\w.,:@=+-]*|[GvU])|--account=[\w.@-]+")


def program_arguments(value: str) -> str:
    """Return arguments for a mail program, one blank between them.

    >>> program_arguments("-Nnever  -G")
    '-Nnever -G'
    """
    words = header_text(value).split()
    for word in words:
        if not _ARGUMENT.fullmatch(word):
            raise ValidationError(
                _("“%(word)s” may not be given to a mail program. Such as -Nnever, -G or -aname may."),
                params={"word": word[:100]},
            )
    return " ".join(words)


def path(value: str) -> str:
    """Return the absolute path of a program or directory, without detours.

    >>> path("/srv/mail/../out/")
    '/srv/out'
    """
    found = posixpath.normpath(header_text(value))
    if not found.startswith("/") or found.startswith("//"):
        raise ValidationError(_("Enter the whole path, beginning with “/”."))
    return found


def region(value: str) -> str:
    """Return a region's name in small letters."""
    return header_text(value).lower()


def configuration_set(value: str) -> str:
    """Return the name of a configuration set of Amazon SES."""
    name = header_text(value)
    if not re.fullmatch(r"[\w-]{1,64}", name, re.ASCII):
        raise ValidationError(_("A configuration set has letters, digits, “-” and “_” in its name."))
    return name


#: What judges a profile's value beyond its type, and gives its canonical form; an empty value is not judged.
JUDGES: Mapping[str, Callable[[Any], Any]] = {  # Any: a text or a list of texts
    "host": host_name,
    "from_address": address,
    "reply_to": address,
    "bounce_address": address,
    "from_name": header_text,
    "subject_prefix": subject_prefix,
    "ca": ca_certificates,
    "source_address": source_address,
    "ehlo_name": ehlo_name,
    "api_domain": domain,
    "program": path,
    "program_arguments": program_arguments,
    "directory": path,
    "region": region,
    "configuration_set": configuration_set,
    "debug_recipients": addresses,
    "sender_domains": domains,
    "classification_overrides": reply_rules,
}

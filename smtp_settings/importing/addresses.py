"""A mail server written as one address: smtp://user:password@host:port?tls=true. Pure."""

from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.utils.translation import gettext as _

#: Scheme -> `encryption` of `mailer.KEYS`; where that is "" or "smtps", the port decides.
_SCHEMES: Mapping[str, str] = {
    "smtp": "",
    "smtp+tls": "starttls",
    "smtp+ssl": "tls",
    "smtps": "smtps",  # STARTTLS to django-environ, TLS from the first byte to everybody else
    "submission": "starttls",
    "submissions": "tls",
}
#: Schemes of Django's backends that send nothing.
_BACKENDS: Mapping[str, str] = {
    "consolemail": "console",
    "console": "console",
    "filemail": "filebased",
    "file": "filebased",
    "memorymail": "locmem",
    "memory": "locmem",
    "dummymail": "dummy",
    "dummy": "dummy",
    "null": "dummy",
}
_TRUE = frozenset({"1", "true", "yes", "on"})
_ENCRYPTION = {"tls": "starttls", "ssl": "tls", "starttls": "starttls"}


class Unreadable(ValueError):
    """The text is no address of a mail server; str() is one sentence without anything of the text."""


def read(name: str, text: str) -> tuple[str, dict[str, str], list[str]]:
    """Return the backend ("" for SMTP), the values by `mailer.KEYS`, and sentences on what was left out.

    `name` is the variable's, for the sentences. Raises Unreadable.

    >>> read("EMAIL_URL", "smtp+tls://me%40example.com:s3cret@smtp.example.com:587")[1]["username"]
    'me@example.com'
    """
    try:
        url = urlsplit(text.strip())
        port = url.port
    except ValueError:
        raise Unreadable(_("%(name)s cannot be read as an address.") % {"name": name}) from None
    scheme = url.scheme.lower()
    if scheme in _BACKENDS:
        return f"django.core.mail.backends.{_BACKENDS[scheme]}.EmailBackend", {}, []
    if scheme not in _SCHEMES:
        raise Unreadable(_("%(name)s is not of the form smtp://user:password@host:port.") % {"name": name})
    if not url.hostname:
        raise Unreadable(_("%(name)s names no server.") % {"name": name})
    values = {"host": url.hostname, "encryption": _SCHEMES[scheme]}
    values |= {"port": str(port)} if port else {}
    values |= {key: unquote(part) for key, part in _sign_in(url) if part}
    return "", values, list(_options(name, url, values))


def _options(name: str, url: SplitResult, values: dict[str, str]) -> Iterator[str]:
    """Put what stands behind the ? into the values; yield what was left out, and what is unclear."""
    for key, value in parse_qsl(url.query):
        if key.lower() not in _ENCRYPTION:
            sentence = _("“%(option)s” in %(name)s is not known here; it was left out.")
            yield sentence % {"option": key[:50], "name": name}
        elif value.lower() in _TRUE:
            values["encryption"] = _ENCRYPTION[key.lower()]
    if url.scheme.lower() == "smtps":
        yield _(
            "smtps:// means STARTTLS to some programs and TLS from the first byte to others; "
            "the port decided."
        )


def _sign_in(url: SplitResult) -> Iterator[tuple[str, str]]:
    yield "username", url.username or ""
    yield "password", url.password or ""

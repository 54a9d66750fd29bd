"""A .env file: EMAIL_URL, EMAIL_*, and the names other frameworks use (MAIL_*, SMTP_*). Pure."""

import re
from collections.abc import Iterator, Mapping

from django.utils.translation import gettext as _

from smtp_settings.importing import addresses
from smtp_settings.importing.from_django import NOT_TAKEN
from smtp_settings.importing.mailer import Habit, Mailer, Reading

_LINE = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(?P<value>.*?)\s*")
_REFERENCE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
_URLS = ("EMAIL_URL", "MAIL_URL", "MAILER_URL", "MAILER_DSN", "SMTP_URL")

#: What follows EMAIL_, MAIL_ or SMTP_ -> `mailer.KEYS`; "backend" for the way out.
SUFFIXES: Mapping[str, str] = {
    "HOST": "host",
    "SERVER": "host",
    "HOSTNAME": "host",
    "PORT": "port",
    "HOST_USER": "username",
    "USER": "username",
    "USERNAME": "username",
    "USER_NAME": "username",
    "LOGIN": "username",
    "HOST_PASSWORD": "password",
    "PASSWORD": "password",
    "PASS": "password",
    "USE_TLS": "use_tls",
    "TLS": "use_tls",
    "STARTTLS": "use_tls",
    "ENABLE_STARTTLS": "use_tls",
    "USE_SSL": "use_ssl",
    "SSL": "use_ssl",
    "SECURE": "use_ssl",  # nodemailer: TLS from the first byte
    "ENCRYPTION": "encryption",
    "SCHEME": "encryption",
    "SECURITY": "encryption",
    "TIMEOUT": "timeout",
    "SSL_CERTFILE": "ssl_certfile",
    "SSL_KEYFILE": "ssl_keyfile",
    "FROM": "from_email",
    "FROM_ADDRESS": "from_email",
    "FROM_EMAIL": "from_email",
    "DEFAULT_SENDER": "from_email",
    "DEFAULT_FROM": "from_email",
    "SENDER": "from_email",
    "FROM_NAME": "from_name",
    "BACKEND": "backend",
    "MAILER": "backend",
    "DRIVER": "backend",
}
_FAMILIES = ("EMAIL_", "MAIL_", "SMTP_")
#: Laravel's drivers, and what stands for each in `elsewhere`.
_DRIVERS = {
    "smtp": "",
    "sendmail": "sendmail",
    "mailgun": "mailgun",
    "ses": "django_ses.SESBackend",
    "ses-v2": "django_ses.SESBackend",
    "log": "django.core.mail.backends.console.EmailBackend",
    "array": "django.core.mail.backends.locmem.EmailBackend",
}


def parse(text: str) -> dict[str, str]:
    r"""Read the lines of a .env file; what is no assignment is left out, the last one of a name counts.

    Values may stand in quotes; outside of them a # after a blank begins a comment. $NAME and ${NAME} alone
    stand for another line's value, as with django-environ.

    >>> parse('export EMAIL_HOST="mx.example"  # ours\nB=$EMAIL_HOST')
    {'EMAIL_HOST': 'mx.example', 'B': 'mx.example'}
    """
    found = {}
    for line in text.removeprefix("\ufeff").splitlines():
        match = _LINE.fullmatch(line)
        if match and not line.lstrip().startswith("#"):
            found[match["name"]] = _unquoted(match["value"])
    return {name: _resolved(value, found) for name, value in found.items()}


def _unquoted(value: str) -> str:
    quoted = re.fullmatch(r"""(?P<mark>['"])(?P<text>.*?)(?<!\\)(?P=mark)\s*(?:#.*)?""", value)
    if not quoted:
        return re.sub(r"(?:^|\s+)#.*", "", value)
    text = quoted["text"]
    return re.sub(r"\\(.)", r"\1", text) if quoted["mark"] == '"' else text


def _resolved(value: str, found: Mapping[str, str]) -> str:
    reference = _REFERENCE.fullmatch(value)
    return found.get(reference[1], value) if reference else value


def read(names: Mapping[str, str]) -> Reading:
    """Read what a .env file says of mail; a name may begin with DJANGO_."""
    names = {name.upper().removeprefix("DJANGO_"): value for name, value in names.items()}
    notes = [str(why) for name, why in NOT_TAKEN.items() if names.get(name)]
    mailers = [*_of_urls(names, notes)]
    for family in _FAMILIES:
        mailers += _of_family(family, names, notes)
    return Reading(tuple(mailers), tuple(notes))


def _of_urls(names: Mapping[str, str], notes: list[str]) -> Iterator[Mailer]:
    for name in _URLS:
        if not names.get(name):
            continue
        try:
            backend, values, left = addresses.read(name, names[name])
        except addresses.Unreadable as error:
            notes.append(str(error))
            continue
        yield Mailer(name, _with_sender(values, names), backend=backend, habit=Habit.OTHER, notes=tuple(left))


def _of_family(family: str, names: Mapping[str, str], notes: list[str]) -> Iterator[Mailer]:
    values: dict[str, str] = {}
    left: list[str] = []
    for name in sorted(names):
        if not name.startswith(family) or name in _URLS or name in NOT_TAKEN or not names[name]:
            continue
        key = SUFFIXES.get(name.removeprefix(family))
        if key is None:
            left.append(_("%(name)s is no mail setting known here; it was left out.") % {"name": name})
        elif key in values:
            left.append(_("%(name)s says again what was read already; it was left out.") % {"name": name})
        elif _REFERENCE.fullmatch(names[name]):
            left.append(_("%(name)s refers to a name that is not in this file.") % {"name": name})
        else:
            values[key] = names[name]
    backend = values.pop("backend", "")
    backend = _DRIVERS.get(backend.lower(), backend)
    if "host" not in values and not backend:
        notes += left
        return
    habit = Habit.DJANGO if family == "EMAIL_" else Habit.OTHER
    yield Mailer(f"{family}*", _with_sender(values, names), backend=backend, habit=habit, notes=tuple(left))


def _with_sender(values: dict[str, str], names: Mapping[str, str]) -> dict[str, str]:
    sender = values.get("from_email") or names.get("DEFAULT_FROM_EMAIL", "")
    return values | ({"from_email": sender} if sender else {})

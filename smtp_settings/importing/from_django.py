"""Django's own settings: EMAIL_* (all versions) and MAILERS (6.1)."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings.importing.elsewhere import QUEUES, SMTP
from smtp_settings.importing.mailer import KEYS, Mailer, Reading

Names = Mapping[str, Any]  # Any: whatever stands in settings

#: Django's name -> ours.
EMAIL_NAMES: Mapping[str, str] = {
    "EMAIL_HOST": "host",
    "EMAIL_PORT": "port",
    "EMAIL_HOST_USER": "username",
    "EMAIL_HOST_PASSWORD": "password",
    "EMAIL_USE_TLS": "use_tls",
    "EMAIL_USE_SSL": "use_ssl",
    "EMAIL_TIMEOUT": "timeout",
    "EMAIL_SSL_CERTFILE": "ssl_certfile",
    "EMAIL_SSL_KEYFILE": "ssl_keyfile",
}
#: Settings without a place in a profile, and why.
NOT_TAKEN: Mapping[str, Promise] = {
    "EMAIL_SUBJECT_PREFIX": gettext_lazy(
        "EMAIL_SUBJECT_PREFIX was left out: Django puts it on mail to admins only, a profile's "
        "subject prefix on every message."
    ),
    "SERVER_EMAIL": gettext_lazy(
        "SERVER_EMAIL was left out: error mails carry it themselves, no profile needs it."
    ),
    "EMAIL_USE_LOCALTIME": gettext_lazy(
        "EMAIL_USE_LOCALTIME was left out: mailconf writes every Date with its time zone."
    ),
    "EMAIL_FILE_PATH": gettext_lazy("EMAIL_FILE_PATH was left out: it belongs to a backend that sends none."),
}
_KNOWN = {*EMAIL_NAMES, *NOT_TAKEN, "EMAIL_BACKEND"}


def read(names: Names) -> Reading:
    """Read settings that somebody wrote down (no defaults of Django's own)."""
    notes = [str(why) for name, why in NOT_TAKEN.items() if names.get(name) not in (None, "")]
    notes += [
        _("%(name)s is no mail setting known here; it was left out.") % {"name": name}
        for name in sorted(names)
        if name.startswith("EMAIL_") and name not in _KNOWN and name.isupper()
    ]
    mailers = [*_of_email_names(names, notes), *_of_mailers(names, notes)]
    return Reading(tuple(mailers), tuple(notes))


def _of_email_names(names: Names, notes: list[str]) -> Iterator[Mailer]:
    backend = str(names.get("EMAIL_BACKEND") or "")
    said = {key: names[name] for name, key in EMAIL_NAMES.items() if name in names}
    if not said and (not backend or backend == "delivery.email_backend.EmailBackend"):
        return
    real, more = _real(backend, names)
    notes += more
    values = {"host": "localhost", **said}
    if sender := names.get("DEFAULT_FROM_EMAIL"):
        values["from_email"] = sender
    yield Mailer("EMAIL_*", values, backend=real)


def _of_mailers(names: Names, notes: list[str]) -> Iterator[Mailer]:
    mailers = names.get("MAILERS")
    if not isinstance(mailers, Mapping):
        return
    for alias, entry in mailers.items():
        label = f"MAILERS[{alias!r}]"
        if not isinstance(entry, Mapping):
            notes.append(_("%(label)s is no dictionary; it was left out.") % {"label": label})
            continue
        backend = str(entry.get("BACKEND") or "")
        if backend == "delivery.email_backend.EmailBackend":
            continue
        options = entry.get("OPTIONS")
        options = options if isinstance(options, Mapping) else {}
        real, more = _real(backend, names)
        notes += more
        unknown = sorted(str(name) for name in options if name not in KEYS)
        left = (
            tuple(
                _("The option “%(name)s” is not known here; it was left out.") % {"name": name}
                for name in unknown
            )
            if real in SMTP
            else ()
        )
        values = {"host": "localhost", **{name: value for name, value in options.items() if name in KEYS}}
        if sender := names.get("DEFAULT_FROM_EMAIL"):
            values.setdefault("from_email", sender)
        name = "" if alias == "default" else str(alias)
        yield Mailer(label, values, backend=real, name=name, notes=left)


def _real(backend: str, names: Names) -> tuple[str, list[str]]:
    """Return the backend behind one that only queues, and what to say of the queue."""
    if backend not in QUEUES:
        return backend, []
    setting, package = QUEUES[backend]
    behind = names.get(setting)
    if setting == "POST_OFFICE":
        backends = behind.get("BACKENDS") if isinstance(behind, Mapping) else None
        behind = backends.get("default") if isinstance(backends, Mapping) else None
    said = _("“%(backend)s” is a queue; the settings behind it were read.") % {"backend": backend}
    if package:
        said += " " + _("Its waiting mail: manage.py import_queue %(package)s.") % {"package": package}
    return str(behind or ""), [said]

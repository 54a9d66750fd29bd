"""Django mail backends that are no SMTP: what each is, and what to choose here instead."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

#: Backends that say "over SMTP", with the settings looked at here.
SMTP = frozenset(
    {
        "",
        "django.core.mail.backends.smtp.EmailBackend",
        "delivery.email_backend.EmailBackend",  # ours: what stands beside it is from before
    }
)

#: Backends that only queue; the setting that names the real one, and the package for `import_queue`.
QUEUES: Mapping[str, tuple[str, str]] = {
    "post_office.EmailBackend": ("POST_OFFICE", "post_office"),
    "mailer.backend.DbBackend": ("MAILER_EMAIL_BACKEND", "mailer"),
    "djcelery_email.backends.CeleryEmailBackend": ("CELERY_EMAIL_BACKEND", ""),
}

_PLAIN: Mapping[str, Promise] = {
    "django.core.mail.backends.console.EmailBackend": gettext_lazy(
        "It prints mail and sends none. Choose the provider preset “Sandbox” or “Mailpit” for development."
    ),
    "django.core.mail.backends.filebased.EmailBackend": gettext_lazy(
        "It writes mail to files and sends none. Choose the delivery method “Pickup directory” if another "
        "program reads them."
    ),
    "django.core.mail.backends.locmem.EmailBackend": gettext_lazy(
        "It keeps mail in memory, for tests. There is nothing to take over."
    ),
    "django.core.mail.backends.dummy.EmailBackend": gettext_lazy(
        "It throws mail away. To send nothing on purpose, use the log-only mode of the sending policy."
    ),
}
_SES = gettext_lazy("Choose the delivery method “Amazon SES”, or the provider preset “Amazon SES” by SMTP.")
_MAILGUN = gettext_lazy("Choose the delivery method “Mailgun”, or the provider preset “Mailgun” by SMTP.")
_SENDMAIL = gettext_lazy("Choose the delivery method “sendmail program”.")

#: Anymail's backends by module name -> the key of our preset.
ANYMAIL: Mapping[str, str] = {
    "brevo": "brevo",
    "sendinblue": "brevo",
    "mailersend": "mailersend",
    "mailjet": "mailjet",
    "mailtrap": "mailtrap",
    "mandrill": "mandrill",
    "postmark": "postmark",
    "resend": "resend",
    "scaleway": "",
    "sendgrid": "sendgrid",
    "sparkpost": "sparkpost",
    "unisender_go": "",
}


def instead_of(backend: str, preset_names: Mapping[str, str]) -> str:
    """Say what to choose instead of a backend that is no SMTP; `preset_names` is preset key to name."""
    return _("It sends by “%(backend)s”, which is no SMTP server. %(advice)s") % {
        "backend": backend,
        "advice": _advice(backend, preset_names),
    }


def _advice(backend: str, preset_names: Mapping[str, str]) -> str:
    if backend in _PLAIN:
        return str(_PLAIN[backend])
    package, *rest = backend.split(".")
    if package == "anymail":
        return _anymail(rest, preset_names)
    if package in ("django_ses", "django_amazon_ses"):
        return str(_SES)
    if "sendmail" in backend.lower():
        return str(_SENDMAIL)
    if "mailgun" in backend.lower():
        return str(_MAILGUN)
    return _("mailconf does not know it. Add a profile by hand for the server behind it.")


def _anymail(rest: list[str], preset_names: Mapping[str, str]) -> str:
    service = rest[1] if len(rest) > 1 else ""
    if service == "amazon_ses":
        return str(_SES)
    if service == "mailgun":
        return str(_MAILGUN)
    name = preset_names.get(ANYMAIL.get(service, ""), "")
    if name:
        return _(
            "Add a profile with the provider preset “%(name)s”: the same account takes mail over SMTP."
        ) % {"name": name}
    return _("Add a profile with the SMTP settings its provider shows for the same account.")

"""Django settings for every deployment shape; only environment variables differ (`mailconf.env`).

*local* is one machine for trying out (`make run`): HTTP on loopback, keys made in `var/`, a mail sandbox.
Without DATABASE_URL it also has a private PostgreSQL (*embedded*). Everything else is production and refuses
to start on a guess: SECRET_KEY and MAILCONF_HOSTS have to be there, DEBUG must not.
"""

import os
from typing import Any

import django
import environ
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

from mailconf import embedded
from mailconf.app_settings import *  # noqa: F403
from mailconf.app_settings import (
    MAILCONF_BEHIND_PROXY,
    MAILCONF_EMBEDDED,
    MAILCONF_HTTPS,
    MAILCONF_LOCAL,
    MAILCONF_VAR,
)
from mailconf.env import BASE_DIR, read

_env = read(os.environ)  # what cannot be understood has been refused above
DATABASE_URL = _env.database_url
REDIS_URL = _env.redis_url


def _secret_key() -> str:
    if _env.secret_key:
        return _env.secret_key
    kept = MAILCONF_VAR / "secret_key"
    if kept.is_file():
        return kept.read_text(encoding="ascii").strip()
    if MAILCONF_LOCAL:
        return get_random_secret_key()  # before the first `make run`: nothing is signed yet
    raise ImproperlyConfigured(
        "SECRET_KEY is not set. DATABASE_URL requires it; to try mailconf on this machine: MAILCONF_LOCAL=1."
    )


def _hosts() -> list[str]:
    if MAILCONF_LOCAL:
        return ["127.0.0.1", "localhost", "[::1]", *_env.hosts]
    if not _env.hosts:
        raise ImproperlyConfigured("MAILCONF_HOSTS is not set: the names this installation is reached by.")
    return [*_env.hosts]


def _databases() -> dict[str, Any]:  # Django's own settings are not typed
    if MAILCONF_EMBEDDED:
        default = embedded.connection_settings(MAILCONF_VAR)
    else:
        try:
            default = environ.Env.db_url_config(DATABASE_URL)
        except ValueError:  # its words may hold a part of the password
            raise ImproperlyConfigured("DATABASE_URL cannot be read as an address.") from None
        if not str(default.get("ENGINE", "")).endswith("postgresql"):
            raise ImproperlyConfigured("DATABASE_URL must name a PostgreSQL server: postgresql://…")
    # A web thread keeps its connection for a minute; workers hold theirs in a thread of their own.
    return {"default": {**default, "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}}


SECRET_KEY = _secret_key()
DEBUG = _env.debug
if DEBUG and not MAILCONF_LOCAL:
    raise ImproperlyConfigured(
        "MAILCONF_DEBUG is only for `make run`: it shows settings and data to visitors."
    )
ALLOWED_HOSTS = _hosts()

INSTALLED_APPS = [
    "mailconf.apps.MailconfAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.sites",
    "smtp_settings",
    "delivery",
    "mailconf",
]

# One policy, no exceptions for scripts or styles: the pages have none inline.
_CSP = {
    "default-src": ["'self'"],
    "script-src": ["'self'"],
    "style-src": ["'self'"],
    "img-src": ["'self'", "data:"],
    "frame-ancestors": ["'none'"],
    "base-uri": ["'none'"],
    "form-action": ["'self'"],
    "object-src": ["'none'"],
}
if django.VERSION >= (6, 0):
    SECURE_CSP = _CSP
    _CSP_MIDDLEWARE = "django.middleware.csp.ContentSecurityPolicyMiddleware"
else:
    CONTENT_SECURITY_POLICY = {"DIRECTIVES": _CSP}
    _CSP_MIDDLEWARE = "csp.middleware.CSPMiddleware"
    INSTALLED_APPS.append("csp")

MIDDLEWARE = [
    "mailconf.health.HealthMiddleware",  # first: a probe knows neither the host name nor HTTPS
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    _CSP_MIDDLEWARE,
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "smtp_settings.client_address.ClientAddressMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "mailconf.urls"
WSGI_APPLICATION = "mailconf.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
FORM_RENDERER = "mailconf.form_renderer.FormRenderer"
DATABASES = _databases()
SITE_ID = 1

AUTHENTICATION_BACKENDS = ["mailconf.permissions.PermissionsAtOnce"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

USE_TZ = True
TIME_ZONE = _env.time_zone
LANGUAGE_CODE = "en"
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = MAILCONF_VAR / "static" if MAILCONF_LOCAL else BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "mailconf.static_files.MinifiedStaticFilesStorage"},
}

# Cookies and transport. A __Host- name binds a cookie to this host and the root path; it needs HTTPS.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = MAILCONF_HTTPS
SESSION_COOKIE_NAME = "__Host-sessionid" if MAILCONF_HTTPS else "sessionid"
CSRF_COOKIE_NAME = "__Host-csrftoken" if MAILCONF_HTTPS else "csrftoken"
SESSION_COOKIE_AGE = 8 * 60 * 60  # a working day
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = (
    "Lax"  # not Strict: the return from an OAuth sign-in is cross-site
)
CSRF_COOKIE_HTTPONLY = True
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60 if MAILCONF_HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if MAILCONF_BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SILENCED_SYSTEM_CHECKS = [
    # Subdomains and the preload list bind more than this installation: for the owner of the domain to decide.
    "security.W005",
    "security.W021",
]

# What mailconf itself sends (a password reset) takes its own way.
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": "delivery.email_backend.EmailBackend"}}
else:
    EMAIL_BACKEND = "delivery.email_backend.EmailBackend"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": _env.log_level},
    "loggers": {
        # Django's own handlers speak only with DEBUG, or mail admins: one handler is enough.
        "django": {"handlers": [], "propagate": True},
        "django.server": {"handlers": [], "propagate": True},
        "mail.log": {"level": "WARNING"},  # aiosmtpd: six lines a session
        # They would log addresses with their parameters, and at DEBUG what is sent.
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        # Four lines for each ring, every fifteen seconds, and they say nothing of mail.
        "celery.app.trace": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
    },
}

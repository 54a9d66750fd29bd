"""What the apps read of the environment: for mailconf's settings, and for a project's that sends through it.

Such a project imports all names of this module into its own settings: hence an underscore before those that
are no settings.
"""

import os as _os
from pathlib import Path as _Path

from django.core.exceptions import ImproperlyConfigured as _ImproperlyConfigured

from mailconf.env import BASE_DIR as _BASE_DIR
from mailconf.env import VariableError as _VariableError
from mailconf.env import read as _read

try:
    _env = _read(_os.environ)
except _VariableError as error:
    raise _ImproperlyConfigured(str(error)) from None

MAILCONF_EMBEDDED = not _env.database_url
MAILCONF_LOCAL = _env.local or MAILCONF_EMBEDDED
MAILCONF_VAR = _env.var
MAILCONF_PORT = _env.port
MAILCONF_SANDBOX_PORT = _env.sandbox_port
MAILCONF_ENVIRONMENT = _env.environment
MAILCONF_STATE_DIR = _Path(_env.state_dir) if _env.state_dir else MAILCONF_VAR / "state"
MAILCONF_JOURNAL_SYNC = _env.journal_sync
MAILCONF_BATCH_SIZE = _env.batch_size
MAILCONF_DEFAULT_SITE = _env.default_site
MAILCONF_EMAIL_LOG = _env.email_log
MAILCONF_EMAIL_LOG_MB = _env.email_log_mb
MAILCONF_EMAIL_LOG_FILES = _env.email_log_files
MAILCONF_TEST_BEFORE_SAVE = _env.test_before_save
MAILCONF_PRESETS_FILE = _BASE_DIR / _env.presets_file if _env.presets_file else None
MAILCONF_PASSWORD_AGE_DAYS = _env.password_age_days
MAILCONF_KEEP_DAYS = {  # delivery.upkeep.Retention
    "content": _env.keep_content_days,
    "sent": _env.keep_sent_days,
    "cancelled": _env.keep_cancelled_days,
    "suppressed": _env.keep_suppressed_days,
    "failed": _env.keep_failed_days,
    "expired": _env.keep_expired_days,
    "attempts": _env.keep_attempts_days,
    "events": _env.keep_events_days,
    "minutes": _env.keep_minutes_days,
}
MAILCONF_HTTPS = not MAILCONF_LOCAL if _env.https == "auto" else _env.https == "true"

# What a profile may reach; transports.resolve guards it. The high ports are the providers' spare ones.
MAILCONF_ALLOWED_PORTS = (25, 465, 587, 2465, 2525, 2587, *_env.allowed_ports)
MAILCONF_ALLOWED_NETWORKS = [*_env.allowed_networks]
MAILCONF_SENDMAIL_PROGRAMS = [*_env.sendmail_programs]
MAILCONF_ALLOW_PRIVATE = _env.allow_private
MAILCONF_OAUTH_ALLOW_HTTP = _env.oauth_allow_http
MAILCONF_DNS_SERVERS = _env.dns_servers
if MAILCONF_LOCAL:  # the sandbox
    MAILCONF_ALLOWED_PORTS += (MAILCONF_SANDBOX_PORT,)
    MAILCONF_ALLOWED_NETWORKS += ["127.0.0.1/32"]

# The keys that seal passwords; smtp_settings.sealing reads them when needed, and reports a missing one.
MAILCONF_KEYS = _env.keys
MAILCONF_KEYS_FILE = _env.keys_file or (
    "" if MAILCONF_KEYS or not MAILCONF_LOCAL else str(MAILCONF_VAR / "keys")
)

MAILCONF_BEHIND_PROXY = _env.behind_proxy

# The doorbell (D3); the rest of the Celery settings is in mailconf.celery.
CELERY_BROKER_URL = _env.redis_url or "filesystem://localhost//"  # a host, or kombu warns at each start
#: A Celery app that reads a project's settings rings our workers too, with the same broker.
CELERY_TASK_ROUTES = {"mailconf.drain": {"queue": "mail"}, "mailconf.*": {"queue": "work"}}

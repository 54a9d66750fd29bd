"""Django settings for the peers' side: a database, a server, and what the measurement asks for."""

import json
import os
import tempfile

from psycopg.conninfo import conninfo_to_dict

_options = json.loads(os.environ["PEER_OPTIONS"])
_database = conninfo_to_dict(os.environ["PEER_DATABASE"])

SECRET_KEY = "of no use outside a measurement"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "post_office", "mailer"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database["dbname"],
        "USER": _database.get("user", ""),
        "PASSWORD": _database.get("password", ""),
        "HOST": _database.get("host", ""),
        "PORT": str(_database.get("port", "")),
    }
}

EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_HOST = "127.0.0.1"
EMAIL_PORT = _options.get("port", 25)

POST_OFFICE = {
    "BACKENDS": {"default": EMAIL_BACKEND},
    "BATCH_SIZE": _options.get("batch", 100),
    "THREADS_PER_PROCESS": _options.get("threads", 5),
    "LOG_LEVEL": _options.get("log_level", 2),
    # Its deadline for a batch: the large ones of a slow machine shall not be cut off.
    "BATCH_DELIVERY_TIMEOUT": 3600,
    "MESSAGE_ID_ENABLED": True,  # as ours and django-mailer have one
    "MESSAGE_ID_FQDN": "example.org",
}
MEDIA_ROOT = tempfile.gettempdir()

MAILER_EMAIL_BACKEND = EMAIL_BACKEND
# One process sends, so a lock file would protect nothing.
MAILER_USE_FILE_LOCK = False
# It would say a line or two for each message.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"standard error": {"class": "logging.StreamHandler"}},
    "loggers": {
        name: {"handlers": ["standard error"], "level": "ERROR", "propagate": False}
        for name in ("post_office", "mailer")
    },
}

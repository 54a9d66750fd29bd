"""The Celery app: a doorbell, no store. Nothing of value is in the broker, so everything may be lost there.

Two queues, each with a worker of its own: `mail` for drains, which linger, and `work` for what a person
waits for. Payloads are JSON and hold ids at most; no results, no ETA, no late acknowledgement (the broker
would hand an unacknowledged task to a second worker).
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailconf.settings")
# A worker would run all system checks at its start, the admin's pages included, and drop what they say: 0.7 s
# of a CPU for nothing. `manage.py check` tells them.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

from django.conf import settings  # after the module's name is set

from mailconf.app_settings import CELERY_TASK_ROUTES

#: Beat wakes a worker so often, whatever became of the rings.
KICK_SECONDS = 15.0
#: Beat has jobs gone on with so often: one whose worker died, one that waits for its pace.
JOBS_SECONDS = 5.0
#: A tested secret counts for half an hour; beat has what is left of it removed soon after.
TIDY_UP_SECONDS = 600.0
#: The last resort against a wedged drain: longer than deadline, grace and the ten minutes of a final reply,
#: twice, as a drain past its deadline that waits for one goes on with other mail.
_TIME_LIMIT_SECONDS = 1800
#: What is wrong is looked for so often where no drain does.
WATCH_SECONDS = 15.0
#: Each server is checked once a day; this finds those that are due.
CHECK_SECONDS = 3600.0
#: A stop waits for what is on the wire: the drain's grace, and the time to write it down.
_SHUTDOWN_SECONDS = 75

_REDIS = {
    # Only matters for late acknowledgement, which is off. A half-dead Redis must not hold anybody for ever.
    "visibility_timeout": 3600,
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "retry_on_timeout": True,
    "health_check_interval": 25,
}


def broker_options(url: str, var: Path) -> dict[str, Any]:
    """Return the transport options for a broker; for the file broker its folders are made, for us alone."""
    if not url.startswith("filesystem:"):
        return dict(_REDIS)
    folders = [var / "broker" / name for name in ("messages", "control")]
    with suppress(OSError):  # a command that only reads may run where nothing can be written
        for folder in (var / "broker", *folders):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    messages, control = map(str, folders)
    return {
        "data_folder_in": messages,
        "data_folder_out": messages,
        "control_folder": control,
        "polling_interval": 0.05,
    }


def configuration(url: str, var: Path) -> dict[str, Any]:
    """Return the app's whole configuration for a broker."""
    is_redis = url.startswith(("redis:", "rediss:"))
    return {
        "broker_url": url,
        "broker_transport": "mailconf.file_broker:Transport" if url.startswith("filesystem:") else None,
        "broker_transport_options": broker_options(url, var),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_default_queue": "work",
        "task_create_missing_queues": True,
        "task_routes": CELERY_TASK_ROUTES,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        "task_publish_retry": False,
        "task_soft_time_limit": None,  # its SIGUSR1 would raise inside the loop
        "task_time_limit": _TIME_LIMIT_SECONDS,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": is_redis,  # others ignore it with a warning
        "worker_max_tasks_per_child": None,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_soft_shutdown_timeout": _SHUTDOWN_SECONDS,
        "worker_enable_soft_shutdown_on_idle": True,
        "worker_hijack_root_logger": False,
        "beat_schedule": {
            "kick": {
                "task": "mailconf.drain",
                "schedule": KICK_SECONDS,
                "options": {"queue": "mail", "expires": KICK_SECONDS - 1},
            },
            "jobs": {
                "task": "mailconf.run_jobs",
                "schedule": JOBS_SECONDS,
                "options": {"queue": "work", "expires": JOBS_SECONDS - 1},
            },
            "watch": {
                "task": "mailconf.watch",
                "schedule": WATCH_SECONDS,
                "options": {"queue": "work", "expires": WATCH_SECONDS - 1},
            },
            "check_daily": {
                "task": "mailconf.check_daily",
                "schedule": CHECK_SECONDS,
                "options": {"queue": "work", "expires": CHECK_SECONDS - 1},
            },
            "tidy_up": {
                "task": "mailconf.tidy_up",
                "schedule": TIDY_UP_SECONDS,
                "options": {"queue": "work", "expires": TIDY_UP_SECONDS - 1},
            },
        },
        "beat_schedule_filename": str(var / "beat-schedule"),
        "timezone": "UTC",
    }


app = Celery("mailconf")
app.config_from_object(configuration(settings.CELERY_BROKER_URL, Path(settings.MAILCONF_VAR)))
app.autodiscover_tasks()


@setup_logging.connect
def _keep_djangos_logging(**_: object) -> None:
    """Leave logging as the settings have it; Celery would replace it."""

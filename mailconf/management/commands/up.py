"""`manage.py up`: everything on one machine; what `make run` calls."""

import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from mailconf import starting
from mailconf.children import AlreadyRunning
from mailconf.embedded import ServerUnavailable
from mailconf.supervisor import ServiceFailed


class Command(BaseCommand):
    """Start everything, and end it at Ctrl-C."""

    help = "Starts database, pages, workers and a mail sandbox on this machine; Ctrl-C ends them."
    requires_system_checks = ()  # they ask the database, which is not there yet

    def handle(self, *_args: Any, **_options: Any) -> None:  # as BaseCommand
        """Run until it is told to stop."""
        if not settings.MAILCONF_LOCAL:
            raise CommandError(
                _("`up` is for trying out on one machine: set MAILCONF_LOCAL=1, or use `make run`.")
            )
        os.environ["MAILCONF_LOCAL"] = "1"  # for the children, also with a DATABASE_URL
        try:
            starting.run(self._write)
        except (starting.CannotStart, ServerUnavailable, ServiceFailed, AlreadyRunning) as error:
            raise CommandError(str(error)) from None

    def _write(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()  # into a pipe or a file, too, it is read while it runs

"""`manage.py sandbox`: catch mail instead of delivering it."""

import asyncio
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from mailconf import sandbox


class Command(BaseCommand):
    """Run the mail sandbox in the foreground."""

    help = "Runs an SMTP server that keeps every message for the sandbox inbox and delivers none."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the port and the address."""
        parser.add_argument("--port", type=int, default=settings.MAILCONF_SANDBOX_PORT)
        parser.add_argument("--host", default="127.0.0.1", help="The address to listen on.")

    def handle(self, *_args: Any, **options: Any) -> None:  # as BaseCommand
        """Serve until it is told to stop."""
        try:
            asyncio.run(sandbox.serve(options["port"], host=options["host"]))
        except OSError as error:
            raise CommandError(
                _(
                    "The sandbox cannot listen on %(host)s port %(port)d: %(error)s. "
                    "Set MAILCONF_SANDBOX_PORT to a free one."
                )
                % {"host": options["host"], "port": options["port"], "error": error.strerror}
            ) from None

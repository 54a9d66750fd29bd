"""Makes a key for stored passwords."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from smtp_settings.sealing import new_key


class Command(BaseCommand):
    """Prints `name:base64`, or writes it to a new file that only its owner may read."""

    help = "Make a random key that seals stored passwords. Keep it apart from the database and its backups."
    requires_system_checks = []  # the first thing to do where there is no key yet

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--file", metavar="PATH", type=Path, help="write to a new file with mode 0600")

    def handle(self, *_args: Any, **options: Any) -> None:  # Any: BaseCommand's own signature
        """Print or write one key."""
        path: Path | None = options["file"]
        if path is None:
            self.stdout.write(new_key())
            return
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise CommandError(
                _("%(path)s exists and was left as it is: overwriting a key loses every password.")
                % {"path": path}
            ) from None
        except OSError as error:
            facts = {"path": path, "error": error.strerror}
            raise CommandError(_("%(path)s cannot be written: %(error)s.") % facts) from None
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(new_key() + "\n")
        said = _("Wrote a new key to %(path)s. Set MAILCONF_KEYS_FILE to this path.")
        self.stdout.write(said % {"path": path})

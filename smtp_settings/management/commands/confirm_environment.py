"""`manage.py confirm_environment`: say that mail may leave from where the database is now."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from smtp_settings.checks import TAG
from smtp_settings.policy import differences
from smtp_settings.policy.changing import confirm_place
from smtp_settings.policy.reading import read


class Command(BaseCommand):
    """Confirms the place, or tells how it stands."""

    help = (
        "A database that wakes up at another address, on another server or in another environment may be "
        "a copy: nothing is sent until this command, or a person on the policy's page, confirms it. "
        "Run it after moving the database. Exit code with --check: 0 confirmed, 1 not."
    )
    requires_system_checks = (TAG,)  # not those of the admin's pages, which nobody imported: 0.7 s of a CPU

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--check", action="store_true", help="Only tell; confirm nothing.")
        parser.add_argument(
            "--log-only", action="store_true", help="It is a copy: confirm it, and let mail only be logged."
        )

    def handle(self, *_args: Any, **options: Any) -> None:  # Any: Django's signature
        """Tell or confirm."""
        found = read()
        here = found.here
        self.stdout.write(f"The database is {here.address}, environment {here.environment or '(none)'}.")
        if found.is_confirmed:
            self.stdout.write("It is confirmed: mail leaves as the sending policy says.")
            return
        other = ", ".join(differences(found.known, here, found.key_ids))
        self.stdout.write(f"It is not where it was confirmed: {other} differ. Mail waits.")
        if options["check"]:
            raise SystemExit(1)
        confirm_place(user_id=None, logs_only=options["log_only"])
        self.stdout.write("Confirmed." + (" Mail is only logged." if options["log_only"] else ""))

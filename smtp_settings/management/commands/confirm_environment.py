"""`manage.py confirm_environment`: say that mail may leave from where the database is now."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import gettext as _

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
        place = {"address": here.address, "environment": here.environment or _("(none)")}
        self.stdout.write(_("The database is %(address)s, environment %(environment)s.") % place)
        if found.is_confirmed:
            self.stdout.write(_("It is confirmed: mail leaves as the sending policy says."))
            return
        other = ", ".join(differences(found.known, here, found.key_ids))
        said = _("It is not where it was confirmed: %(other)s differ. Mail waits.")
        self.stdout.write(said % {"other": other})
        if options["check"]:
            raise SystemExit(1)
        confirm_place(user_id=None, logs_only=options["log_only"])
        is_logged = options["log_only"]
        self.stdout.write(_("Confirmed. Mail is only logged.") if is_logged else _("Confirmed."))

"""Tries whether every stored secret opens."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from smtp_settings import key_check, rotation, sealing


class Command(BaseCommand):
    """Opens everything and shows nothing; for cron."""

    help = "Open every stored secret and name those that do not open. Prints no secret."
    requires_system_checks = []  # it says itself what is wrong with the keys

    def handle(self, *_args: Any, **_options: Any) -> None:  # Any: BaseCommand's own signature
        """Name what is broken; fail when anything is."""
        try:
            mistaken = key_check.wrong_keys()
        except sealing.SealingError as error:
            raise CommandError(str(error)) from None
        if mistaken:
            raise CommandError(key_check.wrong_key_sentence(mistaken))
        opened = broken = 0
        for trouble in rotation.verify_all():
            if trouble is None:
                opened += 1
                continue
            broken += 1
            self.stderr.write(f"{trouble.where}, {trouble.column}: {trouble.sentence}")
        if broken:
            counts = {"n": broken, "all": opened + broken}
            raise CommandError(_("%(n)d of %(all)d secrets do not open.") % counts)
        said = ngettext("The secret opens.", "All %(n)d secrets open.", opened)
        self.stdout.write(said % {"n": opened})

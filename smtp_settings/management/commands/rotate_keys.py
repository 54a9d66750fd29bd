"""Moves every stored secret to the primary key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from smtp_settings import rotation, sealing, test_send
from smtp_settings.models import Event


class Command(BaseCommand):
    """Seals stored secrets anew; may be stopped and started again."""

    help = (
        "Seal every stored secret with the primary key, the first one. Before: add the new key as the second "
        "one everywhere, then make it the first. After: the old key may go when its last backup is gone."
    )
    requires_system_checks = []  # keys are what this is about; it says itself what is wrong with them

    def handle(self, *_args: Any, **_options: Any) -> None:  # Any: BaseCommand's own signature
        """Rotate, count, and fail while anything is left on another key."""
        try:
            test_send.tidy_up()
            progress = self._rotate()
            primary = sealing.current_keyring().primary.kid
        except sealing.SealingError as error:
            raise CommandError(str(error)) from None
        for broken in progress.broken:
            self.stderr.write(f"{broken.where}, {broken.column}: {broken.sentence}")
        counts = rotation.count_by_kid()
        for kid, count in sorted(counts.items()):
            self.stdout.write(f"{kid}: {count}" + (" " + _("(primary)") if kid == primary else ""))
        self.stdout.write(_("%(n)d sealed anew.") % {"n": progress.resealed})
        if progress.resealed:
            Event.objects.create(kind="keys.rotated", data={"key": primary, "resealed": progress.resealed})
        left = sum(count for kid, count in counts.items() if kid != primary)
        if left:
            said = ngettext(
                "%(n)d secret is still on another key. Keep that key.",
                "%(n)d secrets are still on another key. Keep that key.",
                left,
            )
            raise CommandError(said % {"n": left})
        if progress.broken:
            broken_secrets = len(progress.broken)
            said = ngettext(
                "%(n)d secret does not open. Enter it again.",
                "%(n)d secrets do not open. Enter them again.",
                broken_secrets,
            )
            raise CommandError(said % {"n": broken_secrets})

    def _rotate(self) -> rotation.Progress:
        progress = rotation.Progress()
        for progress in rotation.reseal_all():
            if self.stdout.isatty():
                seen = _("%(n)d of %(all)d") % {"n": progress.seen, "all": progress.total}
                self.stdout.write(f"\r{seen}", ending="")
                self.stdout.flush()
        if self.stdout.isatty():
            self.stdout.write("")
        return progress

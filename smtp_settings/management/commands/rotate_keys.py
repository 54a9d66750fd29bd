"""Moves every stored secret to the primary key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

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
            self.stdout.write(f"{kid}: {count}" + (" (primary)" if kid == primary else ""))
        self.stdout.write(f"{progress.resealed} sealed anew.")
        if progress.resealed:
            Event.objects.create(kind="keys.rotated", data={"key": primary, "resealed": progress.resealed})
        left = sum(count for kid, count in counts.items() if kid != primary)
        if left:
            raise CommandError(f"{left} secrets are still on another key. Keep that key.")
        if progress.broken:
            raise CommandError(f"{len(progress.broken)} secrets do not open. Enter them again.")

    def _rotate(self) -> rotation.Progress:
        progress = rotation.Progress()
        for progress in rotation.reseal_all():
            if self.stdout.isatty():
                self.stdout.write(f"\r{progress.seen} of {progress.total}", ending="")
                self.stdout.flush()
        if self.stdout.isatty():
            self.stdout.write("")
        return progress

"""`manage.py purge`: remove now what retention would remove in its own time."""

import json
import time
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import gettext as _

from delivery.checks import TAG
from delivery.upkeep import ENDS, KINDS, Retention, purge


class Command(BaseCommand):
    """Goes through everything that is over, a small chunk at a time."""

    help = (
        "Removes what is past its retention (MAILCONF_KEEP_…_DAYS) at once, in small chunks. Workers do the "
        "same by and by. Never removes what is queued or held. Ctrl-C stops it; the next call goes on."
    )
    requires_system_checks = (TAG,)  # not those of the admin's pages, which nobody imported: 0.7 s of a CPU

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--dry-run", action="store_true", help="Count, and remove nothing.")
        parser.add_argument(
            "--state",
            action="append",
            choices=list(ENDS),
            default=[],
            help="Only messages in this state, and nothing else; may be given again.",
        )
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *_args: Any, **options: Any) -> None:  # Any: Django's signature
        """Purge, and say what went."""
        began = time.monotonic()
        removed: Counter[str] = Counter({kind.name: 0 for kind in KINDS})
        is_stopped = False
        try:
            for part in purge(
                Retention.configured(), states=options["state"], is_rehearsal=options["dry_run"]
            ):
                removed[part.kind] += part.removed
        except KeyboardInterrupt:  # between two chunks or in one, which is then undone
            is_stopped = True
        if options["json"]:
            seconds = round(time.monotonic() - began, 1)
            facts = {"dry_run": options["dry_run"], "stopped": is_stopped, "seconds": seconds}
            self.stdout.write(json.dumps({**removed, **facts}))
            return
        for name, count in removed.items():
            self.stdout.write(f"{name:<12}{count:>14,}")
        self.stdout.write(_sentence(is_stopped=is_stopped, is_rehearsal=options["dry_run"]))


def _sentence(*, is_stopped: bool, is_rehearsal: bool) -> str:
    if is_stopped:
        return _("Stopped; the next call goes on.")
    return _("Nothing was removed: this was a dry run.") if is_rehearsal else _("Done.")

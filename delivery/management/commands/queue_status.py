"""`manage.py queue_status`: how many messages are in which state, how long they wait, what is wrong."""

import json
from typing import Any

from django.core import checks
from django.core.management.base import BaseCommand, CommandParser

from delivery import stats
from delivery.checks import TAG


class Command(BaseCommand):
    """Counts by state."""

    help = "Prints the number of messages by state and how long the oldest due message has waited."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *_args: Any, **options: Any) -> None:  # Any: Django's signature
        """Count, and print."""
        counts = {str(state): count for state, count in stats.counts().items()}
        age = stats.oldest_ready_age()
        seconds = None if age is None else round(age.total_seconds(), 1)
        found = [one for one in checks.run_checks(tags=[TAG], databases=["default"]) if not one.is_silenced()]
        if options["json"]:
            problems = [{"id": one.id, "problem": str(one.msg), "hint": str(one.hint or "")} for one in found]
            self.stdout.write(json.dumps({**counts, "oldest_queued_seconds": seconds, "problems": problems}))
            return
        for state, count in counts.items():
            self.stdout.write(f"{state:<12}{_capped(count):>14}")
        waits = (
            "No message is due." if seconds is None else f"The oldest due message has waited {seconds:,} s."
        )
        self.stdout.write(waits)
        for one in found:
            self.stderr.write(f"{one.id}: {one.msg} {one.hint or ''}".rstrip())


def _capped(count: int) -> str:
    return f"more than {stats.CAP - 1:,}" if count >= stats.CAP else f"{count:,}"

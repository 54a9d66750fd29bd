"""`manage.py drain`: carry the queue's mail in the foreground, without Celery."""

import json
import math
import signal
from argparse import ArgumentTypeError
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import gettext as _

from delivery import dispatcher, stats
from delivery.checks import TAG
from delivery.dispatcher import Report, Stopping, on_signals


class Command(BaseCommand):
    """Drains until stopped, or until nothing is left that can be sent."""

    help = (
        "Sends queued mail in the foreground, as a worker does, without Celery. Ctrl-C lets what is on the "
        "wire finish, for a minute at most; a second one cuts it off."
    )
    requires_system_checks = (TAG,)  # not those of the admin's pages, which nobody imported: 0.7 s of a CPU

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--until-empty", action="store_true", help="End when no due message is left that can be sent."
        )
        parser.add_argument("--json", action="store_true", help="Print the result as one JSON object.")
        parser.add_argument(
            "--batch-size",
            type=_batch_size,
            metavar="N",
            help="Messages taken from the queue at once, 1 to 1000: large is much data at a time, small is"
            " more queries. Without it as MAILCONF_BATCH_SIZE says.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:  # Any: Django's signature
        """Drain, and say what was done."""
        shows = self.stderr.isatty() and not options["json"]
        self.due = stats.counts()[stats.MessageState.QUEUED] if shows and options["until_empty"] else 0
        with on_signals(signal.SIGINT, signal.SIGTERM, stopping=Stopping()) as stopping:
            report, is_over = Report(), False
            while not is_over:  # a session declared dead, as after a long suspend, is followed by a new one
                session = dispatcher.run(
                    until_empty=options["until_empty"],
                    deadline=math.inf,
                    linger=math.inf,
                    stop=stopping.stop,
                    hurry=stopping.hurry,
                    batch_size=options["batch_size"],
                    progress=self._show if shows else None,
                )
                report = report.plus(session)
                is_over = stopping.stop.is_set() or not session.was_fenced
        if shows:
            self.stderr.write("\r\x1b[K", ending="")
        self.stdout.write(json.dumps(asdict(report)) if options["json"] else _sentence(report))

    def _show(self, report: Report) -> None:
        self.stderr.write(f"\r\x1b[K{_bar(report, self.due)}{_counts(report)}", ending="")
        self.stderr.flush()


def _batch_size(value: str) -> int:
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 1000):
        raise ArgumentTypeError(_("use a number from 1 to 1000"))
    return int(value)


def _bar(report: Report, due: int) -> str:
    """Draw how far the messages queued at the start have come; nothing when they were not counted."""
    if not 0 < due < stats.CAP:
        return ""
    done = min(1.0, (report.sent + report.deferred + report.failed + report.uncertain) / due)
    return f"[{'#' * round(30 * done):<30}] {done:4.0%}  "


def _sentence(report: Report) -> str:
    return _("%(counts)s in %(seconds).1f s.") % {"counts": _counts(report), "seconds": report.seconds}


def _counts(report: Report) -> str:
    counts = (
        (_("%(count)s deferred"), report.deferred),
        (_("%(count)s failed"), report.failed),
        (_("%(count)s uncertain"), report.uncertain),
    )
    parts = [(_("%(count)s sent"), report.sent), *(one for one in counts if one[1])]
    return ", ".join(said % {"count": f"{count:,}"} for said, count in parts)

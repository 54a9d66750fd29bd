"""`manage.py watch`: see what is wrong and tell of it, with neither a worker nor a broker."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, InterfaceError, connection
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from delivery import notices, queue
from delivery.checks import TAG
from delivery.incidents import Kind

#: Nobody is told of these here: their mail would wait, and the pages say it.
_BAD = (Kind.PAUSED, Kind.BREAKER, Kind.NO_WORKER, Kind.CLONE)


class Command(BaseCommand):
    """Looks once, for cron and health checks, or again and again, as a service of its own."""

    help = (
        "Look for what is wrong, store notifications and call the webhook. Workers do so too; this notices "
        "when there are none. The exit status is 1 while a server is down or no worker reports."
    )
    requires_system_checks = (TAG,)  # not those of the admin's pages, which nobody imported: 0.7 s of a CPU

    def add_arguments(self, parser: CommandParser) -> None:
        """Add how often."""
        parser.add_argument(
            "--every", type=float, metavar="SECONDS", help="go on, and look again after so long"
        )

    def handle(self, *, every: float | None, **_options: Any) -> None:  # Any: as Django's
        """Look; without `--every` once."""
        if every is None:
            if self._look():
                raise SystemExit(1)
            return
        while True:
            try:
                self._look()
            except (DatabaseError, InterfaceError) as error:
                self.stderr.write(str(error).strip().partition("\n")[0])
                connection.close()
            time.sleep(every)

    def _look(self) -> bool:
        """Look, tell, and return whether something is down."""
        told, taken = notices.watch(), notices.call_due()
        queue.note_backlog()
        if told:
            stored = ngettext("%(n)d notification was stored.", "%(n)d notifications were stored.", told)
            self.stdout.write(stored % {"n": told})
        if taken:
            calls = ngettext("%(n)d call of the webhook was taken.", "%(n)d calls were taken.", taken)
            self.stdout.write(calls % {"n": taken})
        down = [one for one in queue.open_incidents(_BAD) if one.told_at is not None]
        for one in down:
            self.stdout.write(_("Not well: %(what)s %(name)s") % {"what": one.kind.value, "name": one.name})
        return bool(down)

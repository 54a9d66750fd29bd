"""`manage.py queue_status`: messages by state, how long they wait, what was learned, what is wrong."""

import json
from dataclasses import asdict
from typing import Any

from django.core import checks
from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from delivery import stats
from delivery.checks import TAG
from smtp_settings.models import SMTPProfile


class Command(BaseCommand):
    """Counts by state."""

    help = "Prints the number of messages by state and how long the oldest due message has waited."
    requires_system_checks = (TAG,)  # not those of the admin's pages, which nobody imported: 0.7 s of a CPU

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *_args: Any, **options: Any) -> None:  # Any: Django's signature
        """Count, and print."""
        counts = {str(state): count for state, count in stats.counts().items()}
        age = stats.oldest_ready_age()
        seconds = None if age is None else round(age.total_seconds(), 1)
        found = [one for one in checks.run_checks(tags=[TAG], databases=["default"]) if not one.is_silenced()]
        learned = _learned()
        if options["json"]:
            problems = [{"id": one.id, "problem": str(one.msg), "hint": str(one.hint or "")} for one in found]
            ages = {"oldest_queued_seconds": seconds}
            self.stdout.write(json.dumps({**counts, **ages, "learned": learned, "problems": problems}))
            return
        for state, count in counts.items():
            self.stdout.write(f"{state:<12}{_capped(count):>14}")
        if seconds is None:
            self.stdout.write(_("No message is due."))
        else:
            waited = {"seconds": f"{seconds:,}"}
            self.stdout.write(_("The oldest due message has waited %(seconds)s s.") % waited)
        for name, limits in learned.items():
            said = ", ".join(_LIMITS[what] % {"n": n} for what, n in limits.items())
            self.stdout.write(_("Learned of %(name)s: at most %(limits)s.") % {"name": name, "limits": said})
        for one in found:
            self.stderr.write(f"{one.id}: {one.msg} {one.hint or ''}".rstrip())


_LIMITS = {
    "connections": gettext_lazy("%(n)d connections at once"),
    "session_messages": gettext_lazy("%(n)d messages a session"),
    "recipients": gettext_lazy("%(n)d recipients a message"),
}


def _learned() -> dict[str, dict[str, int]]:
    """Return by profile name what its server bears, as far as that was learned."""
    names = dict(SMTPProfile.objects.filter(enabled=True).order_by("name").values_list("pk", "name"))
    found = stats.profile_facts(list(names))
    limits = {
        name: {what: n for what, n in asdict(found[pk].bears).items() if n is not None}
        for pk, name in names.items()
    }
    return {name: known for name, known in limits.items() if known}


def _capped(count: int) -> str:
    if count < stats.CAP:
        return f"{count:,}"
    return _("more than %(count)s") % {"count": f"{stats.CAP - 1:,}"}

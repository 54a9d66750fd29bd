"""`manage.py route`: which server a message would take now, and why each other would not."""

import json
from typing import Any

from django.contrib.sites.models import Site
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from delivery.checks import TAG
from delivery.fitting import Size
from delivery.management.commands.explain import line_of
from delivery.queue import MessagePriority
from delivery.simulator import Question, Simulation, simulate
from delivery.waiting.plain import plain_answers
from delivery.waiting_words import Telling, say
from delivery.waiting_words.telling import count
from smtp_settings.models import SMTPProfile

_NOBODY, _WRONG_USAGE = 1, 2


class Command(BaseCommand):
    """Asks the functions the workers choose with; nothing is handed over and nothing changes."""

    help = (
        "Say which server a message would take now and why each other would not. Exit code: 0 one takes it, "
        "1 none can now, 2 wrong usage."
    )
    requires_system_checks = (TAG,)  # not those of the admin's pages, which nobody imported: 0.7 s of a CPU

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--site", metavar="SITE", default="", help="domain or number; default: no site")
        parser.add_argument(
            "--from", metavar="ADDRESS", required=True, dest="from_address", help="the From address"
        )
        parser.add_argument(
            "--priority", choices=[one.name.lower() for one in MessagePriority], default="normal"
        )
        parser.add_argument(
            "--pinned", metavar="PROFILE", default="", help="name or number of the only profile"
        )
        parser.add_argument("--size", metavar="N", type=int, help="bytes of its attachments; default: few")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:  # Any: Django's signature
        """Ask, and print."""
        simulation = simulate(_question(options))
        telling = Telling(simulation.names, simulation.snapshot.now)
        if options["json"]:
            self.stdout.write(json.dumps(_facts(simulation, telling), ensure_ascii=False))
        else:
            self._tell(simulation, telling)
        if simulation.routing.chosen is None:
            raise SystemExit(_NOBODY)

    def _tell(self, simulation: Simulation, telling: Telling) -> None:
        chosen = simulation.routing.chosen
        if chosen is None:
            self.stdout.write(_("No server takes it now."))
        else:
            self.stdout.write(_("%(server)s takes it.") % {"server": telling.name(chosen)})
        if simulation.ahead:
            said = ngettext(
                "%(count)s due message of its route goes before it.",
                "%(count)s due messages of its route go before it.",
                simulation.ahead,
            )
            self.stdout.write(said % {"count": count(simulation.ahead)})
        if not simulation.snapshot.is_drained:
            self.stdout.write(_("No worker is alive: it would wait until one is."))
        for number, answer in enumerate(simulation.routing.answers, 1):
            place = f"{number}." if answer.may_serve else "-"
            said = " ".join(line_of(say(reason, telling)) for reason in answer.reasons)
            self.stdout.write(f"{place:>3} {telling.name(answer.profile_id)}: {said}")


def _question(options: dict[str, Any]) -> Question:  # Any: parsed arguments
    try:
        validate_email(options["from_address"])
    except ValidationError:
        address = options["from_address"]
        raise _wrong("--from", _("“%(text)s” is no email address.") % {"text": address}) from None
    if options["size"] is not None and options["size"] < 0:
        raise _wrong("--size", _("A size is not negative."))
    return Question(
        from_address=options["from_address"],
        site_id=_site(options["site"]),
        priority=MessagePriority[options["priority"].upper()],
        profile_id=_profile(options["pinned"]),
        size=None if options["size"] is None else Size(options["size"], options["size"]),
    )


def _site(named: str) -> int | None:
    if not named:
        return None
    found = Site.objects.filter(domain=named).first()
    if found is None and _is_number(named):
        found = Site.objects.filter(pk=int(named)).first()
    if found is None:
        raise _wrong("--site", _("There is no site “%(name)s”.") % {"name": named})
    return int(found.pk)


def _profile(named: str) -> int | None:
    if not named:
        return None
    found = SMTPProfile.objects.filter(name=named).only("pk").first()
    if found is None and _is_number(named):
        found = SMTPProfile.objects.filter(pk=int(named)).only("pk").first()
    if found is None:
        raise _wrong("--pinned", _("There is no profile “%(name)s”.") % {"name": named})
    return int(found.pk)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _wrong(option: str, sentence: str) -> CommandError:
    return CommandError(f"{option}: {sentence}", returncode=_WRONG_USAGE)


def _facts(simulation: Simulation, telling: Telling) -> dict[str, Any]:  # Any: JSON
    chosen = simulation.routing.chosen
    return {
        "takes": None if chosen is None else telling.name(chosen),
        "takes_id": chosen,
        "ahead": simulation.ahead,
        "is_drained": simulation.snapshot.is_drained,
        "site_id": simulation.route.site_id,
        "sender_domain": simulation.route.sender_domain,
        "pinned_to": simulation.route.profile_id,
        "servers": plain_answers(simulation.routing, simulation.names),
    }

"""`manage.py explain`: why a message is not sent yet."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from delivery import stats
from delivery.checks import TAG
from delivery.reading import one_line
from delivery.waiting import Explanation, Snapshot, explain
from delivery.waiting.plain import plain, plain_answers
from delivery.waiting_words import Said, Telling, say

_NEEDS_A_PERSON, _UNKNOWN = 1, 2
_LARGEST_ID = 2**63 - 1


class Command(BaseCommand):
    """Names the reasons, the most important first, then what each server that may send it says."""

    help = (
        "Say why a message is not sent yet, and what each server says to it. "
        "Exit code: 0 it has ended or goes by itself, 1 it waits until a person does something, "
        "2 there is no such message."
    )
    requires_system_checks = (TAG,)  # not those of the admin's pages, which nobody imported: 0.7 s of a CPU

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("id", metavar="ID", help="the number of the message, with or without #")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:  # Any: Django's signature
        """Explain, and print."""
        message_id = _number(options["id"])
        snapshot = stats.snapshot(message_id)
        if snapshot.state is None:
            raise CommandError(
                _(
                    "There is no message %(id)d. "
                    "It may have been removed: what has ended is not kept for ever."
                )
                % {"id": message_id},
                returncode=_UNKNOWN,
            )
        explanation = explain(snapshot)
        telling = Telling({server.profile_id: server.name for server in snapshot.servers}, snapshot.now)
        if options["json"]:
            self.stdout.write(
                json.dumps(_facts(message_id, snapshot, explanation, telling), ensure_ascii=False)
            )
        elif explanation is None:
            facts = {"id": message_id, "state": snapshot.state}
            self.stdout.write(_("#%(id)d does not wait: %(state)s.") % facts)
        else:
            self._tell(message_id, explanation, telling)
        if explanation is not None and explanation.needs_a_person:
            raise SystemExit(_NEEDS_A_PERSON)

    def _tell(self, message_id: int, explanation: Explanation, telling: Telling) -> None:
        self.stdout.write(_("#%(id)d waits.") % {"id": message_id})
        for reason in explanation.reasons:
            self.stdout.write(line_of(say(reason, telling)))
        if explanation.routing is None or not explanation.routing.answers:
            return
        self.stdout.write("\n" + _("Servers in the order of use:"))
        for answer in explanation.routing.serving:
            said = " ".join(line_of(say(reason, telling)) for reason in answer.reasons)
            self.stdout.write(f"  {telling.name(answer.profile_id)}: {said}")
        if others := len(explanation.routing.answers) - len(explanation.routing.serving):
            more = ngettext(
                "%(n)d more may not send it: see manage.py route.",
                "%(n)d more may not send it: see manage.py route.",
                others,
            )
            self.stdout.write("  " + more % {"n": others})


def line_of(said: Said) -> str:
    """Write a reason in a line; a server's words, where there are some, in quotes at its end."""
    words = f' "{one_line(said.reply)}"' if said.reply else ""
    return one_line(said.text, 2000) + words


def _number(text: str) -> int:
    digits = text.removeprefix("#")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20 and int(digits) <= _LARGEST_ID):
        sentence = _("“%(text)s” is no number of a message.") % {"text": text}
        raise CommandError(sentence, returncode=_UNKNOWN)
    return int(digits)


def _facts(
    message_id: int, snapshot: Snapshot, explanation: Explanation | None, telling: Telling
) -> dict[str, Any]:  # Any: JSON
    facts: dict[str, Any] = {
        "id": message_id,
        "state": snapshot.state,
        "waits": explanation is not None,
        "needs_a_person": explanation is not None and explanation.needs_a_person,
        "sentence": "",
        "reasons": [],
        "servers": [],
    }
    if explanation is None:
        return facts
    facts["sentence"] = line_of(say(explanation.first, telling))
    facts["reasons"] = [plain(reason) for reason in explanation.reasons]
    if explanation.routing is not None:
        facts["servers"] = plain_answers(explanation.routing, telling.names or {})
    return facts

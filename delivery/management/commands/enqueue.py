"""`manage.py enqueue`: hand .eml files over to the queue."""

import json
import sys
from argparse import ArgumentTypeError
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from delivery import handover


class Command(BaseCommand):
    """Translates arguments to `delivery.handover.send` and its answers to JSON lines."""

    help = (
        "Queues messages from .eml files (- is standard input) and prints one JSON object a message. "
        "A refused file stores nothing; the exit status is then 1."
    )

    #: None: mail is taken and kept also while a key is missing or a worker could not send.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Define the arguments."""
        parser.add_argument(
            "files", nargs="+", metavar="FILE.eml", help="A message, or - for standard input."
        )
        parser.add_argument("--mail-from", metavar="ADDRESS", help='Envelope sender; "" or "<>" for none.')
        parser.add_argument(
            "--rcpt",
            action="append",
            metavar="ADDRESS",
            help="Envelope recipient, instead of To, Cc and Bcc.",
        )
        parser.add_argument("--priority", choices=list(handover.PRIORITIES), default="normal")
        parser.add_argument("--send-at", type=_moment, metavar="ISO", help="Not before this moment.")
        parser.add_argument("--site", metavar="DOMAIN", help="The site the message belongs to.")
        parser.add_argument("--profile", metavar="NAME", help="The only profile it may leave by.")
        parser.add_argument(
            "--idempotency-key", metavar="KEY", help="A second call with it returns the first."
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002  # Any: Django's own signature
        """Queue each file in a transaction of its own."""
        files = options["files"]
        if options["idempotency_key"] is not None and len(files) > 1:
            raise CommandError(_("An idempotency key names one message: give one file."))
        try:
            refused = [name for name in files if not self._enqueue(name, options)]
        except OperationalError as error:
            said = {"error": str(error).splitlines()[0]}
            raise CommandError(_("The database cannot be used: %(error)s") % said) from error
        if refused:
            counts = {"refused": len(refused), "all": len(files)}
            raise CommandError(_("%(refused)d of %(all)d not queued.") % counts)

    def _enqueue(self, name: str, options: dict[str, Any]) -> bool:
        try:
            raw = _read(name)
            with transaction.atomic():
                enqueued = handover.send(
                    raw,
                    mail_from=options["mail_from"],
                    rcpt_to=options["rcpt"],
                    priority=options["priority"],
                    send_at=options["send_at"],
                    site=options["site"],
                    profile=options["profile"],
                    idempotency_key=options["idempotency_key"],
                )
        except handover.NotSent as error:  # an OSError, as smtplib's are
            self._print({"file": name, "error": str(error)})
            return False
        except OSError as error:
            said = _("The file cannot be read: %(error)s.") % {"error": error.strerror}
            self._print({"file": name, "error": said})
            return False
        except ValueError as error:
            self._print({"file": name, "error": str(error)})
            return False
        answer = {
            "file": name,
            "id": enqueued.id,
            "message_id": enqueued.message_id,
            "recipients": list(enqueued.rcpt_to),
            "created": enqueued.created,
        }
        self._print(answer | ({"state": _state(enqueued)} if enqueued.created else {}))
        return True

    def _print(self, answer: dict[str, object]) -> None:
        self.stdout.write(json.dumps(answer))


def _state(made: handover.HandedOver) -> str:
    """Say how the message stands: with the queue switched off it was sent, or waits for the policy."""
    return str(handover.status_of([made.id])[made.id].state) if made.is_at_once else "queued"


def _read(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def _moment(text: str) -> datetime:
    """Read an ISO 8601 moment; without an offset it is in the project's time zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        said = _("%(text)s is no ISO 8601 date and time") % {"text": repr(text)}
        raise ArgumentTypeError(said) from None
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment

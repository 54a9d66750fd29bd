"""`manage.py import_queue`: take over the waiting mail of django-post_office or django-mailer."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import environ
from django.conf import settings
from django.core.files.storage import FileSystemStorage, Storage, default_storage, storages
from django.core.files.storage.handler import InvalidStorageError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from delivery.queue.events import add_event
from delivery.takeover.carrying import Tally, carry
from delivery.takeover.django_mailer import DjangoMailer
from delivery.takeover.package import Package, Reason, Wishes
from delivery.takeover.post_office import PostOffice
from smtp_settings.models import SMTPProfile

_PACKAGES: dict[str, type[PostOffice] | type[DjangoMailer]] = {
    "post_office": PostOffice,
    "mailer": DjangoMailer,
}
_SOME_LEFT, _WRONG_USAGE = 1, 2
#: The alias of a database that was named by its address.
_ELSEWHERE = "mailconf-import"
_CLEAR_LINE = "\r\033[K"
_WHY = {
    Reason.EXPIRED: gettext_lazy("%(n)s expired stay there."),
    Reason.NO_RECIPIENTS: gettext_lazy("%(n)s without recipients stay there."),
    Reason.NO_FILE: gettext_lazy("%(n)s with an attachment that cannot be read stay there."),
    Reason.TEMPLATE: gettext_lazy("%(n)s with a template that cannot be rendered here stay there."),
    Reason.BACKEND: gettext_lazy("%(n)s that name a backend stay there."),
    Reason.UNREADABLE: gettext_lazy("%(n)s that cannot be read safely stay there."),
    Reason.REFUSED: gettext_lazy("%(n)s that cannot be sent as they are stay there."),
}


class Command(BaseCommand):
    """Moves rows in chunks, each once; exit 1 when some stay, 2 for wrong usage. May be repeated."""

    help = (
        "Take over the mail that waits in the tables of django-post_office or django-mailer. Stop the old "
        "worker first. Each row becomes one message and is marked as sent there. Exit code: 0 nothing is "
        "left, 1 some rows stay (it says why), 2 wrong usage."
    )

    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Define the arguments."""
        parser.add_argument("package", choices=sorted(_PACKAGES))
        parser.add_argument("--dry-run", action="store_true", help="do everything and take it back")
        parser.add_argument(
            "--database",
            metavar="ALIAS|URL",
            default=DEFAULT_DB_ALIAS,
            help="where the old tables are; default: mailconf's own database",
        )
        parser.add_argument(
            "--attachments", metavar="DIR", default="", help="MEDIA_ROOT of the old project (post_office)"
        )
        parser.add_argument("--site", metavar="DOMAIN", help="the site the messages belong to")
        parser.add_argument("--profile", metavar="NAME", help="the only profile they may leave by")
        parser.add_argument(
            "--backend",
            metavar="ALIAS=NAME",
            action="append",
            default=[],
            help="the profile for messages that name this backend; ALIAS= for any profile",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:  # Any: BaseCommand's own signature
        """Take over, and say how it went."""
        package = _PACKAGES[options["package"]]()
        using = _alias(options["database"])
        wishes = _wishes(options)
        is_dry = options["dry_run"]
        try:
            _check_table(package, using)
            tally = carry(package, wishes, using=using, is_dry=is_dry, watch=self._progress(options))
        except Error as error:
            raise CommandError(
                _("The database cannot be used: %(error)s") % {"error": _first_line(error)}, returncode=1
            ) from error
        if not is_dry and tally.seen:
            data = {"package": package.name, "taken": tally.taken, "left": tally.left}
            add_event("queue.taken_over", data=data)
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(package, tally, is_dry=is_dry)))
        else:
            for line in _lines(tally, is_dry=is_dry):
                self.stdout.write(line)
        if tally.left:
            left = {"left": f"{tally.left:,}", "found": f"{tally.found:,}"}
            raise CommandError(_("%(left)s of %(found)s stay there.") % left, returncode=_SOME_LEFT)

    def _progress(self, options: dict[str, Any]) -> Any:  # Any: options; a function for `carry`
        """On a terminal, say on one line how far it is."""

        def show(tally: Tally) -> None:
            if not options["json"] and self.stderr.isatty():
                seen = {"seen": f"{tally.seen:,}", "found": f"{tally.found:,}"}
                text = "" if tally.seen >= tally.found else _("%(seen)s of %(found)s") % seen
                self.stderr.write(f"{_CLEAR_LINE}{text}", ending="")
                self.stderr.flush()

        return show


def _alias(database: str) -> str:
    """Return the alias of a database; one named by its address gets one for this process."""
    if "://" in database:
        try:
            found = environ.Env.db_url_config(database)
        except ValueError:  # its words may hold a part of the password
            raise CommandError(
                _("--database cannot be read as an address."), returncode=_WRONG_USAGE
            ) from None
        if not str(found.get("ENGINE", "")).endswith("postgresql"):
            raise CommandError(_("--database must name a PostgreSQL server."), returncode=_WRONG_USAGE)
        known = connections.settings
        known[_ELSEWHERE] = connections.configure_settings(
            {DEFAULT_DB_ALIAS: dict(known[DEFAULT_DB_ALIAS]), _ELSEWHERE: dict(found)}
        )[_ELSEWHERE]
        return _ELSEWHERE
    if database not in connections:
        raise CommandError(
            _("There is no database %(name)s in the settings.") % {"name": ascii(database)},
            returncode=_WRONG_USAGE,
        )
    if connections[database].vendor != "postgresql":
        raise CommandError(
            _("The database %(name)s is no PostgreSQL.") % {"name": ascii(database)}, returncode=_WRONG_USAGE
        )
    return database


def _check_table(package: Package, using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [package.table])
        if cursor.fetchall() == [(None,)]:
            raise CommandError(
                _("There is no table %(table)s in that database. Name another: --database.")
                % {"table": package.table},
                returncode=_WRONG_USAGE,
            )


def _wishes(options: dict[str, Any]) -> Wishes:  # Any: parsed options
    backends = {}
    for text in options["backend"]:
        alias, equals, name = text.partition("=")
        if not equals:
            raise CommandError(
                _("%(text)s is not of the form ALIAS=NAME.") % {"text": ascii(text)}, returncode=_WRONG_USAGE
            )
        backends[alias] = name
    names = {*backends.values(), options["profile"] or ""} - {""}
    known = set(SMTPProfile.objects.filter(name__in=names).values_list("name", flat=True))
    for name in sorted(names - known):
        raise CommandError(_("There is no profile “%(name)s”.") % {"name": name}, returncode=_WRONG_USAGE)
    return Wishes(options["site"], options["profile"], backends, _files(options["attachments"]))


def _files(directory: str) -> Storage | None:
    """Return where post_office's attachments lie; None when nobody said it."""
    if directory:
        if not Path(directory).is_dir():
            raise CommandError(
                _("%(directory)s is no folder.") % {"directory": directory}, returncode=_WRONG_USAGE
            )
        return FileSystemStorage(location=directory)
    own = getattr(settings, "POST_OFFICE", None) or {}
    if name := own.get("FILE_STORAGE"):
        try:
            found: Storage = storages[name]
        except InvalidStorageError as error:
            raise CommandError(str(error), returncode=_WRONG_USAGE) from None
        return found
    return default_storage if settings.MEDIA_ROOT else None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _as_json(package: Package, tally: Tally, *, is_dry: bool) -> dict[str, Any]:  # Any: JSON
    return {
        "package": package.name,
        "dry_run": is_dry,
        "found": tally.found,
        "taken": tally.taken,
        "taken_before": tally.taken_before,
        "busy": tally.busy,
        "skipped": {str(reason): count for reason, count in sorted(tally.skipped.items())},
        "rows": [
            {"id": row, "reason": str(reason), "sentence": sentence}
            for row, reason, sentence in tally.sentences
        ],
    }


def _lines(tally: Tally, *, is_dry: bool) -> Iterator[str]:
    numbers = {"found": f"{tally.found:,}", "taken": f"{tally.taken:,}"}
    if is_dry:
        yield _("%(found)s waited, %(taken)s would be taken over.") % numbers
    else:
        yield _("%(found)s waited, %(taken)s taken over.") % numbers
    if tally.taken_before:
        yield _("%(n)s had been taken over before.") % {"n": f"{tally.taken_before:,}"}
    if tally.busy:
        busy = {"n": f"{tally.busy:,}"}
        yield _("%(n)s are in other hands: the old worker runs. Stop it and call this again.") % busy
    for reason, count in sorted(tally.skipped.items()):
        yield str(_WHY[reason]) % {"n": f"{count:,}"}
    for row, _reason, sentence in tally.sentences:
        yield _("  - row %(row)s: %(sentence)s") % {"row": row, "sentence": sentence}

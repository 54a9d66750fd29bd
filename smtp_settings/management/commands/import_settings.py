"""`manage.py import_settings`: mail settings of a Django project or a .env file become drafts."""

import importlib
import json
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from smtp_settings import key_check, sealing
from smtp_settings.importing import from_django, from_env
from smtp_settings.importing.drafting import Draft, Drafting, drafts_of
from smtp_settings.importing.mailer import Reading

_SOMETHING_LEFT, _WRONG_USAGE = 1, 2
#: A .env file is a page of text; more is something else.
_MAX_BYTES = 1024 * 1024


class Command(BaseCommand):
    """Reads, saves drafts, and says what became of everything; exit 1 when a way out was not taken."""

    help = (
        "Make draft profiles of a Django project's EMAIL_* or MAILERS, or of a .env file. Nothing is sent, "
        "and a draft is not used before it passed a test. Exit code: 0 all taken over (or there already), "
        "1 a way out was not taken or there is none, 2 wrong usage."
    )

    requires_system_checks = []  # it says itself what is wrong with the keys

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        source = parser.add_mutually_exclusive_group()
        source.add_argument(
            "--module",
            metavar="NAME",
            default="",
            help="a settings module (see --pythonpath); it is imported",
        )
        source.add_argument("--env-file", metavar="FILE", default="", help="a .env file")
        parser.add_argument("--dry-run", action="store_true", help="show what would be saved")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:  # Any: BaseCommand's own signature
        """Read, save, print."""
        reading = _read(options["module"], options["env_file"])
        is_dry = options["dry_run"]
        try:
            done = drafts_of(reading.mailers, is_dry=is_dry)
        except sealing.SealingError as error:
            raise CommandError(key_check.remedy(error), returncode=_WRONG_USAGE) from None
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(reading, done, is_dry=is_dry), ensure_ascii=False))
        else:
            for line in _lines(reading, done, is_dry=is_dry):
                self.stdout.write(line)
        if not done.drafts and not done.refused:
            raise CommandError(
                _("There are no mail settings. Name others: --module shop.settings, or --env-file .env."),
                returncode=_SOMETHING_LEFT,
            )
        if done.refused:
            left = len(done.refused)
            sentence = ngettext(
                "%(left)d way out was not taken over.", "%(left)d ways out were not taken over.", left
            )
            raise CommandError(sentence % {"left": left}, returncode=_SOMETHING_LEFT)


def _read(module: str, env_file: str) -> Reading:
    if env_file:
        return from_env.read(from_env.parse(_text(Path(env_file))))
    if module:
        return from_django.read(_names_of(module))
    is_given = settings.is_overridden  # type: ignore[misc]  # the stubs know settings, not its methods
    # Django 6.1 hides what MAILERS replaces.
    names = (name for name in dir(settings) if is_given(name) and hasattr(settings, name))
    return from_django.read({name: getattr(settings, name) for name in names})


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        if len(raw) > _MAX_BYTES:
            raise CommandError(_("The file is larger than 1 MB."), returncode=_WRONG_USAGE)
        return raw.decode()
    except OSError as error:
        sentence = _("The file cannot be read: %(why)s.") % {"why": error.strerror}
        raise CommandError(sentence, returncode=_WRONG_USAGE) from None
    except UnicodeDecodeError:
        raise CommandError(_("The file is not text in UTF-8."), returncode=_WRONG_USAGE) from None


def _names_of(module: str) -> dict[str, Any]:  # Any: whatever stands in settings
    """Import a settings module; of an error only what cannot hold a value is told."""
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        why = _("there is no module “%(name)s”") % {"name": error.name}
    except (ImproperlyConfigured, KeyError) as error:  # a variable that is not set; they name it
        why = f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001  # whatever somebody's settings raise; its text may hold a secret
        why = type(error).__name__
    else:
        return {name: value for name, value in vars(found).items() if name.isupper()}
    sentence = _("The settings “%(module)s” cannot be imported: %(why)s.") % {"module": module, "why": why}
    raise CommandError(sentence, returncode=_WRONG_USAGE)


def _as_json(reading: Reading, done: Drafting, *, is_dry: bool) -> dict[str, Any]:  # Any: JSON
    return {
        "dry_run": is_dry,
        "profiles": [
            {
                "source": draft.found.label,
                "profile": draft.twin_of or draft.found.profile.name,
                "state": _state(draft, is_dry=is_dry),
                **_facts(draft),
                "notes": list(draft.found.notes),
            }
            for draft in done.drafts
        ],
        "not_taken": [{"source": one.label, "sentence": one.sentence} for one in done.refused],
        "notes": list(reading.notes),
    }


def _state(draft: Draft, *, is_dry: bool) -> str:
    if draft.twin_of:
        return "exists"
    return "would_be_saved" if is_dry else "saved"


def _facts(draft: Draft) -> dict[str, Any]:  # Any: JSON
    """Return what may be shown; a user name that is a token is none of it."""
    profile, secret = draft.found.profile, draft.found.secret
    is_secret = secret is not None and secret.reveal() == profile.username
    return {
        "host": profile.host,
        "port": profile.port,
        "security": profile.security,
        "username": "" if is_secret else profile.username,
        "has_password": secret is not None,
        "from_address": profile.from_address,
        "preset": profile.preset,
    }


def _lines(reading: Reading, done: Drafting, *, is_dry: bool) -> Iterator[str]:
    for draft in done.drafts:
        yield _line(draft, is_dry=is_dry)
        yield from (f"  - {note}" for note in draft.found.notes)
    for one in done.refused:
        yield f"{one.label}: {one.sentence}"
    yield from (f"- {note}" for note in reading.notes)
    if any(not draft.twin_of for draft in done.drafts) and not is_dry:
        yield _("Drafts are not used yet. Open each, send a test email, save.")


def _line(draft: Draft, *, is_dry: bool) -> str:
    facts = _facts(draft) | {"label": draft.found.label}
    facts["user"] = facts["username"] or ("…" if facts["has_password"] else "-")
    if draft.twin_of:
        sentence = _("%(label)s: %(host)s:%(port)s as %(user)s is there already: profile “%(name)s”.")
        return sentence % (facts | {"name": draft.twin_of})
    sentence = _("%(label)s: is the draft “%(name)s” now: %(host)s:%(port)s, %(security)s, user %(user)s.")
    if is_dry:
        sentence = _(
            "%(label)s: would become the draft “%(name)s”: %(host)s:%(port)s, %(security)s, user %(user)s."
        )
    return sentence % (facts | {"name": draft.found.profile.name})

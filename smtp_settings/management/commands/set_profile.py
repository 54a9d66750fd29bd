"""Creates or changes a profile through the gate, for automation."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from smtp_settings import field_values, key_check, sealing, test_send
from smtp_settings.clearance import activation
from smtp_settings.clearance.candidate import NO_SECRET, EffectiveSecret, required_secret
from smtp_settings.entries import judges
from smtp_settings.models import SMTPProfile, TestRun
from smtp_settings.sealing import Secret
from smtp_settings.secret_source import PasswordMissing

_BAD_INPUT = 2


class Command(BaseCommand):
    """Saves values that passed a real test; exit 1 when it failed, 2 for bad input."""

    help = (
        "Create or change an SMTP profile: send a test email with the new values, save them only when the "
        "server accepted it. Prints one JSON object."
    )

    requires_system_checks = []  # a lost key's remedy goes through here; it says itself what is wrong

    def create_parser(
        self, prog_name: str, subcommand: str, **kwargs: Any
    ) -> CommandParser:  # Any: as above it
        """Let options stand between the values, as people type them."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]  # the same but for that
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("name", metavar="NAME")
        parser.add_argument(
            "values", metavar="field=value", nargs="*", help="fields as in the model; sites by domain"
        )
        parser.add_argument(
            "--test-to", metavar="ADDRESS", action="append", default=[], help="up to three times"
        )
        parser.add_argument("--draft", action="store_true", help="save without a test, not live")
        parser.add_argument(
            "--password-stdin",
            action="store_true",
            help="read the password, one line, from standard input",
        )

    def handle(self, *_args: Any, **options: Any) -> None:  # Any: BaseCommand's own signature
        """Read, test, save, and print what happened."""
        try:
            self._handle(options)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages), returncode=_BAD_INPUT) from None
        except sealing.SealingError as error:
            sentence = key_check.remedy(error, command="--password-stdin")
            raise CommandError(sentence, returncode=_BAD_INPUT) from None
        except activation.StaleProfile as error:
            raise CommandError(str(error), returncode=_BAD_INPUT) from None

    def _handle(self, options: dict[str, Any]) -> None:  # Any: parsed options
        profile = SMTPProfile.objects.filter(name=options["name"]).first() or SMTPProfile(
            name=options["name"]
        )
        is_new = profile.pk is None
        sites = field_values.assign(profile, field_values.split(options["values"]))
        profile.is_draft = options["draft"]
        complaints = field_values.complaints(profile)
        if complaints:
            raise ValidationError(complaints)
        effective = _secret(profile, _typed(options["password_stdin"]))
        if options["draft"]:
            activation.save_draft(profile, effective, user=None, sites=sites)
            self._print(profile, saved=True, created=is_new, sentence=_("Saved as a draft. It is not used."))
            return
        if not options["test_to"]:
            raise ValidationError(_("Name who gets the test email: --test-to ADDRESS, or use --draft."))
        run = test_send.candidate(profile, effective.secret, None, options["test_to"])
        run = test_send.run(run, where="shell")
        passed = run.state == TestRun.State.PASSED
        if passed:
            activation.save_profile(profile, effective, user=None, sites=sites, run=run)
        self._print(profile, saved=passed, created=passed and is_new, sentence=run.sentence, run=run)
        if not passed:
            raise CommandError(run.sentence, returncode=1)

    def _print(self, profile: SMTPProfile, *, run: TestRun | None = None, **facts: Any) -> None:  # Any: JSON
        result = {
            "profile": profile.name,
            "live": activation.is_live(profile) if facts["saved"] else False,
            **facts,
        }
        if run is not None:
            result |= {
                "verdict": run.state,
                "test_run": str(run.uuid),
                "steps": run.steps,
                "reply": run.reply,
            }
        self.stdout.write(json.dumps(result, ensure_ascii=False))


def _typed(from_stdin: bool) -> Secret | None:  # noqa: FBT001  # one caller, the option itself
    """Read the password; it may hold every character but NUL and line ends."""
    if not from_stdin:
        return None
    value = sys.stdin.readline().rstrip("\r\n")
    if not value:
        raise ValidationError(_("There is no password on standard input."))
    return Secret(judges.password(value))


def _secret(profile: SMTPProfile, typed: Secret | None) -> EffectiveSecret:
    """Return the secret meant; a draft goes without."""
    try:
        return required_secret(profile, typed=typed)
    except PasswordMissing as error:
        if profile.is_draft:
            return NO_SECRET
        raise ValidationError(_("%(sentence)s Use --password-stdin.") % {"sentence": error}) from None

"""Tests a saved profile as it is."""

import json
import shlex
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from smtp_settings import key_check, sealing, test_send
from smtp_settings.clearance.candidate import stored_secret
from smtp_settings.models import SMTPProfile, TestRun

_NO_RECIPIENT = (
    "from_address: The profile has none to send the test email to. Name who gets it: --to ADDRESS."
)
_MARKS = {"done": "ok", "warning": "!", "failed": "FAILED", "skipped": "-"}


class Command(BaseCommand):
    """Sends one test email with the saved settings; exit 1 when it failed. Changes nothing."""

    help = "Send a test email with a saved profile and show each step."

    requires_system_checks = []  # it says itself what is wrong with the keys

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("name", metavar="NAME")
        parser.add_argument(
            "--to", metavar="ADDRESS", action="append", default=[], help="default: the From address"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:  # Any: BaseCommand's own signature
        """Test, and print the steps."""
        profile = SMTPProfile.objects.filter(name=options["name"]).first()
        if profile is None:
            raise CommandError(f"There is no profile “{options['name']}”.", returncode=2)
        recipients = options["to"] or [profile.from_address]
        if not any(recipients):
            raise CommandError(_NO_RECIPIENT, returncode=2)
        try:
            run = test_send.candidate(profile, stored_secret(profile), None, recipients)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages), returncode=2) from None
        except sealing.SealingError as error:
            command = f"manage.py set_profile {shlex.quote(profile.name)} --password-stdin --test-to ADDRESS"
            raise CommandError(key_check.remedy(error, command=command), returncode=2) from None
        run = test_send.run(run, where="shell")
        if options["json"]:
            self._print_json(run)
        else:
            self._print_steps(run)
        if run.state != TestRun.State.PASSED:
            raise CommandError(run.sentence, returncode=1)

    def _print_json(self, run: TestRun) -> None:
        facts = {
            "profile": run.settings["name"],
            "verdict": run.state,
            "sentence": run.sentence,
            "test_run": str(run.uuid),
            "steps": run.steps,
            "reply": run.reply,
        }
        self.stdout.write(json.dumps(facts, ensure_ascii=False))

    def _print_steps(self, run: TestRun) -> None:
        for step in run.steps:
            mark = _MARKS.get(step["verdict"], step["verdict"])
            self.stdout.write(f"{step['phase']:8} {mark:7} {step['ms']:8.0f} ms  {step['detail']}".rstrip())
        if run.state == TestRun.State.PASSED:
            self.stdout.write(run.sentence)

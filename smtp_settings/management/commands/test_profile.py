"""Tests saved profiles as they are: one by its name, or all that are in use."""

import json
import shlex
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings import key_check, sealing, test_send
from smtp_settings.clearance.candidate import stored_secret
from smtp_settings.models import SMTPProfile, TestRun
from smtp_settings.test_send.symptoms import explanation_of

_NO_RECIPIENT = gettext_lazy(
    "from_address: The profile has none to send the test email to. Name who gets it: --to ADDRESS."
)
_MARKS = {"done": "ok", "warning": "!", "failed": "FAILED", "skipped": "-"}
_PASSED, _FAILED, _WRONG_USAGE = 0, 1, 2
_CLEAR_LINE = "\r\033[K"


class Command(BaseCommand):
    """Sends a test email with saved settings; exit 0 when all passed, 1 when one failed. Changes nothing."""

    help = (
        "Send a test email with a saved profile, or with each one in use, and show each step. "
        "Exit code: 0 all passed, 1 one failed, 2 wrong usage."
    )

    requires_system_checks = []  # it says itself what is wrong with the keys

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("name", metavar="NAME", nargs="?", default="")
        parser.add_argument(
            "--all", action="store_true", help="every enabled profile that is no draft, in the order of names"
        )
        parser.add_argument(
            "--to", metavar="ADDRESS", action="append", default=[], help="default: the From address"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object a line and profile")

    def handle(self, *_args: Any, **options: Any) -> None:  # Any: BaseCommand's own signature
        """Test, and print how it went."""
        if bool(options["name"]) == options["all"]:
            raise CommandError(_("Name one profile, or --all."), returncode=_WRONG_USAGE)
        if options["all"]:
            self._all(options)
        else:
            self._one(options)

    # One

    def _one(self, options: Mapping[str, Any]) -> None:  # Any: parsed arguments
        profile = SMTPProfile.objects.filter(name=options["name"]).first()
        if profile is None:
            sentence = _("There is no profile “%(name)s”.") % {"name": options["name"]}
            raise CommandError(sentence, returncode=_WRONG_USAGE)
        try:
            run = _candidate(profile, options["to"])
        except _NotTestable as reason:
            raise CommandError(str(reason), returncode=_WRONG_USAGE) from None
        if options["json"]:
            run = test_send.run(run, where=test_send.SHELL)
            self._print_json(run)
        else:
            run = test_send.run(run, where=test_send.SHELL, watch=self._print_step)
        if run.state != TestRun.State.PASSED:
            if not options["json"]:
                self._print_advice(run)
            raise CommandError(run.sentence, returncode=_FAILED)
        if not options["json"]:
            self.stdout.write(run.sentence)

    def _print_step(self, step: Mapping[str, Any]) -> None:  # Any: JSON of `TestRun.steps`
        """Print a step as it comes."""
        mark = _MARKS.get(step["verdict"], step["verdict"])
        self.stdout.write(f"{step['phase']:8} {mark:7} {step['ms']:8.0f} ms  {step['detail']}".rstrip())
        self.stdout.flush()

    def _print_advice(self, run: TestRun) -> None:
        """Print what the server said and what to try; the cause itself is the command's error."""
        told = explanation_of(run)
        if run.reply:
            self.stdout.write(_("The server said: %(reply)s") % {"reply": run.reply})
        if told.cause != run.sentence:
            self.stdout.write(told.cause)
        for one in filter(None, (told.fine, *told.advice)):
            self.stdout.write(f"  - {one}")

    # All

    def _all(self, options: Mapping[str, Any]) -> None:  # Any: parsed arguments
        profiles = list(SMTPProfile.objects.filter(enabled=True, is_draft=False).order_by("name"))
        if not profiles:
            raise CommandError(_("There is no enabled profile."), returncode=_WRONG_USAGE)
        failed = 0
        for number, profile in enumerate(profiles, 1):
            place = _("%(n)d of %(all)d") % {"n": number, "all": len(profiles)}
            try:
                run = self._watched(_candidate(profile, options["to"]), place, options=options)
            except _NotTestable as reason:
                run = TestRun(
                    settings={"name": profile.name}, state=TestRun.State.FAILED, sentence=str(reason)
                )
            failed += run.state != TestRun.State.PASSED
            if options["json"]:
                self._print_json(run)
            else:
                self.stdout.write(_line(run))
        if failed:
            sentence = _("%(n)d of %(all)d profiles failed.") % {"n": failed, "all": len(profiles)}
            raise CommandError(sentence, returncode=_FAILED)

    def _watched(self, run: TestRun, place: str, *, options: Mapping[str, Any]) -> TestRun:  # Any: as above
        """Carry a run out; on a terminal the line below says how far it is."""
        if options["json"] or not self.stderr.isatty():
            return test_send.run(run, where=test_send.SHELL)

        def show(step: Mapping[str, Any] | None) -> None:  # Any: JSON of `TestRun.steps`
            done = ", " + _("%(phase)s done") % {"phase": step["phase"]} if step is not None else ""
            self.stderr.write(f"{_CLEAR_LINE}{place}: {run.name}{done}", ending="")
            self.stderr.flush()

        show(None)
        try:
            return test_send.run(run, where=test_send.SHELL, watch=show)
        finally:
            self.stderr.write(_CLEAR_LINE, ending="")
            self.stderr.flush()

    def _print_json(self, run: TestRun) -> None:
        facts: dict[str, Any] = {  # Any: JSON
            "profile": run.name,
            "verdict": run.state,
            "sentence": run.sentence,
            "test_run": str(run.uuid) if run.pk else None,
            "steps": run.steps,
            "reply": run.reply,
        }
        if run.pk and run.state == TestRun.State.FAILED:
            told = explanation_of(run)
            facts |= {"cause": told.diagnosis.id, "advice": told.advice}
        self.stdout.write(json.dumps(facts, ensure_ascii=False))
        self.stdout.flush()


class _NotTestable(Exception):
    """A profile cannot be tested as it is; str() says what to do."""


def _candidate(profile: SMTPProfile, to: list[str]) -> TestRun:
    """Return a run of the profile as it is saved. Raises _NotTestable."""
    recipients = to or [profile.from_address]
    if not any(recipients):
        raise _NotTestable(str(_NO_RECIPIENT))
    try:
        return test_send.candidate(profile, stored_secret(profile), None, recipients)
    except ValidationError as error:
        raise _NotTestable(" ".join(error.messages)) from None
    except sealing.SealingError as error:
        command = f"manage.py set_profile {shlex.quote(profile.name)} --password-stdin --test-to ADDRESS"
        raise _NotTestable(key_check.remedy(error, command=command)) from None


def _line(run: TestRun) -> str:
    """Return one profile's result in a line."""
    if run.state == TestRun.State.PASSED:
        took = sum(step["ms"] for step in run.steps)
        return _("%(name)s: passed in %(ms).0f ms") % {"name": run.name, "ms": took}
    state = str(run.state).upper()
    if run.failed_phase:
        state = _("%(state)s at %(phase)s") % {"state": state, "phase": run.failed_phase}
    return f"{run.name}: {state}. {run.sentence}"

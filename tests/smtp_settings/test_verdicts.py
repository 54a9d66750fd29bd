"""The gate's verdicts in words."""

import pytest

from smtp_settings.clearance import verdicts
from smtp_settings.gate import Reason, Verdict
from tests.builders import a_user

SHUT = [reason for reason in Reason if not Verdict(reason).is_open and reason is not Reason.ANOTHER_USER]


@pytest.mark.parametrize("reason", SHUT)
def test_every_refusal_says_why_and_what_else_can_be_done(reason):
    verdict = Verdict(reason, changed=("host",))
    sentences = verdicts.refusal(verdict)
    assert sentences.startswith("Not saved. ")
    assert verdicts.why(verdict) in sentences
    assert len(verdicts.why(verdict)) > 20
    assert sentences.endswith(" Or choose “Save as draft”.")


@pytest.mark.django_db
def test_somebody_elses_test_names_the_person_as_long_as_there_is_one():
    tester = a_user(username="alex")
    verdict = Verdict(Reason.ANOTHER_USER, tested_by=tester.pk)
    assert verdicts.why(verdict) == "alex tested these settings; a test of your own is needed."
    tester.delete()
    assert verdicts.why(verdict).startswith("Somebody else tested")


def test_the_refusal_names_every_changed_field():
    verdict = Verdict(Reason.STALE, changed=("host", "port", "secret", "oauth"))
    assert "Server, Port, Password, OAuth credential." in verdicts.why(verdict)

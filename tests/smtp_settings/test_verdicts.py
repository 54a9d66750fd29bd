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


def test_the_refusal_names_every_changed_field_and_the_line_two_of_them():
    verdict = Verdict(Reason.STALE, changed=("host", "port", "secret", "oauth"))
    assert "Server, Port, Password, OAuth credential." in verdicts.why(verdict)
    assert "You changed Server, Port and 2 more after the test." in verdicts.line(verdict)


@pytest.mark.parametrize("reason", Reason)
def test_the_line_and_the_badge_say_something_for_every_verdict(reason):
    verdict = Verdict(reason, changed=("host",))
    assert verdicts.line(verdict).endswith(".")
    assert verdicts.badge(verdict)
    assert "%(" not in verdicts.line(verdict)

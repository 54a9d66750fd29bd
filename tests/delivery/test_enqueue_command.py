"""`manage.py enqueue`: files in, JSON lines out, exit status 1 when one was refused."""

import io
import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from django.contrib.sites.models import Site
from django.core.management import CommandError, call_command
from django.utils import timezone

from delivery import models
from tests.delivery.mail import an_eml
from tests.delivery.queueing import a_row_of_profile

pytestmark = pytest.mark.django_db

#: A moment may be ten years away at most.
NEXT_YEAR = timezone.now().year + 1


def run(*arguments):
    """What the command printed, and its error if it failed."""
    printed, error = io.StringIO(), None
    try:
        call_command("enqueue", *map(str, arguments), stdout=printed)
    except CommandError as raised:
        error = raised
    return [json.loads(line) for line in printed.getvalue().splitlines()], error


@pytest.fixture
def report(tmp_path):
    path = tmp_path / "report.eml"
    path.write_bytes(an_eml())
    return path


def test_a_file_is_queued_and_said_in_one_json_object(report):
    (answer,), error = run(report)
    row = models.Message.objects.get()
    assert error is None
    assert answer == {
        "file": str(report),
        "id": row.pk,
        "message_id": row.message_id,
        "recipients": ["bo@example.com"],
        "created": True,
        "state": "queued",
    }


def test_every_option_is_handed_over(report):
    site = Site.objects.create(domain="shop.example", name="Shop")
    profile = a_row_of_profile("EU relay")
    options = ["--mail-from", "bounce@example.org", "--rcpt", "a@example.net", "--rcpt", "b@example.net"]
    options += [
        "--priority",
        "high",
        "--send-at",
        f"{NEXT_YEAR}-01-02T03:04:05+02:00",
        "--site",
        "shop.example",
    ]
    _, error = run(report, *options, "--profile", "EU relay", "--idempotency-key", "k")
    assert error is None
    row = models.Message.objects.get()
    assert (row.mail_from, list(row.rcpt_to)) == ("bounce@example.org", ["a@example.net", "b@example.net"])
    assert (row.priority, row.site_id, row.pinned_profile_id) == (1, site.pk, profile.pk)
    assert row.due_at == datetime(NEXT_YEAR, 1, 2, 1, 4, 5, tzinfo=UTC)


def test_a_bad_file_among_good_ones_stores_nothing_of_itself_alone(report, tmp_path):
    bad, missing = tmp_path / "bad.eml", tmp_path / "missing.eml"
    bad.write_bytes(b"Dear Sir,\n")
    answers, error = run(report, bad, missing, report)
    assert [("id" in answer, "error" in answer) for answer in answers] == [
        (True, False),
        (False, True),
        (False, True),
        (True, False),
    ]
    assert "not a mail message" in answers[1]["error"]
    assert "No such file" in answers[2]["error"]
    assert str(error) == "2 of 4 not queued."
    assert error.returncode == 1
    assert models.Message.objects.count() == models.QueueEntry.objects.count() == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--profile", "Nowhere"], "no profile"),
        (["--site", "nowhere.example"], "no site"),
        (["--rcpt", "nobody"], "recipient"),
        (["--mail-from", "a@x.example SIZE=1"], "sender"),
    ],
)
def test_a_wrong_option_is_said_for_the_file_and_stores_no_row(report, options, words):
    (answer,), error = run(report, *options)
    assert words in answer["error"]
    assert error is not None
    assert models.Message.objects.count() == 0


@pytest.mark.parametrize("options", [["--priority", "urgent"], ["--send-at", "tomorrow"]])
def test_a_value_that_cannot_be_read_is_refused_before_any_file(report, options):
    answers, error = run(report, *options)
    assert answers == []
    assert options[0] in str(error)


def test_a_null_sender_is_kept(report):
    for text in ("", "<>"):
        assert run(report, f"--mail-from={text}")[1] is None
    assert set(models.Message.objects.values_list("mail_from", flat=True)) == {""}


def test_a_key_names_one_message(report):
    (first,), _ = run(report, "--idempotency-key", "k")
    (again,), error = run(report, "--idempotency-key", "k")
    assert error is None
    assert (again["id"], again["created"]) == (first["id"], False)
    assert "state" not in again
    report.write_bytes(an_eml(b"Other.\r\n"))
    (conflict,), error = run(report, "--idempotency-key", "k")
    assert "idempotency key 'k' was already used" in conflict["error"]
    answers, error = run(report, report, "--idempotency-key", "other")
    assert (answers, str(error)) == ([], "An idempotency key names one message: give one file.")
    assert models.Message.objects.count() == 1


def test_standard_input_is_a_file_called_dash(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(an_eml())))
    (answer,), error = run("-")
    assert error is None
    assert answer["file"] == "-"
    assert models.Message.objects.count() == 1


def test_a_moment_without_an_offset_is_in_the_projects_time_zone(report, settings):
    settings.TIME_ZONE = "Europe/Vienna"
    assert run(report, "--send-at", f"{NEXT_YEAR}-01-02T03:04")[1] is None
    assert models.Message.objects.get().due_at == datetime(NEXT_YEAR, 1, 2, 2, 4, tzinfo=UTC)

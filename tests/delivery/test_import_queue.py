"""`manage.py import_queue`: waiting mail of django-post_office and django-mailer, in their own tables."""

import collections
import email
import email.policy
import io
import json
import os
import pickle
import subprocess
import threading
from datetime import timedelta
from email.mime.image import MIMEImage
from pathlib import Path

import psycopg
import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.backends.console import EmailBackend as ConsoleBackend
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test import override_settings
from django.utils import timezone
from django.utils.translation import gettext_lazy

from delivery.models import Content, Message, QueueEntry
from delivery.takeover import carrying
from delivery.takeover.django_mailer import DjangoMailer
from delivery.takeover.package import Wishes
from delivery.takeover.post_office import PostOffice
from delivery.takeover.unpickling import Unreadable, message_of
from smtp_settings.models import Event
from tests.acceptance.processes import finished, manage
from tests.builders import a_profile
from tests.delivery import other_packages as old


@pytest.fixture
def old_tables(db):
    old.make_tables()


@pytest.fixture
def committed_tables(transactional_db):
    with old.committed_tables():
        yield


def told(*args):
    """Run the command with --json; return (exit code, the object)."""
    out = io.StringIO()
    code = 0
    try:
        call_command("import_queue", *args, "--json", stdout=out, stderr=io.StringIO())
    except CommandError as error:
        code = error.returncode
    return code, json.loads(out.getvalue()) if out.getvalue() else {}


def said(*args):
    """Run the command; return (exit code, what people read)."""
    out = io.StringIO()
    try:
        call_command("import_queue", *args, stdout=out, stderr=io.StringIO())
    except CommandError as error:
        return error.returncode, out.getvalue() + str(error)
    return 0, out.getvalue()


def parsed(message):
    """A message of ours as a mail program reads it."""
    data = bytes(Content.objects.get(message_id=message.pk).data)
    return email.message_from_bytes(data, policy=email.policy.default)


# post_office


@pytest.mark.filterwarnings("ignore:MIMEBase attachments are deprecated")  # post_office attaches so
def test_a_waiting_email_of_post_office_is_queued_whole_and_marked_there(old_tables, tmp_path):
    at, until = timezone.now() + timedelta(hours=2), timezone.now() + timedelta(hours=8)
    row = old.post_office_email(
        to='"Ann, Dr." <ann@example.com>, bob@example.com', cc="cc@example.com", bcc="bcc@example.com",
        subject="Überraschung", message="{{ 7|add:1 }} stays", html_message="<b>html</b>", priority=2,
        scheduled_time=at, expires_at=until, message_id="<7@shop.example>",
        headers={"Reply-To": "r@example.com"},
    )  # fmt: skip
    old.post_office_file(row, tmp_path, "Grüße.txt", b"hello")
    old.post_office_file(row, tmp_path, "logo.png", b"\x89PNG\0", mimetype="image/png",
                         headers={"Content-ID": "<logo>", "Content-Disposition": "inline"})  # fmt: skip
    code, result = told("post_office", "--attachments", str(tmp_path))
    assert (code, result["found"], result["taken"]) == (0, 1, 1)
    message = Message.objects.get()
    assert message.rcpt_to == ["ann@example.com", "bob@example.com", "cc@example.com", "bcc@example.com"]
    assert (message.subject, message.from_header) == ("Überraschung", "Shop <shop@example.com>")
    assert (message.priority, message.due_at, message.expires_at) == (1, at, until)
    assert (message.message_id, message.tag) == ("<7@shop.example>", "post_office")
    mail = parsed(message)
    assert mail["Reply-To"] == "r@example.com"
    assert "bcc@example.com" not in mail.as_string()
    assert mail.get_body(("plain",)).get_content().strip() == "{{ 7|add:1 }} stays"
    assert mail.get_body(("html",)).get_content().strip() == "<b>html</b>"
    files = {
        part.get_filename() or part["Content-ID"]: part.get_content() for part in mail.iter_attachments()
    }
    assert files == {"Grüße.txt": "hello\n", "<logo>": b"\x89PNG\0"} or files["<logo>"] == b"\x89PNG\0"
    assert old.run("SELECT status FROM post_office_email") == [(old.SENT,)]
    [(log,)] = old.run("SELECT message FROM post_office_log")
    assert log == f"Taken over by mailconf as message {message.pk}."
    assert Event.objects.get(kind="queue.taken_over").data["taken"] == 1


def test_queued_and_requeued_rows_are_taken_and_no_others(old_tables):
    for status in (old.SENT, old.FAILED, old.QUEUED, old.REQUEUED, None):
        old.post_office_email(status=status, subject=str(status))
    assert told("post_office")[1]["taken"] == 2
    assert set(Message.objects.values_list("subject", flat=True)) == {"2", "3"}


@pytest.mark.parametrize(("theirs", "ours"), [(0, 3), (1, 2), (2, 1), (3, 1), (None, 2)])
def test_priorities_of_post_office_keep_their_meaning(old_tables, theirs, ours):
    old.post_office_email(priority=theirs)
    told("post_office")
    assert Message.objects.get().priority == ours


def test_a_template_is_rendered_as_at_delivery(old_tables):
    template = old.post_office_template(
        subject="Hi {{ name }}", content="Dear {{ name }}", html_content="<p>{{ name }}</p>"
    )
    old.post_office_email(template_id=template, context={"name": "Ann"}, subject="", message="")
    told("post_office")
    message = Message.objects.get()
    assert message.subject == "Hi Ann"
    assert parsed(message).get_body(("html",)).get_content().strip() == "<p>Ann</p>"


def test_a_row_rendered_when_it_was_queued_is_not_rendered_again(old_tables):
    template = old.post_office_template(subject="other")
    old.post_office_email(template_id=template, subject="{{ as it is }}")
    told("post_office")
    assert Message.objects.get().subject == "{{ as it is }}"


def test_html_alone_is_html(old_tables):
    old.post_office_email(message="", html_message="<b>x</b>")
    told("post_office")
    assert parsed(Message.objects.get()).get_content_type() == "text/html"


def test_recipients_that_staging_overrides_stay_overridden(old_tables):
    old.post_office_email(to="customer@example.com")
    with override_settings(POST_OFFICE={"OVERRIDE_RECIPIENTS": ["qa@example.com"]}):
        told("post_office")
    assert Message.objects.get().rcpt_to == ["qa@example.com"]


def left_rows(tmp_path):
    """One row for each reason to leave it, with a word of its sentence."""
    broken = old.post_office_template(subject="{% load no_such_library %}", name="broken")
    hour = timedelta(hours=1)
    missing = old.post_office_email()
    old.post_office_file(missing, tmp_path, "gone.pdf", b"x").unlink()
    return {
        old.post_office_email(expires_at=timezone.now() - hour): ("expired", "has expired"),
        old.post_office_email(to=""): ("no_recipients", "no recipients"),
        missing: ("attachment_missing", "gone.pdf"),
        old.post_office_email(template_id=broken, context={}): ("template", "no_such_library"),
        old.post_office_email(backend_alias="bulk"): ("names_a_backend", "--backend bulk=NAME"),
        old.post_office_email(to="nobody"): ("refused", "nobody"),
        old.post_office_email(headers={"Subject\r\nBcc": "x"}): ("refused", "header name"),
    }


def test_what_cannot_go_stays_untouched_and_says_why_and_the_rest_goes(old_tables, tmp_path):
    expected = left_rows(tmp_path)
    old.post_office_email(subject="good")
    code, result = told("post_office", "--attachments", str(tmp_path))
    assert code == 1
    assert result["taken"] == 1
    assert Message.objects.get().subject == "good"
    found = {row["id"]: (row["reason"], row["sentence"]) for row in result["rows"]}
    assert found.keys() == expected.keys()
    for row, (reason, word) in expected.items():
        assert found[row][0] == reason
        assert word in found[row][1]
    assert old.run("SELECT count(*) FROM post_office_email WHERE status = 2") == [(len(expected),)]
    code, text = said("post_office", "--attachments", str(tmp_path))
    assert code == 1
    assert "1 expired stay there." in text
    assert "2 that cannot be sent as they are stay there." in text


def test_what_has_expired_alone_is_no_failure(old_tables):
    old.post_office_email(expires_at=timezone.now() - timedelta(hours=1))
    assert told("post_office")[0] == 0


def test_a_file_outside_the_folder_is_never_read(old_tables, tmp_path):
    folder = tmp_path / "media"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("c4nary")
    row = old.post_office_email()
    old.post_office_file(row, folder, "a", b"x")
    old.run("UPDATE post_office_attachment SET file = '../secret.txt'")
    code, result = told("post_office", "--attachments", str(folder))
    assert (code, result["skipped"]) == (1, {"attachment_missing": 1})


def test_attachments_without_a_folder_named_are_left_with_the_option_to_use(old_tables, tmp_path):
    old.post_office_file(old.post_office_email(), tmp_path, "a", b"x")
    assert "--attachments DIR" in said("post_office")[1]


def test_the_profile_that_stands_for_a_backend_is_the_only_one_its_messages_leave_by(old_tables):
    bulk, other = a_profile(name="Bulk"), a_profile(name="Other")
    old.post_office_email(backend_alias="bulk", subject="bulk")
    old.post_office_email(backend_alias="any", subject="any")
    assert told("post_office", "--backend", "bulk=Bulk", "--backend", "any=")[0] == 0
    pinned = dict(Message.objects.values_list("subject", "pinned_profile_id"))
    assert pinned == {"bulk": bulk.pk, "any": None}
    assert other.pk not in pinned.values()


# django-mailer


@pytest.mark.parametrize(("theirs", "ours"), [(1, 1), (2, 2), (3, 3), (4, 2)])
def test_a_waiting_message_of_django_mailer_is_queued_and_gone_there_as_if_sent(old_tables, theirs, ours):
    old.mailer_message(priority=theirs)
    assert told("mailer")[1]["taken"] == 1
    message = Message.objects.get()
    assert (message.priority, message.subject, message.tag) == (ours, "Hello", "mailer")
    assert old.run("SELECT count(*) FROM mailer_message") == [(0,)]
    said_there = f"Taken over by mailconf as message {message.pk}."
    assert old.run("SELECT result, log_message FROM mailer_messagelog") == [("1", said_there)]


@pytest.mark.filterwarnings("ignore:(MIMEBase attachments|The EmailMessage.connection)")  # of before Django 6
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_part_of_a_pickled_message_arrives(old_tables, protocol):
    message = EmailMultiAlternatives(
        gettext_lazy("Email"), "text äö", "Shop <shop@example.com>", ["ann@example.com"],
        cc=["cc@example.com"], bcc=["bcc@example.com"], reply_to=["r@example.com"], headers={"X-Order": "7"},
        connection=ConsoleBackend(stream=None),
    )  # fmt: skip
    message.connection = None
    message.attach_alternative("<b>x</b>", "text/html")
    message.attach("data.bin", b"\0\1\xff", "application/octet-stream")
    picture = MIMEImage(b"\x89PNG", _subtype="png")
    picture.add_header("Content-ID", "<p>")
    message.attach(picture)
    old.mailer_message(data=old.pickled(message, protocol))
    code, result = told("mailer")
    assert (code, result["rows"]) == (0, [])
    stored = Message.objects.get()
    assert stored.rcpt_to == ["ann@example.com", "cc@example.com", "bcc@example.com"]
    assert str(stored.subject) == "Email"
    mail = parsed(stored)
    assert (mail["Reply-To"], mail["X-Order"], mail["Cc"]) == ("r@example.com", "7", "cc@example.com")
    assert mail.get_body(("plain",)).get_content().strip() == "text äö"
    assert mail.get_body(("html",)).get_content().strip() == "<b>x</b>"
    assert [part.get_content() for part in mail.iter_attachments()] == [b"\0\1\xff", b"\x89PNG"]


class _Runs:
    """Unpickled, it calls a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class OurMessage(EmailMessage):
    """A message of a class that is not Django's: its `message()` could do anything."""


HOSTILE = {
    "a shell": lambda marker: _Runs(os.system, f"touch {marker}"),
    "a process": lambda marker: _Runs(subprocess.check_call, ["touch", marker]),
    "eval": lambda marker: _Runs(eval, f"open({marker!r}, 'w')"),
    "a file": lambda marker: _Runs(open, marker, "w"),
    "an import": lambda marker: _Runs(__import__, "antigravity"),
    "an attribute": lambda marker: _Runs(getattr, "os", "upper"),
    "in the subject": lambda marker: EmailMessage(_Runs(os.system, f"touch {marker}"), to=["b@example.com"]),
    "another class": lambda marker: OurMessage("s", "b", "a@example.com", ["b@example.com"]),
    "memory": lambda marker: _Runs(bytes, 10**13),
    "no message": lambda marker: {"a": 1},
    "a list": lambda marker: collections.Counter("x"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_pickle_runs_anybodys_code_and_the_row_stays(old_tables, tmp_path, kind):
    marker = str(tmp_path / "ran")
    old.mailer_message(data=old.pickled(HOSTILE[kind](marker)))
    old.mailer_message()
    code, result = told("mailer")
    assert not Path(marker).exists()
    assert code == 1
    assert (result["taken"], result["skipped"]) == (1, {"unreadable": 1})
    assert old.run("SELECT count(*) FROM mailer_message") == [(1,)]


@pytest.mark.parametrize(
    "data", ["", "not base64!", "AAAA", "gASVCgAAAA==", "ü", "cos\nsystem\n(S'true'\ntR."]
)
def test_what_is_no_pickle_is_a_sentence(data):
    with pytest.raises(Unreadable):
        message_of(data)


def test_no_state_in_a_pickle_reaches_a_method():
    message = EmailMessage("s", "b", "a@example.com", ["b@example.com"])
    message.recipients = EmailMessage  # shadows the method
    message.to = {"not": "a list"}
    assert message_of(old.pickled(message)).recipients() == []


# Both


@pytest.mark.parametrize("package", ["post_office", "mailer"])
def test_a_dry_run_says_the_same_and_changes_nothing(old_tables, package):
    made = {"post_office": old.post_office_email, "mailer": old.mailer_message}[package]
    for _ in range(3):
        made()
    code, dry = told(package, "--dry-run")
    assert (code, dry["taken"], dry["dry_run"]) == (0, 3, True)
    assert not Message.objects.exists()
    assert not Event.objects.exists()
    _code, wet = told(package)
    assert wet | {"dry_run": True} == dry
    assert Message.objects.count() == QueueEntry.objects.count() == 3


@pytest.mark.parametrize("package", [PostOffice(), DjangoMailer()], ids=lambda package: package.name)
def test_a_run_that_is_stopped_is_finished_by_the_next(old_tables, package):
    made = {"post_office": old.post_office_email, "mailer": old.mailer_message}[package.name]
    rows = 2 * carrying._CHUNK + 7
    for _ in range(rows):
        made()

    def stop(tally):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carrying.carry(package, Wishes(), watch=stop)
    assert Message.objects.count() == carrying._CHUNK
    code, result = told(package.name)
    assert (code, result["found"], result["taken"]) == (0, rows - carrying._CHUNK, rows - carrying._CHUNK)
    assert Message.objects.count() == rows
    assert told(package.name)[1]["found"] == 0


def test_a_row_set_back_to_queued_by_hand_does_not_become_two_messages(old_tables):
    old.post_office_email()
    told("post_office")
    old.run("UPDATE post_office_email SET status = 2")
    code, result = told("post_office")
    assert (code, result["taken"], result["taken_before"]) == (0, 0, 1)
    assert Message.objects.count() == 1


def elsewhere():
    """The test's database by its address: another connection, so another transaction."""
    found = connection.settings_dict
    host = found["HOST"] or found["OPTIONS"].get("host", "")
    port = f"&port={found['PORT']}" if found["PORT"] else ""
    return f"postgresql://{found['USER']}:{found['PASSWORD']}@/{found['NAME']}?host={host}{port}"


def test_from_another_database_a_crash_before_the_mark_doubles_nothing(committed_tables, process_environment):
    for _ in range(3):
        old.mailer_message()
    old.run("ALTER TABLE mailer_messagelog RENAME TO broken")  # the mark fails after our commit
    taking = ("import_queue", "mailer", "--json", "--database", elsewhere())
    crashed = manage(process_environment, *taking)
    assert "mailer_messagelog" in crashed.communicate(timeout=120)[1]
    assert crashed.returncode == 1
    assert Message.objects.count() == 3
    old.run("ALTER TABLE broken RENAME TO mailer_messagelog")
    result = json.loads(finished(manage(process_environment, *taking), timeout=120))
    assert (result["found"], result["taken"], result["taken_before"]) == (3, 0, 3)
    assert Message.objects.count() == 3
    assert told("mailer")[1]["found"] == 0


@pytest.mark.parametrize("package", ["post_office", "mailer"])
def test_in_one_database_a_mark_that_fails_stores_nothing(committed_tables, package):
    made = {"post_office": old.post_office_email, "mailer": old.mailer_message}[package]
    made()
    old.run("ALTER TABLE post_office_log RENAME TO broken1")
    old.run("ALTER TABLE mailer_messagelog RENAME TO broken2")
    assert told(package)[0] == 1
    assert not Message.objects.exists()
    old.run("DROP TABLE broken1, broken2")


def test_a_row_in_the_hands_of_the_old_worker_is_left_to_it_and_counted(committed_tables):
    rows = [old.mailer_message() for _ in range(3)]
    with psycopg.connect(elsewhere()) as old_worker:
        old_worker.execute("SELECT 1 FROM mailer_message WHERE id = %s FOR UPDATE", [rows[1]])
        code, text = said("mailer")
        assert code == 1
        assert "3 waited, 2 taken over." in text
        assert "1 are in other hands" in text
    assert told("mailer")[1]["taken"] == 1


def test_two_runs_at_once_take_each_row_once(committed_tables):
    rows = 3 * carrying._CHUNK
    for _ in range(rows):
        old.post_office_email()
    tallies = []

    def take():
        try:
            tallies.append(carrying.carry(PostOffice(), Wishes()))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(tally.taken for tally in tallies) == rows == Message.objects.count()
    assert sum(tally.taken_before for tally in tallies) == 0
    assert old.run("SELECT count(*) FROM post_office_email WHERE status = 2") == [(0,)]


@pytest.mark.parametrize(
    "arguments",
    [
        ("post_office",),  # no such table
        ("mailer", "--database", "absent"),
        ("mailer", "--database", "mysql://u:c4nary@h/d"),
        ("mailer", "--database", "postgresql://u:c4nary@h:port/d"),
        ("post_office", "--attachments", "/no/such/folder"),
        ("post_office", "--profile", "Nobody"),
        ("post_office", "--backend", "bulk"),
    ],
)
def test_wrong_usage_is_exit_code_2_without_a_secret(db, arguments):
    code, text = said(*arguments)
    assert code == 2
    assert "c4nary" not in text

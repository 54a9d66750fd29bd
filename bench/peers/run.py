"""The peers' side of a measurement, run in their environment; prints one JSON object. See `bench.peers`."""

import json
import os
import resource
import statistics
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

import django

OPTIONS = json.loads(os.environ["PEER_OPTIONS"])
SENDER, RECIPIENT = "shop@example.org", "ann@example.org"


def a_body(size):
    line = "x" * 70 + "\n"
    return line * max(1, size // len(line))


def migrate():
    from django.core.management import call_command

    with redirect_stdout(sys.stderr):
        call_command("migrate", verbosity=0)
    return {}


def fill_post_office(messages):
    from django.core.files.base import ContentFile
    from post_office import mail
    from post_office.models import Attachment, Email

    Email.objects.all().delete()
    made = mail.send_many([post_office_message() for _ in range(messages)])
    if OPTIONS.get("attachment_mb"):
        data = ContentFile(os.urandom(int(OPTIONS["attachment_mb"] * 1_000_000)))
        attachment = Attachment()
        attachment.file.save("report.pdf", data, save=True)
        links = Attachment.emails.through
        links.objects.bulk_create(links(attachment=attachment, email=email) for email in made)


def post_office_message():
    return {
        "sender": SENDER,
        "recipients": [RECIPIENT],
        "subject": "Report",
        "message": a_body(OPTIONS["size"]),
    }


def drain_post_office():
    from django.core.management import call_command

    lock = str(Path(tempfile.mkdtemp()) / "lock")
    call_command("send_queued_mail", processes=OPTIONS["processes"], lockfile=lock)


def fill_django_mailer(messages):
    from django.core.mail import EmailMessage
    from mailer.models import Message, MessageLog

    Message.objects.all().delete()
    MessageLog.objects.all().delete()
    rows = []
    for _ in range(messages):
        row = Message(priority=2)
        row.email = EmailMessage("Report", a_body(OPTIONS["size"]), SENDER, [RECIPIENT])
        rows.append(row)
    Message.objects.bulk_create(rows)


def drain_django_mailer():
    """Send all; its backend closes the connection behind each message unless it was opened by hand."""
    from mailer import engine

    engine.send_all()


SIDES = {
    "post_office": (fill_post_office, drain_post_office),
    "django_mailer": (fill_django_mailer, drain_django_mailer),
}


def drain(peer):
    fill, work = SIDES[peer]
    fill(OPTIONS["messages"])
    before = peak_mb(resource.RUSAGE_SELF)
    began = time.perf_counter()
    with redirect_stdout(sys.stderr):
        work()
    seconds = time.perf_counter() - began
    peak = max(peak_mb(resource.RUSAGE_SELF), peak_mb(resource.RUSAGE_CHILDREN))
    return {"seconds": seconds, "peak_rss_mb": peak, "rss_before_mb": before}


def peak_mb(who):
    return round(resource.getrusage(who).ru_maxrss * 1024 / 1e6, 1)


def enqueue(_peer):
    from django.core.mail import EmailMessage, get_connection
    from post_office import mail
    from post_office.models import Email

    chunks = [[post_office_message() for _ in range(500)] for _ in range(max(1, OPTIONS["messages"] // 500))]
    began = time.perf_counter()
    for chunk in chunks:
        mail.send_many(chunk)
    bulk = time.perf_counter() - began
    backend = get_connection("post_office.EmailBackend")
    body, spent = a_body(OPTIONS["size"]), []
    for _ in range(OPTIONS["single"]):
        began = time.perf_counter()
        backend.send_messages([EmailMessage("Report", body, SENDER, [RECIPIENT])])
        spent.append((time.perf_counter() - began) * 1000)
    Email.objects.all().delete()
    return {"bulk_per_s": 500 * len(chunks) / bulk, "single_p50_ms": statistics.median(spent)}


def main():
    django.setup()
    verb, *arguments = sys.argv[1:]
    found = {"migrate": migrate, "drain": drain, "enqueue": enqueue}[verb](*arguments)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()

"""How large the attachments of a message are: counted once, when it is composed, as they will be sent."""

from email.message import EmailMessage as Mail

import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives
from hypothesis import given
from hypothesis import strategies as st

from delivery import queue, reading
from delivery.composing import compose_eml, compose_message
from delivery.models import Message
from tests.delivery.mail import composed_eml, on_the_wire
from tests.delivery.queueing import a_handover, enqueued

PDF = bytes(range(256)) * 300  # 76,800 octets


def encoded(octets):
    """Octets of base64 in lines of 76, each with CRLF."""
    lines, rest = divmod(len(octets), 57)
    return lines * 78 + (-(-rest // 3) * 4 + 2 if rest else 0)


def a_mail(*files, text="Hello.\n", html=None):
    mail = Mail()
    mail["From"], mail["To"], mail["Subject"] = "ann@example.org", "bo@example.com", "Report"
    mail.set_content(text)
    if html:
        mail.add_alternative(html, subtype="html")
    for name, octets in files:
        mail.add_attachment(octets, "application", "pdf", filename=name)
    return mail


def weight(mail):
    return compose_eml(mail.as_bytes()).attachments_bytes


def test_text_and_html_are_no_attachments():
    assert weight(a_mail(html="<p>Hello.</p>")) == 0


def test_an_attachment_counts_as_it_is_sent_a_third_more():
    assert weight(a_mail(("a.pdf", PDF))) == pytest.approx(encoded(PDF), abs=2)
    assert 1.33 < weight(a_mail(("a.pdf", PDF))) / len(PDF) < 1.38


def test_attachments_count_together():
    one, two = weight(a_mail(("a.pdf", PDF))), weight(a_mail(("a.pdf", PDF), ("b.pdf", PDF)))
    assert two == 2 * one


def test_an_eml_and_a_django_message_weigh_the_same():
    message = EmailMessage("Report", "Hello.", "ann@example.org", ["bo@example.com"])
    message.attach("a.pdf", PDF, "application/pdf")
    assert compose_message(message).attachments_bytes == pytest.approx(weight(a_mail(("a.pdf", PDF))), abs=2)


def test_alternatives_of_django_are_no_attachments():
    message = EmailMultiAlternatives("Report", "Hello.", "ann@example.org", ["bo@example.com"])
    message.attach_alternative("<p>Hello.</p>", "text/html")
    assert compose_message(message).attachments_bytes == 0


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ([b"Content-Type: text/plain"], False),
        ([b"Content-Type: text/plain", b"Content-Disposition: inline"], False),
        ([b'Content-Type: text/plain; name="log.txt"'], True),
        ([b"Content-Type: text/plain", b"Content-Disposition: attachment"], True),
        ([b"Content-Type: text/plain", b"Content-Disposition: inline; filename=log.txt"], True),
        ([b"Content-Type: image/png", b"Content-ID: <a@b>"], True),
        ([b"Content-Type: text/csv"], True),
    ],
)
def test_what_is_an_attachment(fields, counts):
    composed = composed_eml(b"x" * 70 + b"\r\n", *fields)
    assert composed.attachments_bytes == (72 if counts else 0)


def test_a_second_text_is_an_attachment():
    body = b"--B\r\n\r\nfirst\r\n--B\r\n\r\nsecond\r\n--B--\r\n"
    assert composed_eml(body, b"Content-Type: multipart/mixed; boundary=B").attachments_bytes == len("second")


def test_an_embedded_message_counts_whole():
    inner = a_mail(("a.pdf", PDF))
    outer = a_mail()
    outer.add_attachment(inner)
    assert weight(outer) > weight(inner) + 100


def test_what_has_to_be_encoded_counts_encoded():
    body = (
        b"--B\r\n\r\nHi\r\n--B\r\nContent-Type: application/octet-stream\r\n\r\n"
        + b"\xff" * 5700
        + b"\r\n--B--\r\n"
    )
    composed = composed_eml(body, b"Content-Type: multipart/mixed; boundary=B")
    assert composed.attachments_bytes == pytest.approx(encoded(b"\xff" * 5700), abs=4)


KINDS = st.sampled_from(
    ["text/plain", "text/html", "application/pdf", "text/csv", 'text/plain; name="a"', "message/rfc822"]
)


@given(st.lists(st.tuples(KINDS, st.binary(max_size=300)), max_size=6))
def test_the_page_lists_as_attachments_what_was_counted(parts):
    body = b"".join(
        b"--B\r\nContent-Type: %b\r\n\r\n%b\r\n"
        % (kind.encode(), bytes(octet & 0x3F | 0x40 for octet in octets))
        for kind, octets in parts
    )
    composed = composed_eml(body + b"--B--\r\n", b"Content-Type: multipart/mixed; boundary=B")
    sent = on_the_wire(composed)
    listed = reading.read(sent).attachments
    assert bool(composed.attachments_bytes) <= bool(listed)
    assert composed.attachments_bytes <= len(sent)


@pytest.mark.django_db
def test_the_row_keeps_it_and_a_copy_has_it_too():
    composed = compose_eml(a_mail(("a.pdf", PDF)).as_bytes())
    (made,) = queue.enqueue([a_handover(composed=composed)])
    copies = queue.send_again([made.id])
    for message_id in (made.id, copies[made.id].id):
        assert Message.objects.get(pk=message_id).attachments_bytes == composed.attachments_bytes


@pytest.mark.django_db
def test_so_do_ten_thousand_rows_of_a_bulk():
    composed = compose_eml(a_mail(("a.pdf", b"x")).as_bytes())
    ids = enqueued(10_000, composed=composed)
    assert Message.objects.filter(pk__in=ids, attachments_bytes=composed.attachments_bytes).count() == 10_000


@pytest.mark.django_db
def test_a_claim_brings_it():
    composed = compose_eml(a_mail(("a.pdf", PDF)).as_bytes())
    enqueued(composed=composed)
    lane = queue.ready_lanes()[0]
    (claimed,) = queue.claim(queue.register_worker(), [queue.Lane(lane.pool.id, lane.priority)], [7])
    assert claimed.attachments_bytes == composed.attachments_bytes
    assert claimed.pinned_profile_id is None

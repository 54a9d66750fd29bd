"""Large attachments are set aside while Django writes a message, and nobody can tell."""

import re

import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives

from delivery.composing import CannotCompose, compose_message, large
from tests.delivery.mail import on_the_wire, parsed

FILE = bytes(range(256)) * 1024  # 256 KiB
INNER = {"Date": "Thu, 01 Jan 1970 00:00:00 +0000", "Message-ID": "<inner@example.com>"}
_BOUNDARY = re.compile(rb"={15}\d+==|=_[0-9a-f_]+")


def a_message(*attachments, kind=EmailMessage, **more):
    message = kind("Report", "See the file.", "shop@example.com", ["bo@example.com"], **more)
    for attachment in attachments:
        message.attach(*attachment)
    return message


def written(composed):
    """The whole message with boundaries that are not drawn by lot, and no Date."""
    wire = on_the_wire(composed)
    for number, boundary in enumerate(dict.fromkeys(_BOUNDARY.findall(wire))):
        wire = wire.replace(boundary, b"B%d" % number)
    return re.sub(rb"Date: [^\r]+", b"Date", wire)


def slowly(monkeypatch, message):
    """The same message with nothing set aside."""
    with monkeypatch.context() as patch:
        patch.setattr(large, "_AS_GIVEN", ())
        return compose_message(message)


MESSAGES = {
    "one": lambda: a_message(("a.pdf", FILE, "application/pdf")),
    "an odd length": lambda: a_message(("a.pdf", FILE + b"x", "application/pdf")),
    "two and a small one": lambda: a_message(
        ("a.pdf", FILE, "application/pdf"), ("b.txt", "small", "text/plain"), ("c.png", FILE[1:], "image/png")
    ),
    "the same file twice": lambda: a_message(
        ("a.pdf", FILE, "application/pdf"), ("b.pdf", FILE, "application/pdf")
    ),
    "without a body": lambda: EmailMessage(
        "Report", "", "a@example.com", ["b@example.com"], attachments=[("a.pdf", FILE, "application/pdf")]
    ),
    "with HTML": lambda: a_message(("a.pdf", FILE, "application/pdf"), kind=EmailMultiAlternatives),
    "a large text": lambda: a_message(("a.csv", b"a;b\n" * 40_000, "text/csv")),
    "an embedded message": lambda: a_message(
        ("a.eml", a_message(("a.pdf", FILE, "application/pdf"), headers=INNER), "message/rfc822")
    ),
    "a kind that is guessed": lambda: a_message(("a.pdf", FILE)),
    "no kind at all": lambda: a_message(("a.unheard-of", FILE)),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_the_message_is_the_one_that_django_writes(monkeypatch, name):
    quick, slow = compose_message(MESSAGES[name]()), slowly(monkeypatch, MESSAGES[name]())
    assert written(quick) == written(slow)
    assert quick.attachments_bytes == slow.attachments_bytes
    assert quick.size_bytes == slow.size_bytes
    assert len(quick.blobs) == len(slow.blobs)


def test_a_file_for_many_is_encoded_once():
    blobs = {id(compose_message(a_message(("a.pdf", FILE, "application/pdf"))).blobs[0]) for _ in range(5)}
    assert len(blobs) == 1


def test_few_files_are_remembered():
    for number in range(20):
        compose_message(a_message(("a.pdf", FILE + bytes([number]), "application/pdf")))
    assert len(large._kept._files) <= 4
    huge = bytes(24 * 1024 * 1024)
    with pytest.raises(CannotCompose, match="at most 25 MB"):
        compose_message(a_message(("a.pdf", huge, "application/pdf")))
    assert sum(len(lines) for _content, lines in large._kept._files) <= 32 * 1024 * 1024


class Signed(EmailMessage):
    """A class that looks at what is attached, as one that signs or encrypts does."""

    def message(self, *args, **kwargs):
        tree = super().message(*args, **kwargs)
        self.seen = [part.get_payload(decode=True) for part in tree.walk() if not part.is_multipart()]
        return tree


def test_a_class_of_its_own_sees_its_attachments():
    seen = []

    class Watched(Signed):
        def message(self, *args, **kwargs):
            tree = super().message(*args, **kwargs)
            seen.extend(self.seen)
            return tree

    compose_message(a_message(("a.pdf", FILE, "application/pdf"), kind=Watched))
    assert FILE in seen


def test_the_same_message_has_the_same_digest_and_another_file_another():
    first, again = (compose_message(MESSAGES["one"]()).digest for _ in range(2))
    assert first == again
    assert compose_message(a_message(("a.pdf", FILE[:-1] + b"z", "application/pdf"))).digest != first


def test_what_arrives_is_the_file():
    message = parsed(on_the_wire(compose_message(MESSAGES["two and a small one"]())))
    files = {
        part.get_filename(): part.get_payload(decode=True) for part in message.walk() if part.get_filename()
    }
    assert files.pop("b.txt").rstrip() == b"small"  # Django 6 ends the last line of a text
    assert files == {"a.pdf": FILE, "c.png": FILE[1:]}

"""The real messages of CPython's own test suite: each arrives as it is, or is refused with a sentence."""

from pathlib import Path

import pytest

from delivery.composing import CannotCompose, compose_eml
from tests.delivery.mail import assert_sendable, fields, on_the_wire, parsed, refusal
from tests.needs import missing

try:
    import test.test_email as _suite
except ImportError:  # Debian's Python comes without its tests
    FILES = []
else:
    FILES = sorted((Path(str(_suite.__file__)).parent / "data").glob("*.txt"))

ENVELOPE = {"mail_from": "ann@example.org", "rcpt_to": ["bo@example.com"]}
#: What is refused, and the words that name the fault.
REFUSED = {
    "msg_19.txt": "does not begin with a header field",
    "msg_35.txt": "Line 4 of the header is neither a field nor",
}
#: From and Subject may stand first; these are added, or taken off before any server adds its own.
MOVED = {"from", "subject"}
ADDED = {"date"}
TAKEN = {"return-path", "bcc"}

CASES = [pytest.param(path, id=path.name) for path in FILES]
if not CASES:
    missing("this Python has no test package (test.test_email)")


def original(path):
    """The message with CRLF line ends, without the line `From ` of an mbox file."""
    raw = path.read_bytes().replace(b"\r\n", b"\n")
    if raw.startswith(b"From "):
        raw = raw.split(b"\n", 1)[1]
    return raw.replace(b"\n", b"\r\n")


def body(raw):
    return raw.partition(b"\r\n\r\n")[2]


def with_line_end(text):
    return text if text.endswith(b"\r\n") or not text else text + b"\r\n"


@pytest.mark.parametrize("path", CASES)
def test_a_real_message_arrives_or_is_refused_by_name(path):
    if path.name in REFUSED:
        with pytest.raises(CannotCompose, match=REFUSED[path.name]):
            compose_eml(path.read_bytes(), **ENVELOPE)
        return
    composed = compose_eml(path.read_bytes(), **ENVELOPE)
    arrived, sent = on_the_wire(composed), original(path)
    assert_sendable(arrived)
    before, after = fields(parsed(sent)), fields(parsed(arrived))
    kept = [field for field in before if field[0] not in MOVED | TAKEN]
    present = {name for name, _ in before}
    supplied = {"from"} - present | ADDED - present
    assert [field for field in after if field[0] not in MOVED | (ADDED - present)] == kept
    assert [field for field in before if field[0] in MOVED and field not in after] == []
    assert {name for name, _ in after} == (present | supplied) - TAKEN
    assert sent.isascii()  # if CPython adds one that is not, it must be compared decoded
    assert body(arrived) == with_line_end(body(sent))


@pytest.mark.parametrize("path", CASES)
def test_the_envelope_is_read_from_a_real_message_or_the_fault_is_named(path):
    sentence = refusal(compose_eml, path.read_bytes())
    if sentence is None:
        assert compose_eml(path.read_bytes()).rcpt_to
    else:
        assert sentence.endswith(".")

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.smtp.reply import MAX_TEXT, UnreadableError, clean, parse, read_next, read_reply


def read(data):
    found = read_reply(data)
    return None if found is None else (parse(found[0]), found[1])


@pytest.mark.parametrize(
    ("raw", "code", "enhanced", "text"),
    [
        (b"250 Ok\r\n", 250, None, "Ok"),
        (b"250 2.1.0 Ok\r\n", 250, "2.1.0", "Ok"),
        (b"250\r\n", 250, None, ""),
        (b"250 \r\n", 250, None, ""),
        (b"250 bare line feed\n", 250, None, "bare line feed"),
        (b"250-a\r\n250-b\r\n250 c\r\n", 250, None, "a b c"),
        (b"550-5.7.1 No\r\n550 5.7.1 relay\r\n", 550, "5.7.1", "No relay"),
        (b"550 2.1.0 a class that is not the code's\r\n", 550, None, "2.1.0 a class that is not the code's"),
        (b"452 4.5.3\r\n", 452, "4.5.3", ""),
        (b"354 5.1.1 no class of its own\r\n", 354, None, "5.1.1 no class of its own"),
        (b"250 \x1b[2J\x08\x07\r ok\r\n", 250, None, "�[2J��� ok"),
        (b"250 nul \x00, high \xff, bidi \xe2\x80\xae\r\n", 250, None, "nul �, high �, bidi �"),
        (b"250 caf\xc3\xa9\r\n", 250, None, "café"),
        (b"250 {{7*7}} <script>%s\r\n", 250, None, "{{7*7}} <script>%s"),
    ],
)
def test_a_reply_is_read(raw, code, enhanced, text):
    reply, end = read(raw)
    assert (reply.code, reply.enhanced, reply.text, end) == (code, enhanced, text, len(raw))


@pytest.mark.parametrize(
    "raw",
    [
        b"2_0 hi\r\n",
        b"+25 hi\r\n",
        b" 25 hi\r\n",
        b"25 hi\r\n",
        b"2500 hi\r\n",
        b"250hi\r\n",
        b"199 too low\r\n",
        b"099 too low\r\n",
        b"600 too high\r\n",
        b"\r\n",
        b"\n",
        b"\xd9\xa2\xd9\xa5\xd9\xa0 hi\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"250-one\r\n251 another code\r\n",
        b"250-one\r\nno code\r\n",
        b"abc-never a reply, however it goes on\r\n",
    ],
)
def test_what_is_no_reply_is_refused(raw):
    with pytest.raises(UnreadableError):
        read(raw)


@pytest.mark.parametrize(
    "raw",
    [b"", b"2", b"250", b"250 Ok", b"250 Ok\r", b"250-a\r\n", b"250-a\r\n250", b"250-a\r\n250-b\r\n250 c"],
)
def test_an_unfinished_reply_is_waited_for(raw):
    assert read_reply(raw) is None


def line(length):
    return b"250 " + b"x" * (length - 6) + b"\r\n"


def test_a_line_of_8_kib_is_read_and_one_byte_more_is_refused():
    assert read(line(8192)) is not None
    with pytest.raises(UnreadableError, match="8 KiB"):
        read(line(8193))


def test_a_line_without_an_end_is_not_waited_for():
    assert read_reply(b"2" * 8192) is None
    with pytest.raises(UnreadableError):
        read_reply(b"2" * 8193)


def test_a_reply_of_32_kib_is_read_and_a_longer_one_is_refused():
    lines = (b"250-" + b"x" * 4090 + b"\r\n") * 7
    assert read(lines + line(32768 - len(lines))) is not None
    with pytest.raises(UnreadableError, match="does not end"):
        read(lines + line(32769 - len(lines)))


def test_a_reply_of_128_lines_is_read_and_a_longer_one_is_refused():
    assert read(b"250-x\r\n" * 127 + b"250 x\r\n") is not None
    with pytest.raises(UnreadableError, match="does not end"):
        read(b"250-x\r\n" * 128 + b"250 x\r\n")


def test_replies_in_one_packet_are_read_one_after_the_other():
    data = b"250 a\r\n550-b\r\n550 c\r\n354 d\r\n"
    replies, position = [], 0
    while position < len(data):
        raw, position = read_reply(data, position)
        replies.append(parse(raw))
    assert [(reply.code, reply.text) for reply in replies] == [(250, "a"), (550, "b c"), (354, "d")]


def test_500_characters_of_text_are_kept():
    assert len(parse(b"250 " + b"x" * 2000 + b"\r\n").text) == MAX_TEXT


def test_the_raw_bytes_of_what_is_no_reply_are_kept_whole_for_the_redaction():
    with pytest.raises(UnreadableError) as caught:
        parse(b"\x00" * 1000 + b"\r\n")
    assert caught.value.raw == b"\x00" * 1000 + b"\r"


@given(st.binary(max_size=200))
def test_any_bytes_become_storable_text(raw):
    text = clean(raw)
    assert text == "" or text.isprintable()
    text.encode("utf-8")  # no lone surrogate


@given(st.binary(max_size=400))
def test_any_bytes_are_a_reply_or_not_but_never_a_crash(raw):
    try:
        found = read_reply(raw)
        if found is not None:
            assert 200 <= parse(found[0]).code <= 599
    except UnreadableError:
        pass


def test_what_is_remembered_holds_nobody_who_read_it():
    """A traceback would hold every frame below it: the connection, and with it the secret it redacts."""

    class Reader:
        def read(self, buffer):
            return read_next(buffer)

    reader = Reader()
    assert reader.read(b"250 Ok\r\nno reply at all\r\n").unreadable is not None
    gone = weakref.ref(reader)
    del reader
    gc.collect()
    assert gone() is None


@given(
    st.lists(st.sampled_from([b"250 ok\r\n", b"250-a\r\n250 b\r\n", b"421 bye\r\n"]), max_size=4), st.data()
)
def test_the_cut_between_packets_does_not_matter(replies, data):
    whole = b"".join(replies)
    cut = data.draw(st.integers(0, len(whole)))
    position, count = 0, 0
    for buffer in (whole[:cut], whole):
        while (found := read_reply(buffer, position)) is not None:
            position, count = found[1], count + 1
    assert count == len(replies)

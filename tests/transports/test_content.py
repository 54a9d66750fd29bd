import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.base import Content
from transports.smtp.content import BLOCK_BYTES, DOT, MAX_LINE, blocks, ending, flaw, stuffed, whole


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b".\r\n.\r\n", b"..\r\n..\r\n.\r\n"),
        (b"a\r\n..b\r\n", b"a\r\n...b\r\n.\r\n"),
        (b"a.\r\nb.c\r\n", b"a.\r\nb.c\r\n.\r\n"),
    ],
)
def test_dots_are_doubled_and_the_end_is_added(content, wire):
    assert whole(Content((content,))) == wire


lines = st.lists(st.sampled_from([b"", b".", b"..", b"a", b".a", b"a.b"]), max_size=8)


@given(st.lists(lines, min_size=1, max_size=4))
def test_stuffing_by_segment_is_stuffing_the_whole(segments):
    parts = tuple(b"".join(line + b"\r\n" for line in segment) for segment in segments)
    content = Content(parts)
    wire = whole(content)
    assert wire == re.sub(rb"(?m)^\.", b"..", b"".join(parts)) + DOT
    assert wire.count(b"\r\n.\r\n") + wire.startswith(b".\r\n") == 1  # one message in every parser
    assert b"".join(bytes(block) for block in blocks(content)) + DOT == wire


def test_a_segment_without_dots_is_not_copied():
    segment = b"x" * 100_000
    assert stuffed(segment) is segment
    block = next(iter(blocks(Content((segment,)))))
    assert isinstance(block, memoryview)
    assert block.obj is segment


def test_blocks_are_64_kib_and_miss_nothing():
    content = Content((b"a: b\r\n\r\n", b"y" * (2 * BLOCK_BYTES + 5), b"z"))
    sizes = [len(block) for block in blocks(content)]
    assert sizes == [8, BLOCK_BYTES, BLOCK_BYTES, 5, 1, 2]


@pytest.mark.parametrize("across", [b"\r\n.", b"\r\n..", b"\r\n.\r\n", b"x.\r\n", b"\n."])
@pytest.mark.parametrize("shift", range(-4, 5))
def test_a_dot_at_the_border_of_two_blocks_is_doubled_once(across, shift):
    segment = b"y" * (BLOCK_BYTES + shift - len(across) // 2) + across + b"z" * BLOCK_BYTES
    content = Content((b".a: b\r\n", segment, b".\r\n"))
    assert b"".join(blocks(content)) + DOT == whole(content)


@given(
    st.lists(st.binary(max_size=3).map(lambda b: b.replace(b"\n", b".\r\n.")), min_size=1, max_size=40),
    st.integers(0, 12),
)
def test_stuffing_by_block_is_stuffing_the_whole(pieces, shift):
    tail = b"".join(pieces)
    segment = (b".\r\n" * BLOCK_BYTES)[: BLOCK_BYTES - shift] + tail
    assert b"".join(blocks(Content((segment,)))) == stuffed(segment) + ending(Content((segment,)))


@pytest.mark.parametrize("line", [b".\r\n", b"x" * 76 + b"\r\n.x\r\n", b"y" * 76 + b"\r\n"])
def test_c08_memory_is_that_of_a_block_whatever_the_size(line):
    content = Content((line * (10_000_000 // len(line)),))
    tracemalloc.start()
    try:
        sizes = [len(block) for block in blocks(content)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(sizes) >= content.size_bytes
    assert max(sizes) <= 2 * BLOCK_BYTES
    assert peak < 8 * BLOCK_BYTES


@pytest.mark.parametrize(
    ("segments", "words"),
    [
        (("Größe\r\n".encode(),), "8-bit"),
        ((b"a\0b\r\n",), "NUL"),
        ((b"x" * (MAX_LINE + 1) + b"\r\n",), "998"),
        ((b"a\r\n" + b"x" * (MAX_LINE + 1),), "998"),
        ((b"a\r\n" * 700 + b"x" * (MAX_LINE + 1) + b"\r\n" + b"a\r\n" * 700,), "998"),
        ((b"a\r" * 600,), "998"),
        ((b"a\r.\rb\r\n",), "carriage return alone"),
        ((b"a\r\n.\r.\r\n",), "carriage return alone"),
        ((b"a: b\r\n", b"no end", b"c\r\n"), "does not end"),
        ((b"a: b\r", b"\n.\r\n"), "does not end"),
        ((b"a: b\r\n", b"x" * 2_000 + b"\r\n"), "998"),
    ],
)
def test_content_that_breaks_its_promise_has_a_flaw(segments, words):
    assert words in flaw(Content(segments))


@pytest.mark.parametrize(
    "segments",
    [
        (),
        (b"",),
        (b"a: b\r\n", b"", b"no end"),
        (b"x" * MAX_LINE,),
        (b"x" * MAX_LINE + b"\r\n",),
        ((b"x" * MAX_LINE + b"\r\n") * 70,),
        ((b"x" * MAX_LINE + b"\r\n") * 70 + b"y" * MAX_LINE,),
        (b".\r\n" * 5_000,),
        (b"\r\n" * 5_000,),
    ],
)
def test_sound_content_has_none(segments):
    assert flaw(Content(segments)) is None


def test_a_large_part_that_was_sound_says_nothing_of_another():
    sound = b"x" * 76 + b"\r\n"
    part = sound * 1_000
    for _ in range(2):
        assert flaw(Content((b"a: b\r\n", part, b"c\r\n"))) is None
        assert "NUL" in flaw(Content((b"a: b\r\n", part, b"\0\r\n")))
        assert "8-bit" in flaw(Content((b"a: b\r\n", part, sound * 999 + b"\xfc\r\n")))


@given(st.lists(st.integers(0, 1_010).map(lambda n: b"x" * n), max_size=8), st.booleans())
def test_a_long_line_is_found_wherever_it_stands(lines, is_open):
    segment = b"\r\n".join(lines) + (b"" if is_open else b"\r\n")
    is_long = any(len(line) > MAX_LINE for line in lines)
    assert (flaw(Content((segment,))) is not None) == is_long


@pytest.mark.parametrize(
    ("segments", "end"),
    [((), b""), ((b"",), b""), ((b"a\r\n", b""), b""), ((b"a", b""), b"\r\n"), ((b"a\n",), b"\r\n")],
)
def test_the_line_end_is_added_only_where_it_lacks(segments, end):
    assert ending(Content(segments)) == end

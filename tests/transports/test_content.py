import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.base import Content
from transports.smtp.content import BLOCK_BYTES, DOT, blocks, ending, stuffed, whole


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


@pytest.mark.parametrize(
    ("segments", "end"),
    [((), b""), ((b"",), b""), ((b"a\r\n", b""), b""), ((b"a", b""), b"\r\n"), ((b"a\n",), b"\r\n")],
)
def test_the_line_end_is_added_only_where_it_lacks(segments, end):
    assert ending(Content(segments)) == end

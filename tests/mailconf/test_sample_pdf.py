"""The sample report's PDF."""

import re

import pytest

from mailconf import sample_pdf


def test_every_offset_of_the_table_points_at_its_object():
    pdf = sample_pdf.page("Sample report", "Second line")
    table = int(re.search(rb"startxref\n(\d+)\n%%EOF\n\Z", pdf)[1])
    assert pdf[table:].startswith(b"xref\n0 6\n")
    offsets = [int(found) for found in re.findall(rb"(\d{10}) 00000 n \n", pdf[table:])]
    assert len(offsets) == 5
    for number, offset in enumerate(offsets, start=1):
        assert pdf[offset:].startswith(b"%d 0 obj\n" % number)


def test_the_stream_is_as_long_as_it_says():
    pdf = sample_pdf.page("Sample report")
    length, stream = re.search(rb"/Length (\d+) >>\nstream\n(.*?)\nendstream", pdf, re.DOTALL).groups()
    assert len(stream) == int(length)


@pytest.mark.parametrize(
    ("line", "shown"), [("a (b) \\", rb"(a \(b\) \\)"), ("é", b"(\xe9)"), ("漢", b"(?)")]
)
def test_text_is_written_so_that_it_cannot_end_early(line, shown):
    assert shown + b" Tj" in sample_pdf.page(line)

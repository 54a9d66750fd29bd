"""Arrays written by us are read by PostgreSQL as they were meant, whatever stands in them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.db import DataError

from delivery.queue import arrays
from delivery.queue.claim import _CLAIM
from delivery.queue.statements import cursor, run
from delivery.queue.values import Claimed

pytestmark = pytest.mark.django_db


def read(array, kind):
    return run(f"SELECT %(array)s::{kind}[]", {"array": array})[0][0]


@pytest.mark.parametrize(
    "values",
    [
        [],
        [None],
        ["", "NULL", "null", None],
        ['"', "\\", '\\"', '""', "\\\\"],
        ["{", "}", "{}", "a,b", ",", " a ", "\t", "\r\n", "\x01\x7f"],
        ["grüße", "日本", "\U0001f4e7", "' OR 1=1 --", "$1", "%s", "%(ids)s"],
    ],
)
def test_texts_come_back_as_they_are(values):
    assert read(arrays.texts(values), "text") == values


def test_a_text_that_no_text_column_holds_is_refused_as_ever():
    with pytest.raises((DataError, ValueError)):
        read(arrays.texts(["a\0b"]), "text")


def test_numbers_and_truths_come_back_as_they_are():
    assert read(arrays.numbers([1, None, -5, 2**62]), "bigint") == [1, None, -5, 2**62]
    assert read(arrays.numbers([True, False, None]), "boolean") == [True, False, None]


def test_moments_come_back_as_they_are_in_any_zone():
    moments = [
        datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC),
        None,
        datetime(2026, 3, 29, 3, 0, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    ]
    assert read(arrays.moments(moments), "timestamptz") == moments


def test_a_claim_reads_the_fields_of_a_claimed_message_in_their_order():
    """By name it would read the same, for a tenth of a drain."""
    lanes = {"pools": [1], "priorities": [1], "mark_at": ["-infinity"], "mark_id": [0]}
    with cursor() as opened:
        opened.execute(_CLAIM, {"lease": 1, **lanes, "limit": 1, "seats": [1]})
        names = [column.name for column in opened.description]
    assert names == list(Claimed.__dataclass_fields__)

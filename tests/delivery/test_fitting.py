"""Whether a message is small enough for a server: decisions by tables, no database."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from delivery import fitting
from delivery.fitting import BELIEVED, Room, Size

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    """What is written down of a server."""

    size_limit: int | None = None
    size_is_refusal: bool = False
    size_until: datetime | None = NOW + BELIEVED
    size_fingerprint: str = "ab"


@pytest.mark.parametrize(
    ("room", "size", "takes"),
    [
        pytest.param(Room("A"), Size(10**9, 10**9), True, id="no limit"),
        pytest.param(Room("A", 10), Size(10, 99), True, id="attachments just fit"),
        pytest.param(Room("A", 10), Size(11, 99), False, id="attachments too large"),
        pytest.param(Room("A", 0, 99), Size(50, 99), True, id="message just fits"),
        pytest.param(Room("A", 0, 99), Size(50, 100), False, id="message too large"),
        pytest.param(Room("A", 0, 0), Size(50, 100), True, id="the server names no limit"),
        pytest.param(Room("A", 60, 99), Size(50, 100), False, id="one limit is enough"),
        pytest.param(Room("A", 10, 99), Size(0, 50), True, id="long text is no attachment"),
    ],
)
def test_a_server_takes_what_neither_limit_refuses(room, size, takes):
    assert room.takes(size) is takes


@pytest.mark.parametrize(
    ("row", "believed"),
    [
        pytest.param(Row(5), 5, id="believed"),
        pytest.param(Row(), None, id="nothing known"),
        pytest.param(Row(0), 0, id="no limit announced"),
        pytest.param(Row(5, size_until=NOW), None, id="a day ago"),
        pytest.param(Row(5, size_until=None), None, id="never learned"),
        pytest.param(Row(5, size_fingerprint="cd"), None, id="other settings"),
    ],
)
def test_a_limit_holds_for_a_day_and_for_the_settings_it_was_learned_with(row, believed):
    assert fitting.limit_of(row, fingerprint="ab", now=NOW) == believed


@pytest.mark.parametrize(
    ("row", "limit", "is_refusal", "is_news"),
    [
        pytest.param(Row(), 10, False, True, id="the first"),
        pytest.param(Row(10), 10, False, False, id="the same"),
        pytest.param(Row(10), 20, False, True, id="more announced"),
        pytest.param(Row(10), 5, False, True, id="less announced"),
        pytest.param(Row(10), 0, False, True, id="no limit any more"),
        pytest.param(Row(10, size_until=NOW + BELIEVED / 3), 10, False, True, id="renewed when old"),
        pytest.param(Row(10), 8, True, True, id="refused below what was announced"),
        pytest.param(Row(0), 8, True, True, id="refused where none was announced"),
        pytest.param(Row(8), 9, True, False, id="refused above what is known"),
        pytest.param(Row(8, size_is_refusal=True), 10, False, False, id="a refusal stands"),
        pytest.param(Row(8, size_is_refusal=True), 5, False, True, id="unless less is announced"),
        pytest.param(Row(8, size_is_refusal=True), 0, False, False, id="a refusal stands over none"),
        pytest.param(Row(8, size_is_refusal=True), 7, True, True, id="a smaller one was refused"),
        pytest.param(Row(8, size_is_refusal=True, size_until=NOW), 10, False, True, id="for a day"),
        pytest.param(Row(8, True, size_fingerprint="cd"), 10, False, True, id="for its settings"),
    ],
)
def test_what_is_written_down(row, limit, is_refusal, is_news):
    found = fitting.is_news(row, limit, is_refusal=is_refusal, fingerprint="ab", now=NOW)
    assert found is is_news


@pytest.mark.parametrize(
    ("size", "rooms", "words"),
    [
        (
            Size(14_200_000, 14_210_000),
            [Room("EU relay", 10_000_000), Room("Backup", 12_000_000)],
            "attachments 14.2 MB; EU relay takes 10 MB, Backup takes 12 MB",
        ),
        (
            Size(9_000_000, 14_210_000),
            [Room("EU relay", 10_000_000, 10_240_000)],
            "whole message 14.3 MB; EU relay takes messages of 10.2 MB",
        ),
        (
            Size(14_000_000, 14_100_000),
            [Room("A", 10_000_000), Room("B", 20_000_000, 5_000_000)],
            "attachments 14 MB, whole message 14.1 MB; A takes 10 MB, B takes messages of 5 MB",
        ),
        (
            Size(10_000_001, 10_010_000),
            [Room("A", 10_000_000)],
            "attachments 10.1 MB; A takes 10 MB",
        ),
        (Size(0, 90_050), [Room("A", 0, 65_536)], "whole message 90.1 kB; A takes messages of 65.5 kB"),
        (Size(5, 6), [Room("A")], "whole message 0.1 kB; A did not take it"),
    ],
)
def test_sizes_are_said_in_words_and_never_look_alike(size, rooms, words):
    assert fitting.words(size, rooms) == words


def test_a_refusal_is_believed_no_longer_than_a_day():
    assert timedelta(0) < BELIEVED <= timedelta(days=1)

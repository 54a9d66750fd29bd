"""How the tests are dealt out to the processes that run them."""

import pytest

from tests.order import spread

WORKING = [f"{file}{number}" for file in "abcdefgh" for number in range(40)]
WAITING = [f"W{number}" for number in range(40)]


def dealt(items, parts, *, whole=()):
    return spread(
        items,
        parts,
        waits=lambda item: item[0] == "W",
        file_of=lambda item: item[0],
        is_whole=lambda item: item[0] in whole,
    )


@pytest.mark.parametrize("parts", [1, 2, 4, 7])
def test_each_test_is_there_once(parts):
    assert sorted(dealt(WORKING + WAITING, parts, whole="bW")) == sorted(WORKING + WAITING)


def test_no_tests_are_no_tests():
    assert dealt([], 4) == []


def test_each_process_begins_with_as_many_that_wait_and_ends_with_none():
    found = dealt(WORKING + WAITING, 4)

    parts = [found[start : start + 90] for start in range(0, 360, 90)]
    assert [sum(item[0] == "W" for item in part) for part in parts] == [10, 10, 10, 10]
    for part in parts:
        places = [place for place, item in enumerate(part) if item[0] == "W"]
        assert places[0] < 20
        assert places[-1] < 75


def test_a_file_that_is_whole_is_in_one_piece():
    found = dealt(WORKING + WAITING, 4, whole="c")

    first = found.index("c0")
    assert found[first : first + 40] == [f"c{number}" for number in range(40)]


def test_what_stood_first_of_the_tests_that_work_stands_first_in_its_part():
    found = [item for item in dealt(WORKING + WAITING, 4)[:90] if item[0] != "W"]

    assert found == sorted(found, key=WORKING.index)

import threading

import pytest

from dynaurora.failures.read_ahead import READ_AT_ONCE, READ_BEFORE, read_ahead


def test_what_is_found_is_read_once_and_told_in_order():
    read = list[int]()

    def note(number):
        read.append(number)
        return -number

    assert list(read_ahead(range(200), note)) == [(number, -number) for number in range(200)]
    assert sorted(read) == list(range(200))


def test_several_are_read_at_the_same_time():
    together = threading.Barrier(READ_AT_ONCE, timeout=60)
    found = list(read_ahead(range(READ_AT_ONCE), lambda _: together.wait()))
    assert len(found) == READ_AT_ONCE


def test_no_more_is_looked_for_than_is_read_ahead():
    taken = list[int]()

    def find():
        for number in range(1000):
            taken.append(number)
            yield number

    ahead = read_ahead(find(), lambda number: number)
    assert next(ahead) == (0, 0)
    assert len(taken) == READ_BEFORE + 1
    ahead.close()


def test_what_reading_raises_is_told_in_its_turn():
    def read(number):
        if number == 3:
            raise ValueError("three")
        return number

    ahead = read_ahead(range(9), read)
    assert [next(ahead) for _ in range(3)] == [(0, 0), (1, 1), (2, 2)]
    with pytest.raises(ValueError, match="three"):
        next(ahead)

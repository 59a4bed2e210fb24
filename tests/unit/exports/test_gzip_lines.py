import gzip
import io
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.exports.gzip_lines import BLOCK_BYTES, MAX_LINE_BYTES, TextTooLongError, read_lines

SIZES = st.integers(0, 3) | st.integers(BLOCK_BYTES - 2, BLOCK_BYTES + 2) | st.integers(0, 3 * BLOCK_BYTES)


def read(text):
    return [line for lines in read_lines(io.BytesIO(gzip.compress(text, 1)), 1 << 30) for line in lines]


@given(st.lists(SIZES, max_size=8), st.booleans())
def test_lines_are_those_of_the_text_wherever_blocks_end(sizes, is_ended):
    text = b"\n".join(bytes([97 + index % 26]) * size for index, size in enumerate(sizes)) + b"\n" * is_ended
    lines = text.split(b"\n")
    assert read(text) == (lines if lines[-1] else lines[:-1])


def test_a_line_may_be_as_long_as_it_is_said():
    assert read(b"x" * MAX_LINE_BYTES + b"\n") == [b"x" * MAX_LINE_BYTES]


def test_of_a_line_without_end_no_more_is_held_than_a_line_may_have():
    bomb = io.BytesIO(gzip.compress(bytes(8 * MAX_LINE_BYTES), 1))
    tracemalloc.start()
    with pytest.raises(TextTooLongError):
        list(read_lines(bomb, 1 << 40))
    assert tracemalloc.get_traced_memory()[1] < 2 * MAX_LINE_BYTES
    tracemalloc.stop()
    assert bomb.tell() < bomb.getbuffer().nbytes


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b"x" * 100_000 + b"\n"], ids=["blank", "short", "long"])
def test_of_a_text_without_end_no_more_is_read_than_all_may_have(line):
    bomb = io.BytesIO(gzip.compress(line * (32 * 1024 * 1024 // len(line)), 9))
    lines, read = read_lines(bomb, 1024 * 1024), []
    with pytest.raises(TextTooLongError):
        read.extend(lines)
    assert sum(len(line) + 1 for found in read for line in found) <= 1024 * 1024


def test_members_that_hold_nothing_are_passed_over_in_linear_time():
    members = gzip.compress(b"", 1) * 100_000 + gzip.compress(b"a\n", 1)
    began = time.process_time()
    assert list(read_lines(io.BytesIO(members), 100)) == [[b"a"]]
    assert time.process_time() - began < 5

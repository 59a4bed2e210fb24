"""Rows that a sandbox writes some at a time are those that it writes by itself, and those of no sandbox."""

import json

import pytest

from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.errors import RejectedChange
from dynaurora.mappings.routing import write_rows
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.mappings.sandbox import SandboxedRowMapper
from dynaurora.mappings.sandboxed_writer import WRITTEN_BYTES, WRITTEN_TOGETHER, divide
from tests.support.factories import column, make_mapping

PATTERN = {"properties": {"x": {"pattern": r"^(?=a)(\w+\s?)*$"}}}
"""Exponential in the letters before a text's other character, and refused by RE2."""
PLAIN = make_mapping(column("x", "VARCHAR(80)"))
SLOW = "a" * 60 + "!"


def make_mapper():
    mapper = SandboxedRowMapper(make_mapping(column("x", "VARCHAR(80)"), schema=PATTERN))
    mapper.sandbox.allow(60)
    return mapper


def change(number, text="a", **others):
    keys = {"id": {"S": str(number)}}
    return Change(number + 1, 1, keys, keys | {"x": {"S": text}} | others)


def delete(number):
    return Change(number + 1, 1, {"id": {"S": str(number)}}, None)


def test_rows_and_reasons_and_what_is_untaken_are_those_of_no_sandbox():
    changes = [change(number, f"a{number}") for number in range(WRITTEN_TOGETHER * 2 + 10)]
    changes[3] = delete(3)
    changes[5] = change(5, "a" * 90)
    changes[7] = change(7, "a\tb", other={"S": "c"})
    changes[-1] = change(9999, "a", other={"N": "1"})
    encoded = [*map(encode_change, changes), b"no change"]
    bounded, plain, refusals, told = make_mapper(), RowMapper(PLAIN), {}, {}
    assert write_rows(encoded, bounded, refusals) == write_rows(encoded, plain, told)
    assert refusals == told
    assert refusals.keys() == {5, len(changes)}
    found, expected = bounded.unmapped.take(), plain.unmapped.take()
    assert found.total == expected.total == 2


@pytest.mark.parametrize("slow", [{0}, {WRITTEN_TOGETHER - 1, WRITTEN_TOGETHER}, {1, 2}])
def test_one_that_is_slow_is_refused_alone(slow):
    changes = [change(number, SLOW if number in slow else "a") for number in range(WRITTEN_TOGETHER + 5)]
    refusals = {}
    rows = write_rows(list(map(encode_change, changes)), make_mapper(), refusals)
    assert [(index, reason.rule) for index, (_, (reason,)) in sorted(refusals.items())] == [
        (index, "time") for index in sorted(slow)
    ]
    assert {index for index, row in enumerate(rows) if row is None} == slow


def test_those_that_are_slow_together_only_are_mapped():
    changes = [change(number, "a" * 16 + "!") for number in range(WRITTEN_TOGETHER)]
    refusals = {}
    assert write_rows(list(map(encode_change, changes)), make_mapper(), refusals) == [None] * len(changes)
    assert {reason.rule for _, reasons in refusals.values() for reason in reasons} == {"pattern"}


def test_the_lines_of_an_export_are_written_together_too():
    lines = [json.dumps({"Item": change(number, f"a{number}").new_image}).encode() for number in range(70)]
    lines[60] = json.dumps({"Item": change(60, SLOW).new_image}).encode()
    mapper, refused = make_mapper(), []

    def exactly(index):
        try:
            return mapper.row(Change(7, 9, {"id": {"S": str(index)}}, json.loads(lines[index])["Item"]))
        except RejectedChange as error:
            refused.append((index, error.reasons[0].rule))

    written = mapper.writer.write_items(lines, 7, 9, exactly)
    del lines[60]
    plain = RowMapper(PLAIN)
    assert written == plain.writer.write_items(lines, 7, 9, lambda _index: pytest.fail("it is sure of all of them"))
    assert refused == [(60, "time")]


def test_records_are_divided_by_their_number_and_their_size():
    small, large = b"x" * 10, b"x" * (WRITTEN_BYTES - 5)
    assert [len(some) for some in divide([small] * (WRITTEN_TOGETHER + 1))] == [WRITTEN_TOGETHER, 1]
    assert list(divide([large, small, large])) == [[large], [small], [large]]
    assert list(divide([])) == []

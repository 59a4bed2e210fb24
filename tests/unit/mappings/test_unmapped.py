"""What no column takes: counted exactly, by compiled code and plainly alike, and looked at for the type it needs."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings

from dynaurora.dynamodb.attributes import Binary
from dynaurora.dynamodb.changes import Change
from dynaurora.errors import RejectedChange
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.mappings.unmapped import (
    FEW_VALUES,
    MAX_KEYS,
    MAX_NAME_CHARACTERS,
    MAX_NAMES,
    Profile,
    Unmapped,
    name_path,
)
from tests.support.compiled_strategies import mapped_lines
from tests.support.example import load_example
from tests.support.factories import click, click_item, column, make_mapping

EXAMPLES = settings(max_examples=150, deadline=None)
VERSION, CHANGED_AT_MS = 17 * 10**48, 1_700_000_000_000


def read_item(line):
    item = json.loads(line)["Item"]
    return Change(VERSION, CHANGED_AT_MS, dict(item), dict(item))


def write(mapper, lines):
    """Write the rows of lines as a conversion does, and return what no column took."""

    def map_plainly(index):
        try:
            return mapper.row(read_item(lines[index]))
        except (RejectedChange, ValueError, KeyError, TypeError, RecursionError, AttributeError):
            return None

    mapper.writer.write_items(lines, VERSION, CHANGED_AT_MS, map_plainly)
    return mapper.unmapped.take()


def map_all(mapping, lines):
    """Return what no column took where every line is mapped plainly."""
    mapper = RowMapper(mapping)
    for line in lines:
        try:
            mapper.row(read_item(line))
        except (RejectedChange, ValueError, KeyError, TypeError, RecursionError, AttributeError):
            continue
    return mapper.unmapped.take()


def items_of(unmapped):
    return {name: found.items for name, found in unmapped.attributes.items()}


@EXAMPLES
@given(mapped=mapped_lines())
def test_compiled_code_counts_what_the_plain_modules_count(mapped):
    mapping, lines = mapped
    expected, mapper = map_all(mapping, lines), RowMapper(mapping)
    for _ in range(2):  # the second time with what was learnt
        found = write(mapper, lines)
        assert (items_of(found), found.others) == (items_of(expected), expected.others)


def lines_of(*items):
    return [json.dumps({"Item": {"id": {"S": f"k{number}"}} | item}).encode() for number, item in enumerate(items)]


THINGS = make_mapping(
    column("a", "INT"),
    column("city", "VARCHAR(20)", "address.city"),
    column("hits", "INT", "payload.Hits"),
    schema={
        "properties": {
            "named": {"type": "string"},
            "record": {"type": "object", "properties": {"known": {"type": "integer"}}},
            "payload": {
                "type": "object",
                "properties": {"Hits": {"type": "integer"}, "device": {"type": "object", "properties": {"make": {}}}},
            },
        }
    },
    json_attributes=["payload"],
)


def a_thing(**members):
    return {
        "a": {"N": "1"},
        "named": {"S": "left out by decision"},
        "phone": {"S": "0123"},
        "address": {"M": {"city": {"S": "Ulm"}, "zip": {"S": "89073"}}},
        "record": {"M": {"known": {"N": "1"}, "unknown": {"N": "2"}}},
        "payload": {"S": json.dumps({"Hits": 1, "device": {"make": "x", "model": "y"}, "more": [1]} | members)},
    }


def test_names_are_counted_wherever_they_are():
    mapper, lines = RowMapper(THINGS), lines_of(*[a_thing()] * 10, {"a": {"N": "1"}}, {"phone": {"NULL": True}})
    for _ in range(3):
        assert items_of(write(mapper, lines)) == {
            "phone": 11,
            "address.zip": 10,
            "record.unknown": 10,
            "payload.device.model": 10,
            "payload.more": 10,
        }


def test_what_is_refused_is_not_counted():
    mapper = RowMapper(THINGS)
    lines = lines_of(a_thing(), a_thing(Hits="many"), a_thing() | {"a": {"S": "no number"}}, a_thing())
    for _ in range(3):
        assert set(items_of(write(mapper, lines)).values()) == {2}


def test_nothing_is_counted_where_the_mapping_says_what_becomes_of_it():
    for unmapped in ("reject", {"column": "rest"}):
        mapper = RowMapper(make_mapping(column("a", "INT"), unmapped=unmapped))
        assert write(mapper, lines_of({"a": {"N": "1"}, "b": {"N": "1"}})) == Unmapped()


def test_the_reference_mapping_leaves_nothing_that_its_schema_does_not_name():
    mapper = RowMapper(load_example())
    lines = [json.dumps({"Item": click_item()}).encode()] * 3
    assert write(mapper, lines).total == 0
    more = [json.dumps({"Item": click_item(click(referrer="here"))}).encode()] * 3
    for _ in range(2):
        assert items_of(write(mapper, more)) == {"payload.referrer": 3}


def test_types_are_inferred_and_keys_told_though_compiled_code_maps_the_items():
    mapper = RowMapper(make_mapping())
    lines = lines_of(*({"n": {"N": str(number)}, "s": {"S": "x" * number}} for number in range(300)))
    write(mapper, lines)
    found = write(mapper, lines)
    assert items_of(found) == {"n": 300, "s": 300}
    assert all(FEW_VALUES <= each["values_seen"] <= 30 for each in found.describe())
    assert found.describe()[0]["type"] == "INT"
    for each in found.attributes.values():
        assert len(each.keys) == MAX_KEYS
        assert all(key.keys() == {"id"} for key in each.keys)


def test_names_beyond_the_most_are_counted_together():
    mapper = RowMapper(make_mapping())
    items = [{f"name{number:03}": {"N": "1"} for number in range(start, start + 200)} for start in (0, 100, 200)]
    for _ in range(3):
        found = write(mapper, lines_of(*items))
        assert (len(found.attributes), found.total) == (MAX_NAMES, 600)
    assert len(mapper.writer.plan.attributes) > 300


def test_what_was_found_in_several_batches_is_added_and_survives_being_kept():
    mapper = RowMapper(THINGS)
    first, second = write(mapper, lines_of(a_thing())), write(mapper, lines_of(a_thing(), a_thing()))
    first.others = 4
    kept = [Unmapped.from_dict(json.loads(json.dumps(each.as_dict()))) for each in (first, second)]
    assert kept == [first, second]
    together = Unmapped()
    for each in kept:
        together.merge(each)
    assert (set(items_of(together).values()), together.others) == ({3}, 4)
    assert together.attributes["phone"].profile.longest == 4
    assert len(together.attributes["phone"].keys) <= MAX_KEYS


def test_the_sum_of_many_names_is_bounded_too():
    together = Unmapped()
    for start in range(0, 300, 50):
        part = Unmapped()
        for number in range(start, start + 50):
            part.find(f"n{number}").items = 2
        together.merge(part)
    assert (len(together.attributes), together.others, together.total) == (MAX_NAMES, 400, 600)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "x" * 16], "VARCHAR(16)"),
        (["x" * 17], "VARCHAR(32)"),
        (["x" * 256, None], "VARCHAR(512)"),
        (["x" * 2049], "LONGTEXT"),
        ([1, -(2**31)], "INT"),
        ([2**31], "BIGINT"),
        ([2**63 - 1, -(2**63)], "BIGINT"),
        ([2**63], "DECIMAL(19,0)"),
        ([1, Decimal("0.25")], "DECIMAL(3,2)"),
        ([123, Decimal("-0.5")], "DECIMAL(4,1)"),
        ([10**64], "DECIMAL(65,0)"),
        ([10**65], "DOUBLE"),
        ([Decimal("1E-31")], "DOUBLE"),
        ([True, False], "BOOLEAN"),
        ([Binary("AAEC")], "VARBINARY(16)"),
        ([{"a": 1}], "JSON"),
        ([[1]], "JSON"),
        ([1, "a"], "JSON"),
        ([True, 1], "JSON"),
        ([None], "unknown: only nulls"),
        ([], "unknown: only nulls"),
    ],
)
def test_a_type_takes_all_that_was_seen(values, expected):
    profile = Profile()
    for value in values:
        profile.add(value)
    assert profile.infer_type() == expected
    parts = []
    for value in values:
        part = Profile()
        part.add(value)
        parts.append(part)
    together = Profile()
    for part in parts:
        together.merge(part)
    assert together == profile


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("phone",), "phone"),
        (("address", "zip"), "address.zip"),
        (("user-id",), '"user-id"'),
        (("a.b", "c"), '"a.b".c'),
        (("café",), '"café"'),
        (("a\nb\ud800",), '"a\\nb\\ud800"'),
        (("",), '""'),
    ],
)
def test_a_name_is_written_as_a_column_takes_it(path, expected):
    assert name_path(path) == expected


def test_a_long_name_is_cut_off():
    assert len(name_path(("x" * 60_000,))) == MAX_NAME_CHARACTERS
    assert len(name_path(("\n" * 60_000, "y"))) == MAX_NAME_CHARACTERS

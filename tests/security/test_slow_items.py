"""Items of 400 KB, made to be slow for what mappings say of them: each is mapped or refused in seconds.

What is measured is the processor's time, so that a machine that is busy fails nobody.
"""

import json
import time
from decimal import Decimal

import pytest

from dynaurora.dynamodb.attributes import plain_item
from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.errors import RejectedChange
from dynaurora.mappings.routing import write_rows
from dynaurora.mappings.row_mapper import RowMapper
from tests.support.factories import column, make_mapping

SIZE = 390_000
"""Characters: with its keys an item of DynamoDB's 400 KB."""
SECONDS = 3.0
"""For one item; jsonschema and Python's expressions took minutes for each of these."""
MODULUS = 2**61 - 1
"""Of Python's hashes of numbers: its multiples have the hash 0."""


def write(item, schema, source="payload.x", kind="JSON"):
    """Map an item by a mapping; the processor's seconds that it took, its row, and why it is refused."""
    mapper = RowMapper(make_mapping(column("x", kind, source), schema=schema, json_attributes=["payload"]))
    keys = {"id": {"S": "1"}}
    change, refusals = encode_change(Change(10**45, 1, keys, keys | item)), {}
    assert mapper.writer  # compiled before
    begin = time.process_time()
    rows = write_rows([change], mapper, refusals)
    return time.process_time() - begin, rows[0], [reason.rule for _, reasons in refusals.values() for reason in reasons]


def embed(value):
    """An item with a value in embedded JSON; a number's digits are told as bytes."""
    written = value.decode() if isinstance(value, bytes) else json.dumps(value, separators=(",", ":"))
    return {"payload": {"S": f'{{"x":{written}}}'}}


def under_x(schema):
    return {"type": "object", "properties": {"payload": {"type": "object", "properties": {"x": schema}}}}


def classes(character):
    return f"[\u0100-\uff00{character}]" * 300


TAKEN = {
    "numbers of one hash": ([number * MODULUS for number in range(1, 18_000)], {"uniqueItems": True}),
    "lists of numbers of one hash": ([[number * MODULUS] for number in range(1, 16_000)], {"uniqueItems": True}),
    "objects": ([{"": number} for number in range(32_000)], {"uniqueItems": True}),
    "wide classes": ([classes(chr(0x4E00 + number)) for number in range(60)], {"items": {"format": "regex"}}),
    "look-behind": (["(?<=" + "a" * 500 + "|b)"] * 700, {"items": {"format": "regex"}}),
    "names": ({f"k{number}": 0 for number in range(33_000)}, {"propertyNames": {"pattern": r"^(\w+\s?)*$"}}),
    "names of patterns": (
        {f"k{number}": 0 for number in range(33_000)},
        {"patternProperties": {r"^(a|ab|k\d*)*$": {"type": "integer"}}, "additionalProperties": False},
    ),
    "nothing contained": ([0] * 190_000, {"contains": {"type": "string"}, "minContains": 0}),
    "branches": ([0] * 190_000, {"items": {"oneOf": [{"type": "string"}, {"anyOf": [{"minimum": 0}] * 5}]}}),
}
REFUSED = {
    "nested quantifiers": (
        "a" * SIZE + "!", {"pattern": r"^([a-zA-Z0-9]+[._-]?)+@[a-z]+\.[a-z]+$"}, "pattern",
    ),
    "a counted repetition": ("ab" * (SIZE // 2), {"pattern": r"[ab]*a[ab]{900}c"}, "pattern"),
    "an ambiguous repetition": ("ab" * (SIZE // 2), {"pattern": r"(a|ab|b){1,300}c$"}, "pattern"),
    "a template of names": ("{a," * (SIZE // 3), {"format": "uri-template"}, "format"),
    "an address of brackets": ("a://[" + ":" * SIZE, {"format": "uri"}, "format"),
    "labels": ("é." * (SIZE // 3), {"format": "idn-hostname"}, "format"),
    "a fraction of a second": ("2024-01-01T00:00:00." + "9" * SIZE, {"format": "date-time"}, "format"),
    "digits of a quotient": (b"0." + b"7" * SIZE, {"multipleOf": Decimal("0.5")}, "multipleOf"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_a_slow_value_that_its_schema_takes(name):
    value, schema = TAKEN[name]
    seconds, row, rules = write(embed(value), under_x(schema))
    assert row, rules
    assert seconds < SECONDS


@pytest.mark.parametrize("name", REFUSED)
def test_a_slow_value_that_its_schema_refuses(name):
    value, schema, rule = REFUSED[name]
    seconds, row, rules = write(embed(value), under_x(schema))
    assert row is None
    assert rules == [rule]
    assert seconds < SECONDS


def test_long_names_above_many_values():
    long = {"M": {"n" * 130_000: {"L": [{"N": "1"}] * 130_000}}}
    seconds, row, rules = write({"x": long}, schema=True, source="x")
    assert (row, rules) == (None, ["length"])  # MySQL takes no such name
    assert seconds < SECONDS


def test_a_value_that_is_none_is_told_by_its_whole_path():
    item = {"x": {"M": {"a": {"L": [{"N": "1"}, {"M": {"b": {"N": "one"}}}]}}}}
    with pytest.raises(RejectedChange) as refused:
        plain_item(item)
    assert [reason.path for reason in refused.value.reasons] == ["x.a[1].b"]

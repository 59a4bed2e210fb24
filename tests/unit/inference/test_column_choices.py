"""Columns by what values were like: each choice, and what is told of it."""

import base64
import gzip
import json

import pytest

from dynaurora.inference.column_choices import UNWRAPPED, choose_column, choose_keys
from dynaurora.inference.proposals import leave_packed
from dynaurora.inference.value_profiles import AttributeProfile


def profile(*values, count=None):
    """The profile of typed values, each as often as told."""
    found = AttributeProfile()
    for kind, value in values:
        found.add(kind, [value] * (count or 1))
    return found


def choose(*values, name="thing", count=200, **options):
    return choose_column(name, profile(*values, count=count), **options)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([("N", "1"), ("N", "-5")], "BIGINT"),
        ([("N", "1E+3")], "BIGINT"),
        ([("N", str(2**62))], "DECIMAL(38,0)"),
        ([("N", str(2**63))], "DECIMAL(38,0)"),
        ([("N", "9" * 38)], "DECIMAL(38,0)"),
        ([("N", "1E+60")], "DECIMAL(65,0)"),
        ([("N", "1E+120")], "VARCHAR(255)"),
        ([("N", "9.99"), ("N", "100")], "DECIMAL(11,2)"),
        ([("N", "0.1234567890123456")], "DOUBLE"),
        ([("N", "0.12345678901234567890123")], "DECIMAL(30,23)"),
        ([("N", "1.5E-40"), ("N", "123456789012345678.5")], "VARCHAR(255)"),
        ([("S", "a" * 102)], "VARCHAR(255)"),
        ([("S", "a" * 103)], "VARCHAR(1024)"),
        ([("S", "a" * 410)], "TEXT"),
        ([("S", "a" * 7000)], "MEDIUMTEXT"),
        ([("B", "A" * 136)], "VARBINARY(255)"),
        ([("B", "A" * 4000)], "BLOB"),
        ([("B", "A" * 400_000)], "MEDIUMBLOB"),
        ([("BOOL", True)], "BOOLEAN"),
        ([("SS", ["a"])], "JSON"),
        ([("S", "2026-11-28")], "DATE"),
        ([("S", "2026-02-30")], "VARCHAR(255)"),
        ([("S", "20261128")], "VARCHAR(255)"),
        ([("S", "2026-11-28T01:02:03Z")], "DATETIME"),
        ([("S", "2026-11-28T01:02:03.120Z")], "DATETIME(3)"),
        ([("S", "2026-11-28 01:02:03.123456")], "DATETIME(6)"),
        ([("S", "2026-11-28T01:02:03Z"), ("S", "2026-11-28T01:02:03")], "VARCHAR(255)"),
        ([("S", "2026-11-28T01:02:03Z"), ("S", "2026-11-28")], "VARCHAR(255)"),
        ([("S", "2026-11-28T01:02:03Z"), ("S", "")], "VARCHAR(255)"),
        ([("S", '{"a": 1}')], "JSON"),
        ([("S", "[1]")], "JSON"),
        ([("S", "17")], "VARCHAR(255)"),
        ([("S", '"text"')], "VARCHAR(255)"),
        ([("S", '"{}"')], "JSON"),
        ([("S", "2026-11-28T10:15+0100")], "DATETIME"),
        ([("S", "2026-11-28t10:15:30,1234567z")], "DATETIME(6)"),
        ([("N", "1700000000"), ("N", "1800000000")], "DATETIME"),
        ([("N", "1700000000000"), ("N", "1800000000000")], "DATETIME(3)"),
        ([("N", "1700000000000000"), ("N", "1800000000000000")], "DATETIME(6)"),
        ([("S", "{}"), ("S", "{")], "VARCHAR(255)"),
        ([("S", '{"a": "\\ud800"}')], "VARCHAR(255)"),
        ([("S", "[" * 101 + "]" * 101)], "VARCHAR(1024)"),
        ([("S", "a"), ("N", "1")], "JSON"),
        ([("M", {}), ("L", [])], "JSON"),
        ([("NULL", True)], "JSON"),
        ([("NULL", True), ("N", "1")], "BIGINT"),
    ],
)
def test_a_column_takes_what_was_seen_with_room_for_more(values, expected):
    assert choose(*values).type == expected


def test_of_few_values_more_is_left_open():
    assert choose(("S", "a" * 52), count=5).type == "VARCHAR(1024)"
    assert choose(("S", "2026-11-28T01:02:03Z"), count=5).type == "DATETIME(6)"
    assert choose(("N", "9.99"), count=5).type == "DECIMAL(13,6)"


def test_numbers_behind_the_point_that_vary_get_room():
    found = profile(*(("N", f"1.{'1' * scale}") for scale in range(1, 5) for _ in range(20)))
    assert choose_column("a", found).type == "DECIMAL(11,4)"
    found.add("N", ["1.11111"])
    assert choose_column("a", found).type == "DECIMAL(17,10)"


def test_embedded_json_is_unwrapped_and_typed_by_what_it_is():
    found = choose(("S", '{"a": 1}'), ("S", "[1]"))
    assert found.encoding == "json"
    assert found.schema == {"type": ["object", "array", "null"]}


@pytest.mark.parametrize(("kind", "value", "what"), [("S", '{"a": 1}', "text"), ("B", "eyJhIjogMX0=", "binary")])
def test_it_is_doubtful_since_it_is_written_anew_and_no_more_where_it_stays_packed(kind, value, what):
    found = profile((kind, value))
    told = choose_column("a", found)
    assert (told.type, told.doubt) == ("JSON", UNWRAPPED.format(what))
    assert leave_packed(told, found).doubt == ""


def test_what_contradicts_itself_is_told_with_counts():
    assert (
        choose(("S", "a"), ("S", "b"), ("N", "1"), count=3).doubt == "text in 6, a number in 3 items: JSON takes both"
    )
    told = choose(*[("S", "2026-11-28")] * 3, ("S", "never"), count=2)
    assert (told.doubt, told.doubt_keys) == ("6 of 8 values are times, 2 are not: kept as text", "time")
    assert "4 days, 4 with one" in choose(*[("S", "2026-11-28"), ("S", "2026-11-28T01:02:03Z")] * 2, count=2).doubt


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("number", ["1700000000", "1700000100"], "look like s since 1970, but its name"),
        ("order_id", ["1700000000", "1800000000"], "look like s since 1970, but its name"),
        ("created_at", ["0", "1700000000"], "are 0: kept as numbers"),
        ("created_at", ["5", "1700000000"], ""),
        ("created_at", ["-1700000000", "1700000000"], ""),
        ("thing", ["17000000000", "18000000000"], ""),
        ("created_at", ["1700000000", "1700000000000"], ""),
    ],
)
def test_numbers_that_may_be_times_are_told_of_and_stay_numbers(name, values, told):
    found = choose(*(("N", value) for value in values), name=name)
    assert found.type == "BIGINT"
    assert told in found.doubt
    assert bool(told) == bool(found.doubt)


@pytest.mark.parametrize(
    ("name", "value", "type_", "unit"),
    [
        ("created_at", "1700000000", "DATETIME", "s"),
        ("createdAt", "1700000000123", "DATETIME(3)", "ms"),
        ("TTL", "1700000000", "DATETIME", "s"),
        ("lastSeenTimestamp", "1700000000123456", "DATETIME(6)", "us"),
        ("expiryDate", "4000000000", "DATETIME", "s"),
    ],
)
def test_numbers_whose_name_speaks_of_time_become_times(name, value, type_, unit):
    found = choose(("N", value), name=name, count=1)
    assert (found.type, found.options, found.doubt) == (type_, {"epoch": unit}, "")


def test_the_tables_time_to_live_is_a_time_whatever_its_name():
    assert choose(("N", "1700000000"), name="x", count=1).type == "BIGINT"
    assert choose(("N", "1700000000"), name="x", count=1, is_ttl=True).options == {"epoch": "s"}


def test_digits_of_a_second_that_no_column_keeps_are_told_of():
    found = choose(("S", "2026-11-28T01:02:03.123456789Z"))
    assert (found.type, found.options) == ("DATETIME(6)", {"digits": "truncate"})
    assert "up to 9 digits of a second" in found.doubt


def test_json_in_binary_is_unwrapped_however_it_is_packed():
    body = json.dumps({"a": [1]}).encode()
    for data, encoding in ((body, "binary"), (gzip.compress(body), "gzip")):
        found = choose(("B", base64.b64encode(data).decode()))
        assert (found.type, found.encoding, found.schema) == ("JSON", encoding, {"type": ["object", "null"]})
    both = [("B", base64.b64encode(data).decode()) for data in (body, gzip.compress(body))]
    assert choose(*both).type == "VARBINARY(255)"
    assert choose(both[0], ("B", "AAAA")).type == "VARBINARY(255)"
    assert choose(("B", base64.b64encode(gzip.compress(b"no JSON")).decode())).type == "VARBINARY(255)"


def test_json_that_is_encoded_twice_is_unwrapped_twice():
    assert choose(("S", json.dumps(json.dumps({"a": 1})))).encoding == "json_twice"
    assert choose(("S", json.dumps("{"))).type == "VARCHAR(255)"


def key_types(*profiles):
    return [choice.type for choice in choose_keys(profiles)]


def test_keys_fit_an_index_whatever_they_are():
    short, long, longest = (profile(("S", "a" * length), count=200) for length in (20, 200, 1000))
    whole, fraction, binary = profile(("N", "17")), profile(("N", "0.5")), profile(("B", "AAAA"))
    assert key_types(short) == ["VARCHAR(255)"]
    assert key_types(short, short) == ["VARCHAR(255)", "VARCHAR(255)"]
    assert key_types(long, short) == ["VARCHAR(512)", "VARCHAR(255)"]
    assert key_types(long, long) == ["VARBINARY(2048)", "VARBINARY(1024)"]
    assert key_types(longest) == ["VARBINARY(2048)"]
    assert key_types(short, longest) == ["VARCHAR(255)", "VARBINARY(1024)"]
    assert key_types(longest, short) == ["VARBINARY(2048)", "VARCHAR(255)"]
    assert key_types(whole, binary) == ["BIGINT", "VARBINARY(1024)"]
    assert key_types(fraction) == ["DECIMAL(12,5)"]


def test_a_key_that_names_times_stays_text_since_two_spellings_are_two_keys():
    assert key_types(profile(("S", "2026-11-28T01:02:03Z"))) == ["VARCHAR(255)"]


def test_a_profile_of_two_parts_is_that_of_the_whole():
    parts = [("S", "a"), ("S", ""), ("S", "2026-11-28"), ("N", "1.5"), ("N", "-3"), ("B", "AAAA"), ("NULL", True)]
    whole, merged = profile(*parts), AttributeProfile()
    for part in parts:
        merged.merge(profile(part))
    for name in ("values", "longest", "empty"):
        assert getattr(merged.texts, name) == getattr(whole.texts, name)
    assert merged.numbers == whole.numbers
    assert merged.kinds == whole.kinds
    assert merged.most_bytes == whole.most_bytes


def test_long_json_is_judged_as_its_column_does():
    name = "n" * 70_000
    assert choose(("S", json.dumps({name: 1})), count=1).type == "MEDIUMTEXT"


def test_what_was_seen_is_told_in_the_singular_too():
    assert choose(("N", "0")).seen == "whole numbers, up to 1 digit"
    assert choose(("S", "a")).seen == "text, up to 1 character"
    assert (
        choose(("S", "2026-11-28T10:15:30.1Z")).seen == "text naming a time with an offset, up to 1 digit of a second"
    )


def test_what_is_of_more_than_two_types_says_that_json_takes_all():
    found = choose(("S", "a"), ("N", "1"), ("BOOL", True), count=1)
    assert found.doubt.endswith("1 items: JSON takes all of them")


def test_nanoseconds_stay_numbers_and_are_told():
    found = choose(*(("N", str(1_700_000_000_123_456_789 + n)) for n in range(30)), name="createdAt")
    assert (found.type, found.options) == ("BIGINT", {})
    assert '"epoch": "ns"' in found.doubt
    assert choose(("N", str(1_700_000_000_123_456_789)), name="id").doubt == ""


def test_numbers_that_no_number_of_mysql_takes_are_told():
    assert choose(("N", "9.99E+125")).type == "VARCHAR(255)"
    assert choose(("N", "9.99E+125")).doubt == "more digits than any number of MySQL's: written as text"


def test_a_key_that_counts_time_stays_a_number_and_is_told():
    (found,) = choose_keys([profile(("N", "1764000000000"), ("N", "1764003600000"))], ["measured_at"])
    assert found.type == "BIGINT"
    assert found.seen == "whole numbers, up to 13 digits, which may count ms since 1970: a key stays a number"

"""The comparison: its judge sees what was altered or lost, its set has the kinds it says, and its page the form."""

import json
import math
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer

from benchmarks.compared.__main__ import CONTESTANTS, DOCUMENT
from benchmarks.compared.items import CURSOR, KEY, MOST_BYTES, Change, Item, Kind, make_changes, make_kinds
from benchmarks.compared.judging import Verdict, judge_change, judge_kind, judge_value, matches
from benchmarks.compared.running import StoppedError, find_error, run
from benchmarks.compared.tables import shorten
from benchmarks.documents import read_marked
from infra.places import ROOT

EXACT = "12345678901234567890123456789012345678"
NESTED: Item = {"n": {"N": EXACT}, "raw": {"B": b"\x00\xff"}, "tags": {"SS": ["b", "a"]}, "off": {"NULL": True}}
NESTED_TEXT = f'{{"n": "{EXACT}", "raw": "AP8=", "tags": ["a", "b"], "off": null}}'


@pytest.mark.parametrize(
    ("attribute", "held"),
    [
        ({"S": ""}, ""),
        ({"S": "a\x00😀"}, "a\x00😀"),
        ({"S": "a"}, b"a"),
        ({"S": "a"}, '"a"'),
        ({"S": "2026-11-23T08:15:00+02:00"}, datetime(2026, 11, 23, 6, 15)),
        ({"S": "2026-11-23T08:15:00.5Z"}, datetime(2026, 11, 23, 8, 15, 0, 500_000)),
        ({"S": "2024-02-29"}, date(2024, 2, 29)),
        ({"N": EXACT}, Decimal(EXACT)),
        ({"N": EXACT}, EXACT),
        ({"N": "1E-130"}, "0." + "0" * 129 + "1"),
        ({"N": "12.5"}, 12.5),
        ({"N": "7"}, 7),
        ({"N": "1764000000"}, datetime(2025, 11, 24, 16, 0)),
        ({"N": "1764000000000"}, datetime(2025, 11, 24, 16, 0)),
        ({"BOOL": True}, 1),
        ({"BOOL": False}, "false"),
        ({"NULL": True}, None),
        ({"B": b"\x00\xff"}, b"\x00\xff"),
        ({"B": b"\x00\xff"}, "AP8="),
        ({"NS": ["1", "2.50"]}, "[2.5, 1]"),
        ({"BS": [b"\x00\xff"]}, '["AP8="]'),
        ({"L": [{"N": "1"}, {"BOOL": True}]}, "[1, true]"),
        ({"M": NESTED}, NESTED_TEXT),
    ],
)
def test_what_is_held_without_loss_is_right(attribute: Any, held: Any) -> None:
    assert judge_value("a", attribute, {KEY: "k", "a": held}) is Verdict.RIGHT


@pytest.mark.parametrize(
    ("attribute", "held"),
    [
        ({"S": ""}, "x"),
        ({"S": "a "}, "a"),
        ({"S": "a"}, "A"),
        ({"S": "00123"}, 123),
        ({"S": "true"}, 1),
        ({"S": "e\u0301"}, "\u00e9"),
        ({"S": "2026-11-23T08:15:00+02:00"}, datetime(2026, 11, 23, 8, 15)),
        ({"S": "2026-11-23T08:15:00.123456789Z"}, datetime(2026, 11, 23, 8, 15, 0, 123_456)),
        ({"S": "2024-02-29"}, date(2024, 3, 1)),
        ({"N": EXACT}, float(EXACT)),
        ({"N": EXACT}, Decimal(EXACT) + 1),
        ({"N": "1E-130"}, Decimal("0E-30")),
        ({"N": "9.9E+125"}, math.inf),
        ({"N": "1764000000"}, datetime(2025, 11, 24, 16, 0, 1)),
        ({"N": "1"}, True),
        ({"BOOL": True}, 0),
        ({"NULL": True}, ""),
        ({"B": b"\x00\xff"}, b"\x00"),
        ({"B": b"\x00\xff"}, "\x00\ufffd"),
        ({"SS": ["a", "b"]}, '["a"]'),
        ({"SS": ["a", "b"]}, '["a", "c"]'),
        ({"L": [{"N": "1"}, {"N": "2"}]}, "[2, 1]"),
        ({"L": []}, "{}"),
        ({"M": NESTED}, NESTED_TEXT.replace(f'"{EXACT}"', "1.2345678901234567e37")),
        ({"M": NESTED}, NESTED_TEXT.replace(', "off": null', "")),
    ],
)
def test_what_was_altered_is_told(attribute: Any, held: Any) -> None:
    assert not matches(attribute, held)
    assert judge_value("a", attribute, {KEY: "k", "a": held}) is Verdict.ALTERED


def test_a_value_that_no_column_has_is_lost() -> None:
    assert judge_value("a", {"S": "x"}, {KEY: "k", "b": "y", "a": None}) is Verdict.LOST
    assert judge_value("a", {"S": "x"}, {KEY: "k", "b": "y"}) is Verdict.LOST


def test_a_value_is_found_under_another_name_and_in_a_document() -> None:
    assert judge_value("First Name", {"S": "x"}, {KEY: "k", "first_name": "x"}) is Verdict.RIGHT
    assert judge_value("mixed", {"S": "x"}, {KEY: "k", "mixed": None, "mixed__v_text": "x"}) is Verdict.RIGHT
    assert judge_value("名前", {"S": "x"}, {KEY: "k", "xx": "x"}) is Verdict.RIGHT
    assert judge_value("a", {"N": "1.0"}, {KEY: "k", "rest": '{"a": "1"}'}) is Verdict.RIGHT


def test_names_that_became_one_are_told() -> None:
    row = {KEY: "k", "name": "second"}
    assert judge_value("Name", {"S": "first"}, row) is Verdict.ALTERED
    assert judge_value("name", {"S": "second"}, row) is Verdict.RIGHT


def test_an_item_without_a_row_is_lost_or_refused_and_keys_are_compared_by_bytes() -> None:
    kind = Kind("keys", tuple({KEY: {"S": key}, "a": {"S": key}} for key in ("k", "K", "k ")))
    rows = [{KEY: "K", "a": "K"}, {KEY: b"k ", "a": "k "}]
    assert str(judge_kind(kind, rows, {})) == "2 right, 1 lost"
    judged = judge_kind(kind, rows, {"k": "too long"})
    assert (str(judged), judged.reason) == ("2 right, 1 refused", "too long")


def test_a_row_that_stands_twice_counts_by_its_worst() -> None:
    kind = Kind("twice", ({KEY: {"S": "k"}, "a": {"S": "new"}},))
    assert str(judge_kind(kind, [{KEY: "k", "a": "new"}, {KEY: "k", "a": "old"}], {})) == "altered"


def test_changes_that_did_not_arrive_are_told() -> None:
    before: Item = {KEY: {"S": "k"}, "a": {"S": "old"}, "b": {"S": "gone"}}
    deleted, updated = (
        Change("deleted", before, (None,)),
        Change("updated", before, ({KEY: {"S": "k"}, "a": {"S": "new"}},)),
    )
    row = {KEY: "k", "a": "old", "b": "gone"}
    assert str(judge_change(deleted, [row], {})) == "stayed"
    assert str(judge_change(deleted, [], {})) == "right"
    assert str(judge_change(updated, [row], {})) == "stayed"
    assert str(judge_change(updated, [row | {"a": "new"}], {})) == "stayed"
    assert str(judge_change(updated, [row | {"a": "old", "b": None}], {})) == "altered"
    assert str(judge_change(updated, [row | {"a": "new", "b": None}], {})) == "right"
    assert str(judge_change(updated, [], {})) == "lost"


def test_the_set_has_every_type_each_item_is_one_and_a_seed_makes_it_again() -> None:
    kinds = make_kinds()
    assert kinds == make_kinds()
    assert kinds != make_kinds(5)
    items = [item for kind in kinds for item in kind.items]
    assert len({item[KEY]["S"] for item in items}) == len(items)
    assert {next(iter(value)) for item in items for value in item.values()} == {
        *("S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M")
    }
    read = TypeDeserializer().deserialize
    assert all(read(value) is not ... for item in items for value in item.values())
    sizes = [len(json.dumps(item, default=bytes.hex, ensure_ascii=False).encode()) for item in items]
    assert sum(size > 0.9 * MOST_BYTES for size in sizes) == 2


@pytest.mark.parametrize(
    "value",
    ["1E-130", str(2**63), str(2**64), "\U0010fffd", "\x00", "", "2024-02-29", ".123456789Z", "1764"],
)
def test_the_set_has_the_values_that_tools_stumble_over(value: str) -> None:
    texts = [
        str(next(iter(attribute.values()))) for kind in make_kinds() for _, _, attribute in kind.values()
    ]  # fmt: skip
    assert any(value in text if value else text == value for text in texts)


def test_the_set_has_the_names_and_keys_that_tools_stumble_over() -> None:
    kinds = {kind.name: kind for kind in make_kinds()}
    names = {name for kind in kinds.values() for _, name, _ in kind.values()}
    assert {"a.b", "a_b", "first name", "Name", "name", "select", "_version", "_dlt_id"} <= names
    assert max(map(len, names)) > 65
    keys = [item[KEY]["S"] for item in kinds["keys that differ by a space at the end"].items]
    assert len(set(keys)) > len({key.strip() for key in keys})
    assert max(len(item[KEY]["S"]) for kind in kinds.values() for item in kind.items) == 700


def test_every_change_comes_later_than_what_it_changes() -> None:
    changes = make_changes()
    assert {change.after is None for change in changes} == {True, False}
    loaded = max(change.before[CURSOR]["S"] for change in changes if change.before)
    assert all(step[CURSOR]["S"] > loaded for change in changes for step in change.steps if step)


def test_a_program_that_fails_is_told_by_what_it_said_last(tmp_path: Any) -> None:
    used = run(["sh", "-c", "echo done"], {}, tmp_path)
    assert (used.output, used.cpu_seconds >= 0, used.peak_mb > 0) == ("done\n", True, True)
    with pytest.raises(StoppedError, match="no such table"):
        run(["sh", "-c", "echo no such table >&2; exit 3"], {}, tmp_path)
    assert shorten("a\n|b`") == "`a \\|b'`"


@pytest.mark.parametrize(
    ("printed", "said", "error"),
    [
        ("Rows: 20\nError: no merge\n", "Failed SQL query:\nINSERT\n", "Error: no merge"),
        ("", "Traceback\na.b.SomeError: x\na.b.LastError: y\nsome advice\n", "a.b.LastError: y"),
        ("", "Traceback\ndecimal.Rounded: [...]\n", "decimal.Rounded: [...]"),
        ("", "no such table\n", "no such table"),
        ("", "", "no word"),
    ],
)
def test_a_programs_error_is_found_among_what_else_it_says(printed: str, said: str, error: str) -> None:
    assert find_error(printed, said) == error


def test_the_page_has_a_row_for_each_kind_and_a_column_for_each_contestant() -> None:
    tables = read_marked(ROOT / DOCUMENT)
    titles = [contestant.title for contestant in CONTESTANTS]
    for mark, names in (
        ("values", [kind.name for kind in make_kinds()]),
        ("changes", [change.name for change in make_changes()]),
    ):
        head, _, *rows = (line.strip("| ").split(" | ") for line in tables[mark].splitlines())
        assert head[1:] == titles
        assert [row[0] for row in rows] == names
        words = {word for row in rows for cell in row[1:] for word in cell.replace(",", "").split() if word.isalpha()}
        assert words <= set(Verdict)
    assert [line.split(" | ")[0].strip("| ") for line in tables["totals"].splitlines()[2:]] == titles
    assert [line.split(" | ")[0].strip("| ") for line in tables["resources"].splitlines()[2:]] == titles

"""Mappings whose work nothing bounds: an item that is slow, or large in memory, is refused alone and in time."""

import json
import os
import random
import signal
import subprocess
import sys
import tracemalloc
from base64 import b64encode
from types import SimpleNamespace

import pytest

from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.errors import InvalidMappingError, RejectedChange
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.routing import write_rows
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.mappings.row_mappers import make_row_mapper
from dynaurora.mappings.sandbox import HANDED_RECORDS, Sandbox, SandboxedRowMapper, SandboxEndedError
from dynaurora.stream import transform_changes
from dynaurora.stream.transform_changes import Transformer
from tests.support.factories import column, make_mapping
from tests.support.fakes import InMemoryObjects

OLD_PATTERN = {"properties": {"x": {"pattern": r"^(?=a)(\w+\s?)*$"}}}
"""Of a mapping that was deployed before: exponential in Python's engine, and refused by RE2."""
COUNTING = {"properties": {"x": {"pattern": "a.{1,999}b.{1,999}c|^a$"}}}
"""Linear, and a thousand steps for each character."""
NODE = {"anyOf": [{"properties": {"a": {"$ref": "#/$defs/node"}}, "required": [name]} for name in "bcd"]}
RECURSIVE = {"$defs": {"node": NODE}, "properties": {"x": {"$ref": "#/$defs/node"}}}
UNEVALUATED = {
    "$defs": {"node": {"allOf": [{"properties": {"a": {"$ref": "#/$defs/node"}}}], "unevaluatedProperties": False}},
    "properties": {"x": {"$ref": "#/$defs/node"}},
}


def change(number, value, version=1):
    keys = {"id": {"S": str(number)}}
    return Change(version, 1, keys, keys | {"x": value})


def nest(depth):
    value = {"M": {}}
    for _ in range(depth):
        value = {"M": {"a": value}}
    return value


SLOW = {
    "a pattern of before": (OLD_PATTERN, {"S": "a" * 60 + "!"}),
    "a count that begins anew": (COUNTING, {"S": "".join(random.Random(1).choices("ab", k=390_000))}),
    "a schema that leads back": (RECURSIVE, nest(28)),
    "what is not evaluated": (UNEVALUATED, nest(28)),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_item_is_refused_alone(name):
    schema, value = SLOW[name]
    mapper = make_row_mapper(make_mapping(column("x", "JSON"), schema=schema))
    assert isinstance(mapper, SandboxedRowMapper)
    good = RowMapper(make_mapping(column("x", "JSON")))
    changes = [change(number, value if number == 2 else {"S": "a"}) for number in range(5)]
    refusals = {}
    rows = write_rows(list(map(encode_change, changes)), mapper, refusals)
    assert {index: [reason.rule for reason in reasons] for index, (_, reasons) in refusals.items()} == {2: ["time"]}
    assert [row for row in rows if row] == [
        row for index, row in enumerate(write_rows(list(map(encode_change, changes)), good, {})) if index != 2
    ]


def test_an_item_that_fills_the_memory_is_refused_alone():
    source = "payload.x | [@, @] | [@, @] | [@, @] | [@, @] | [@, @] | [@, @] | [@, @] | [@, @] | [@, @] | [@, @]"
    mapper = make_row_mapper(make_mapping(column("x", "JSON", source), json_attributes=["payload"]))
    keys, rules = {"id": {"S": "1"}}, []
    for size in (10, 390_000, 10):
        payload = {"S": json.dumps({"x": "a" * size})}
        try:
            mapper.row(Change(1, 1, keys, keys | {"payload": payload}))
            rules.append("")
        except RejectedChange as error:
            rules += [reason.rule for reason in error.reasons]
    assert rules == ["", "size", ""]


def test_rows_and_reasons_are_those_of_the_mapping_without_a_sandbox():
    mapping = make_mapping(column("x", "INT"), schema=OLD_PATTERN)
    plain, bounded = RowMapper(mapping), SandboxedRowMapper(mapping)
    for each in (
        change(1, {"N": "5"}),
        change(2, {"N": "1E99"}),
        change(3, {"S": "!"}),
        Change(7, 1, {"id": {"S": "4"}}, None),
    ):
        assert tell(bounded, each) == tell(plain, each)
    unmapped = change(1, {"N": "5"})
    unmapped.new_image["other"] = {"S": "b"}
    assert tell(bounded, unmapped) == tell(plain, unmapped)
    assert bounded.unmapped.take() == plain.unmapped.take()


def target(table, **options):
    columns = [column("id", "VARCHAR(20)"), column("x", "JSON")]
    return {"database": "Demo", "table": table, "schema": {}, "columns": columns} | options


def make_targets(*targets):
    source = {"table": "things", "partition_key": "id"}
    return build_mapping("things", {"source": source, "targets": list(targets)})


def test_several_targets_share_a_sandbox_where_one_of_them_needs_it():
    mapping = make_targets(target("Every"), target("Slow", schema=OLD_PATTERN, when="id > '1'"))
    every, slow = make_row_mapper(mapping).targets
    assert every.sandbox is slow.sandbox
    hard = change(2, {"S": "a" * 60 + "!"})
    assert tell(every, hard).fields == ("2", json.dumps(hard.new_image["x"]["S"]))
    assert [reason.rule for reason in tell(slow, hard)] == ["time"]
    assert tell(slow, change(3, {"S": "a"})).fields == ("3", '"a"')


def test_a_condition_that_could_fill_the_memory_is_refused_with_its_mapping():
    with pytest.raises(InvalidMappingError, match=r"\$\.targets\[0\]\.when.*32 times"):
        make_targets(target("Every", when="@ | [@, @] | [@, @] | [@, @] | [@, @] | [@, @]"))


def tell(mapper, each):
    try:
        return mapper.row(each)
    except RejectedChange as error:
        return error.reasons


def test_slow_items_leave_time_for_those_behind_them():
    mapper = make_row_mapper(make_mapping(column("x", "JSON"), schema=OLD_PATTERN))
    mapper.sandbox.allow(8)
    slow = [change(number, {"S": "a" * 60 + "!"}) for number in range(4)]
    *refused, last = [tell(mapper, each) for each in [*slow, change(41, {"S": "a"})]]
    assert [[reason.rule for reason in reasons] for reasons in refused] == [["time"]] * 4
    assert last.fields == ("41", '"a"')


def test_what_is_left_once_the_time_is_up_is_refused_unseen():
    mapper = make_row_mapper(make_mapping(column("x", "JSON"), schema=OLD_PATTERN))
    mapper.sandbox.allow(0)
    (reason,) = tell(mapper, change(1, {"S": "a"}))
    assert (reason.rule, reason.message.partition(":")[0]) == ("time", "was not mapped")
    mapper.sandbox.allow(10)
    assert tell(mapper, change(1, {"S": "a"})).fields == ("1", '"a"')


def test_a_process_that_is_killed_is_started_again():
    bounded = Sandbox(make_mapping(column("x", "JSON")))
    bounded.allow(60)
    os.kill(bounded._process.pid, signal.SIGKILL)
    mapper = SandboxedRowMapper(make_mapping(column("x", "JSON")), bounded)
    assert tell(mapper, change(1, {"S": "a"})).fields == ("1", '"a"')
    bounded.close()
    assert tell(mapper, change(1, {"S": "a"})).fields == ("1", '"a"')


def test_no_process_is_left_behind():
    bounded = Sandbox(make_mapping(column("x", "JSON")))
    bounded.allow(60)
    process = bounded._process
    del bounded
    assert process.poll() is not None


def test_a_sandbox_that_does_not_start_fails_the_invocation(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SandboxEndedError):
        Sandbox(make_mapping()).allow(60)


def test_the_environment_of_a_sandbox_needs_nothing_of_a_function():
    code = "import dynaurora.mappings.sandboxed, sys; print({'boto3', 'aws_lambda_powertools'} & sys.modules.keys())"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert shown.stdout == "set()\n"


def test_an_invocation_of_items_whose_numbers_are_long_holds_little_more_than_its_answer(monkeypatch):
    monkeypatch.setattr(transform_changes, "MAPPED_TOGETHER", 10_000)
    mapping = make_mapping(column("x", "JSON", "payload.x"), json_attributes=["payload"])
    payload = {"S": '{"x":[' + ",".join(["9E399"] * 1_000) + "]}"}
    keys = [{"id": {"S": str(number)}} for number in range(40)]
    changes = [encode_change(Change(1, 1, key, key | {"payload": payload})) for key in keys]
    records = [{"recordId": str(number), "data": b64encode(data).decode()} for number, data in enumerate(changes)]
    mappers = SimpleNamespace(find_current=lambda: RowMapper(mapping))
    transformer = Transformer("things", mappers, InMemoryObjects(), "landing", "arn", max_answer_bytes=256 * 1024)
    tracemalloc.start()
    result = transformer.transform(records)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [record["result"] for record in result.records] == ["ProcessingFailed"] * len(records)
    assert (result.overflowed, result.rejections) == (len(records), [])
    assert peak < 8 * 1024 * 1024  # two rows of 400 KB, each a few times while they are written


def draw_changes():
    """Some that the mapping takes, some that it refuses, deletes, and what is no change."""
    values = ({"N": "5"}, {"S": "!"}, {"N": "1E99"}, {"S": "7"})
    changes = [encode_change(change(number, values[number % 4], number + 1)) for number in range(130)]
    changes[3:3] = [encode_change(Change(7, 1, {"id": {"S": "4"}}, None)), b"no change", b'{"Version":"1"}']
    unmapped = change(900, {"N": "8"})
    unmapped.new_image["other"] = {"S": "b"}
    return [*changes, encode_change(unmapped)]


@pytest.mark.parametrize("schema", [{}, OLD_PATTERN], ids=["compiled", "plain"])
def test_what_is_handed_over_together_ends_as_without_a_sandbox(schema):
    mapping, changes = make_mapping(column("x", "INT"), schema=schema), draw_changes()
    plain, bounded = RowMapper(mapping), SandboxedRowMapper(mapping)
    expected, found = {}, {}
    assert write_rows(changes, bounded, found) == write_rows(changes, plain, expected)
    assert found == expected
    assert bounded.unmapped.take() == plain.unmapped.take()


@pytest.mark.parametrize("schema", [{}, OLD_PATTERN], ids=["compiled", "plain"])
def test_lines_of_an_export_are_handed_over_together_too(schema):
    mapping = make_mapping(column("x", "INT"), schema=schema)
    items = [{"id": {"S": str(n)}, "x": {"S": "!"} if n % 9 == 0 else {"N": str(n)}} for n in range(130)]
    lines = [json.dumps({"Item": item}).encode() for item in items]
    lines[5] = b" "
    asked = []

    def write(mapper):
        def exactly(index):
            asked.append(index)
            return

        return mapper.writer.write_items(lines, 7, 1000, exactly)

    csv, exact = write(RowMapper(make_mapping(column("x", "INT")))), list(asked)
    asked.clear()
    assert write(SandboxedRowMapper(mapping)) == csv
    assert asked == exact == [0, 5, *range(9, 130, 9)]


def test_a_slow_item_among_many_takes_none_of_those_beside_it_along():
    bounded = SandboxedRowMapper(make_mapping(column("x", "JSON"), schema=OLD_PATTERN))
    changes = [change(number, {"S": "a" * 60 + "!" if number == 60 else "a"}) for number in range(120)]
    refusals = {}
    rows = write_rows([*map(encode_change, changes)], bounded, refusals)
    assert {index: [reason.rule for reason in reasons] for index, (_, reasons) in refusals.items()} == {60: ["time"]}
    assert [index for index, row in enumerate(rows) if row is None] == [60]
    assert bounded.sandbox._together < HANDED_RECORDS


@pytest.mark.parametrize("wait", [0, 1], ids=["before any", "between two"])
def test_records_go_on_after_the_process_was_killed(wait):
    bounded = Sandbox(make_mapping(column("x", "JSON")))
    bounded.allow(60)
    mapper = SandboxedRowMapper(make_mapping(column("x", "JSON")), bounded)
    changes = [encode_change(change(1, {"S": "a"}))] * 60
    for _ in range(wait):
        write_rows(changes, mapper, {})
    os.kill(bounded._process.pid, signal.SIGKILL)
    refusals = {}
    assert write_rows(changes, mapper, refusals) == write_rows(changes, RowMapper(mapper.mapping), {})
    assert refusals == {}

"""Compiled code, held against the plain modules with jsonschema: the same bytes of the same records, or none."""

import json
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynaurora.dynamodb.attributes import plain_value
from dynaurora.dynamodb.changes import Change, decode_change, encode_change, from_stream_record
from dynaurora.errors import RejectedChange
from dynaurora.mappings.compiled import documents
from dynaurora.mappings.compiled.documents import MAX_LEARNT_NAMES
from dynaurora.mappings.compiled.fields import REFUSALS
from dynaurora.mappings.compiled.json_values import MAX_OPEN_DEPTH, encode_document, open_value
from dynaurora.mappings.compiled.plans import MAX_LEARNT
from dynaurora.mappings.compiled.row_text import FIELD_END, NULL_MARK, NULL_TEXT, ROW_END
from dynaurora.mappings.compiled.row_writer import MAX_VAIN_LESSONS, RowWriter
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.field_widths import measured_columns
from dynaurora.mappings.json_fields import encode_json
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.mappings.schema_judge import make_reference_judge
from tests.cases import load_cases
from tests.support.compiled_strategies import (
    ATTRIBUTES,
    NESTED,
    PAYLOAD,
    Pairs,
    as_line,
    dump,
    mapped_changes,
    mapped_lines,
    one,
)
from tests.support.example import load_example
from tests.support.factories import click, click_change, column, make_mapping, mapping_document
from tests.support.schema_strategies import NAMES, SCHEMAS

EXAMPLES = settings(max_examples=150, deadline=None)
MARKS = (FIELD_END, ROW_END, NULL_MARK)
VERSION, CHANGED_AT_MS = 17 * 10**48, 1_700_000_000_000


class Plainly:
    """The plain modules with jsonschema: the row of each record, None where it has none, and who asked for it."""

    def __init__(self, mapping, records, read):
        mapper = RowMapper(mapping, make_reference_judge(mapping))
        self.rows = [self.row(mapper, read, record) for record in records]
        self.asked = []

    @staticmethod
    def row(mapper, read, record):
        try:
            return mapper.row(read(record))
        except (RejectedChange, ValueError, KeyError, TypeError, RecursionError, AttributeError):
            return None

    def __call__(self, index):
        self.asked.append(index)
        return self.rows[index]

    def csv(self):
        return [None if row is None else encode_row(row) for row in self.rows]


def read_item(line):
    item = json.loads(line)["Item"]
    return Change(VERSION, CHANGED_AT_MS, dict(item.items()), dict(item.items()))


@EXAMPLES
@given(mapped=mapped_lines(), learnt=st.sampled_from([0, MAX_LEARNT_NAMES]))
def test_items_become_the_same_rows(mapped, learnt):
    mapping, lines = mapped
    with patch.object(documents, "MAX_LEARNT_NAMES", learnt):
        writer = RowWriter(mapping)
    for _ in range(2):  # the second time with what was learnt
        plainly = Plainly(mapping, lines, read_item)
        csv = writer.write_items(lines, VERSION, CHANGED_AT_MS, plainly)
        assert csv == b"".join(row for row in plainly.csv() if row is not None)
        assert len(set(plainly.asked)) == len(plainly.asked)
        rows = [row for row in plainly.rows if row is not None]
        check_widths(mapping, rows, writer.widths.take(len(rows)))


def check_widths(mapping, rows, widths):
    """Hold what a writer has measured against its rows: of text and binary, and not wider than NULL without need."""
    texts = [field or "" for row in rows for field in row.fields]
    if not widths:
        assert not rows or not measured_columns(mapping) or any(mark in text for text in texts for mark in MARKS)
        return
    for number, width in enumerate(widths):
        widest = max(len((row.fields[number] or "").encode()) for row in rows)
        assert widest <= width <= max(widest, len(NULL_TEXT)) if number in measured_columns(mapping) else width == 0


@EXAMPLES
@given(mapped=mapped_changes())
def test_changes_become_the_same_rows(mapped):
    mapping, records = mapped
    writer = RowWriter(mapping)
    for _ in range(2):
        plainly = Plainly(mapping, records, decode_change)
        assert writer.write_changes(records, plainly) == plainly.csv()


@pytest.mark.parametrize("case", load_cases(), ids=str)
def test_a_case_has_the_same_rows(case):
    records = [encode_change(from_stream_record(record)) for record in case.records]
    plainly = Plainly(case.mapping, records, decode_change)
    assert RowWriter(case.mapping).write_changes(records, plainly) == plainly.csv()


@pytest.mark.parametrize("defaults", [({}, {"default": "a"}), ({"default": "a"}, {})])
def test_columns_with_a_default_and_without_take_one_value(defaults):
    """A value that may be null: to one of them null is another thing than nothing there, to the other it is not."""
    embedded = {"type": "object", "properties": {"b": {"type": ["string", "null"]}}}
    columns = [column(f"c{number}", "VARCHAR(2)", "p.b") | more for number, more in enumerate(defaults)]
    mapping = make_mapping(*columns, schema={"properties": {"p": embedded}}, json_attributes=["p"])
    lines = lines_of({"p": {"S": "{}"}}, {"p": {"S": '{"b": null}'}}, {"p": {"S": '{"b": "x"}'}})
    assert asked_for(mapping, lines) == []


CLICKS = load_example()


def test_the_reference_mapping_needs_the_plain_modules_for_what_is_doubtful_only():
    good, doubtful = click_change(), click_change(json.dumps(click()).replace('"Hits": 3', '"Hits": 3.0'))
    delete = Change(8, 0, good.keys, None)
    records = [encode_change(change) for change in (good, doubtful, click_change("x"), delete, good)]
    plainly = Plainly(CLICKS, records, decode_change)
    assert RowWriter(CLICKS).write_changes(records, plainly) == plainly.csv()
    assert plainly.asked == [1, 2]


def lines_of(*items):
    return [json.dumps({"Item": {"id": {"S": "k"}} | item}).encode() for item in items]


def asked_for(mapping, lines, writer=None):
    """Which of the lines the plain modules were asked for."""
    plainly = Plainly(mapping, lines, read_item)
    csv = (writer or RowWriter(mapping)).write_items(lines, VERSION, CHANGED_AT_MS, plainly)
    assert csv == b"".join(row for row in plainly.csv() if row is not None)
    return plainly.asked


def test_names_that_nothing_names_are_learnt():
    mapping = make_mapping(
        column("a", "INT", "p.a"), schema={"properties": {"p": {"type": "object"}}}, json_attributes=["p"]
    )
    writer = RowWriter(mapping)
    lines = lines_of(
        {"p": {"S": '{"a": 1}'}},
        {"new": {"L": [{"N": "1"}]}, "p": {"S": '{"a": 2, "b": {"c": [1.5, null]}}'}},
        {"p": {"S": "{}"}},
    )
    assert asked_for(mapping, lines, writer) == [1]
    assert asked_for(mapping, lines, writer) == []
    broken = lines_of(
        {"new": {"L": [{"N": "x"}]}}, {"p": {"S": '{"b": ' + "9" * 5000 + "}"}}, {"p": {"S": '{"b": NaN}'}}
    )
    assert asked_for(mapping, broken, writer) == [0, 1, 2]


def test_as_many_names_are_learnt_as_a_mapping_is_allowed():
    mapping = make_mapping(column("a", "INT"))
    writer = RowWriter(mapping)
    names = [f"name{number}" for number in range(MAX_LEARNT + 50)]
    lines = lines_of(*({name: {"N": "1"} for name in names[start : start + 50]} for start in range(0, len(names), 50)))
    for line in lines:
        asked_for(mapping, [line], writer)
    assert asked_for(mapping, lines, writer) == [len(lines) - 1]


def test_refused_records_without_anything_to_learn_are_looked_at_so_often_only():
    mapping = make_mapping(column("a", "INT"))
    writer = RowWriter(mapping)
    bad, new = lines_of({"a": {"S": "x"}}, {"other": {"S": "x"}})
    for _ in range(MAX_VAIN_LESSONS):
        asked_for(mapping, [bad], writer)
    asked_for(mapping, [new], writer)
    assert asked_for(mapping, [new], writer) == [0]


def test_widths_are_those_of_all_rows_of_a_batch_and_of_no_others():
    mapping = make_mapping(
        column("a", "VARCHAR(9)"), column("b", "INT"), column("c", "TEXT"), column("d", "VARBINARY(9)")
    )
    writer = RowWriter(mapping)
    item = {"a": {"S": "abcd"}, "b": {"N": "123456"}, "d": {"B": "AAAA"}}
    for lines in (
        lines_of(item, {"c": {"S": "ä" * 5}}),
        lines_of({"c": {"S": "x" * 9}}),
        lines_of({"b": {"N": "1.5"}}),
    ):
        plainly = Plainly(mapping, lines, read_item)
        writer.write_items(lines, VERSION, CHANGED_AT_MS, plainly)
    assert writer.widths.take(3) == (1, 4, 0, 10, 4)
    writer.write_items(lines_of(item), VERSION, CHANGED_AT_MS, None)
    assert writer.widths.take(2) == ()
    writer.write_items(lines_of(item), VERSION, CHANGED_AT_MS, None)
    assert writer.widths.take(1) == (1, 4, 0, 2, 4)
    assert writer.widths.take(1) == ()
    assert RowWriter(make_mapping(column("a", "JSON"))).widths.measured == ()


@pytest.mark.parametrize("kind", ["VARCHAR(5)", "CHAR(5)", "VARBINARY(20)", "TINYBLOB"])
def test_a_time_of_a_change_that_no_field_holds_is_refused_and_not_measured(kind):
    mapping = make_mapping(column("a", kind, "@changed_at_ms"))
    assert asked_for(mapping, lines_of({}, {})) == [0, 1]


def test_a_text_with_the_separators_of_the_compiled_code_is_written_as_it_is():
    mapping = make_mapping(column("a", "VARCHAR(20)"), schema={"properties": {"a": {"type": ["string", "null"]}}})
    lines = lines_of(
        {"a": {"S": "\x1f\x1e\x1dN"}}, {}, {"a": {"S": "\x1dN"}}, {"a": {"NULL": True}}, {"a": {"S": "a,b\n"}}
    )
    assert asked_for(mapping, lines) == []


def test_documents_beside_a_text_with_separators_are_written_as_they_are():
    columns = column("a", "TEXT"), column("b", "JSON"), column("c", "JSON") | {"default": ["x,y"]}, column("d", "JSON")
    schema = {"properties": {"a": {"type": "string"}, "d": {"type": "string"}}}
    mapping = make_mapping(*columns, schema=schema, unmapped={"column": "rest"})
    document = {"M": {"n": {"N": "1.5"}, "s": {"S": 'q"\\,\x1d\n'}, "e": {"L": [{"NULL": True}, {"BOOL": False}]}}}
    lines = lines_of(
        {"a": {"S": "\x1f\x1d"}},
        {"a": {"S": "\x1e"}, "b": document, "c": document, "d": {"S": "\x1dN,"}, "e": document},
        {"a": {"S": ""}, "b": {"NULL": True}, "c": {"NULL": True}},
    )
    writer = RowWriter(mapping)
    asked_for(mapping, lines, writer)
    assert asked_for(mapping, lines, writer) == []
    assert asked_for(mapping, lines[2:], writer) == []


BOUNDS = [
    ({"minimum": 2}, ["2"], ["1", "-3"]),
    ({"maximum": -2}, ["-2"], ["-1"]),
    ({"minimum": 1, "maximum": 3, "description": "few"}, ["1", "3"], ["0", "4"]),
    ({"minimum": 10**18}, ["1" + "0" * 18], ["9" * 18]),
    ({"minimum": 1, "multipleOf": 2}, ["2"], ["0", "3"]),
]


@pytest.mark.parametrize("types", ["integer", ["integer", "null"]])
@pytest.mark.parametrize("kind", ["BIGINT", "DECIMAL(38,0)", "VARCHAR(40)"])
@pytest.mark.parametrize(("bounds", "good", "bad"), BOUNDS)
def test_bounds_of_whole_numbers_are_judged_in_place(bounds, good, bad, kind, types):
    mapping = make_mapping(column("a", kind), schema={"properties": {"a": {"type": types} | bounds}})
    odd = [{"NULL": True}, {"NULL": False}, {"N": "2", "NULL": True}, {"N": "x"}, {"N": "1_0"}, {"N": "2.5"}, {}]
    lines = lines_of({}, *({"a": {"N": text}} for text in good), *({"a": {"N": text}} for text in bad))
    asked = asked_for(mapping, lines)
    assert asked == [*range(1 + len(good), len(lines))]
    asked_for(mapping, lines_of(*({"a": value} for value in odd)))


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (mapping_document(schema={"allOf": [{"required": ["a"]}]}), "allOf at $ judges the item as a whole"),
        (mapping_document(schema=False), "the schema at $ takes nothing"),
        (mapping_document(schema={"type": "array"}), "type at $ takes no objects"),
        (mapping_document(schema={"additionalProperties": {"type": "string"}}), "additionalProperties at $ judges"),
        (mapping_document(schema={"additionalProperties": False}), "does not allow id, which is needed"),
        (mapping_document(column("a", "INT", "length(@)")), "from at column a may look at the item as a whole"),
        (mapping_document(column("a", "INT", "*.b | [0]")), "from at column a may look at the item as a whole"),
        (mapping_document(schema={"properties": {"a": {"unevaluatedItems": False}}}), "unevaluatedItems at $"),
    ],
)
def test_a_mapping_without_a_plan_says_why_and_is_written_plainly(document, why):
    mapping = build_mapping("things", document)
    writer = RowWriter(mapping)
    assert why in writer.why_plain
    assert asked_for(mapping, lines_of({"a": {"L": []}}, {}), writer) == [0, 1]
    records = [encode_change(Change(5, 0, {"id": {"S": "k"}}, {"id": {"S": "k"}}))]
    plainly = Plainly(mapping, records, decode_change)
    assert writer.write_changes(records, plainly) == plainly.csv()


@EXAMPLES
@given(attribute=NESTED | ATTRIBUTES)
def test_a_document_is_written_as_its_columns_encoder_writes_it(attribute):
    try:
        typed = msgspec.json.decode(dump(attribute))  # which lets no lone surrogate through
        written = encode_document(open_value(typed)).decode()
    except REFUSALS:
        return  # the plain modules decide
    assert written == encode_json(plain_value(typed, ""))


ODD_LIMITS = [
    {"type": "string", "maxLength": 3.0},
    {"type": "string", "minLength": 10**20},
    {"type": "array", "minItems": 1.0},
    {"type": "array", "items": {"type": "string"}, "maxItems": 10**30},
    {"type": "integer", "minimum": 10**30},
    {"type": "integer", "minimum": -1.5},
    {"type": "string", "enum": []},
    {"type": "string", "enum": ["xyz", 1]},
]


@pytest.mark.parametrize("kind", ["JSON", "VARCHAR(20)", "INT"])
@pytest.mark.parametrize("schema", ODD_LIMITS, ids=json.dumps)
def test_limits_that_no_type_can_say_are_judged_all_the_same(schema, kind):
    inner = {"type": "object", "properties": {"x": schema}, "required": ["x"]}
    mapping = make_mapping(
        column("a", kind),
        column("b", kind, "p.x"),
        column("c", "JSON"),
        schema={"properties": {"a": schema, "p": inner, "c": inner}},
        json_attributes=["p"],
    )
    values = [{"S": "xyz"}, {"S": "four"}, {"N": "5"}, {"L": [{"S": "q"}]}, {"L": []}]
    lines = lines_of(*({"a": value} for value in values), *({"c": {"M": {"x": value}}} for value in values))
    asked_for(mapping, [*lines, *lines_of(*({"p": {"S": f'{{"x": {x}}}'}} for x in ('"xyz"', "5", '["q"]')))])


ODD_NAME = 'na"me'


@pytest.mark.parametrize(
    "properties",
    [
        {ODD_NAME: {"type": "string"}},
        {"p": {"type": "object", "properties": {ODD_NAME: {"type": "string"}}}},
        {"c": {"type": "object", "properties": {ODD_NAME: {"type": "string"}}}},
        {"p": {"type": "object", "properties": {}}, "c": {"type": "object", "properties": {}}},
    ],
)
def test_names_that_no_type_can_have_are_mapped_plainly(properties):
    mapping = make_mapping(
        column("b", "INT", "p.x"), column("c", "JSON"), schema={"properties": properties}, json_attributes=["p"]
    )
    embedded = {"S": json.dumps({"x": 1, ODD_NAME: "y"})}
    lines = lines_of({ODD_NAME: {"S": "x"}}, {"p": embedded}, {"c": {"M": {ODD_NAME: {"S": "x"}}}}, {"p": {"S": "{}"}})
    writer = RowWriter(mapping)
    for _ in range(2):
        asked_for(mapping, lines, writer)


@pytest.mark.parametrize("unmapped", ["ignore", "reject"])
def test_names_that_documents_leave_open_are_learnt(unmapped):
    inner = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "object"}}}}
    mapping = make_mapping(column("doc", "JSON"), schema={"properties": {"doc": inner}}, unmapped=unmapped)
    writer = RowWriter(mapping)
    lines = lines_of(
        {"doc": {"M": {"a": {"L": [{"M": {}}]}}}},
        {"doc": {"M": {"new": {"N": "1"}, "a": {"L": [{"M": {"z": {"BOOL": True}, "y": {"S": "x"}}}]}}}},
    )
    assert asked_for(mapping, lines, writer) == [1]
    assert asked_for(mapping, lines, writer) == []


def test_what_no_column_takes_is_kept_by_compiled_code():
    schema = {"properties": {"p": {"type": "object", "properties": {"a": {"type": "integer"}}}}}
    mapping = make_mapping(column("a", "INT", "p.a"), schema=schema, json_attributes=["p"], unmapped={"column": "rest"})
    writer = RowWriter(mapping)
    lines = lines_of(
        {},
        {"p": {"S": '{"a": 1}'}},
        {"p": {"S": '{"z": 1.5, "b": [], "a": 1}'}, "new": {"SS": ["b", "a"]}, "x": {"NULL": True}},
    )
    asked_for(mapping, lines, writer)
    assert asked_for(mapping, lines, writer) == []
    assert asked_for(mapping, lines_of({"new": {"M": {"n" * 70_000: {"S": ""}}}}), writer) == [0]


def first(pair):
    return pair[0]


LEFT = st.lists(st.tuples(st.sampled_from([*NAMES, "p"]), NESTED | ATTRIBUTES | PAYLOAD), max_size=4, unique_by=first)


@EXAMPLES
@given(items=st.lists(LEFT, min_size=1, max_size=6), properties=st.dictionaries(st.sampled_from(NAMES), SCHEMAS))
def test_what_is_left_is_the_same_whatever_was_guessed_of_it(items, properties):
    mapping = make_mapping(
        column("inner", "JSON", "a.b"),
        schema={"properties": properties},
        json_attributes=["p"],
        unmapped={"column": "rest"},
    )
    writer = RowWriter(mapping)
    lines = [as_line(Pairs([("id", one("S", "k")), *item])) for item in items]
    for line in [*lines, *lines]:  # one at a time, so that each is guessed from those before
        asked_for(mapping, [line], writer)
    asked_for(mapping, lines, writer)


def test_binary_is_text_to_a_schema_once_it_was_seen():
    mapping = make_mapping(
        schema={"properties": {"a": {"type": "string", "maxLength": 8}}}, unmapped={"column": "rest"}
    )
    writer = RowWriter(mapping)
    lines = lines_of({"a": {"S": "x"}}, {"a": {"B": "AAH/"}}, {"a": {"B": "AAAAAAAAAAAAAAAA"}}, {"a": {"S": "y"}})
    assert asked_for(mapping, lines, writer) == [1, 2]
    assert asked_for(mapping, lines, writer) == [2]


def test_names_that_are_data_are_not_learnt_one_by_one():
    inner = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    properties = {"doc": inner, "loose": {"type": "object"}}
    mapping = make_mapping(column("doc", "JSON"), column("loose", "JSON"), schema={"properties": properties})
    writer = RowWriter(mapping)
    entries = [{"M": {"a": {"S": "x"}, f"id-{number}": {"N": str(number)}, 'q"': {"L": []}}} for number in range(100)]
    lines = lines_of(*({"doc": entry, "loose": entry} for entry in entries))
    for line in lines:
        asked_for(mapping, [line], writer)
    assert asked_for(mapping, lines, writer) == []
    odd = [
        {"doc": {"M": {"b": {"S": "x"}}}},
        {"doc": {"M": {"a": {"N": "1"}}}},
        {"loose": {"M": {"n" * 70_000: {"S": ""}}}},
    ]
    assert asked_for(mapping, lines_of(*odd), writer) == [0, 1, 2]


@pytest.mark.parametrize(
    "members",
    [["12", "3", "-4"], ["+1"], ["01"], ["1_0"], ["١"], ["1.5", "2"], ["-0"], ["9" * 20], ["1,2"], ["3", "1,2"]],
)
def test_sets_of_numbers_are_written_as_by_the_plain_modules(members):
    schema = {"properties": {"a": {"type": "array", "items": {"type": "number"}}}}
    asked_for(
        make_mapping(column("a", "JSON"), column("b", "JSON"), schema=schema),
        lines_of({"a": {"NS": members}}, {"b": {"NS": members}}),
    )


@pytest.mark.parametrize("levels", [MAX_OPEN_DEPTH, MAX_OPEN_DEPTH + 2, 99, 120])
def test_documents_of_any_depth_are_written_as_by_the_plain_modules(levels):
    attribute = {"S": "x"}
    for _ in range(levels):
        attribute = {"L": [attribute]}
    asked = asked_for(make_mapping(column("doc", "JSON")), lines_of({"doc": attribute}))
    assert asked == ([] if levels <= MAX_OPEN_DEPTH else [0])


@pytest.mark.parametrize("name", ["n" * 16_000, "n" * 16_384, "é" * 40_000])
def test_documents_with_long_names_are_written_as_by_the_plain_modules(name):
    asked_for(make_mapping(column("doc", "JSON")), lines_of({"doc": {"M": {name: {"N": "1"}}}}))


MOMENTS = ["2024-02-29", "2023-02-29", "2026-12-31T23:59:59Z", "2026-01-02 24:00:00", "2026-01-02T03:04:60Z"]
MOMENTS += ["1970-01-01T00:00:00", "2038-01-19T03:14:08Z", "0999-01-01T00:00:00", "2026-01-02T03:04:05.120Z"]
MOMENTS += [
    "2026-01-02T03:04:05.123456Z",
    "2026-01-02T03:04:05+02:00",
    "2026-13-01",
    "2026-1-2",
    "2026-01-02T03:04:05ZZ",
]


@pytest.mark.parametrize("kind", ["DATE", "DATETIME", "DATETIME(3)", "DATETIME(6)", "TIMESTAMP", "TIMESTAMP(3)"])
def test_dates_and_times_are_written_as_by_the_plain_modules(kind):
    mapping = make_mapping(column("at", kind), schema={"properties": {"at": {"type": "string"}}})
    asked_for(mapping, lines_of(*({"at": {"S": moment}} for moment in MOMENTS)))


def test_a_quoted_name_has_one_answer_for_null_and_for_nothing_there():
    mapping = make_mapping(column("doc", "JSON", '"a"'), column("text", "VARCHAR(5)", '"a"'))
    asked_for(mapping, lines_of({"a": {"NULL": True}}, {}, {"a": {"S": "x"}}))


@pytest.mark.parametrize("descriptor", ["SS", "NS", "BS"])
@pytest.mark.parametrize("schema", [True, {"type": "array"}])
def test_an_empty_set_breaks_no_batch(schema, descriptor):
    mapping = make_mapping(column("a", "JSON"), schema={"properties": {"a": schema}})
    asked_for(mapping, lines_of({"a": {descriptor: []}}, {}))


@pytest.mark.parametrize("kind", ["TEXT", "VARCHAR(5)", "INT", "DOUBLE", "BLOB", "BOOLEAN", "JSON"])
@pytest.mark.parametrize("names", ["null", ["null"]])
def test_a_schema_of_null_takes_nothing_else(names, kind):
    mapping = make_mapping(column("a", kind), schema={"properties": {"a": {"type": names}}})
    values = [{"S": "x"}, {"N": "5"}, {"B": "AA=="}, {"BOOL": True}, {"NULL": True}]
    asked_for(mapping, lines_of(*({"a": value} for value in values)))


def test_a_name_that_is_too_long_for_json_is_not_learnt():
    inner = {"type": "object", "properties": {"k": {"type": "string"}}}
    mapping = make_mapping(column("a", "JSON"), schema={"properties": {"a": inner}})
    writer = RowWriter(mapping)
    lines = lines_of({"a": {"M": {"x" * 65_536: {"S": "v"}}}})
    for _ in range(2):
        assert asked_for(mapping, lines, writer) == [0]


def test_what_one_item_teaches_is_bounded():
    names = [f"n{number}" for number in range(2 * MAX_LEARNT)]
    mapping = make_mapping(
        column("a", "INT", "p.a"), schema={"properties": {"p": {"type": "object"}}}, json_attributes=["p"]
    )
    for item in ({name: {"NULL": True} for name in names}, {"p": {"S": json.dumps(dict.fromkeys(names))}}):
        writer = RowWriter(mapping)
        asked_for(mapping, lines_of(item), writer)
        assert writer.plan.learnt == MAX_LEARNT


def test_an_item_that_teaches_something_before_it_breaks_leaves_no_old_code():
    properties = {
        "p": {"type": "object", "properties": {"s": {"type": "string"}}},
        "q": {"type": "object", "properties": {"t": {"type": "string"}}},
    }
    columns = column("s", "TEXT", "p.s"), column("t", "TEXT", "q.t")
    mapping = make_mapping(*columns, schema={"properties": properties}, json_attributes=["p", "q"])
    writer = RowWriter(mapping)
    good = {"p": {"S": '{"s": "x"}'}, "q": {"S": '{"t": "y"}'}}
    deep = {"p": {"S": json.dumps({"s": "[" * 201 + "\x1f"})}, "q": {"S": '{"t": "y"}'}}
    asked_for(mapping, lines_of(good), writer)
    asked_for(mapping, lines_of({"p": {"S": '{"s": "x", "new": 1}'}, "q": {"S": "{bad"}}), writer)
    asked_for(mapping, lines_of(good, deep), writer)
    assert asked_for(mapping, lines_of({"p": {"S": '{"s": "x", "new": 1}'}}), writer) == []

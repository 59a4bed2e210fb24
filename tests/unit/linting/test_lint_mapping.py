"""Linting: each thing that is found, all of it at once, and nothing where nothing is wrong."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynaurora.dynamodb.attributes import load_json
from dynaurora.dynamodb.changes import Change
from dynaurora.errors import InvalidMappingError, RejectedChange
from dynaurora.linting.findings import DOUBTFUL, ERROR, LintFinding, point_to, sort_findings
from dynaurora.linting.lint_mapping import lint_mapping
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.row_mapper import RowMapper
from tests.cases import CASES
from tests.support.compiled_strategies import COLUMN_TYPES, as_line, items
from tests.support.example import load_example
from tests.support.factories import column, mapping_document
from tests.support.schema_strategies import SCHEMAS

SCHEMA = {
    "type": "object",
    "required": ["id", "total"],
    "properties": {
        "id": {"type": "string"},
        "total": {"type": "number"},
        "count": {"type": "integer"},
        "email": {"type": "string", "maxLength": 320},
        "status": {"enum": ["open", "closed"]},
        "lines": {"type": "array"},
        "user.name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
    },
    "$defs": {"address": {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False}},
}
CLOSED = SCHEMA | {"additionalProperties": False}


def lint(*columns, schema=SCHEMA, **options):
    return lint_mapping("things", mapping_document(*columns, schema=schema, **options))


def found(*columns, **options):
    return [
        (each.severity, each.rule, each.place.removeprefix("/target/columns/1")) for each in lint(*columns, **options)
    ]


@pytest.mark.parametrize(
    ("type_", "source", "expected"),
    [
        ("DATETIME", "count", [(ERROR, "type", "/type")]),
        ("INT", "email", [(ERROR, "type", "/type")]),
        ("BOOLEAN", "count", [(ERROR, "type", "/type")]),
        ("VARCHAR(9)", "lines", [(ERROR, "type", "/type")]),
        ("DATE", "@changed_at_ms", [(ERROR, "type", "/type")]),
        ("BIGINT", "@changed_at_ms", []),
        ("INT", "total", [(DOUBTFUL, "type", "/type")]),
        ("INT", "to_number(email)", []),
        ("VARCHAR(400)", "email", []),
        ("VARCHAR(255)", "email", [(DOUBTFUL, "length", "/type")]),
        ("VARCHAR(4)", "status", [(DOUBTFUL, "value", "/type")]),
        ("INT", "status", [(ERROR, "type", "/type")]),
        ("VARCHAR(9)", "email[0:5]", [(ERROR, "null", "/from")]),
        ("VARCHAR(9)", "id[5:]", [(ERROR, "null", "/from")]),
        ("VARCHAR(9)", "anything[5:]", [(ERROR, "type", "/type")]),
        ("JSON", "anything[5:]", []),
        ("JSON", "lines[0:5]", []),
        ("VARCHAR(9)", "lines[0]", []),
        ("VARCHAR(9)", "email.domain", [(ERROR, "null", "/from")]),
        ("INT", "length(lines)", [(DOUBTFUL, "expression", "/from")]),
        ("INT", "length(lines || `[]`)", []),
        ("INT", "length(count)", [(ERROR, "expression", "/from")]),
        ("INT", "length(id)", []),
        ("DECIMAL(9,2)", "abs(total)", []),
        ("VARCHAR(9)", "address.city", []),
        ("VARCHAR(9)", "address.town", [(ERROR, "name", "/from")]),
        ("VARCHAR(9)", "user.name", [(ERROR, "name", "/from")]),
        ("VARCHAR(9)", '"user.name"', []),
        ("VARCHAR(9)", "emial", [(DOUBTFUL, "name", "/from")]),
        ("VARCHAR(9)", "phone", []),
        ("VARCHAR(9)", "user-id", [(ERROR, "from", "/from")]),
        ("VARCHAR(9)", "$type", [(ERROR, "from", "/from")]),
        ("VARCHAR(9)", "nope(id)", [(ERROR, "from", "/from")]),
        ("VARCHAR(9)", "@changed", [(ERROR, "from", "/from")]),
        ("WORDS", "email", [(ERROR, "type", "/type")]),
    ],
)
def test_a_column_is_held_against_the_schema_of_what_it_takes(type_, source, expected):
    assert found(column("c", type_, source)) == expected


@pytest.mark.parametrize(("name", "meant"), [("emial", "Did you mean 'email'?"), ("zzz", "Add it to the schema's")])
def test_a_name_that_a_closed_schema_cannot_have_is_an_error_with_what_may_be_meant(name, meant):
    (finding,) = lint(column("c", "VARCHAR(400)", name), schema=CLOSED)
    assert (finding.severity, finding.rule) == (ERROR, "name")
    assert finding.remedy.startswith(meant)
    (finding,) = lint(schema=CLOSED, json_attributes=["payload"])
    assert finding.place == "/source/json_attributes"


@pytest.mark.parametrize("name", ["user-id", "$type", "#pk", "1st", "first name", "aws:rep:updateregion", "größe"])
def test_an_odd_name_is_told_with_its_quotes_and_these_hold(name):
    (finding,) = lint(column("c", "VARCHAR(9)", name), schema=True)
    quoted = json.loads(finding.remedy.partition('"from": ')[2].rstrip("."))
    assert lint(column("c", "VARCHAR(9)", quoted), schema=True) == []


def test_everything_is_told_at_once_errors_first():
    document = mapping_document(
        column("a", "INTEGERS"), column("b", "INT", "x y"), column("c", "INT", "total"), schema=SCHEMA
    )
    document["target"]["columns"][1]["nulable"] = True
    document["taget"] = {}
    document["source"]["partition_key "] = "id"
    places = [(each.severity, each.place) for each in lint_mapping("things", document)]
    assert places == [
        (ERROR, "/source/partition_key "),
        (ERROR, "/taget"),
        (ERROR, "/target/columns/1/nulable"),
        (ERROR, "/target/columns/1/type"),
        (ERROR, "/target/columns/2/from"),
        (DOUBTFUL, "/target/columns/3/type"),
    ]


@pytest.mark.parametrize("document", [[], {}, {"target": {"columns": [1]}}, {"source": 1, "schema": 5, "target": None}])
def test_what_is_no_mapping_at_all_is_told_by_its_shape(document):
    assert {each.rule for each in lint_mapping("things", document)} <= {"shape", "name"}
    assert lint_mapping("things", document)


def test_a_schema_that_is_none_is_told_by_its_places():
    schema = {"type": "objekt", "properties": {"a": {"minLength": "x"}}}
    assert {each.place for each in lint(schema=schema)} == {"/schema/type", "/schema/properties/a/minLength"}
    assert "pattern" in {each.rule for each in lint(schema={"properties": {"a": {"pattern": "(?=a)b"}}})}
    assert lint(schema={"$ref": "#/nowhere"})[0].place == "/schema/$ref"


@pytest.mark.parametrize(
    ("pattern", "rule", "told"),
    [
        ("(", "schema", "is no regular expression"),
        (r"^\p{Alphabetic}$", "schema", r"Of \p{…} there are"),
        ("(?=a)", "pattern", "takes more than linear time"),
    ],
)
def test_a_pattern_that_is_none_or_takes_too_long_is_told_by_its_place(pattern, rule, told):
    schema = {"type": "object", "properties": {"id": {"type": "string", "pattern": pattern}}}
    finding, *_ = lint(schema=schema)
    assert (finding.severity, finding.rule, finding.place) == (ERROR, rule, "/schema/properties/id/pattern")
    assert told in f"{finding.message} {finding.remedy}"


def test_what_may_be_of_several_forms_is_told_in_the_one_that_is_meant():
    document = mapping_document()
    document["source"]["json_attributes"] = [{"name": "payload", "encoding": "zip"}, 5]
    found = [(each.place, each.message) for each in lint_mapping("things", document)]
    assert found[0] == (
        "/source/json_attributes/0/encoding",
        "'zip' is not one of ['json', 'json_twice', 'binary', 'gzip']",
    )
    assert found[1] == ("/source/json_attributes/1", "5 is not valid under any of the given schemas")


def test_a_schema_that_is_nested_too_deep_is_told():
    schema = {}
    for _ in range(400):
        schema = {"not": schema}
    (finding,) = lint(schema=schema)
    assert (finding.severity, finding.message) == (ERROR, "it is nested too deep to be looked at")


def test_a_condition_that_is_none_is_told_on_one_line():
    document = mapping_document()
    target = document.pop("target") | {"when": "starts_with(id", "schema": document.pop("schema")}
    findings = lint_mapping("things", document | {"targets": [target]})
    assert [(each.place, "\n" in each.message) for each in findings] == [("/targets/0/when", False)]


def test_what_the_loader_says_of_the_whole_is_told():
    assert found(column("id", "DECIMAL(9,2)", "total")) == [(ERROR, "column", "/name")]
    assert found(column("other", "VARCHAR(9)", "id")) == [(ERROR, "mapping", "/target/columns")]
    wide = [column(f"f{number:02}", "VARCHAR(60)", f"f{number}") for number in range(40)]
    assert "a row may take" in lint(*wide, schema=True)[0].message


def test_a_key_is_held_against_the_tables_own():
    document = mapping_document(schema=SCHEMA)
    assert lint_mapping("things", document, {"id": "S"}) == []
    (renamed,) = lint_mapping("things", document, {"pk": "S", "sk": "N"})
    assert renamed.message == "the mapping's key is id, and the table's pk + sk"
    number = lint_mapping("things", document, {"id": "N"})
    assert [(each.rule, each.place) for each in number] == [("key", "/schema/properties/id")]
    document["target"]["columns"][0]["type"] = "BIGINT"
    binary = lint_mapping("things", document, {"id": "B"})
    assert ("key", "/target/columns/0/type") in [(each.rule, each.place) for each in binary]


@pytest.mark.parametrize(
    "schema",
    [
        {"oneOf": [{"required": ["email"]}, {"required": ["lines"]}]},
        {"allOf": [{"required": ["email", "lines"]}], "properties": {"lines": {"type": ["array", "null"]}}},
        {"properties": {"email": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}, "required": ["email", "lines"]},
        {"properties": {"email": {"not": {"type": "integer"}}}, "required": ["email", "lines"]},
        {
            "patternProperties": {"^e": {"type": "string"}},
            "additionalProperties": False,
            "required": ["email", "lines"],
        },
    ],
)
def test_what_a_schema_does_not_plainly_say_gives_no_finding(schema):
    assert (
        lint(column("c", "VARCHAR(9)", "email"), column("d", "BOOLEAN", "starts_with(email, 'a')"), schema=schema) == []
    )


def test_what_is_wrong_with_columns_does_not_hide_what_is_wrong_with_the_row():
    wide = [column(f"f{number:02}", "VARCHAR(60)", f"f{number}") for number in range(40)]
    wrong = column("bad", "INTEGERS"), column("BAD", "INT", "x y"), column("_version", "INT", "v")
    findings = lint(*wide, *wrong, schema=True)
    assert [(each.rule, each.place) for each in findings] == [
        ("mapping", "/target/columns"),
        ("type", "/target/columns/41/type"),
        ("from", "/target/columns/42/from"),
        ("column", "/target/columns/42/name"),
        ("column", "/target/columns/43/name"),
    ]


def test_every_target_of_several_is_looked_at():
    target = {"database": "Demo", "table": "Things", "schema": SCHEMA}
    columns = [column("id", "VARCHAR(9)"), column("n", "INT", "email")]
    document = {"source": {"table": "things", "partition_key": "id"}, "targets": [target | {"columns": columns}] * 2}
    places = {each.place for each in lint_mapping("things", document) if each.rule == "type"}
    assert places == {"/targets/0/columns/1/type", "/targets/1/columns/1/type"}


def known_documents():
    yield "web_analytics", json.loads(load_example().text, parse_float=Decimal)
    for path in sorted(CASES.glob("*/mapping.json")):
        yield path.parent.name, json.loads(path.read_text("utf-8"), parse_float=Decimal)


@pytest.mark.parametrize(("name", "document"), [*known_documents()])
def test_mappings_that_work_have_no_errors(name, document):
    assert [each for each in lint_mapping(name, document) if each.severity == ERROR] == []


SOURCES = (
    "a",
    "b",
    "p.a",
    "p.b.c",
    "a.b",
    '"a"',
    "a || b",
    "length(p)",
    "c[0]",
    "a[1:]",
    "p.*",
    "a[*].b",
    "not_null(a, b)",
)


@settings(max_examples=150)
@given(
    SCHEMAS,
    st.lists(st.tuples(st.sampled_from(COLUMN_TYPES), st.sampled_from(SOURCES)), min_size=1, max_size=4),
    st.lists(items(), min_size=3, max_size=6),
)
def test_a_column_with_an_error_never_has_a_value(schema, columns, drawn):
    document = mapping_document(
        *(column(f"c{number}", *each) for number, each in enumerate(columns)), schema=schema, json_attributes=["p"]
    )
    findings = [each for each in lint_mapping("things", document) if each.severity == ERROR]
    try:
        mapping = build_mapping("things", document)
    except InvalidMappingError:
        assert findings
        return
    wrong = {int(each.place.split("/")[3]) for each in findings if each.place.startswith("/target/columns/")}
    mapper = RowMapper(mapping)
    for line in map(as_line, drawn):
        try:
            item = load_json(line)["Item"]
            row = mapper.row(Change(1, 0, {"id": item["id"]}, item))
        except (RejectedChange, ValueError, KeyError, TypeError):
            continue
        assert all(row.fields[place] is None for place in wrong), findings


def test_findings_are_sorted_and_told_once():
    one, other = LintFinding(DOUBTFUL, "a", "/x/2", "m"), LintFinding(ERROR, "a", "/x/10", "m")
    assert sort_findings([one, other, one, LintFinding(ERROR, "a", "/x/9", "m")])[0].place == "/x/9"
    assert len(sort_findings([one, one])) == 1
    assert point_to("$.target.columns[3].type") == "/target/columns/3/type"
    assert point_to("$.schema['a.b~/']") == "/schema/a.b~0~1"

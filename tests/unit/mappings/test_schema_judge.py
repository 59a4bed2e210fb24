"""Compiled schemas, held against jsonschema: the same reasons, of anything, in the same order."""

import json

import pytest
from hypothesis import example, given, settings
from jsonschema import Draft202012Validator

from dynaurora.dynamodb.attributes import parse_json
from dynaurora.errors import InvalidMappingError
from dynaurora.mappings.compiled import schemas
from dynaurora.mappings.compiled.schemas import MAX_COMPILED_DEPTH, NotCompilableError, compile_schema, is_deep
from dynaurora.mappings.schema_judge import MAX_REASONS, make_judge, make_reference_judge
from tests.schema_suite import load_cases
from tests.support.factories import make_mapping
from tests.support.schema_strategies import SCHEMAS, VALUES, write

EXAMPLES = settings(max_examples=200, deadline=None)


def outcome(judge, value):
    """What a judge says of a value: its reasons, or that it gives up."""
    try:
        return judge(value)
    except ArithmeticError:
        return "beyond judging"


def both(schema, text):
    """What the compiled judge and jsonschema say of a JSON text."""
    mapping, value = make_mapping(schema=schema), parse_json(text, "")
    return outcome(make_judge(mapping), value), outcome(make_reference_judge(mapping), value)


def test_every_keyword_of_jsonschema_is_compiled_or_left_to_it_by_name():
    assert set(schemas.BUILDERS) == set(Draft202012Validator.VALIDATORS)


def test_the_official_cases_end_as_they_should_and_as_by_jsonschema():
    judged, compiled, different, wrong = 0, 0, [], []
    for case in load_cases():
        try:
            found, expected = both(case.schema, case.text)
        except InvalidMappingError:
            continue  # it refers to another document, or speaks another dialect, which no mapping may
        judged += 1
        compiled += is_compilable(case.schema)
        if found != expected:
            different.append(case.name)
        if (not expected) != case.is_valid and not case.name.startswith(("optional", "format: ")):
            wrong.append(case.name)  # a mapping's formats are checked, which is optional
    assert different == []
    assert wrong == []
    assert judged > 1500
    assert compiled > 1200


def is_compilable(schema):
    try:
        compile_schema(schema)
    except NotCompilableError:
        return False
    return True


@EXAMPLES
@given(schema=SCHEMAS, value=VALUES)
@example(schema={"properties": {"a": False}}, value={"a": 1})
@example(schema={"additionalProperties": {"type": "null"}}, value={"a": 1, "b": 2, "c": 3})
@example(schema={"type": "string", "minLength": 3, "pattern": "^b"}, value="a")
def test_any_schema_says_the_same_of_any_value(schema, value):
    compiled, reference = both(schema, write(value))
    assert compiled == reference


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"properties": {"a": {"unevaluatedProperties": False}}}, "unevaluatedProperties at $.properties.a"),
        ({"unevaluatedItems": False}, "unevaluatedItems at $ "),
        ({"$dynamicRef": "#a", "$defs": {"a": {"$dynamicAnchor": "a"}}}, "$dynamicRef at $ "),
        ({"properties": {"a": {"$ref": "#"}}}, "leads back to #"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$id": "b"}}}, "$id"),
        ({"properties": {"a": {"$schema": "http://json-schema.org/draft-07/schema#"}}}, "another dialect"),
    ],
)
def test_what_is_left_to_jsonschema_is_named(schema, problem):
    with pytest.raises(NotCompilableError) as caught:
        compile_schema(schema)
    assert problem in str(caught.value)
    compiled, reference = both(schema, '{"a": {"a": 1}}')
    assert compiled == reference


def test_a_schema_nested_very_deep_is_left_to_jsonschema():
    schema = {"type": "string"}
    for _ in range(schemas.MAX_SCHEMA_DEPTH):
        schema = {"items": schema}
    with pytest.raises(NotCompilableError, match="nested deeper than 50"):
        compile_schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/n", "$defs": {"n": {"type": "number", "minimum": 2}}},
        {"properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "string"}}},
        {"items": {"$ref": "#n"}, "$defs": {"n": {"$anchor": "n", "type": "string"}}},
        {"properties": {"a": {"$ref": "#/$defs/f"}}, "$defs": {"f": False}},
    ],
)
@pytest.mark.parametrize("text", ["1", '{"a": 1}', '[1, "x", {}]'])
def test_references_are_followed(schema, text):
    compile_schema(schema)
    compiled, reference = both(schema, text)
    assert compiled == reference


def test_numbers_beyond_judging_are_beyond_it_for_both():
    for schema in ({"multipleOf": 3}, {"anyOf": [{"type": "string", "multipleOf": 3}, True]}):
        compiled, reference = both(schema, "1e999999")
        assert compiled == reference == "beyond judging"


def test_reasons_end_with_the_last_that_is_kept_and_nothing_behind_it_is_judged():
    schema = {
        "properties": {f"p{index}": {"type": "string"} for index in range(MAX_REASONS)} | {"z": {"multipleOf": 3}}
    }
    value = json.dumps({f"p{index}": 1 for index in range(MAX_REASONS)})[:-1] + ', "z": 1e999999}'
    compiled, reference = both(schema, value)
    assert compiled == reference
    assert len(reference) == MAX_REASONS


@pytest.mark.parametrize("depth", [MAX_COMPILED_DEPTH - 2, MAX_COMPILED_DEPTH + 2, 400])
def test_what_is_nested_deep_is_judged_as_by_jsonschema(depth):
    value = parse_json("[" * depth + "]" * depth, "")
    assert is_deep(value) == (depth > MAX_COMPILED_DEPTH)
    for schema in ({"type": "string"}, {"const": [1]}, {"uniqueItems": True}):
        mapping = make_mapping(schema=schema)
        assert make_judge(mapping)(value) == make_reference_judge(mapping)(value)


USER = {"properties": {"type": {"const": "USER"}, "email": {"type": "string"}}, "required": ["type", "email"]}
ORDER = {"properties": {"type": {"enum": ["ORDER", "RETURN"]}, "total": {"type": "number"}}, "required": ["type"]}
GENERIC = [("oneOf", "")]


@pytest.mark.parametrize(
    ("schema", "item", "reasons"),
    [
        pytest.param({"oneOf": [USER, ORDER]}, {"type": "RETURN", "total": "9"}, [("type", "total")], id="an enum"),
        pytest.param({"oneOf": [USER, ORDER]}, {"type": "USER"}, [("required", "")], id="a const"),
        pytest.param({"oneOf": [USER, ORDER]}, {"type": "AUDIT"}, GENERIC, id="no branch fits"),
        pytest.param({"oneOf": [USER, ORDER]}, {"email": 5}, GENERIC, id="every branch may fit"),
        pytest.param({"oneOf": [USER, USER]}, {"type": "USER", "email": "x"}, GENERIC, id="two branches take it"),
        pytest.param({"oneOf": [USER, False]}, {"type": "USER"}, GENERIC, id="a branch that takes nothing"),
        pytest.param(
            {"oneOf": [{"$ref": "#/$defs/o"}, USER], "$defs": {"o": ORDER}},
            {"type": "ORDER", "total": "9"},
            [("type", "total")],
            id="a reference",
        ),
        pytest.param(
            {"properties": {"x": {"oneOf": [USER, {"oneOf": [ORDER, USER]}]}}},
            {"x": {"type": "ORDER", "total": "9"}},
            [("type", "x.total")],
            id="one in another",
        ),
    ],
)
def test_a_value_that_no_branch_takes_is_told_of_the_one_that_it_is_meant_for(schema, item, reasons):
    mapping = make_mapping(schema=schema)
    found = make_judge(mapping)(item)
    assert found == make_reference_judge(mapping)(item)
    assert [(reason.rule, reason.path) for reason in found] == reasons


def test_the_branch_is_named():
    (reason,) = make_judge(make_mapping(schema={"oneOf": [USER, ORDER]}))({"type": "ORDER", "total": "9"})
    assert reason.message == "is a string, and the schema takes number (oneOf/1)"

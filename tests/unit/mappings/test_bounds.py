"""What of a mapping is named as costly: everything of which an item's size does not bound the work, and no more."""

import pytest

from dynaurora.mappings.bounds import find_costly
from tests.support.factories import column, make_mapping

TREE = {"$defs": {"node": {"type": "object", "additionalProperties": {"$ref": "#/$defs/node"}}}}


@pytest.mark.parametrize(
    ("place", "schema"),
    [
        ("$.schema.properties.x.pattern", {"properties": {"x": {"pattern": "^(?=a)(a+)+$"}}}),
        ("$.schema.patternProperties", {"patternProperties": {r"(.)\1": {}}}),
        ("$.schema.allOf.0.not.pattern", {"allOf": [{"not": {"pattern": "(?<!a)b"}}]}),
        ("$.schema.properties.x.unevaluatedProperties", {"properties": {"x": {"unevaluatedProperties": False}}}),
        ("$.schema.unevaluatedItems", {"unevaluatedItems": False}),
        ("$.schema.$defs.node.additionalProperties.$ref", {**TREE, "properties": {"x": {"$ref": "#/$defs/node"}}}),
    ],
)
def test_a_costly_keyword_is_named_with_its_place(place, schema):
    (found,) = find_costly(make_mapping(column("x", "JSON"), schema=schema))
    assert found.place == place
    assert found.keyword == place.rpartition(".")[2]


@pytest.mark.parametrize(
    "expression",
    [
        "x | [@, @] | [@, @] | [@, @] | [@, @] | [@, @]",
        "to_string([to_string([to_string([to_string([to_string([x])])])])])",
        "x[].{a: @, b: @, c: @, d: @, e: @} | [@, @, @, @]",
        "map(&[@, @, @, @, @], x) | [@, @, @, @]",
    ],
)
def test_an_expression_that_multiplies_its_item_is_named(expression):
    (found,) = find_costly(make_mapping(column("x", "JSON", expression)))
    assert (found.place, found.keyword) == ("$.target.columns[1]", "from")


@pytest.mark.parametrize(
    "expression",
    ["x", "a.b", "'a' || x", "join(', ', [a, b, c, d])", "sort_by(x[?a > `3`], &b)[0].c", "to_string({a: x, b: y})"],
)
def test_a_usual_mapping_is_not_costly(expression):
    schema = {
        "$defs": {"text": {"type": "string", "pattern": r"^(\w+\s?)*$", "format": "uri-template"}},
        "properties": {"x": {"items": {"$ref": "#/$defs/text"}, "uniqueItems": True, "contains": {"minLength": 1}}},
        "anyOf": [{"dependentSchemas": {"x": {"propertyNames": {"maxLength": 9}}}}, True],
    }
    assert not list(find_costly(make_mapping(column("x", "JSON", expression), schema=schema)))

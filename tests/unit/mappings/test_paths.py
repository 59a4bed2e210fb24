import pytest

from dynaurora.mappings.paths import find_untaken, taken_paths, undeclared_paths


@pytest.mark.parametrize(
    ("expressions", "tree"),
    [
        (["a"], {"a": {}}),
        (["a.b.c"], {"a": {"b": {"c": {}}}}),
        (["a.b", "a.c", "d"], {"a": {"b": {}, "c": {}}, "d": {}}),
        (["a", "a.b"], {"a": {}}),
        (["a.b", "a"], {"a": {}}),
        (['"user-id"'], {"user-id": {}}),
        (["a.b[0].c"], {"a": {"b": {}}}),
        (["a[*].b"], {"a": {}}),
        (["a[?b == `1`].c"], {"a": {}}),
        (["a.*.b"], {"a": {}}),
        (["a || b.c"], {"a": {}, "b": {"c": {}}}),
        (["a | b"], {"a": {}}),
        (["join(',', [a, b.c])"], {"a": {}, "b": {"c": {}}}),
        (["a.{x: b, y: c}"], {"a": {"b": {}, "c": {}}}),
        (["sort_by(a, &b)"], {"a": {}}),
        (["a.keys(@)"], {"a": {}}),
        (["@.a.b"], {"a": {"b": {}}}),
        (["!a"], {"a": {}}),
        (["`1`"], {}),
    ],
    ids=str,
)
def test_an_expression_takes_what_it_starts_from(expressions, tree):
    assert taken_paths(expressions) == tree


@pytest.mark.parametrize(
    ("item", "rest"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"a": 1}, {}, id="taken whole"),
        pytest.param({"x": 1, "a": 2}, {"x": 1}, id="an attribute no path names"),
        pytest.param({"p": {"b": 1, "c": 2}}, {"p": {"c": 2}}, id="part of an object"),
        pytest.param({"p": {"b": 1}}, {}, id="all of an object"),
        pytest.param({"p": {}}, {"p": {}}, id="an empty object is data"),
        pytest.param({"p": None}, {"p": None}, id="null where an object was meant"),
        pytest.param({"p": "text"}, {"p": "text"}, id="text where an object was meant"),
        pytest.param({"p": [{"b": 1}]}, {"p": [{"b": 1}]}, id="array where an object was meant"),
    ],
)
def test_the_remainder_is_what_no_path_takes(item, rest):
    assert find_untaken(item, taken_paths(["a", "p.b"])) == rest


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        pytest.param(True, ["a", "b"], id="a schema that names nothing"),
        pytest.param({"properties": {"a": {"type": "integer"}}}, ["b"], id="a named one was left out by decision"),
        pytest.param({"properties": {"a": {}, "b": {}}}, [], id="an object named as a whole"),
        pytest.param({"properties": {"a": {}, "b": {"properties": {"c": {}}}}}, ["b.d"], id="inside of an object"),
    ],
)
def test_undeclared_paths_are_those_the_schema_does_not_name(schema, paths):
    assert list(undeclared_paths({"a": 1, "b": {"c": 1, "d": 2}}, schema)) == paths

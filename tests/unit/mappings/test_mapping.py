import copy
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.errors import InvalidMappingError
from dynaurora.mappings.mapping import build_mapping, load_mapping_file
from tests.support.example import load_example
from tests.support.factories import column, make_mapping, mapping_document


def test_the_reference_mapping_is_the_posts():
    mapping = load_example()
    assert [(found.name, found.type.sql) for found in mapping.columns] == [
        ("page_id", "VARCHAR(255)"),
        ("activity_dt", "VARCHAR(64)"),
        ("timestarted", "BIGINT"),
        ("hits", "INT"),
        ("start_time", "VARCHAR(64)"),
        ("end_time", "VARCHAR(64)"),
        ("country_code", "VARCHAR(64)"),
    ]
    assert mapping.key_attributes == ("page_id", "activity_dt")
    assert [found.name for found in mapping.key_columns] == ["page_id", "activity_dt"]
    assert (mapping.database, mapping.table, mapping.replica) == ("Demo", "WebAnalytics", "WebAnalytics__replica")
    assert mapping.unmapped == "ignore"


@pytest.mark.parametrize(
    "text", ["", "{", "[1,]", "[" * 100_000, "\udcff"], ids=["empty", "cut", "comma", "deep", "bytes"]
)
def test_a_file_that_is_not_json_is_refused_by_its_name(tmp_path, text):
    path = tmp_path / "clicks.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidMappingError, match=r"clicks\.json"):
        load_mapping_file(path)


def test_a_missing_file_is_refused_by_its_name(tmp_path):
    with pytest.raises(InvalidMappingError, match=r"clicks\.json"):
        load_mapping_file(tmp_path / "clicks.json")


def test_a_mapping_is_named_after_its_file(tmp_path):
    path = tmp_path / "clicks.json"
    path.write_text(json.dumps(mapping_document()))
    assert load_mapping_file(path).name == "clicks"


REMOVED = object()


def changed_document(path, value):
    """Return a valid mapping with the member at a path replaced, or removed."""
    document = copy.deepcopy(mapping_document(column("hits", "INT")))
    *parents, last = path
    place = document
    for name in parents:
        place = place[name]
    if value is REMOVED:
        del place[last]
    else:
        place[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        pytest.param(["source"], REMOVED, "$", id="no source"),
        pytest.param(["colour"], 1, "$", id="unknown member"),
        pytest.param(["source", "table"], REMOVED, "$.source", id="no table"),
        pytest.param(["source", "table"], "a b", "$.source.table", id="table with a space"),
        pytest.param(["source", "table"], "things\n", "$.source.table", id="table with a newline"),
        pytest.param(["source", "partition_key"], "", "$.source.partition_key", id="empty key"),
        pytest.param(["source", "json_attributes"], ["a", "a"], "$.source.json_attributes", id="repeated attribute"),
        pytest.param(["schema"], "any", "$.schema", id="schema is text"),
        pytest.param(["target", "database"], "a`b", "$.target.database", id="database with a backtick"),
        pytest.param(["target", "table"], "x" * 56, "$.target.table", id="table whose replica has too long a name"),
        pytest.param(["target", "table"], "Things\n", "$.target.table", id="view with a newline"),
        pytest.param(["target", "columns"], [], "$.target.columns", id="no columns"),
        pytest.param(["target", "columns", 1, "name"], "a-b", "$.target.columns[1].name", id="column name"),
        pytest.param(["target", "columns", 1, "name"], "a\n", "$.target.columns[1].name", id="column with a newline"),
        pytest.param(["target", "columns", 1, "name"], "é", "$.target.columns[1].name", id="column not in ASCII"),
        pytest.param(["target", "columns", 1, "type"], 5, "$.target.columns[1].type", id="type is a number"),
        pytest.param(["target", "columns", 1, "type"], "INT(5)", "$.target.columns[1].type", id="type with a size"),
        pytest.param(
            ["target", "columns", 1, "type"], "VARCHAR(٣)", "$.target.columns[1].type", id="digits not in ASCII"
        ),
        pytest.param(
            ["target", "columns", 1, "type"], f"VARCHAR({'9' * 5000})", "$.target.columns[1].type", id="endless size"
        ),
        pytest.param(["target", "columns", 1, "type"], "POINT", "$.target.columns[1].type", id="unknown type"),
        pytest.param(["target", "columns", 1, "from"], "", "$.target.columns[1].from", id="empty from"),
        pytest.param(["target", "columns", 1, "from"], "a..b", "$.target.columns[1].from", id="no JMESPath"),
        pytest.param(["target", "columns", 1, "from"], "@now", "$.target.columns[1].from", id="unknown special"),
        pytest.param(["target", "columns", 1, "from"], "@unmapped", "$.target.columns[1].from", id="reserved special"),
        pytest.param(["target", "columns", 1, "size"], 0, "$.target.columns[1]", id="unknown member of a column"),
        pytest.param(["target", "columns", 1, "epoch"], "s", "$.target.columns[1].type", id="epoch of no time"),
        pytest.param(["target", "columns", 1, "epoch"], "m", "$.target.columns[1].epoch", id="unknown unit"),
        pytest.param(["target", "columns", 1, "digits"], "round", "$.target.columns[1].type", id="digits of no time"),
        pytest.param(["target", "columns", 1, "digits"], "cut", "$.target.columns[1].digits", id="unknown digits"),
        pytest.param(["target", "columns", 1, "default"], "x", "$.target.columns[1].default", id="default of a type"),
        pytest.param(["target", "columns", 1, "default"], 2**31, "$.target.columns[1].default", id="default too large"),
        pytest.param(["target", "columns", 0, "default"], "x", "$.target.columns", id="default of a key"),
        pytest.param(["source", "json_attributes"], [{}], "$.source.json_attributes[0]", id="encoding of nothing"),
        pytest.param(
            ["source", "json_attributes"],
            [{"name": "a", "encoding": "zip"}],
            "$.source.json_attributes[0].encoding",
            id="unknown encoding",
        ),
        pytest.param(
            ["source", "json_attributes"], ["a", {"name": "a"}], "$.source.json_attributes", id="encoded twice"
        ),
        pytest.param(["target", "indexes"], [{"name": "i", "columns": []}], "$.target.indexes[0].columns", id="empty"),
        pytest.param(["target", "indexes"], [{"name": "i", "columns": ["x"]}], "$.target.indexes[0]", id="no column"),
        pytest.param(
            ["target", "indexes"], [{"name": "i", "columns": ["id", "ID"]}], "$.target.indexes[0]", id="twice"
        ),
        pytest.param(
            ["target", "indexes"],
            [{"name": "i", "columns": ["id"]}, {"name": "I", "columns": ["id"]}],
            "$.target.indexes[1]",
            id="index twice",
        ),
        pytest.param(
            ["target", "indexes"], [{"name": "Primary", "columns": ["id"]}], "$.target.indexes[0]", id="primary"
        ),
        pytest.param(
            ["target", "indexes"],
            [{"name": "i", "columns": ["id"], "unique": True}],
            "$.target.indexes[0].unique",
            id="unique index",
        ),
        pytest.param(["target", "unmapped"], "drop", "$.target.unmapped", id="unknown choice"),
        pytest.param(["target", "unmapped"], {"column": "a b"}, "$.target.unmapped.column", id="extra name"),
        pytest.param(["schema"], {"type": "text"}, "$.schema.type", id="schema that is none"),
        pytest.param(
            ["schema"], {"properties": {"hits": {"minimum": "0"}}}, "$.schema.properties.hits.minimum", id="keyword"
        ),
        pytest.param(["schema"], {"pattern": "("}, "$.schema.pattern", id="pattern that is no regular expression"),
        pytest.param(["schema"], {"patternProperties": {"(": {}}}, "$.schema.patternProperties", id="pattern property"),
        pytest.param(
            ["schema"], {"$schema": "http://json-schema.org/draft-07/schema#"}, "$.schema.$schema", id="older dialect"
        ),
        pytest.param(
            ["schema"],
            {"properties": {"a": {"$ref": "https://example.com/a.json"}}},
            "$.schema.properties.a.$ref",
            id="remote reference",
        ),
        pytest.param(["schema"], {"$ref": "other.json#/a"}, "$.schema.$ref", id="reference to another file"),
        pytest.param(
            ["schema"],
            {"anyOf": [{}, {"items": {"$ref": "#/$defs/gone"}}], "$defs": {"a": {}}},
            "$.schema.anyOf[1].items.$ref",
            id="dangling reference",
        ),
        pytest.param(["schema"], {"not": {"$ref": "#gone"}}, "$.schema.not.$ref", id="dangling anchor"),
        pytest.param(["schema"], {"$dynamicRef": "#gone"}, "$.schema.$dynamicRef", id="dangling dynamic reference"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused_with_the_path_inside_of_the_file(path, value, place):
    with pytest.raises(InvalidMappingError, match=re.escape(f"things.json at {place}: ")):
        build_mapping("things", changed_document(path, value), "things.json")


def nested(place, depth):
    schema, path = True, "[" * depth + "a" + "]" * depth
    for _ in range(depth):
        schema = {"properties": {"a": schema}}
    return mapping_document(column("x", "JSON", path)) if place == "from" else mapping_document(schema=schema)


@pytest.mark.parametrize("place", ["schema", "from"])
def test_what_is_nested_too_deep_is_refused(place):
    assert build_mapping("things", nested(place, 20))
    with pytest.raises(InvalidMappingError, match="it is nested too deep"):
        build_mapping("things", nested(place, 900))


@pytest.mark.parametrize("document", [None, [], "text", 1], ids=str)
def test_what_is_no_object_is_no_mapping(document):
    with pytest.raises(InvalidMappingError, match=r"at \$: "):
        build_mapping("things", document)


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"$ref": "#/$defs/a", "$defs": {"a": {}}}, id="definition"),
        pytest.param({"$ref": "#a", "$defs": {"x": {"$anchor": "a"}}}, id="anchor"),
        pytest.param({"properties": {"children": {"items": {"$ref": "#"}}}}, id="the schema itself"),
        pytest.param({"$id": "https://example.com/s", "$ref": "#/$defs/a", "$defs": {"a": {}}}, id="schema with an id"),
        pytest.param({"const": {"$ref": "gone"}, "enum": [{"$ref": "gone"}]}, id="data that looks like a reference"),
        pytest.param({"properties": {"$ref": {"type": "string"}}}, id="a property of that name"),
    ],
)
def test_references_within_the_schema_are_followed(schema):
    assert make_mapping(schema=schema).schema == schema


@pytest.mark.parametrize("database", ["mysql", "SYS", "Information_Schema", "performance_schema"])
def test_a_mapping_writes_to_no_schema_of_the_servers_own(database):
    document = mapping_document()
    document["target"]["database"] = database
    with pytest.raises(InvalidMappingError, match=f"{database} is a schema of the server's own"):
        build_mapping("things", document)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        pytest.param(mapping_document(column("ID", "INT", "x")), "two columns are named ID", id="names know no case"),
        pytest.param(
            mapping_document(column("extra", "INT"), unmapped={"column": "Extra"}),
            "two columns are named Extra",
            id="the column of the unmapped takes a name",
        ),
        pytest.param(mapping_document(column("_Version", "INT", "x")), "project's own", id="system column"),
        pytest.param(mapping_document(column("_row", "INT", "x")), "project's own", id="column of the staged table"),
        pytest.param(mapping_document(sort_key="id"), "same attribute", id="one attribute is both keys"),
        pytest.param(
            mapping_document(sort_key="day"), "from the key attribute 'day', not 0", id="key without a column"
        ),
        pytest.param(
            mapping_document(column("again", "VARCHAR(20)", "id")), "from the key attribute 'id', not 2", id="key twice"
        ),
        pytest.param(mapping_document(json_attributes=["id"]), "id is a key", id="key that is parsed"),
        pytest.param(
            mapping_document(column("day", "JSON"), sort_key="day"), "day JSON cannot be a key column", id="key type"
        ),
        pytest.param(
            mapping_document(column("day", "VARCHAR(800)"), sort_key="day"), "take 3280 bytes", id="key too long"
        ),
        pytest.param(
            mapping_document(column("day", "VARCHAR(9)", "day.x"), sort_key="day.x"), "not 0", id="key inside of a map"
        ),
    ],
)
def test_a_mapping_that_contradicts_itself_is_refused(document, problem):
    with pytest.raises(InvalidMappingError, match=problem):
        build_mapping("things", document)


@pytest.mark.parametrize("name", ["Things", "1things", "a-b", "", "x" * 64, "a\n"])
def test_a_mapping_has_a_name_that_keys_and_tables_can_have(name):
    with pytest.raises(InvalidMappingError, match="name is lower case"):
        build_mapping(name, mapping_document())


@given(st.sampled_from(["user-id", "a.b", "pk#", "größe", "@x", "a b"]))
def test_a_key_with_an_unusual_name_is_quoted_in_its_column(attribute):
    document = mapping_document()
    document["source"]["partition_key"] = attribute
    document["target"]["columns"][0]["from"] = json.dumps(attribute)
    assert build_mapping("things", document).key_columns[0].name == "id"


def test_the_largest_keys_of_dynamodb_fit_as_binary():
    document = mapping_document(column("day", "VARBINARY(1024)"), sort_key="day")
    document["target"]["columns"][0]["type"] = "VARBINARY(2048)"
    assert [found.name for found in build_mapping("things", document).key_columns] == ["id", "day"]


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("nothing(hits)", "nothing() is not a function"),
        ("length(hits, more)", "length() takes 1 arguments, and is given 2"),
        ("list[?nothing(@)]", "nothing() is not a function"),
        ("a..b", "is not JMESPath"),
        ("hits == `NaN`", "no numbers"),
    ],
)
def test_an_expression_that_has_a_value_for_no_record_is_refused(expression, problem):
    with pytest.raises(InvalidMappingError, match=rf"at \$\.target\.columns\[1\]\.from: .*{re.escape(problem)}"):
        make_mapping(column("hits", "INT", expression))


def test_a_row_that_no_table_can_have_is_refused_with_its_widest_column():
    assert make_mapping(column("note", "VARCHAR(16354)"))
    with pytest.raises(InvalidMappingError, match=r"at \$\.target\.columns: .* 65536 bytes, .* make note a TEXT"):
        make_mapping(column("note", "VARCHAR(16355)"))


def test_text_binary_and_json_are_not_counted_with_their_contents():
    kinds = ["TINYTEXT", "TEXT", "LONGTEXT", "BLOB", "JSON"]
    assert make_mapping(*(column(f"c{number}", kind) for number, kind in enumerate(kinds * 20)))


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("time", "10:00:00Z", True),
        ("time", "10:00:00+02:00", True),
        ("time", "10:00:00", False),
        ("time", "25:00:00Z", False),
        ("date-time", "2026-11-23T10:00:00Z", True),
        ("date-time", "2026-11-23 10:00", False),
        ("date", "2026-11-23", True),
        ("date", "2026-11-31", False),
        ("regex", "a+", True),
        ("regex", "(", False),
        ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380", True),
        ("uuid", "2eb8aa08", False),
        ("ipv4", "127.0.0.1", True),
        ("ipv4", "256.0.0.1", False),
        ("color", "no colour", True),
        ("host-name", "-", True),
    ],
)
def test_formats_are_those_of_the_drafts_own_vocabulary(name, value, accepted):
    assert make_mapping(schema={"properties": {"x": {"format": name}}}).validator.is_valid({"x": value}) is accepted


def test_a_refusal_says_what_to_do():
    with pytest.raises(InvalidMappingError, match="Correct the mapping file and deploy again"):
        build_mapping("things", {})


@pytest.mark.parametrize(
    ("kinds", "problem"),
    [
        (["TEXT"], "c0 TEXT cannot be indexed"),
        (["JSON"], "c0 JSON cannot be indexed"),
        (["BLOB"], "c0 BLOB cannot be indexed"),
        (["VARCHAR(500)", "VARCHAR(300)"], "take 3200 bytes, and an index 3072"),
    ],
)
def test_an_index_that_no_server_would_have_is_refused(kinds, problem):
    document = mapping_document(*(column(f"c{number}", kind) for number, kind in enumerate(kinds)))
    names = [f"c{number}" for number in range(len(kinds))]
    document["target"]["indexes"] = [{"name": "by_all", "columns": names}]
    with pytest.raises(InvalidMappingError, match=re.escape(problem)):
        build_mapping("things", document)


def test_a_digest_is_of_all_that_decides_a_row_and_nothing_else():
    plain = make_mapping(column("at", "DATETIME(3)"))
    same = [{"digits": "refuse"}, {"default": None}, {"description": "When it was made."}]
    others = [{"digits": "round"}, {"epoch": "s"}, {"default": "2026-01-01"}, {"digits": "truncate"}]
    digests = [make_mapping(column("at", "DATETIME(3)") | options).digest for options in others]
    assert {make_mapping(column("at", "DATETIME(3)") | options).digest for options in same} == {plain.digest}
    assert len({plain.digest, *digests}) == len(others) + 1
    encodings = [["p"], [{"name": "p"}], [{"name": "p", "encoding": "gzip"}], []]
    first, second, *more = [make_mapping(json_attributes=each).digest for each in encodings]
    assert first == second
    assert len({first, *more}) == 3


def test_a_default_is_what_the_column_would_write():
    mapping = make_mapping(
        column("n", "DECIMAL(5,2)") | {"default": 1.5},
        column("w", "INT") | {"default": 2.0},
        column("at", "DATETIME") | {"default": 0, "epoch": "s"},
        column("j", "JSON") | {"default": None},
        column("o", "JSON") | {"default": {"a": [0.5]}},
        column("s", "VARCHAR(9)") | {"default": ""},
    )
    assert [each.default for each in mapping.columns] == [
        None, "1.5", "2", "1970-01-01 00:00:00", "null", '{"a":[0.5]}', "",
    ]  # fmt: skip

"""`dynaurora mapping check`: whether a mapping holds, and what becomes of its records."""

import json

import pytest
from click.testing import CliRunner

from backfill.cli import main
from tests.support.factories import column, mapping_document
from tests.support.several_targets import several_document, target


def check(*arguments):
    return CliRunner().invoke(main, ["mapping", "check", *arguments])


def write_mapping(folder, document):
    path = folder / "things.json"
    path.write_text(json.dumps(document), "utf-8")
    return str(path)


def test_a_mapping_of_the_package_is_checked_by_its_name():
    answer = check("web_analytics", "--explain")
    assert answer.exit_code == 0
    assert "rows            by compiled code" in answer.output
    assert "payload      as embedded JSON" in answer.output
    assert "hits          INT           payload.Hits                     in place" in answer.output


COLUMNS = [
    column("text", "VARCHAR(9)", "a.b"),
    column("both", "JSON", "c || d"),
    column("count", "INT", "n"),
    column("day", "DATE", "s"),
    column("rest", "JSON", "p.more"),
    column("odd", "JSON", "o"),
]
SCHEMA = {
    "properties": {
        "n": {"type": "integer", "exclusiveMinimum": 0},
        "s": {"type": "string"},
        "p": {"type": "object"},
        "o": {"type": "object", "patternProperties": {"^x": True}},
    },
    "required": ["n"],
}


def test_a_file_is_checked_by_its_path_and_says_how_each_part_is_done(tmp_path):
    path = write_mapping(tmp_path, mapping_document(*COLUMNS, schema=SCHEMA, json_attributes=["p"]))
    answer = check(path, "--json")
    assert answer.exit_code == 0
    found = json.loads(answer.output)
    assert (found["mapping"], found["path"], found["refusals"]) == ("things", "compiled", "compiled")
    decoded = {each["name"]: each["decoded"] for each in found["attributes"]}
    assert decoded["n"] == "as digits, then judged by its schema"
    assert decoded["a"] == "as a plain value: column text is from inside of it"
    assert decoded["c"] == "as a plain value: column both is from an expression"
    assert decoded["p"] == "as embedded JSON, in parts as plain values"
    assert decoded["o"] == "as a plain value: patternProperties at $ judges a whole document"
    written = {each["name"]: each["written"] for each in found["columns"]}
    assert written["count"] == "in place"
    assert written["day"] == "in place"
    assert written["rest"] == "by its column's encoder"
    assert written["both"].startswith("by its expression")


@pytest.mark.parametrize(
    ("schema", "why", "refusals"),
    [
        ({"minProperties": 2}, "minProperties at $ judges the item as a whole", "compiled"),
        ({"unevaluatedProperties": False}, "unevaluatedProperties at $ judges", "jsonschema"),
    ],
)
def test_a_mapping_that_is_not_compiled_says_why_and_fails_where_that_is_asked(schema, why, refusals, tmp_path):
    path = write_mapping(tmp_path, mapping_document(schema=schema))
    found = json.loads(check(path, "--json").output)
    assert (found["path"], found["refusals"]) == ("plain", refusals)
    assert why in found["why_plain"]
    answer = check(path, "--compiled")
    assert answer.exit_code == 1
    assert why in answer.stderr


def test_a_mapping_that_does_not_hold_is_named_with_the_place(tmp_path):
    answer = check(write_mapping(tmp_path, mapping_document(column("a", "INTEGERS"))))
    assert answer.exit_code == 1
    assert "error    /target/columns/1/type: INTEGERS is not one of the column types" in answer.stdout
    assert answer.stderr == "Error: things does not hold: 1 error. Correct the file.\n"


def test_all_findings_are_told_and_warnings_alone_are_no_failure(tmp_path):
    schema = {"properties": {"n": {"type": "number"}, "s": {"type": "string"}}}
    wrong = mapping_document(column("n", "INT"), column("s", "INT"), column("t", "DATE", "x y"), schema=schema)
    answer = check(write_mapping(tmp_path, wrong), "--json")
    assert answer.exit_code == 1
    found, failed = map(json.loads, answer.stdout.splitlines())
    assert [each["place"] for each in found["findings"]] == [
        "/target/columns/2/type",
        "/target/columns/3/from",
        "/target/columns/1/type",
    ]
    assert (found["holds"], failed["exit_status"]) == (False, 1)
    answer = check(write_mapping(tmp_path, mapping_document(column("n", "INT"), schema=schema)))
    assert answer.exit_code == 0
    assert answer.stdout.startswith("warning  /target/columns/1/type: the schema allows fractions")
    assert "payload" not in answer.stdout


def test_a_mapping_that_does_not_hold_is_checked_by_its_name_too(tmp_path):
    (tmp_path / "dynaurora.toml").touch()
    (tmp_path / "mappings").mkdir()
    wrong = mapping_document(column("n", "INTEGERS"), column("t", "DATE", "x y"))
    write_mapping(tmp_path / "mappings", wrong)
    answer = CliRunner().invoke(main, ["--project", str(tmp_path), "mapping", "check", "things"])
    assert answer.exit_code == 1
    assert answer.stdout.count("error    /target/columns/") == 2
    answer = CliRunner().invoke(main, ["--project", str(tmp_path), "mapping", "check", "other"])
    assert (answer.exit_code, "there are: things" in answer.stderr) == (2, True)


def test_a_file_that_is_no_json_is_named(tmp_path):
    path = tmp_path / "things.json"
    path.write_text("{")
    answer = check(str(path))
    assert answer.exit_code == 1
    assert "things.json cannot be read as JSON" in answer.stderr


@pytest.mark.parametrize("name", ["nope", "nope.json", "./nope"])
def test_what_is_not_there_is_wrong_use(name):
    answer = check(name)
    assert answer.exit_code == 2
    assert "nope" in answer.stderr


def test_a_table_that_cannot_be_created_is_refused(tmp_path):
    document = mapping_document(*(column(f"f{index:02}", "VARCHAR(60)") for index in range(40)))
    answer = check(write_mapping(tmp_path, document))
    assert answer.exit_code == 1
    assert "a row may take" in answer.output
    assert "f00 VARCHAR(60)" in answer.output


def test_a_pattern_that_an_item_could_make_slow_is_refused_by_its_place(tmp_path):
    schema = {"properties": {"n": {"type": "string", "pattern": "^(?=.*[0-9]).+$"}}}
    answer = check(write_mapping(tmp_path, mapping_document(column("n", "VARCHAR(9)"), schema=schema)))
    assert answer.exit_code == 1
    assert "error    /schema/properties/n/pattern: the pattern ^(?=.*[0-9]).+$ takes" in answer.output


def test_every_target_of_a_file_is_checked_and_told(tmp_path):
    path = write_mapping(tmp_path, several_document())
    answer = check(path)
    assert answer.exit_code == 0
    for table, when in (("Demo.Users", "starts_with(SK, 'USER#')"), ("Demo.ShutOrders", "status == 'shut'")):
        assert f"target          {table}" in answer.output
        assert when in answer.output
    found = json.loads(check(path, "--json").output)
    assert [each["target"] for each in found["targets"]] == ["Demo.Users", "Demo.OpenOrders", "Demo.ShutOrders"]
    assert found["targets"][0]["when"] == "starts_with(SK, 'USER#')"


def test_a_target_that_does_not_hold_is_named_by_its_place(tmp_path):
    answer = check(write_mapping(tmp_path, several_document(target("A", "PK"), target("B", "starts_with(SK"))))
    assert answer.exit_code == 1
    assert "error    /targets/1/when" in answer.output


def test_a_name_that_stands_twice_in_one_object_is_told(tmp_path):
    file = tmp_path / "things.json"
    file.write_text('{"source": {"table": "a"}, "source": {"table": "b"}}')
    answer = check(str(file))
    assert answer.exit_code == 1
    assert "'source' stands twice in one object of the file" in answer.output

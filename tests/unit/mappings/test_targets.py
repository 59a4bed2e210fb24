"""Mappings with several targets: what their files may say, and what is refused by name."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dynaurora.errors import InvalidMappingError
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.page_sizes import check_page
from tests.support.factories import column, mapping_document
from tests.support.several_targets import KEYS, OPEN, SHUT, USERS, several, several_document, target

DIGEST = "8abe8cbb8b0d6a1266b4a8a8bca70d68a7c3de1ec80e634458a10a7bab9a925b"
"""Of a mapping with one target, before there were several."""


def test_each_target_has_its_own_table_schema_and_columns_and_shares_the_rest():
    mapping = several()
    assert [each.table for each in mapping.targets] == ["Users", "OpenOrders", "ShutOrders"]
    assert [each.when for each in mapping.targets] == [USERS["when"], OPEN["when"], SHUT["when"]]
    assert [each.schema for each in mapping.targets] == [True, {"required": ["total"]}, True]
    assert {each.digest for each in mapping.targets} == {mapping.digest}
    assert {(each.name, each.source_table, each.text) for each in mapping.targets} == {("app", "app", mapping.text)}
    assert [each.target_name for each in mapping.targets] == ["Users", "OpenOrders", "ShutOrders"]
    assert mapping.find_target("OpenOrders") == mapping.targets[1]
    assert mapping.find_target("Nobody") is None


def test_the_text_of_a_mapping_makes_the_same_one():
    mapping = several()
    assert build_mapping("app", json.loads(mapping.text)).digest == mapping.digest


def test_a_mapping_with_one_target_has_the_digest_that_it_always_had():
    document = mapping_document(
        column("hits", "INT"), schema={"required": ["hits"]}, json_attributes=["payload"], unmapped="reject"
    )
    one = build_mapping("things", document)
    assert (one.digest, one.routes, one.targets, one.target_name) == (DIGEST, False, (one,), None)
    moved = {"source": document["source"], "targets": [{**document["target"], "schema": document["schema"]}]}
    assert build_mapping("things", moved).digest == DIGEST
    moved["targets"][0]["when"] = "hits"
    assert build_mapping("things", moved).digest != DIGEST


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param([{**USERS, "when": "starts_with(SK, 'U')"}, OPEN, SHUT], id="a condition"),
        pytest.param([USERS, SHUT], id="a target less"),
        pytest.param([OPEN, USERS, SHUT], id="another order"),
        pytest.param([USERS, {**OPEN, "schema": True}, SHUT], id="a schema"),
        pytest.param([USERS, {**OPEN, "table": "Others"}, SHUT], id="a table"),
        pytest.param([USERS, {**OPEN, "unmapped": "reject"}, SHUT], id="what becomes of the rest"),
    ],
)
def test_all_that_decides_what_becomes_of_an_item_is_in_the_digest(changed):
    assert several(*changed).digest != several().digest


BAD = [
    ({"when": "starts_with(SK"}, r"\$\.targets\[1\]\.when: .*is not JMESPath"),
    ({"when": "begins(SK, 'a')"}, r"\$\.targets\[1\]\.when: begins\(\) is not a function"),
    ({"when": ""}, r"\$\.targets\[1\]\.when"),
    ({"when": 5}, r"\$\.targets\[1\]\.when"),
    ({"where": "PK"}, r"\$\.targets\[1\]: .*'where' was unexpected"),
    ({"table": "Users"}, r"\$\.targets\[1\]\.table: \$\.targets\[0\] has Users too"),
    ({"table": "USERS"}, r"\$\.targets\[1\]\.table: \$\.targets\[0\] has USERS too"),
    ({"table": "Users__replica"}, r"\$\.targets\[1\]\.table: \$\.targets\[0\] has Users__replica too"),
    ({"table": "_dynaurora_x"}, r"\$\.targets\[1\]\.table: names that begin with"),
    ({"database": "Other"}, r"\$\.targets\[1\]\.database: Other is not|another database than Demo"),
    ({"schema": {"type": "nothing"}}, r"\$\.targets\[1\]\.schema\.type"),
    ({"schema": {"$ref": "#/$defs/x"}}, r"\$\.targets\[1\]\.schema\.\$ref: .*leads nowhere"),
    ({"columns": KEYS[:1]}, r"\$\.targets\[1\]\.columns: exactly one column must be from the key attribute 'SK'"),
    ({"columns": [*KEYS, {"name": "x", "type": "INTT", "from": "x"}]}, r"\$\.targets\[1\]\.columns\[2\]\.type"),
    ({"columns": [*KEYS, {"name": "x", "type": "INT", "from": "x["}]}, r"\$\.targets\[1\]\.columns\[2\]\.from"),
]


@pytest.mark.parametrize(("changed", "problem"), BAD)
def test_what_a_target_cannot_be_is_refused_with_its_place(changed, problem):
    with pytest.raises(InvalidMappingError, match=problem):
        several(USERS, {**OPEN, **changed})


@pytest.mark.parametrize("member", ["schema", "target"])
def test_a_file_has_either_one_target_or_targets(member):
    document = several_document() | {member: mapping_document()[member]}
    with pytest.raises(InvalidMappingError, match=rf"\$\.{member}: a file with targets has it in each"):
        build_mapping("app", document)


def test_a_file_without_any_target_is_refused():
    with pytest.raises(InvalidMappingError, match="is a required property"):
        build_mapping("app", {"source": several_document()["source"]})
    with pytest.raises(InvalidMappingError, match=r"\$\.targets"):
        build_mapping("app", several_document() | {"targets": []})


def test_rows_that_are_too_long_are_told_of_their_target():
    wide = target("Wide", "PK", *({"name": f"c{n}", "type": "VARCHAR(60)", "from": f"c{n}"} for n in range(60)))
    mapping = several(USERS, wide)
    check_page(mapping)
    with pytest.raises(InvalidMappingError, match=r"\$\.targets\[1\]\.columns"):
        check_page(mapping.targets[1])


def test_a_mapping_in_another_place_is_another():
    assert replace(several(), database="Other").digest != several().digest


def test_the_documented_mapping_holds():
    text = (Path(__file__).parents[3] / "docs/targets.md").read_text("utf-8")
    mapping = build_mapping("app", json.loads(text.partition("```json\n")[2].partition("```")[0]))
    assert [each.table for each in mapping.targets] == ["Users", "OpenOrders"]

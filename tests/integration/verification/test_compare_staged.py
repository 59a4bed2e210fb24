"""Batches of a verification, compared in the real database: by the verdicts of rows that are looked up one by one."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from dynaurora import keys
from dynaurora.aurora import comparing
from dynaurora.aurora.staging import Staging
from dynaurora.dynamodb.changes import Change
from dynaurora.dynamodb.versions import make_version
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.mappings.rows import Row
from dynaurora.verification.compare_items import compare_items
from dynaurora.verification.compare_rows import RowComparer
from dynaurora.verification.expectations import Expecter
from tests.integration.imports.test_column_types import ALL_TYPES, VALUES
from tests.integration.targets import Target, TargetFor, row
from tests.support.factories import column, make_mapping

pytestmark = pytest.mark.integration

THEN, SNAPSHOT = make_version(1_700_000_000, 7), make_version(1_750_000_000, 0)


@pytest.fixture
def staging(request: pytest.FixtureRequest) -> Staging | None:
    found: Staging | None = getattr(request, "param", None)
    return found


def compare(target: Target, rows: list[Row]) -> dict[str, Any]:
    """Compare rows as a batch of a verification."""
    batch = replace(target.write(rows, len(rows)), source="verify", run="r1", digest=target.mapping.digest)
    before = target.query(f"SELECT * FROM Demo.{target.mapping.replica}")
    result = target.import_batch(batch)
    assert target.query(f"SELECT * FROM Demo.{target.mapping.replica}") == before
    key = keys.comparison(target.mapping.name, "r1", batch.id)
    found = json.loads(target.s3.get_object(Bucket=target.bucket, Key=key)["Body"].read())
    assert sum(found["counts"].values()) == result.rows_staged == len(rows)
    assert result.rows_changed == found["counts"].get("identical", 0)
    return dict(found)


@pytest.mark.parametrize("staging", [None, Staging(2)], ids=["temporary", "permanent"], indirect=True)
def test_each_verdict_is_told_by_the_key_and_counted(target: Target) -> None:
    future = make_version(int(time.time()) + 3600, 0)
    pages = ["same", "Same", "same ", "other", "newer", "newer and same", "future", "tombstone", "gone since", "left"]
    versions = {"newer": SNAPSHOT + 1, "newer and same": SNAPSHOT + 1, "future": future, "left moved": SNAPSHOT + 1}
    target.import_rows([row(page, versions.get(page, THEN)) for page in [*pages, "left moved"]])
    target.import_rows([row("tombstone", THEN + 1, deleted=True), row("gone since", SNAPSHOT + 1, deleted=True)])
    target.execute("UPDATE Demo.WebAnalytics__replica SET hits = 2 WHERE page_id IN ('other', 'newer')")
    exported = [row(page, SNAPSHOT) for page in [*pages[:-1], "never there"]]
    exported += [row(page, SNAPSHOT, deleted=True) for page in ("left", "left moved", "not there either")]
    found = compare(target, exported)
    suspects = {each["fields"][0]: (each["verdict"], each["columns"]) for each in found["suspects"]}
    assert suspects == {
        "other": ("differing", ["hits"]),
        "future": ("impossible", []),
        "tombstone": ("missing", []),
        "never there": ("missing", []),
        "left": ("extra", []),
    }
    counts = {"identical": 4, "differing": 1, "impossible": 1, "missing": 2, "extra": 1, "newer": 3, "skipped": 1}
    assert found["counts"] == counts


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        pytest.param("THEN 'newer'", "THEN 'identical'", id="newer taken for identical"),
        pytest.param("THEN 'newer'", "THEN 'differing'", id="newer taken for differing"),
        pytest.param(" OR `row`.`_deleted`", "", id="a tombstone taken for a row"),
        pytest.param("THEN 'impossible'", "THEN 'identical'", id="a version of the future taken for any"),
    ],
)
def test_a_mutant_of_what_is_said_of_rows_is_caught(
    target: Target, monkeypatch: pytest.MonkeyPatch, was: str, becomes: str
) -> None:
    judge, mutated = comparing._judge_staged, list[bool]()

    def judge_wrongly(*given: Any) -> str:
        mutated.append(was in judge(*given))
        return judge(*given).replace(was, becomes)

    monkeypatch.setattr(comparing, "_judge_staged", judge_wrongly)
    with pytest.raises(AssertionError):
        test_each_verdict_is_told_by_the_key_and_counted(target)
    assert mutated == [True, True]  # it was the mutant, and the batch was compared


def test_text_differs_by_its_bytes_whatever_the_collation_says(target_for: TargetFor) -> None:
    target = target_for(make_mapping(column("name", "VARCHAR(20)")))
    there, exported = ["a", "a", "a", "é", ""], ["a", "A", "a ", "e", None]
    target.import_rows([Row(False, THEN, (str(number), text)) for number, text in enumerate(there)])
    found = compare(target, [Row(False, SNAPSHOT, (str(number), text)) for number, text in enumerate(exported)])
    assert sorted(each["fields"] for each in found["suspects"]) == [["1"], ["2"], ["3"], ["4"]]


def test_json_is_compared_by_value(target_for: TargetFor) -> None:
    target = target_for(make_mapping(column("data", "JSON")))
    there = ['{"a": 1, "bb": [1.0, null]}', '{"a": 1}', "null", "[1, 2]"]
    exported = ['{"bb":[1.0,null],"a":1}', '{"a":"1"}', None, "[2,1]"]
    target.import_rows([Row(False, THEN, (str(number), text)) for number, text in enumerate(there)])
    found = compare(target, [Row(False, SNAPSHOT, (str(number), text)) for number, text in enumerate(exported)])
    assert sorted(each["fields"] for each in found["suspects"]) == [["1"], ["2"], ["3"]]


def test_the_database_and_the_driver_agree_on_every_type(target_for: TargetFor) -> None:
    """Of each item another column was changed by hand: to NULL, or from it."""
    names = [*(name for name, *_ in VALUES), "absent"]
    target = target_for(ALL_TYPES)
    attributes = {"left": {"N": "7"}, **{name: attribute for name, _, attribute, _ in VALUES}}
    items = [{"id": {"S": name}, **attributes} for name in ("untouched", *names)]
    mapper = RowMapper(target.mapping)
    rows = [mapper.row(Change(SNAPSHOT, 0, {"id": item["id"]}, item)) for item in items]
    target.import_rows([replace(each, version=THEN) for each in rows])
    null = {"varchar_null": "'x'", "absent": "'[]'"}
    for name in names:
        target.execute(f"UPDATE Demo.AllTypes__replica SET `{name}` = {null.get(name, 'NULL')} WHERE id = '{name}'")
    found = compare(target, rows)
    assert found["counts"] == {"identical": 1, "differing": len(names)}
    assert {tuple(each["columns"]) for each in found["suspects"]} == {(name,) for name in names}
    with target.connect() as aurora:
        lookup = RowComparer(aurora, target.mapping, "r2")
        compared = compare_items(Expecter(mapper), lookup, items)
        lookup.forget()
        RowComparer(aurora, target.mapping, "r1").forget()
    assert compared.tally.identical == 1
    assert {(each.key["id"]["S"], each.finding.columns) for each in compared.suspects} == {(n, (n,)) for n in names}

"""Sweeping real rows: those that an export does not have become tombstones, of whatever type their keys are."""

import dataclasses
import json
from typing import Any

import pytest

from dynaurora import keys
from dynaurora.aurora import sql
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.batch import Batch
from dynaurora.batches.import_batch import ImportResult
from dynaurora.dynamodb.changes import Change
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.errors import SweepRefusedError
from dynaurora.exports.plan_sweep import Sweep, Sweeper
from dynaurora.exports.reconcile_run import Totals
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.row_mapper import RowMapper
from tests.integration.targets import Target, TargetFor, row
from tests.support.factories import column, make_totals, mapping_document

pytestmark = pytest.mark.integration

SECOND = 1_700_000_000
SNAPSHOT = snapshot_version(SECOND)
DAY = {"activity_dt": {"S": "2026-11-23"}}


def plan(target: Target, totals: Totals | None = None) -> Sweep:
    with target.connect() as aurora:
        sweeper = Sweeper(target.mapping, aurora, S3Objects(), target.bucket, "r1", SECOND)
        return sweeper.plan(totals or make_totals())


def import_sweep(target: Target, sweep: Sweep) -> list[ImportResult]:
    """Import what a sweep planned, as its map does."""
    entries = json.loads(S3Objects().read(sweep.bucket, sweep.key))
    assert len(entries) == sweep.batches
    return [target.import_batch(Batch.from_event({"batch": entry})) for entry in entries]


def replica(target: Target) -> dict[tuple[Any, ...], tuple[bool, int]]:
    """Keys → whether the row is deleted, and its version."""
    keys = ", ".join(sql.quote(column.name) for column in target.mapping.key_columns)
    table = f"{sql.quote(target.mapping.database)}.{sql.quote(target.mapping.replica)}"
    rows = target.query(f"SELECT _deleted, _version, {keys} FROM {table}")
    return {tuple(key): (bool(deleted), int(version)) for deleted, version, *key in rows}


def clicks(target: Target) -> dict[str, tuple[bool, int]]:
    return {key: state for (key, _), state in replica(target).items()}


def test_rows_below_the_snapshot_become_tombstones_at_its_version(target: Target) -> None:
    target.import_rows(
        [
            row("gone", SNAPSHOT - 1),
            row("long gone", 1),
            row("exported", SNAPSHOT),
            row("newer", SNAPSHOT + 1),
            row("deleted", SNAPSHOT - 1, deleted=True),
        ]
    )
    sweep = plan(target)
    assert (sweep.bucket, sweep.key) == (target.bucket, "batches/run=web_analytics-r1/sweep.json")
    assert (sweep.rows, sweep.batches) == (2, 1)
    (result,) = import_sweep(target, sweep)
    assert (result.status, result.rows_staged, result.rows_changed) == ("applied", 2, 2)
    assert clicks(target) == {
        "gone": (True, SNAPSHOT),
        "long gone": (True, SNAPSHOT),
        "exported": (False, SNAPSHOT),
        "newer": (False, SNAPSHOT + 1),
        "deleted": (True, SNAPSHOT - 1),
    }
    assert set(target.hits()) == {"exported", "newer"}


def test_the_ledger_knows_a_sweep_and_does_not_count_it_as_backfilled(target: Target) -> None:
    target.import_rows([row("gone", 1)])
    import_sweep(target, plan(target))
    rows = target.query(f"SELECT source, run, rows_changed FROM {target.mapping.database}._dynaurora_imports")
    assert ("sweep", "r1", 1) in rows


def keep_refused(target: Target, *pages: str, number: int = 1) -> None:
    """Leave the keys of refused items behind, as converting a batch does."""
    found = [{"Target": target.mapping.table, "Keys": {"page_id": {"S": page}, **DAY}} for page in pages]
    body = b"".join(json.dumps(line).encode() + b"\n" for line in found)
    S3Objects().write(target.bucket, keys.backfill_refused(target.mapping.name, "r1", number), body)


def test_rows_of_refused_items_stay_as_they_are(target: Target) -> None:
    target.import_rows([row("gone", 1), row("refused", 1, 7), row("Refused", 1), row("refused ", 1)])
    keep_refused(target, "refused")
    keep_refused(target, "never taken", number=2)
    sweep = plan(target, make_totals(rejected=2))
    assert (sweep.rows, sweep.left_out) == (3, 2)
    import_sweep(target, sweep)
    assert target.hits() == {"refused": 7}


def test_rows_that_aurora_refused_stay_as_they_are(target: Target) -> None:
    target.import_rows([row("gone", 1), row("narrow", 1, 3)])
    batch = dataclasses.replace(target.write([row("narrow", SNAPSHOT, 10**12)], 1), source="backfill", run="r1")
    assert target.import_batch(batch).rows_refused == 1
    S3Objects().delete(target.bucket, keys.refused_rows(target.mapping.name, batch.id))  # settled, whatever it became
    with pytest.raises(SweepRefusedError, match="only 1 of them are known"):
        plan(target, make_totals(rejected=2))
    import_sweep(target, plan(target, make_totals(rejected=1)))
    assert target.hits() == {"narrow": 3}


def test_a_change_that_arrives_before_the_tombstones_survives(target: Target) -> None:
    target.import_rows([row("back", 1), row("gone", 1)])
    sweep = plan(target)
    target.import_rows([row("back", SNAPSHOT + 1, 7)])
    (result,) = import_sweep(target, sweep)
    assert (result.rows_staged, result.rows_changed) == (2, 1)
    assert target.hits() == {"back": 7}


def test_a_change_that_arrives_after_the_tombstones_wins(target: Target) -> None:
    target.import_rows([row("back", 1)])
    import_sweep(target, plan(target))
    target.import_rows([row("back", SNAPSHOT - 1)])
    assert target.hits() == {}
    target.import_rows([row("back", SNAPSHOT + 1, 7)])
    assert target.hits() == {"back": 7}


def test_sweeping_twice_is_harmless(target: Target) -> None:
    target.import_rows([row("gone", 1), row("exported", SNAPSHOT)])
    first = plan(target)
    assert plan(target) == first
    import_sweep(target, first)
    swept = replica(target)
    assert [result.status for result in import_sweep(target, first)] == ["already_applied"]
    again = plan(target)
    assert (again.rows, again.batches, import_sweep(target, again)) == (0, 0, [])
    assert (first.rows_before, again.rows_before) == (0, 1)
    assert replica(target) == swept


def test_rows_that_a_stopped_sweep_has_deleted_are_known(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynaurora.exports.plan_sweep.MAX_BATCH_ITEMS", 2)
    target.import_rows([row(f"k{number}", 1) for number in range(5)])
    first, *_ = json.loads(S3Objects().read(target.bucket, plan(target).key))
    target.import_rows([row("k0", SNAPSHOT + 1)])
    assert target.import_batch(Batch.from_event({"batch": first})).rows_changed == 1
    again = plan(target)
    assert (again.rows, again.rows_before) == (3, 1)


def test_nothing_to_sweep_is_a_plan_without_batches(target: Target) -> None:
    target.import_rows([row("exported", SNAPSHOT)])
    sweep = plan(target)
    assert (sweep.rows, sweep.batches, import_sweep(target, sweep)) == (0, 0, [])


def test_many_rows_are_swept_in_batches_of_bounded_size(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynaurora.exports.plan_sweep.MAX_BATCH_ITEMS", 4)
    target.import_rows([row(f"k{number}", 1) for number in range(9)])
    sweep = plan(target)
    assert (sweep.rows, sweep.batches) == (9, 3)
    assert [result.rows_changed for result in import_sweep(target, sweep)] == [4, 4, 1]
    assert target.hits() == {}


TEXTS = [
    *("a", "A", "a ", " a", "á", "🦄é漢", "it's", '"quoted"', "back\\slash", "\\N", "\\n", "a,b", "x\ny"),
    *("\r\t", "nul\0", "%s", "\x1a", "ü" * 60),
]
BYTES = ["AA==", "/w==", "AAEC/w==", "Cg==", "IA==", "QUJD" * 200]
"""Base64 of one byte, of a newline and a space, and of so many bytes that MySQL would write their base64 in lines."""
KEYS = {
    "VARCHAR(60)": [{"S": text} for text in TEXTS],
    "VARBINARY(255)": [{"S": text} for text in TEXTS],
    "VARBINARY(2048)": [{"B": text} for text in BYTES],
    "BIGINT": [{"N": text} for text in ("-9223372036854775808", "-1", "1E2")],
    "BIGINT UNSIGNED": [{"N": text} for text in ("0", "7", "18446744073709551615")],
    "DECIMAL(48,10)": [
        {"N": text} for text in ("0", "-0.0000000001", "1.50", "12345678901234567890123456789012345678")
    ],
}
"""Column type → keys as DynamoDB has them."""


def import_items(target: Target, items: list[dict[str, Any]]) -> None:
    mapper, names = RowMapper(target.mapping), target.mapping.key_attributes
    target.import_rows(mapper.row(Change(1, 0, {name: item[name] for name in names}, item)) for item in items)


def assert_swept(target: Target, items: int) -> None:
    """A key that is read or written otherwise than it is would leave its row, and make another one."""
    before = replica(target)
    assert len(before) == items
    sweep = plan(target)
    assert [result.rows_changed for result in import_sweep(target, sweep)] == [items]
    assert replica(target) == dict.fromkeys(before, (True, SNAPSHOT))


@pytest.mark.parametrize(("kind", "keys"), KEYS.items(), ids=KEYS)
def test_rows_with_keys_of_any_type_are_swept(target_for: TargetFor, kind: str, keys: list[dict[str, str]]) -> None:
    document = mapping_document(column("v", "INT"))
    document["target"]["columns"][0]["type"] = kind
    target = target_for(build_mapping("things", document))
    import_items(target, [{"id": key, "v": {"N": "1"}} for key in keys])
    assert_swept(target, len(keys))


def test_rows_with_two_keys_are_swept_wherever_their_columns_are(target_for: TargetFor) -> None:
    document = mapping_document(
        column("v", "INT"), column("n", "DECIMAL(38,10)"), sort_key="n", unmapped={"column": "rest"}
    )
    document["target"]["columns"].reverse()
    target = target_for(build_mapping("things", document))
    items = [{"id": {"S": text}, "n": {"N": number}} for text in ("a", "a ", "b") for number in ("1", "-2.5")]
    import_items(target, items)
    assert_swept(target, len(items))

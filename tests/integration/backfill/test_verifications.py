"""`dynaurora verify` on a deployment: rows changed behind its back are named, and changes under way are not."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

import dynaurora
from backfill.cli import main
from backfill.deployment import deployments
from dynaurora import keys
from dynaurora.aurora.migrations import DIFFERENCES, SEEN_KEYS, VERIFICATIONS
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.batch import Batch, BatchObject
from dynaurora.mappings.csv_format import row_label
from dynaurora.mappings.registry import Registry
from tests.integration.backfill.deployed import (
    MAPPING,
    Deployed,
    make_bad_item,
    make_item,
    make_items,
    wait_for_next_second,
    wait_until,
)

pytestmark = pytest.mark.integration

SCHEMA = Path(dynaurora.__file__).with_name("verification_report.schema.json")
FAILED = f"failed_batches/mapping={MAPPING}/"
Ask = Callable[..., Any]
QUICK = ("--settle", "1", "--workers", "2")
BY_HAND = (
    "DELETE FROM {rows} WHERE page_id = 'page-00001'",
    "UPDATE {rows} SET hits = 9, country_code = NULL WHERE page_id = 'page-00002'",
    "UPDATE {rows} SET timestarted = 9 WHERE page_id = 'page-00003'",
    "UPDATE {rows} SET _deleted = TRUE WHERE page_id = 'page-00004'",
    "INSERT INTO {rows} (page_id, activity_dt, _deleted, _version) VALUES ('by hand', 'x', 0, 1)",
)
DIFFERENT = {
    ("page-00001", "missing", ""),
    ("page-00002", "differing", "hits,country_code"),
    ("page-00004", "missing", ""),
    ("by hand", "extra", ""),
}


@pytest.fixture
def ask(deployed: Deployed) -> Ask:
    """Verify, and return what it says in the end; nothing is kept as failed of tests before."""
    for prefix in (FAILED, keys.failed_records_prefix(MAPPING), keys.unforwarded_prefix()):
        for key in deployed.list_keys(prefix):
            deployed.client("s3").delete_object(Bucket=deployed.bucket, Key=key)
    with deployed.connect() as aurora, aurora.transaction():
        for table in (DIFFERENCES, VERIFICATIONS):
            aurora.execute(f"DELETE FROM {deployed.name_table(table)}")

    def verify(*arguments: str, status: int | None = 0, via: str = "scan") -> Any:
        way = () if "--run" in arguments else ("--via", via)
        answer = CliRunner().invoke(main, ["verify", MAPPING, *QUICK, *way, *arguments, "--json"])
        assert answer.exit_code in ({0, 1} if status is None else {status}), answer.output
        return json.loads(answer.stdout.splitlines()[-1])

    return verify


def change(deployed: Deployed, *statements: str) -> None:
    """Change rows by hand."""
    with deployed.connect() as aurora, aurora.transaction():
        for statement in statements:
            aurora.execute(statement.format(rows=deployed.name_table(deployed.mapping.replica)))


def named(found: Any) -> set[tuple[str, str, str]]:
    return {
        (each["key"]["page_id"]["S"], each["verdict"], ",".join(each.get("columns", ())))
        for each in found["differences"]
    }


def test_rows_changed_deleted_and_added_by_hand_are_named_exactly(deployed: Deployed, ask: Ask, run: str) -> None:
    deployed.put([*make_items(30), make_bad_item("bad")])
    deployed.backfill(run)
    equal = ask()
    assert "\N{CHECK MARK} rows and items: verified at " in CliRunner().invoke(main, ["doctor", MAPPING]).stdout
    assert equal.items() >= {"items": 31, "rows": 30, "identical": 30, "failed": 1, "agrees": True}.items()
    change(deployed, *BY_HAND)
    found = ask("--reveal", status=1)
    assert named(found) == DIFFERENT
    assert found["run"] != equal["run"]
    counts = {"items": 31, "rows": 29, "identical": 27, "differing": 1, "missing": 2, "extra": 1, "failed": 1}
    assert found.items() >= counts.items()
    recorded = deployed.query(
        "SELECT verdict, column_name, item_value, row_value, row_digest IS NULL"
        f" FROM {deployed.name_table(DIFFERENCES)} WHERE run = %s ORDER BY verdict, column_name",
        found["run"],
    )
    assert recorded == [
        ("differing", "country_code", "DE", None, 1),
        ("differing", "hits", "1", "9", 0),
        ("extra", None, None, None, 1),
        ("missing", None, None, None, 1),
        ("missing", None, None, None, 1),
    ]
    closed = f"SELECT run, unexplained, whole FROM {deployed.name_table(VERIFICATIONS)} ORDER BY started_at, run"
    assert deployed.query(closed) == [(equal["run"], 0, 1), (found["run"], 4, 1)]
    doctor = CliRunner().invoke(main, ["doctor", MAPPING])
    assert "! rows and items: verified at " in doctor.stdout
    assert ", 4 differ without an explanation" in doctor.stdout
    assert deployed.query(f"SELECT * FROM {deployed.name_table(SEEN_KEYS)} WHERE run NOT LIKE 'repair-%'") == []


def test_an_export_is_compared_in_the_database(deployed: Deployed, ask: Ask, run: str, tmp_path: Any) -> None:
    deployed.put([*make_items(30), make_bad_item("bad")])
    deployed.backfill(run)
    kept = deployed.list_keys(f"transformation_failed_data_backup/mapping={MAPPING}/")
    wait_for_next_second()
    counts = {"items": 31, "rows": 30, "identical": 30, "failed": 1, "agrees": True, "via": "export"}
    equal = ask(via="export")
    assert equal.items() >= counts.items()
    assert deployed.list_keys(f"transformation_failed_data_backup/mapping={MAPPING}/") == kept
    change(deployed, *BY_HAND, "UPDATE {rows} SET hits = 8 WHERE page_id = 'bad'")
    wait_for_next_second()
    found = ask(via="export", status=1)
    assert named(found) == DIFFERENT
    counts = {"items": 31, "rows": 29, "identical": 27, "differing": 1, "missing": 2, "extra": 1, "failed": 1}
    assert found.items() >= counts.items()
    assert deployed.row(found["run"])["state"] == "SUCCEEDED"
    report = json.loads(deployed.read(keys.report(MAPPING, found["run"])))
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    assert report["totals"]["unaccounted"] == 0
    assert (report["verification"]["unexplained"], report["differences"]) == (4, found["differences"])
    page = deployed.read(keys.report_page(MAPPING, found["run"])).decode()
    assert "4 keys differ" in page
    assert f"dynaurora repair {MAPPING} --run {found['run']} --dry-run" in page
    fetched = CliRunner().invoke(main, ["report", "--json", "-o", str(tmp_path / "page.html")])
    assert json.loads(fetched.stdout)["run"] == found["run"]
    assert (tmp_path / "page.html").read_text() == page
    assert [staged for _, _, staged, *_ in deployed.ledger(found["run"], source="verify")] == [30]
    assert deployed.hits()["page-00002"] == 9  # nothing was imported
    assert deployed.query(f"SELECT * FROM {deployed.name_table(SEEN_KEYS)} WHERE run NOT LIKE 'repair-%'") == []
    assert "has ended" in ask("--run", found["run"], status=1)["error"]  # what it has seen is forgotten


def test_values_stay_in_the_database_unless_told(deployed: Deployed, ask: Ask, run: str) -> None:
    deployed.put(make_items(2))
    deployed.backfill(run)
    change(deployed, "UPDATE {rows} SET hits = 9 WHERE page_id = 'page-00001'")
    found = ask(status=1)
    ((item_value, row_value, item_digest, row_digest),) = deployed.query(
        f"SELECT item_value, row_value, item_digest, row_digest FROM {deployed.name_table(DIFFERENCES)}"
    )
    assert (item_value, row_value, len(item_digest), item_digest == row_digest) == (None, None, 32, False)
    assert found["differences"][0]["columns"] == ["hits"]


def test_only_the_keys_of_a_file_are_compared(deployed: Deployed, ask: Ask, run: str, tmp_path: Any) -> None:
    deployed.put(make_items(4))
    deployed.backfill(run)
    change(deployed, "UPDATE {rows} SET hits = 9")
    deployed.delete([make_item("page-00003")])
    given = [{"page_id": {"S": f"page-0000{number}"}, "activity_dt": {"S": "2026-01-01"}} for number in (1, 3, 9)]
    file = tmp_path / "keys.jsonl"
    file.write_text("\n".join(map(json.dumps, given)))
    found = ask("--keys", str(file), status=1)
    assert named(found) == {("page-00001", "differing", "hits"), ("page-00003", "extra", "")}
    assert (found["items"], found["whole"]) == (1, False)
    file.write_text('{"page_id": "page-00001"}')
    assert "Line 1" in ask("--keys", str(file), status=2)["error"]


def test_a_sample_reads_its_share_and_judges_no_row_without_an_item(deployed: Deployed, ask: Ask, run: str) -> None:
    deployed.put(make_items(20))
    deployed.backfill(run)
    change(deployed, "INSERT INTO {rows} (page_id, activity_dt, _deleted, _version) VALUES ('by hand', 'x', 0, 1)")
    found = ask("--sample", "2")
    assert (found["identical"], found["extra"], found["whole"]) == (found["items"], 0, False)
    assert ask(status=1)["extra"] == 1


def test_a_batch_that_is_not_imported_yet_is_no_difference(deployed: Deployed, ask: Ask, run: str) -> None:
    deployed.put(make_items(3))
    deployed.backfill(run)
    key = f"processed/mapping={MAPPING}/{time.strftime('%Y/%m/%d/%H', time.gmtime())}/waiting"
    deployed.put([make_item("page-00001", hits=7)])
    deployed.client("s3").put_object(Bucket=deployed.bucket, Key=key, Body=b"not a batch\n")
    try:
        found = ask("--patience", "3")
        assert (found["behind"], found["differing"], found["differences"]) == (1, 0, [])
    finally:
        wait_until(lambda: deployed.list_keys(FAILED))  # a batch that is kept as failed holds judging back, too
        for kept in (key, *deployed.list_keys(FAILED)):
            deployed.client("s3").delete_object(Bucket=deployed.bucket, Key=kept)
    assert named(ask(status=1)) == {("page-00001", "differing", "hits")}


def test_a_batch_that_is_kept_as_failed_concerns_its_own_keys(deployed: Deployed, ask: Ask, run: str) -> None:
    deployed.put(make_items(3))
    deployed.backfill(run)
    change(deployed, "UPDATE {rows} SET hits = 9 WHERE page_id IN ('page-00001', 'page-00002')")
    key, failed = f"batches/mapping={MAPPING}/given-up.csv", f"{FAILED}given-up.json"
    current = Registry(S3Objects(), deployed.bucket, MAPPING).find_current()
    body = row_label(current) + b"0,1,page-00001,2026-01-01,0,7,\\N,\\N,DE\n"
    batch = Batch(MAPPING, "stream", None, None, (BatchObject(deployed.bucket, key, "e", len(body)),))
    record = {"batch": batch.as_dict(), "first_failed_at": "2026-01-01T00:00:00Z"}
    deployed.client("s3").put_object(Bucket=deployed.bucket, Key=key, Body=body)
    deployed.client("s3").put_object(Bucket=deployed.bucket, Key=failed, Body=json.dumps(record).encode())
    try:
        found = ask("--patience", "60", status=1)
        assert named(found) == {("page-00002", "differing", "hits")}
        assert (found["behind"], found["differing"], found["seconds"] < 50) == (1, 1, True)
    finally:
        for kept in (key, failed):
            deployed.client("s3").delete_object(Bucket=deployed.bucket, Key=kept)


def test_a_stream_that_is_read_late_shows_no_difference(
    flowing: Deployed, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was changed while nobody reads may be on its way for longer than changes usually are."""
    reader = {"ForwardChangesEventSourceMappingId": flowing.event_source_mapping}  # the tests' own, not the stack's
    read = deployments._read_outputs
    monkeypatch.setattr(deployments, "_read_outputs", lambda description: read(description) | reader)
    flowing.put(make_items(2))
    wait_until(lambda: len(flowing.hits()) == 2)
    flowing.enable_event_source_mapping(enabled=False)
    try:
        flowing.put([make_item("page-00001", hits=7)])
        found = ask("--patience", "3")
        assert (found["behind"], found["differing"], found["differences"]) == (1, 0, [])
    finally:
        flowing.enable_event_source_mapping(enabled=True)
    wait_until(lambda: flowing.hits()["page-00001"] == 7)
    assert ask()["identical"] == 2


def test_a_row_that_was_changed_since_the_export_is_judged_the_next_time(flowing: Deployed, ask: Ask) -> None:
    flowing.put(make_items(3))
    wait_until(lambda: len(flowing.hits()) == 3)
    change(flowing, "UPDATE {rows} SET hits = 9 WHERE page_id = 'page-00001'")
    found = ask(via="export")
    assert (found["items"], found["identical"], found["newer"], found["differing"]) == (3, 2, 1, 0)
    assert named(ask("--settle", "5", status=1)) == {("page-00001", "differing", "hits")}


def test_changes_under_way_are_no_difference(flowing: Deployed, ask: Ask) -> None:
    """Items are changed, deleted and put again all the while; what was changed by hand is found all the same."""
    flowing.put(make_items(40))
    wait_until(lambda: len(flowing.hits()) == 40)
    change(flowing, "UPDATE {rows} SET hits = 99 WHERE page_id = 'page-00039'")
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.wait(0.5):
            number += 1
            flowing.put([make_item(f"page-{(number + step) % 30:05}", hits=number) for step in range(3)])
            flowing.delete([make_item(f"page-{number % 10 + 20:05}")])

    writer = threading.Thread(target=write)
    writer.start()
    expected = {("page-00039", "differing", "hits")}
    try:
        busy = [named(verify_busily(ask)) for _ in range(2)]
    finally:
        over.set()
        writer.join()
    assert all(found <= expected for found in busy)
    assert named(ask("--settle", "5", status=1)) == expected


def verify_busily(ask: Ask) -> Any:
    """Verify while imports may be behind: then what was changed by hand may not be proved in time."""
    return ask("--settle", "5", "--patience", "10", status=None)


def test_an_export_whose_items_are_of_different_instants_shows_no_difference(flowing: Deployed, ask: Ask) -> None:
    """Items are written while their table is exported, and each may be as it was up to a minute before or after."""
    flowing.put(make_items(20))
    wait_until(lambda: len(flowing.hits()) == 20)
    wait_for_next_second()
    flowing.put(make_items(10, hits=2))
    flowing.set_faults(spread_export_cuts_seconds=60)
    found = ask("--settle", "5", via="export")
    assert (found["differing"], found["missing"], found["extra"], found["differences"]) == (0, 0, 0, [])
    explained = sum(found[name] for name in ("identical", "behind", "newer"))
    assert found["rows"] == 20 <= explained  # some are of items that tests before had a minute ago: tombstones by now


def test_a_platform_of_an_earlier_release_is_named(
    deployed: Deployed, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backfill.deployment.deployments._read_outputs", without("CompareRowsFunctionName"))
    assert "cannot verify" in ask(status=2)["error"]


def without(name: str) -> Any:
    def read(description: Any) -> dict[str, str]:
        outputs = {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}
        outputs.pop(name, None)
        return outputs

    return read

"""`dynaurora repair` on a deployment: what a verification found is made equal, and nothing else is touched."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.client import BaseClient
from click.testing import CliRunner

from backfill import rereading
from backfill.cli import main
from dynaurora import keys
from dynaurora.aurora.migrations import DIFFERENCES, IMPORTS, VERIFICATIONS
from dynaurora.dynamodb.changes import encode_change
from dynaurora.dynamodb.versions import SEQUENCE_RANGE, stream_version
from dynaurora.failures.failed_records import FailedRecord, encode_failed_record
from dynaurora.mappings.mapping import build_mapping
from tests.infrastructure.called_actions import actions_of
from tests.integration.backfill.deployed import (
    MAPPING,
    OLD_ENOUGH,
    Deployed,
    make_bad_item,
    make_item,
    make_items,
    wait_until,
)
from tests.integration.backfill.test_verifications import BY_HAND, change
from tests.support.factories import click_change

pytestmark = pytest.mark.integration

Ask = Callable[..., Any]
OF_JUDGING = {"dynamodb:Scan", "dynamodb:GetItem", "s3:GetObjectTagging", "lambda:GetEventSourceMapping"}
"""Actions that are asked for only where a verification finds something, or comes first by a scan."""
OF_THE_TEST = {"batch_write_item", "scan", "get_item"}
"""Calls of DynamoDB that tests make themselves, too."""
ROOT = Path(__file__).resolve().parents[3]
QUICK = ("--settle", "1")


@pytest.fixture
def ask(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run a command with --json, and return what it says in the end; nothing is kept of tests before."""
    kept = (keys.failed_batches_prefix, keys.failed_records_prefix, keys.parked_prefix)
    for prefix in (*(name(MAPPING) for name in kept), keys.unforwarded_prefix()):
        for key in deployed.list_keys(prefix):
            deployed.client("s3").delete_object(Bucket=deployed.bucket, Key=key)
    with deployed.connect() as aurora, aurora.transaction():
        for table in (DIFFERENCES, VERIFICATIONS):
            aurora.execute(f"DELETE FROM {deployed.name_table(table)}")
    monkeypatch.setattr(rereading, "POLL_SECONDS", 0.05)
    monkeypatch.setattr("backfill.commands.mending.RUN_POLL_SECONDS", 0.1)

    def run(command: str, *arguments: str, status: int = 0) -> Any:
        answer = CliRunner().invoke(main, [command, MAPPING, *QUICK, *arguments, "--json"])
        assert answer.exit_code == status, answer.output
        return json.loads(answer.stdout.splitlines()[-1])

    return run


def repair(*arguments: str, status: int = 0) -> str:
    """Repair as a person does; return what is printed."""
    answer = CliRunner().invoke(main, ["repair", MAPPING, *QUICK, *arguments], input="y\n")
    assert answer.exit_code == status, answer.output
    return answer.stdout


def verified() -> Any:
    """Return what `dynaurora status` says of the last verification."""
    return json.loads(CliRunner().invoke(main, ["status", MAPPING, "--json"]).stdout)["verification"]


def versions(deployed: Deployed) -> dict[str, int]:
    return dict(deployed.query(f"SELECT page_id, _version FROM {deployed.name_table(deployed.mapping.replica)}"))


def read_tables(deployed: Deployed) -> dict[str, Any]:
    """Return all that the database has, and which objects are in the bucket."""
    listed = deployed.query(f"SHOW FULL TABLES IN {deployed.mapping.database} WHERE Table_type = 'BASE TABLE'")
    rows = {name: deployed.query(f"SELECT * FROM {deployed.name_table(name)}") for name, _ in listed}
    return {**rows, "objects": deployed.list_keys("")}


def test_rows_changed_deleted_and_added_by_hand_are_mended_and_no_others(
    deployed: Deployed, ask: Ask, run: str
) -> None:
    deployed.put(make_items(30))
    deployed.backfill(run)
    change(deployed, *BY_HAND)
    found = ask("verify", "--via", "scan", status=1)
    before, known = versions(deployed), read_tables(deployed)
    planned = ask("repair", "--dry-run", status=1)
    assert planned["mend"] == {"differing": 1, "extra": 1, "missing": 2}
    assert read_tables(deployed) == known
    assert (planned["verification"]["run"], planned["agrees"], planned["reread"]["keys"]) == (found["run"], False, 0)
    assert versions(deployed) == before
    assert verified()["unexplained"] == 4  # nothing was mended by looking
    said = repair()
    last = verified()
    assert (last["run"], last["found"], last["unexplained"]) == (found["run"], 4, 0)
    assert "4 differed, mended " in CliRunner().invoke(main, ["doctor", MAPPING]).stdout
    assert "4 items read again by their keys" in said
    assert "verified        equal" in said
    page = deployed.read(re.search(r"s3://[^/]+/(reports/\S+)\.json", said)[1] + ".html").decode()  # type: ignore[index]
    assert "Repair of web_analytics" in page
    assert found["run"] in page
    assert deployed.compare().agrees
    after = versions(deployed)
    mended = {"page-00001", "page-00002", "page-00004", "by hand"}
    assert {page for page in after if after[page] != before.get(page)} == mended
    (imported,) = deployed.query(
        f"SELECT rows_staged, rows_changed FROM {deployed.name_table(IMPORTS)} WHERE source = 'repair'"
    )
    assert imported[0] == 4
    assert "No verification" in ask("repair", "--run", "verify-never", "--yes", status=2)["error"]
    again = ask("repair", "--yes")
    assert (again["mend"], again["not_mended"], again["agrees"]) == ({}, {"identical": 4}, True)


def test_rows_of_keys_that_no_item_can_have_are_named_and_mended(deployed: Deployed, ask: Ask, run: str) -> None:
    """DynamoDB refuses to be asked for them."""
    deployed.put(make_items(2))
    deployed.backfill(run)
    insert = "INSERT INTO {rows} (page_id, activity_dt, _deleted, _version) VALUES "
    change(deployed, f"{insert} ('', 'x', 0, 1), ('page-00000', '', 0, 1), ('by hand', 'x', 0, 1)")
    found = ask("verify", "--via", "scan", status=1)
    assert (found["identical"], found["extra"]) == (2, 3)
    mended = ask("repair", "--yes")
    assert (mended["mend"], mended["reread"]["gone"], mended["verified"]["extra"]) == ({"extra": 3}, 3, 0)
    assert deployed.hits().keys() == {"page-00000", "page-00001"}


def test_what_a_stream_has_lost_is_mended(deployed: Deployed, ask: Ask, run: str) -> None:
    """The stream is dammed: what is put, changed and deleted after the backfill is delivered to nobody."""
    deployed.put(make_items(20))
    deployed.backfill(run)
    lost = [*make_items(3, hits=7), *make_items(2, "new")]
    deployed.put(lost)
    deployed.delete(make_items(12)[10:])
    found = ask("verify", "--via", "scan", status=1)
    assert {name: found[name] for name in ("differing", "missing", "extra")} == {
        "differing": 3,
        "missing": 2,
        "extra": 2,
    }
    mended = ask("repair", "--yes", "--whole")
    assert (mended["mend"], mended["agrees"]) == ({"differing": 3, "extra": 2, "missing": 2}, True)
    assert (mended["reread"]["items"], mended["reread"]["gone"], mended["reread"]["changed"] >= 7) == (5, 2, True)
    assert deployed.compare().agrees


def test_what_a_wrong_mapping_wrote_is_found_and_mended(deployed: Deployed, ask: Ask, run: str) -> None:
    deployed.put(make_items(4))
    document = json.loads(deployed.mapping.text)
    document["target"]["columns"][-1]["from"] = "payload.device.make"
    try:
        deployed.set_faults(age_mappings_seconds=OLD_ENOUGH)
        deployed.switch_mapping(build_mapping(MAPPING, document))
        deployed.backfill(run)
        assert not deployed.compare().agrees
        deployed.switch_mapping(deployed.mapping)
        mended = ask("repair", "--yes")  # nothing was verified yet: that comes first
        assert (mended["mend"], mended["verified"]["identical"], mended["agrees"]) == ({"older_mapping": 4}, 4, True)
        assert deployed.compare().agrees
    finally:
        deployed.forget_mappings()


def keep_parked(deployed: Deployed, page_id: str) -> str:
    """Park a change as failed, of an item that is gone; return its key."""
    change = click_change(version=stream_version(int(time.time()) - 3600, 5), page_id=page_id)
    record = FailedRecord(encode_change(change), "dynaurora.Rejected", "It was refused.", 6, 1, "arn", reprocessed=5)
    key = keys.parked(MAPPING, f"{keys.failed_records_prefix(MAPPING)}refused/{page_id}.json")
    deployed.client("s3").put_object(Bucket=deployed.bucket, Key=key, Body=encode_failed_record(record))
    return key


def take_up_parked(deployed: Deployed) -> None:
    """Reprocess what is parked, as an operator does once the mapping is mended."""
    answer = CliRunner().invoke(main, ["reprocess", "start", MAPPING, "--include-parked", "--watch", "--every", "0.2"])
    assert answer.exit_code == 0, answer.output


def test_a_failure_that_is_mended_later_brings_no_item_back(deployed: Deployed, ask: Ask, run: str) -> None:
    """The delete of its item was lost. Without a tombstone the row would be there again."""
    deployed.put(make_items(3))
    deployed.backfill(run)
    keep_parked(deployed, "revived")
    take_up_parked(deployed)
    assert "revived" in deployed.hits()  # nobody had repaired
    kept = keep_parked(deployed, "gone")
    assert ask("verify", "--via", "scan", status=1)["extra"] == 1
    mended = ask("repair", "--yes")
    assert (mended["mend"], mended["reread"]["gone"], mended["agrees"]) == ({"extra": 1, "kept": 1}, 2, True)
    assert deployed.list_keys(kept) == [kept]
    take_up_parked(deployed)
    assert deployed.list_keys(kept) == []
    assert deployed.hits().keys() == {f"page-0000{number}" for number in range(3)}
    assert ask("repair", "--yes")["mend"] == {}


class DiedError(Exception):
    """The command's process is gone."""


def test_a_repair_that_dies_is_given_again(
    deployed: Deployed, ask: Ask, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a batch that is written and not imported, then with one that is on its way."""
    deployed.put(make_items(6))
    deployed.backfill(run)
    change(deployed, "UPDATE {rows} SET hits = 9", "DELETE FROM {rows} WHERE page_id = 'page-00003'")
    ask("verify", "--via", "scan", status=1)

    def die(*_: Any) -> Any:
        raise DiedError

    for dies_in in ("_start_import", "_wait_for_import"):
        with monkeypatch.context() as patch:
            patch.setattr(rereading.Rereader, dies_in, die)
            died = CliRunner().invoke(main, ["repair", MAPPING, *QUICK, "--yes"])
            assert isinstance(died.exception, DiedError)
    mended = ask("repair", "--yes")
    assert mended["agrees"]
    assert sum(mended["mend"].values()) in {0, 6}  # the second one's batch may be in by now
    assert deployed.compare().agrees


IN_SMALL_BATCHES = """
from backfill import rereading
from backfill.cli import main
rereading.MOST_KEYS = rereading.BATCH_KEYS = 2
main()
"""


def test_a_repair_whose_process_is_killed_half_way_is_given_again(
    deployed: Deployed, ask: Ask, run: str, tmp_path: Path
) -> None:
    """By SIGKILL, with some of its batches written and imports of them under way."""
    deployed.put(make_items(24))
    deployed.backfill(run)
    change(deployed, "UPDATE {rows} SET hits = 9", BY_HAND[-1], "DELETE FROM {rows} WHERE page_id = 'page-00003'")
    ask("verify", "--via", "scan", status=1)
    before = set(list_repaired(deployed))
    command = [sys.executable, "-c", IN_SMALL_BATCHES, "repair", MAPPING, *QUICK, "--yes"]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=said, stderr=said)
        try:
            wait_until(lambda: len(set(list_repaired(deployed)) - before) >= 2 or process.poll() is not None)
        finally:
            process.kill()
    assert process.wait() == -signal.SIGKILL, (tmp_path / "said").read_text()
    assert 2 <= len(set(list_repaired(deployed)) - before) < 13
    assert not deployed.compare().agrees
    mended = ask("repair", "--yes")
    assert (0 < sum(mended["mend"].values()) <= 25, mended["agrees"]) == (True, True)
    assert deployed.compare().agrees
    assert ask("verify", "--via", "scan")["identical"] == 24


def list_repaired(deployed: Deployed) -> list[str]:
    """Return the batches that repairs have written."""
    return [key for key in deployed.list_keys(keys.runs_prefix(MAPPING)) if "/repair-" in key]


def test_a_change_that_comes_meanwhile_wins(
    deployed: Deployed, ask: Ask, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item is changed after it was read again, and its change is imported before."""
    deployed.put(make_items(3))
    deployed.backfill(run)
    change(deployed, "UPDATE {rows} SET hits = 9")
    ask("verify", "--via", "scan", status=1)
    start = rereading.Rereader._start_import

    def overtake(self: Any, batch: Any) -> str:
        version = stream_version(int(time.time()), 5)
        change(deployed, f"UPDATE {{rows}} SET hits = 5, _version = {version} WHERE page_id = 'page-00001'")
        deployed.put([make_item("page-00001", hits=5)])
        return start(self, batch)

    monkeypatch.setattr(rereading.Rereader, "_start_import", overtake)
    mended = ask("repair", "--yes")
    assert (mended["reread"]["rows"], mended["reread"]["changed"] < 6, mended["agrees"]) == (3, True, True)
    assert deployed.hits() == {"page-00000": 1, "page-00001": 5, "page-00002": 1}


def test_versions_of_the_future_are_told_and_not_touched(deployed: Deployed, ask: Ask, run: str) -> None:
    deployed.put(make_items(3))
    deployed.backfill(run)
    future = stream_version(4_000_000_000, 1)
    change(deployed, f"UPDATE {{rows}} SET hits = 9, _version = {future} WHERE page_id = 'page-00001'")
    ask("verify", "--via", "scan", status=1)
    left = ask("repair", "--yes", status=1)
    assert (left["mend"], left["not_mended"], left["agrees"]) == ({}, {"impossible": 1}, False)
    said = repair(status=1)
    (statement,) = [line.partition("items: ")[2] for line in said.splitlines() if "DELETE FROM" in line]
    assert "2096-10-02" in said
    with deployed.connect() as aurora, aurora.transaction():
        assert aurora.execute(statement) == 1
    assert ask("repair", "--yes")["agrees"]
    assert deployed.compare().agrees


def test_more_than_is_recorded_is_mended_by_a_backfill(
    deployed: Deployed, ask: Ask, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a sweep. And infra/repair-policy.json has each call that is made of AWS for it, and none that is not."""
    deployed.put([*make_items(20), make_bad_item("bad")])
    deployed.backfill(run)
    change(deployed, "UPDATE {rows} SET hits = 9 WHERE page_id < 'page-00008'", BY_HAND[-1])
    with monkeypatch.context() as patch:
        patch.setattr("dynaurora.verification.verifier.MOST_SUSPECTS", 2)
        ask("verify", "--via", "scan", status=1)
    called = note_calls(monkeypatch)
    planned = ask("repair", "--dry-run", status=1)
    assert (planned["via"], planned["found"], planned["left_out"]) == ("export", 2, 7)
    partly = ask("repair", "--yes", "--via", "keys", status=1)
    assert (partly["verified"]["identical"], partly["agrees"]) == (2, False)
    deployed.put([make_item("bad")])  # else the sweep would be refused
    assert ask("repair", "--yes")["agrees"]
    assert deployed.compare().agrees
    statements = json.loads((ROOT / "infra" / "repair-policy.json").read_text())["Statement"]
    allowed = {action for one in statements for action in list_of(one["Action"])}
    assert called <= allowed
    assert allowed - called <= OF_JUDGING


def test_a_repair_by_a_backfill_mends_what_it_can_and_names_what_its_mapping_refuses(
    deployed: Deployed, ask: Ask, run: str
) -> None:
    """Half of the items, where a backfill of its own tolerates a tenth."""
    bad = [f"bad-{number:05}" for number in range(6)]
    deployed.put([*make_items(6), *map(make_item, bad)])
    deployed.backfill(run)
    change(deployed, "UPDATE {rows} SET hits = 9 WHERE page_id BETWEEN 'page' AND 'page-00002'", BY_HAND[-1])
    deployed.put(map(make_bad_item, bad))
    ask("verify", "--via", "scan", status=1)
    said = repair("--via", "export")
    assert "verified        equal, but for 6 items kept as failed: dynaurora failures list web_analytics" in said
    assert deployed.hits() == {**dict.fromkeys((f"page-{number:05}" for number in range(6)), 1)} | dict.fromkeys(bad, 1)
    mended = ask("repair", "--yes", "--via", "export", "--whole")
    assert mended["agrees"]
    assert verified()["unexplained"] == 0


def note_calls(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return a set that takes the action of each call of AWS from now on."""
    called, call = set[str](), BaseClient._make_api_call  # type: ignore[attr-defined]

    def note(client: Any, operation: str, arguments: Any) -> Any:
        name = "invoke_function" if operation == "Invoke" else xform_name(operation)
        if client.meta.service_model.service_name != "dynamodb" or name not in OF_THE_TEST:
            called.update(actions_of(client.meta.service_model.service_name, name))
        return call(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", note)
    return called


def list_of(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def test_a_table_is_repaired_while_it_changes(flowing: Deployed, ask: Ask) -> None:
    """Items are changed, deleted and put again all the while. The rows of others were changed by hand long ago."""
    flowing.put(make_items(20))
    wait_until(lambda: len(flowing.hits()) == 20)
    aged = f"UPDATE {{rows}} SET _version = _version - {300 * SEQUENCE_RANGE}, hits = 99 WHERE page_id >= 'page-00015'"
    change(flowing, aged, BY_HAND[-1])
    keys_by_hand = {*(f"page-000{number}" for number in range(15, 20)), "by hand"}
    found = ask("verify", "--via", "scan", "--settle", "4", status=1)
    assert {each["key"]["page_id"]["S"] for each in found["differences"]} == keys_by_hand
    over = threading.Event()

    def write() -> None:
        number = 1
        while not over.wait(0.3):
            number += 1
            flowing.put([make_item(f"page-{(number + step) % 12:05}", hits=number) for step in range(3)])
            flowing.delete([make_item(f"page-{number % 3 + 12:05}")])
            flowing.put([make_item(f"page-{(number + 1) % 3 + 12:05}", hits=number)])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        mended = ask("repair", "--yes", "--settle", "4")
    finally:
        over.set()
        writer.join()
    assert (mended["mend"], mended["agrees"]) == ({"differing": 5, "extra": 1}, True)
    assert mended["reread"]["keys"] == 6
    wait_until(lambda: flowing.compare().agrees)

"""`dynaurora purge` on a deployment: what it says, what it deletes, and what is refused afterwards."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

from backfill.cli import main
from dynaurora import keys
from dynaurora.aurora.migrations import FLOORS, IMPORTS, PURGES
from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.dynamodb.versions import make_version
from dynaurora.failures.failed_records import FailedRecord, encode_failed_record
from tests.integration.backfill.deployed import MAPPING, Deployed

pytestmark = pytest.mark.integration

DAY = 86400
KEPT_DAYS = 90
Ask = Callable[..., Result]


@pytest.fixture
def ask(deployed: Deployed) -> Any:
    """Purge; nothing is kept as failed of tests before, and nothing was purged."""
    for prefix in (
        f"failed_batches/mapping={MAPPING}/",
        keys.failed_records_prefix(MAPPING),
        keys.unforwarded_prefix(),
    ):
        for key in deployed.list_keys(prefix):
            deployed.client("s3").delete_object(Bucket=deployed.bucket, Key=key)

    def purge(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["purge", *arguments])

    yield purge
    change(
        deployed, f"UPDATE {deployed.name_table(FLOORS)} SET floor = 0", f"DELETE FROM {deployed.name_table(PURGES)}"
    )


def change(deployed: Deployed, *statements: str) -> None:
    with deployed.connect() as aurora, aurora.transaction():
        for statement in statements:
            aurora.execute(statement)


def leave(deployed: Deployed, days_ago: float, page: str) -> int:
    """Leave a tombstone of so long ago, and a row of the ledger; return the tombstone's second."""
    second = int(time.time() - days_ago * DAY)
    finished = datetime.fromtimestamp(second, UTC).replace(tzinfo=None)
    change(
        deployed,
        f"INSERT INTO {deployed.name_table(deployed.mapping.replica)} (page_id, activity_dt, _deleted, _version)"
        f" VALUES ('{page}', 'x', 1, {make_version(second, 1)})",
        f"INSERT INTO {deployed.name_table(IMPORTS)} (batch_id, mapping, source, objects, started_at, finished_at)"
        f" VALUES ('{page}', '{MAPPING}', 'stream', '[]', '{finished}', '{finished}')",
    )
    return second


def list_tombstones(deployed: Deployed) -> set[str]:
    with deployed.connect() as aurora:
        rows = aurora.query(f"SELECT page_id FROM {deployed.name_table(deployed.mapping.replica)} WHERE _deleted")
    return {page for (page,) in rows}


def test_what_is_old_is_told_asked_for_and_deleted(deployed: Deployed, ask: Ask) -> None:
    for days, page in ((KEPT_DAYS + 1, "old"), (KEPT_DAYS - 1, "young")):
        leave(deployed, days, page)
    told = ask("--dry-run")
    assert told.exit_code == 0, told.output
    assert f"{MAPPING}: 1 tombstone of before " in told.stdout
    assert ", 1 row of the ledger of before " in told.stdout
    declined = CliRunner().invoke(main, ["purge", MAPPING], input="n\n")
    assert declined.exit_code == 1
    assert list_tombstones(deployed) == {"old", "young"}
    purged = ask(MAPPING, "--yes", "--json")
    assert purged.exit_code == 0, purged.output
    found = json.loads(purged.stdout)
    assert (found["mapping"], found["done"], found["tombstones"], found["imports"]) == (MAPPING, True, 1, 1)
    assert list_tombstones(deployed) == {"young"}
    assert "0 tombstones, 0 rows of the ledger" in ask("--yes").stdout


def test_a_record_that_is_kept_as_failed_holds_what_is_younger(deployed: Deployed, ask: Ask) -> None:
    second = leave(deployed, KEPT_DAYS + 2, "younger")
    kept = Change(make_version(second - DAY, 1), 0, {"page_id": {"S": "a"}, "activity_dt": {"S": "x"}}, None)
    key = f"{keys.failed_records_prefix(MAPPING)}kept.json"
    body = encode_failed_record(FailedRecord(encode_change(kept), "Refused", "", 1, 0, ""))
    deployed.client("s3").put_object(Bucket=deployed.bucket, Key=key, Body=body)
    plan = json.loads(ask(MAPPING, "--dry-run", "--json").stdout)
    assert (plan["tombstones"], plan["imports"]) == (0, 1)
    assert plan["holds"] == [{"second": second - DAY, "cause": "failed record", "name": key}]
    assert f"  held by a failed record of {plan['floor'][:10]}" in ask(MAPPING, "--dry-run").stdout
    assert ask(MAPPING, "--yes").exit_code == 0
    assert list_tombstones(deployed) == {"younger"}


def test_the_clock_purges_every_replication(deployed: Deployed, ask: Ask) -> None:
    leave(deployed, KEPT_DAYS + 1, "old")
    function = deployed.outputs["PurgeReplicasFunctionName"]
    answer = deployed.client("lambda").invoke(FunctionName=function, Payload=b"{}")
    purged = json.loads(answer["Payload"].read())["purged"]
    assert purged == {MAPPING: {"done": True, "tombstones": 1, "imports": 1, "verifications": 0}}
    assert list_tombstones(deployed) == set()


def test_json_does_not_ask(ask: Ask) -> None:
    refused = ask("--json")
    assert refused.exit_code == 2
    assert "--yes or --dry-run" in refused.output

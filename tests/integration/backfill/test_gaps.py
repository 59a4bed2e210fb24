"""Gaps in the stream, filled by `dynaurora repair --from --to`: what was lost is there afterwards, and nothing else."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from click.testing import CliRunner

from backfill.cli import main
from backfill.commands import mending
from dynaurora import keys
from tests.integration.backfill.deployed import (
    MAPPING,
    OLD_ENOUGH,
    Deployed,
    make_bad_item,
    make_item,
    make_items,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

AGO = 1200
"""Seconds that all writes are dated back by: the window over them is over, and ended two minutes after them."""


def show(second: float) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture
def lossy(flowing: Deployed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    """A deployment whose writes are of twenty minutes ago, and whose recovery is older than that."""
    monkeypatch.setattr(mending, "RUN_POLL_SECONDS", 0.2)
    forget_tombstones(flowing)
    flowing.set_recovery(enabled=False)
    ages = {"age_recovery_seconds": 7200, "age_writes_seconds": AGO, "age_stream_mappings_seconds": OLD_ENOUGH}
    flowing.set_faults(shift_export_cut_seconds=0, **ages)
    flowing.set_recovery(enabled=True)
    yield flowing
    flowing.set_recovery(enabled=False)
    flowing.set_faults(**dict.fromkeys(ages, 0))
    flowing.set_recovery(enabled=True)


def forget_tombstones(deployed: Deployed) -> None:
    """Forget the deletes of what the test before has left: they are newer than what is written as of long ago."""
    deployed.drain_stream()
    deployed.delete(deployed.scan())
    with deployed.connect() as aurora, aurora.transaction():
        aurora.execute(f"DELETE FROM {deployed.name_table(deployed.mapping.replica)}")


def repair(*arguments: str, status: int = 0) -> Any:
    answer = CliRunner().invoke(
        main, ["repair", MAPPING, "--settle", "1", "--patience", "20", *arguments], catch_exceptions=False
    )
    assert answer.exit_code == status, answer.output
    return json.loads(answer.stdout.splitlines()[-1]) if "--json" in arguments else answer


def ask(*arguments: str) -> Any:
    """Return what a command answers, whatever its exit status says of it."""
    answer = CliRunner().invoke(main, [*arguments, "--json"], catch_exceptions=False)
    return json.loads(answer.stdout.splitlines()[-1])


def name_records(deployed: Deployed, first: str, last: str) -> None:
    """Keep records of the stream as failed as a destination has them that is told of none: when they came, no more."""
    times = {"approximateArrivalOfFirstRecord": first, "approximateArrivalOfLastRecord": last}
    batch = {"streamArn": f"{deployed.table_arn}/stream/1", "shardId": "shardId-1", "batchSize": 5, **times}
    key = f"{keys.unforwarded_of(deployed.deployment.event_source_mapping)}shardId-1/lost"
    body = json.dumps({"DDBStreamBatchInfo": batch}).encode()
    deployed.client("s3").put_object(Bucket=deployed.bucket, Key=key, Body=body)


def lose_changes(deployed: Deployed) -> dict[str, int]:
    """Change items while nothing reads the stream, and switch it off; return what is in the table then."""
    deployed.put(make_items(4))
    wait_until(lambda: len(deployed.hits()) == 4)
    deployed.stop_stream()
    deployed.put([make_item("page-00000", 7), make_item("new", 8), make_bad_item("bad")])
    deployed.delete([make_item("page-00001"), make_item("page-00002")])  # inserted within the window: no record
    deployed.put([make_item("page-00002", 9)])
    deployed.read_stream(deployed.start_stream())
    return {"page-00000": 7, "page-00002": 9, "page-00003": 1, "new": 8}


def test_a_gap_is_filled_deletes_of_what_is_younger_included(lossy: Deployed) -> None:
    began = time.time() - AGO
    wanted = lose_changes(lossy)
    gap = ("--from", show(began - 1), "--to", show(time.time() - AGO + 1))
    before = lossy.hits()
    name_records(lossy, gap[1], gap[3])
    assert ask("status", MAPPING)["losses"] == [{"from": gap[1], "to": gap[3]}]

    planned = repair(*gap, "--dry-run", "--json", status=1)
    assert ([each["run"][:4] for each in planned["exports"]], planned["rows"]) == (["gap-"], 4)
    assert lossy.hits() == before != wanted

    lossy.set_faults(fail_exports=1)
    answer = repair(*gap, "--yes", status=1)
    assert "Waiting for the backfill gap-" in answer.stderr
    assert "has failed: ExportFailedError" in answer.stderr
    done = repair(*gap, "--yes", "--json")  # goes on, with another export than the one that DynamoDB gave up
    assert lossy.hits() == wanted
    assert (done["reread"]["gone"], done["reread"]["impossible"], done["reread"]["refused"]) == (1, 0, 1)
    assert lossy.compare().agrees
    assert ask("status", MAPPING)["losses"] == []
    (brought,) = done["brought_failures"]
    assert ask("failures", "show", brought)["verdict"]["reasons"][0]["rule"] == "lost"
    assert ask("failures", "discard", brought, "--yes")["discarded"] == 1

    again = repair(*gap, "--yes")
    assert "were imported before, by gap-" in again.stderr
    assert lossy.hits() == wanted


@pytest.mark.parametrize(("ttl_deletes", "options"), [("replicate", ["--sweep"]), ("ignore", [])])
def test_a_gap_is_named_no_more_once_a_backfill_has_brought_all(
    deployed: Deployed, run: str, ttl_deletes: Literal["replicate", "ignore"], options: list[str]
) -> None:
    gap = [show(time.time() - seconds) for seconds in (900, 600)]
    name_records(deployed, *gap)
    lost = [{"from": gap[0], "to": gap[1]}]
    try:
        if options:
            deployed.backfill(f"{run}-unswept")  # may leave rows whose items were deleted in the gap
        assert ask("status", MAPPING)["losses"] == lost
        deployed.change_registered(lambda known: replace(known, ttl_deletes=ttl_deletes))
        deployed.backfill(run, *options)
        assert ask("status", MAPPING)["losses"] == []
        later = [show(time.time() - seconds) for seconds in (900, 30)]
        name_records(deployed, *later)  # not all of it is for sure in an export of now
        assert ask("status", MAPPING)["losses"] == [{"from": later[0], "to": later[1]}]
    finally:
        deployed.change_registered(lambda known: replace(known, ttl_deletes="replicate"))
        for key in deployed.list_keys(keys.unforwarded_prefix()):
            deployed.client("s3").delete_object(Bucket=deployed.bucket, Key=key)


def test_a_gap_that_recovery_does_not_reach_is_a_backfills(lossy: Deployed) -> None:
    gap = ("--from", show(time.time() - 9000), "--to", show(time.time() - 8000))
    answer = repair(*gap, "--yes", status=1)
    assert "shows nothing before" in answer.stderr
    assert f"dynaurora backfill start {MAPPING} --sweep" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--from", "2026-11-23T08:15:00Z"), "A gap has two ends"),
        (("--from", "0001-01-01T00:00:00+14:00", "--to", "2026-11-23T08:15:00Z"), "is no time"),
        (("--from", "yesterday", "--to", "2026-11-23T08:15:00Z"), "'yesterday' is no time"),
        (("--from", "2026-11-23T09:15:00Z", "--to", "2026-11-23T08:15:00Z"), "is before --from"),
        (("--from", "2026-11-23T09:15:00Z", "--to", "2199-11-23T08:15:00Z"), "is yet to come"),
        (("--from", "2026-11-23T08:15:00Z", "--to", "2026-11-23T09:15:00Z", "--whole"), "leave out --run"),
    ],
)
def test_what_is_no_gap_is_wrong_use(deployed: Deployed, arguments: tuple[str, ...], says: str) -> None:
    assert says in repair(*arguments, "--yes", status=2).stderr

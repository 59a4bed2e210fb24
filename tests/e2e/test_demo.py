"""The demo, undisturbed and disturbed: it ends with DynamoDB and Aurora in agreement, or leaves nothing running.

Where a stack runs its stream has the seeded items too; where none does they are there before the stream is on, and
only the backfill brings them to Aurora.
"""

import json
import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from local.aurora.faults import kill_database, restart_database
from tests.e2e.conftest import PROJECT, LocalAws
from tests.reader import find_missing

CHANGES = "1500"
SEEDED = "600"
OUTAGE_SECONDS = 3


def assert_agreement(result: dict[str, Any]) -> None:
    assert result["problems"] == []
    assert result["differing"] == result["missing"] == 0
    assert 0 < result["identical"] <= result["rows"] <= result["items"]
    assert 0 < result["rejected"] < result["changes"] / 20
    assert sum(result["reasons"].values()) == result["rejected"]
    assert result["identical"] + result["refused"] == result["items"]
    assert result["identical"] + result["rows_of_refused"] == result["rows"]
    assert_backfilled(result["backfill"])


def assert_backfilled(backfill: dict[str, Any]) -> None:
    assert backfill["state"] == "SUCCEEDED"
    accounted = backfill["imported"] + backfill["already_newer"] + backfill["rejected"]
    assert backfill["exported"] == accounted > 0
    assert sum(backfill["reasons"].values()) == backfill["rejected"]
    assert {"exporting", "planning", "importing", "reconciling"} <= set(backfill["phases"])
    assert sum(backfill["phases"].values()) == pytest.approx(backfill["seconds"], abs=1)


def test_both_sides_agree(local_aws: LocalAws) -> None:
    result = local_aws.run_json("demo", "--items", CHANGES, "--seeded", SEEDED)
    assert_agreement(result)
    assert result["changes"] == int(CHANGES)
    assert result["seeded"] == int(SEEDED)
    assert result["seeded_through_stream"]
    assert 0 < result["compared_seconds"] <= result["seconds"]


def test_a_database_that_was_away_gets_everything_in_the_end(local_aws: LocalAws) -> None:
    """With the same seed as before, every item changes again; and with the table as people see it."""
    demo = local_aws.start("demo", "--items", "3000", "--seeded", SEEDED)
    wait_for_rows(local_aws, "hits IS NOT NULL")
    kill_database(local_aws.directory)
    time.sleep(OUTAGE_SECONDS)
    counts = local_aws.run_json("status")["pipeline"]
    assert counts["rows"] is None
    assert counts["waiting"] is None
    restart_database(local_aws.directory)
    output, _ = demo.communicate(timeout=180)
    assert demo.returncode == 0, output
    assert "✓ Aurora holds what DynamoDB holds" in output
    assert "identical" in output
    assert find_missing(read_shown(), output) is None
    assert "items exported by the backfill" in output
    *_, status, _, _, report = output.rstrip().splitlines()
    assert status.endswith("dynaurora local status")
    assert Path(report.removeprefix("Report of the backfill: ")).stat().st_size > 1000


def read_shown() -> str:
    """Return what the README shows of a demo, with anything for its numbers, and for how items were seeded."""
    shown = re.search(r"```text\n(?P<lines>.*?)```", (PROJECT / "README.md").read_text("utf-8"), re.DOTALL)
    assert shown
    return re.sub(r"\d[\d,.]*|, before the stream was on", "…", shown["lines"])


def wait_for_rows(aws: LocalAws, condition: str) -> None:
    """Return once the demo that is running has changed the replica."""
    table = "Demo.WebAnalytics__replica"
    before = aws.query(f"SELECT MAX(_version) FROM {table} WHERE {condition}")
    while aws.query(f"SELECT MAX(_version) FROM {table} WHERE {condition}") == before:
        time.sleep(0.1)


def test_objects_that_are_no_batches_are_parked_and_others_go_on(local_aws: LocalAws) -> None:
    bucket, prefix = local_aws.deployment.bucket, "processed/mapping=web_analytics/2026/11/23/08"
    whole = b"0,1,page,now,1,1,a,b,DE\n"
    bad = {"empty": b"", "truncated": whole + whole[:-5], "columns": b"0,1,page\n", "header": b"a,b,c,d,e,f,g,h,i\n"}
    for name, content in bad.items():
        local_aws.api.s3.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=content)
    records = read_failed_batches(local_aws, len(bad))
    assert {record["batch"]["objects"][0]["key"].rpartition("/")[2] for record in records} == set(bad)
    assert {record["error"] for record in records} == {"MalformedBatchError"}
    assert all(record["remedy"] and record["attempts"] == 1 for record in records)
    assert_agreement(local_aws.run_json("demo", "--items", CHANGES, "--seeded", SEEDED, "--seed", "4"))
    marked = read_marked(local_aws, "processed/")
    assert marked, "the batches that the demo imported may expire"
    assert not {f"{prefix}/{name}" for name in bad} & marked, "a record only points at its batch"


def read_marked(aws: LocalAws, prefix: str) -> set[str]:
    """Return the keys that are marked as imported."""
    s3, bucket = aws.api.s3, aws.deployment.bucket
    listed = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]
    mark = {"Key": "dynaurora", "Value": "imported"}
    return {key for key in listed if mark in s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}


def read_failed_batches(aws: LocalAws, count: int) -> list[dict[str, Any]]:
    """Return the records of failed batches, once there are that many."""
    s3, bucket = aws.api.s3, aws.deployment.bucket
    deadline = time.monotonic() + 60
    while True:
        found = s3.list_objects_v2(Bucket=bucket, Prefix="failed_batches/").get("Contents", [])
        if len(found) >= count:
            return [json.load(s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"]) for entry in found]
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def test_a_demo_that_is_stopped_leaves_nothing_and_the_next_one_works(idle_aws: LocalAws) -> None:
    for number, signal_group in ((signal.SIGINT, True), (signal.SIGKILL, False)):
        demo = idle_aws.start("demo", "--items", "100000", "--seeded", SEEDED)
        wait_until_writing(idle_aws)
        (os.killpg if signal_group else os.kill)(demo.pid, number)
        demo.communicate(timeout=90)
        assert demo.returncode != 0
        idle_aws.wait_until_quiet()
    result = idle_aws.run_json("demo", "--items", CHANGES, "--seeded", SEEDED, AUTH="true")
    assert_agreement(result)
    assert not result["seeded_through_stream"]
    assert result["backfill"]["imported"] > int(SEEDED) / 4, "items that nothing becomes of are in the export only"
    assert result["seeded_changes"].keys() == {"updated_before", "updated_after", "deleted_before", "deleted_after"}
    assert all(result["seeded_changes"].values()), "some of each kind on each side of the export's time"
    assert idle_aws.processes() == {}


def wait_until_writing(aws: LocalAws) -> None:
    """Return once the demo that is running writes changes; what it seeds is there before."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with suppress(AssertionError, BotoCoreError, ClientError):  # it is not that far
            if aws.api.dynamodb.scan(
                TableName="web_analytics",
                FilterExpression="begins_with(page_id, :page)",
                ExpressionAttributeValues={":page": {"S": "/page/"}},
            )["Count"]:
                return
        time.sleep(0.1)
    raise AssertionError("the demo does not write")

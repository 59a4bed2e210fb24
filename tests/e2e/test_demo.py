"""The demo, undisturbed and disturbed: it ends with DynamoDB and Aurora in agreement, or leaves nothing running."""

import json
import os
import signal
import time
from contextlib import suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.aurora.faults import kill_database, restart_database
from tests.e2e.conftest import LocalAws

CHANGES = "1500"
OUTAGE_SECONDS = 3


def assert_agreement(result: dict[str, Any]) -> None:
    assert result["problems"] == []
    assert result["differing"] == result["missing"] == 0
    assert 0 < result["identical"] <= result["rows"] <= result["items"]
    assert 0 < result["rejected"] < result["changes"] / 20
    assert sum(result["reasons"].values()) >= result["rejected"]


def test_both_sides_agree(local_aws: LocalAws) -> None:
    result = local_aws.run_json("demo", "--items", CHANGES)
    assert_agreement(result)
    assert result["changes"] == int(CHANGES)
    assert result["seconds"] < 60


def test_a_second_run_changes_every_item_again(local_aws: LocalAws) -> None:
    """Also with the table as it says it is: for people."""
    text = local_aws.run("demo", "--items", CHANGES, "--seed", "2")
    assert "✓ Aurora holds what DynamoDB holds" in text
    assert "identical" in text
    assert text.rstrip().splitlines()[-2].endswith("dynaurora local status")


def test_a_database_that_was_away_gets_everything_in_the_end(local_aws: LocalAws) -> None:
    demo = local_aws.start("demo", "--items", "3000", "--seed", "3", "--json")
    wait_for_rows(local_aws, "hits IS NOT NULL")
    kill_database(local_aws.directory)
    time.sleep(OUTAGE_SECONDS)
    assert local_aws.run_json("status")["pipeline"]["rows"] is None
    restart_database(local_aws.directory)
    output, _ = demo.communicate(timeout=180)
    assert demo.returncode == 0, output


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
    assert_agreement(local_aws.run_json("demo", "--items", CHANGES, "--seed", "4"))
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
        demo = idle_aws.start("demo", "--items", "100000")
        wait_until_deployed(idle_aws)
        (os.killpg if signal_group else os.kill)(demo.pid, number)
        demo.communicate(timeout=90)
        assert demo.returncode != 0
        idle_aws.wait_until_quiet()
    assert_agreement(idle_aws.run_json("demo", "--items", CHANGES, AUTH="true"))
    assert idle_aws.processes() == {}


def wait_until_deployed(aws: LocalAws) -> None:
    """Return once the demo that is running writes changes."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with suppress(AssertionError, BotoCoreError, ClientError):  # it is not that far
            if aws.api.dynamodb.scan(TableName="web_analytics", Limit=1)["Count"]:
                return
        time.sleep(0.1)
    raise AssertionError("the demo does not write")

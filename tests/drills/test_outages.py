"""Parts that are away, or turn requests away, for a while."""

import json
import re
import time
from contextlib import ExitStack, suppress

from dynaurora import keys
from tests.drills.drill import Drill
from tests.integration.backfill.deployed import make_item, make_run_id
from tests.integration.reprocess.reprocesses import RECORDS, make_record, rotated_password

UNAVAILABLE = re.compile(r"batch .* failed: (ConnectionLostError|DatabaseUnavailableError)$")


def check_announced_once(drill: Drill) -> None:
    """Assert that people were told of the outage once for each cause and interval, and of nothing else."""
    subjects = list(drill.deployed.messages())
    assert subjects
    assert all(map(UNAVAILABLE.search, subjects)), subjects
    assert len(subjects) == len(drill.deployed.list_keys(f"{keys.NOTICES}/"))


def test_the_database_is_down_for_longer_than_a_cycle_of_retries_while_changes_stream(drill: Drill) -> None:
    items = drill.make_items(25, 20_000)
    with drill.database_down(), drill.short_waits():
        with drill.consumer_off():
            drill.deployed.put(items)
        drill.wait_until(lambda: drill.count_failed_rows() == len(items))
    check_announced_once(drill)
    drill.tell(f"{len(drill.list_failed_batches())} batches of {len(items):,} changes failed, announced once")
    totals = drill.reprocess()
    assert (totals["batches_failed"], totals["rows_changed"]) == (0, len(items))
    drill.check_equal()
    drill.check_nothing_failed()


def test_the_database_is_down_for_longer_than_a_cycle_of_retries_during_a_backfill(drill: Drill) -> None:
    deployed, run = drill.deployed, make_run_id()
    items = drill.make_items(20, 4000)
    deployed.dam_stream()  # only the backfill brings them
    batches = drill.size(4, 20)
    deployed.plan_batches(run, items, batches)
    with ExitStack() as stack, suppress(Exception):  # the lock's connection dies with the database
        stack.enter_context(deployed.lock_key(items[len(items) // 2]["page_id"]["S"]))
        execution = deployed.start(run, "--max-concurrency", "1")["execution"]
        deployed.wait_until_locked_out()
        with drill.database_down(), drill.short_waits():
            drill.wait_until(lambda: deployed.describe_execution(execution)["status"] == "FAILED")
    deployed.release_stream()
    done = len(deployed.ledger(run))
    assert 0 < done < batches
    drill.tell(f"the run failed with {done} of its batches imported")
    assert drill.reprocess()["batches_imported"] >= 1
    again = deployed.backfill(run)
    assert again["state"] == "SUCCEEDED"
    drill.check_equal()
    drill.check_nothing_failed()


def test_the_streams_consumer_is_off_for_a_while(drill: Drill) -> None:
    items = drill.make_items(20, 10_000)
    with drill.consumer_off():
        drill.deployed.put(items)
        drill.deployed.delete(items[::10])
        time.sleep(drill.size(1, 60))
        assert drill.deployed.compare().missing == len(items) - len(items[::10])
    drill.tell(f"{len(items):,} puts and {len(items[::10]):,} deletes waited in the stream")
    drill.check_equal()
    drill.check_nothing_failed()


def test_the_transformation_fails_for_a_while(drill: Drill) -> None:
    before, meanwhile, after = (drill.make_items(20, 5000, hits) for hits in (1, 2, 3))
    drill.deployed.put(before)
    drill.wait_until(lambda: len(drill.deployed.hits()) == len(before))
    with drill.deployed.variables("TransformChangesFunctionName", MAPPING="no_such_mapping"):
        drill.deployed.put(meanwhile)
        drill.wait_until(lambda: drill.count_failed_records() >= len(meanwhile))
    drill.deployed.put(after[: len(after) // 2])
    failed = drill.count_failed_records()
    drill.tell(f"{failed:,} records failed with the function, older and newer ones did not")
    totals = drill.reprocess()
    assert (totals["rows"], totals["rejected"]) == (failed, 0)
    drill.check_equal()
    drill.check_nothing_failed()


def test_s3_turns_requests_away(drill: Drill) -> None:
    items, turned_away = drill.make_items(20, 5000), drill.size(9, 300)
    drill.reprocesses.write(f"{RECORDS}failed", make_record(make_item(f"{drill.name}-failed")))
    drill.deployed.put([make_item(f"{drill.name}-failed")])
    drill.deployed.set_faults(fail_gets=turned_away, fail_puts=turned_away)
    drill.deployed.put(items)
    execution = drill.reprocesses.start()
    drill.wait_until(lambda: not any(drill.read_faults()[name] for name in ("fail_gets", "fail_puts")))
    assert drill.reprocesses.wait(execution).status == "SUCCEEDED"
    drill.tell(f"{turned_away} reads and {turned_away} writes of objects were turned away")
    drill.check_equal()
    drill.check_nothing_failed()


def test_the_secret_is_rotated_in_the_middle_of_a_load(drill: Drill) -> None:
    deployed, first, second = drill.deployed, make_item(f"{drill.name}-first"), drill.make_items(20, 2000)
    with ExitStack() as stack:
        with deployed.lock_key(first["page_id"]["S"]):
            deployed.put([first])
            deployed.wait_until_locked_out()  # it is logged in, and in the middle of its merge
            finish = stack.enter_context(rotated_password(deployed))
            deployed.put(second)
            drill.wait_until(lambda: "SecretRotatedError" in read_errors(drill))
        finish()
        drill.tell("one import had logged in with the old password, others waited until the secret had the new one")
        drill.check_equal()
    drill.check_nothing_failed()


def test_secrets_manager_rotates_the_secret_in_the_middle_of_a_load(drill: Drill) -> None:
    deployed, secrets = drill.deployed, drill.deployed.client("secretsmanager")
    secret = {"SecretId": deployed.outputs["DatabaseSecretArn"]}
    before = secrets.get_secret_value(**secret)
    deployed.put(drill.make_items(20, 2000))
    version = secrets.rotate_secret(**secret)["VersionId"]
    deployed.put(drill.make_items(20, 2000))
    drill.wait_until(lambda: secrets.get_secret_value(**secret)["VersionId"] == version)
    assert secrets.get_secret_value(**secret)["SecretString"] != before["SecretString"]
    deployed.put(drill.make_items(20, 2000))
    drill.tell("changes were written before, during and after the loader was given another password")
    drill.check_equal()
    drill.check_nothing_failed()


def read_errors(drill: Drill) -> str:
    """The events of the imports that are under way."""
    states = drill.deployed.client("stepfunctions")
    found = drill.deployed.list_running_imports()
    events = [states.get_execution_history(executionArn=execution)["events"] for execution in found]
    return json.dumps(events, default=str)

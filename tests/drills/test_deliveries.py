"""Deliveries that come twice, or the other way round."""

import json

from tests.drills.drill import Drill
from tests.integration.backfill.deployed import MAPPING

DUPLICATED = ("duplicate_invocations", "duplicate_objects", "duplicate_events")
MANY = 1_000_000


def test_every_delivery_is_duplicated(drill: Drill) -> None:
    drill.deployed.set_faults(**dict.fromkeys(DUPLICATED, MANY))
    for hits in range(drill.size(1, 5)):  # each delivery of a delivery comes twice: eight imports of each change
        items = drill.make_items(20, 300, hits)
        drill.deployed.put(items)
        drill.deployed.delete(items[hits % 5 :: 5])
        drill.deployed.put(items[hits % 5 :: 10])
    drill.check_equal()
    used = {name: MANY - left for name, left in drill.read_faults().items() if name in DUPLICATED}
    drill.deployed.set_faults(**dict.fromkeys(DUPLICATED, 0))
    assert all(used.values()), used
    drill.tell(
        f"{used['duplicate_invocations']} batches of the stream, {used['duplicate_objects']} objects and"
        f" {used['duplicate_events']} events came twice"
    )
    drill.check_nothing_failed()


def test_deliveries_are_reversed(drill: Drill) -> None:
    waves = list[set[str]]()
    with drill.imports_off():
        for hits in range(drill.size(3, 20)):
            items = drill.make_items(20, 500, hits)
            before = drill.list_landed()
            drill.deployed.put(items)
            drill.deployed.delete(items[hits::3])
            expected = len(items) + len(items[hits::3])
            drill.wait_until(lambda: count_rows(drill, drill.list_landed() - before) == expected)  # noqa: B023
            waves.append(drill.list_landed() - before)
    changed = [sum(import_object(drill, key) for key in wave) for wave in reversed(waves)]
    assert changed[0] > 0
    assert set(changed[1:]) == {0}, "what comes after the newest changes nothing"
    drill.tell(f"{len(waves)} waves of changes of the same keys were imported, the newest first")
    drill.check_equal()
    drill.check_nothing_failed()


def count_rows(drill: Drill, found: set[str]) -> int:
    """How many rows some batches have that are of this drill's keys."""
    return sum(drill.name.encode() in line for key in found for line in drill.deployed.read(key).splitlines())


def import_object(drill: Drill, key: str) -> int:
    """Import a streamed batch, and return how many rows it has changed."""
    s3, states = drill.deployed.client("s3"), drill.deployed.client("stepfunctions")
    head = s3.head_object(Bucket=drill.deployed.bucket, Key=key)
    item = {"bucket": drill.deployed.bucket, "key": key, "etag": head["ETag"].strip('"'), "size": head["ContentLength"]}
    batch = {"mapping": MAPPING, "source": "stream", "run": None, "rows": None, "objects": [item]}
    execution = states.start_execution(
        stateMachineArn=drill.deployed.outputs["ImportBatchStateMachineArn"], input=json.dumps({"batch": batch})
    )["executionArn"]
    return int(json.loads(drill.deployed.wait_for_end(execution)["output"])["rows_changed"])

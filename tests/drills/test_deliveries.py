"""Deliveries that come twice, or the other way round."""

import json

from tests.drills.drill import PROCESSED, Drill
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
    waves = list[dict[str, str]]()
    with drill.imports_off():
        for hits in range(drill.size(3, 20)):
            items, before = drill.make_items(20, 500, hits), drill.list_objects(PROCESSED)
            with drill.consumer_off():
                drill.deployed.put(items)
                drill.deployed.delete(items[hits::3])
            waves.append(wait_for_rows(drill, before, len(items) + len(items[hits::3])))
    changed = [import_objects(drill, wave) for wave in reversed(waves)]
    assert changed[0] > 0
    assert set(changed[1:]) == {0}, "what comes after the newest changes nothing"
    drill.tell(f"{len(waves)} waves of changes of the same keys were imported, the newest first")
    drill.check_equal()
    drill.check_nothing_failed()


def wait_for_rows(drill: Drill, before: dict[str, str], count: int) -> dict[str, str]:
    """Return the streamed batches that have landed since then, once they have so many rows of this drill."""
    name = drill.name.encode()

    def has_name(row: bytes) -> bool:
        return name in row

    def find_landed() -> dict[str, str] | None:
        landed = {key: etag for key, etag in drill.list_objects(PROCESSED).items() if key not in before}
        return landed if drill.count_lines(landed, has_name) >= count else None

    return drill.wait_until(find_landed)


def import_objects(drill: Drill, objects: dict[str, str]) -> int:
    """Import streamed batches, in any order, and return how many rows they have changed."""
    executions = [start_import(drill, key, etag) for key, etag in objects.items()]
    outputs = [drill.deployed.wait_for_end(execution)["output"] for execution in executions]
    return sum(int(json.loads(output)["rows_changed"]) for output in outputs)


def start_import(drill: Drill, key: str, etag: str) -> str:
    """Start the import of a streamed batch, and return its execution."""
    item = {"bucket": drill.deployed.bucket, "key": key, "etag": etag, "size": 0}
    batch = {"mapping": MAPPING, "source": "stream", "run": None, "rows": None, "objects": [item]}
    states, arn = drill.deployed.client("stepfunctions"), drill.deployed.outputs["ImportBatchStateMachineArn"]
    return str(states.start_execution(stateMachineArn=arn, input=json.dumps({"batch": batch}))["executionArn"])

"""Many records that no mapping takes, among many more that it does."""

from tests.drills.drill import Drill
from tests.integration.backfill.deployed import make_bad_item


def test_a_tenth_of_all_records_is_poisoned(drill: Drill) -> None:
    items = drill.make_items(200, 100_000)
    items[5::10] = [make_bad_item(item["page_id"]["S"]) for item in items[5::10]]
    poisoned = len(items[5::10])
    drill.deployed.put(items)
    drill.wait_until(lambda: drill.count_failed_records() >= poisoned)
    drill.check_equal(unmapped=poisoned)
    check_explained(drill, poisoned, reprocessed=0)
    totals = drill.reprocess()
    assert (totals["records"], totals["rejected"], totals["rows"]) == (poisoned, poisoned, 0)
    check_explained(drill, poisoned, reprocessed=1)
    drill.tell(f"{poisoned:,} of {len(items):,} records were poisoned, and each is kept with its reason, tried again")
    drill.deployed.put(drill.make_items(200, 100_000)[5::10])
    drill.check_equal()
    counted = drill.run_command("failures", "count", "--json")
    assert (counted["failures"], counted["superseded"]) == (0, poisoned), "their items are there by now"


def check_explained(drill: Drill, poisoned: int, reprocessed: int) -> None:
    """Assert that nothing but the poisoned records is kept as failed, each with why it is refused."""
    found = [record for key in drill.reprocesses.list_failures() for record in drill.reprocesses.read_records(key)]
    assert len({record.data for record in found}) == len(found) == poisoned
    assert {record.reprocessed for record in found} == {reprocessed}
    counted = drill.run_command("failures", "count", "--json")
    assert counted["failures"] == poisoned
    assert {group["reason"]: group["count"] for group in counted["counts"]} == {"payload (required)": poisoned}

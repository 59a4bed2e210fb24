"""Changes that the mapping refuses, while the transformation dies and deliveries come again in other packs."""

import json

from dynaurora import keys
from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.dynamodb.packs import encode_pack
from dynaurora.failures.failed_records import FailedRecord
from tests.drills.drill import PROCESSED, Drill
from tests.drills.test_deaths import ANSWER, dying, read_deaths
from tests.integration.backfill.deployed import MAPPING, Document, make_bad_item, make_item

TRANSFORM = "TransformChanges"
REFUSED = keys.refused_changes_prefix(MAPPING)


def test_refused_changes_are_kept_once_whatever_dies_and_comes_again(drill: Drill) -> None:
    names = [f"{drill.name}-{number}" for number in range(drill.size(6, 100))]
    kept = refuse_while_dying(drill, names)
    check_kept(drill, names, reprocessed=0)
    deliver_in_other_packs(drill, kept)
    check_kept(drill, names, reprocessed=0)
    totals = drill.reprocess()
    assert (totals["records"], totals["rejected"]) == (len(names), len(names))
    deliver_in_other_packs(drill, kept)
    check_kept(drill, names, reprocessed=1)
    settle(drill, names)
    assert drill.reprocesses.list_failures() == []
    deliver_in_other_packs(drill, kept)
    drill.check_nothing_failed()
    assert len(drill.deployed.list_keys(REFUSED)) == len(names), "each leaves an empty object, until it expires"
    assert drill.run_command("failures", "count", "--json")["failures"] == 0
    drill.check_equal()
    drill.tell(
        f"{len(names)} refused changes came four times in packs of all kinds, and each was kept once and settled"
    )


def refuse_while_dying(drill: Drill, names: list[str]) -> list[FailedRecord]:
    """Put items that are refused, one by one beside a good one, while the transformation dies; return what is kept."""
    steps = [ANSWER, *map(str, range(2, drill.size(4, 30)))]
    before = len(read_deaths(drill, TRANSFORM))
    for start in range(0, len(steps), 2):  # Firehose tries a call four times
        some = names[start // 2 :: (len(steps) + 1) // 2]
        with dying(drill, {TRANSFORM}, steps[start : start + 2]):
            drill.deployed.put([*map(make_bad_item, some), make_item(f"{drill.name}-good-{start}")])
            drill.wait_until(lambda some=some: {*some} <= set(map(name_of, list_kept(drill))))
    died = read_deaths(drill, TRANSFORM)[before:]
    assert ANSWER in died
    drill.tell(f"the transformation died {len(died)} times, between refusals and answers too")
    drill.wait_until(lambda: drill.deployed.compare().agrees)
    return list_kept(drill)


def list_kept(drill: Drill) -> list[FailedRecord]:
    """Return what is kept as failed, whoever keeps it."""
    return [record for key in drill.reprocesses.list_failures() for record in drill.reprocesses.read_records(key)]


def name_of(record: FailedRecord) -> str:
    """Return the page that a change is of."""
    return str(json.loads(record.data)["Keys"]["page_id"]["S"])


def check_kept(drill: Drill, names: list[str], reprocessed: int) -> None:
    """Assert that each change is kept once, as an object of its own, with so many attempts on it."""
    failed = drill.reprocesses.list_failures()
    assert all(key.startswith(REFUSED) for key in failed)
    found = list_kept(drill)
    assert sorted(map(name_of, found)) == sorted(names)
    assert {(record.reprocessed, record.attempts) for record in found} == {(reprocessed, reprocessed + 1)}
    assert {record.error_code for record in found} == {"dynaurora.Rejected"}


def deliver_in_other_packs(drill: Drill, kept: list[FailedRecord]) -> None:
    """Deliver the changes once more: backwards, in a pack of all, in packs of one, and singly, without a stamp."""
    changes, digest = [record.data for record in reversed(kept)], drill.deployed.mapping.digest
    good = make_change(drill)
    packs = [encode_pack(digest, [*changes, good]), *(encode_pack(digest, [change]) for change in changes), *changes]
    before = set(drill.list_objects(PROCESSED))
    put_records(drill, packs)
    put_records(drill, [encode_pack(digest, [good])])
    drill.wait_until(lambda: count_rows(drill, before, drill.name.encode()) >= 2)
    drill.wait_until_imported()


def make_change(drill: Drill) -> bytes:
    """Return a change that is older than all of the drill's: its row comes, and changes nothing."""
    item = make_item(f"{drill.name}-good-0")
    return encode_change(Change(1, 0, {name: item[name] for name in drill.deployed.mapping.key_attributes}, item))


def put_records(drill: Drill, records: list[bytes]) -> None:
    name = drill.deployed.outputs["DeliveryStreamName"]
    for start in range(0, len(records), 500):
        some = [{"Data": data} for data in records[start : start + 500]]
        answer = drill.deployed.client("firehose").put_record_batch(DeliveryStreamName=name, Records=some)
        assert answer["FailedPutCount"] == 0


def count_rows(drill: Drill, before: set[str], name: bytes) -> int:
    """How many rows of the drill's have landed since then."""
    landed = {key: etag for key, etag in drill.list_objects(PROCESSED).items() if key not in before}
    return drill.count_lines(landed, lambda row: name in row)


def settle(drill: Drill, names: list[str]) -> None:
    """Correct each change where it is kept, and the item too, and take all up."""
    for key in drill.reprocesses.list_failures():
        (page,) = map(name_of, drill.reprocesses.read_records(key))
        drill.reprocesses.correct(key, make_item(page))
    totals = drill.reprocess()
    assert (totals["records"], totals["rows"], totals["rejected"]) == (len(names), len(names), 0)
    items: list[Document] = [make_item(name) for name in names]
    drill.deployed.put(items)

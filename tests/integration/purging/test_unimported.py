"""What the ledger of a database lacks that was restored, found by what the bucket has and has marked as imported."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest

from dynaurora import keys
from dynaurora.aurora.generations import activate
from dynaurora.aurora.migrations import IMPORTS
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.batch import Batch, BatchObject
from dynaurora.batches.import_batch import mark_imported
from dynaurora.dynamodb.changes import encode_change
from dynaurora.failures import find_unimported
from dynaurora.failures.convert_failures import Remaker
from dynaurora.failures.failed_records import FailedRecord, encode_failed_record
from dynaurora.failures.find_unimported import Bookmark, UnimportedFinder
from dynaurora.failures.list_failures import FailedObject
from dynaurora.mappings.csv_format import encode_row, row_label
from dynaurora.mappings.row_mapper import RowMapper
from tests.integration.targets import Target, row
from tests.support.factories import click_change

pytestmark = pytest.mark.integration

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC).timestamp()


def find(target: Target, since: float = LONG_AGO) -> list[str]:
    """Return the keys of the objects of what the ledger lacks."""
    found, stretch = [], Bookmark()
    with target.connect() as aurora:
        finder = UnimportedFinder(target.mapping, aurora, S3Objects(), target.bucket, since)
        while stretch:
            answer = finder.find(stretch)
            found += [item["key"] for batch in answer.batches for item in batch["objects"]]
            stretch = answer.stretch
    return sorted(found)


def import_marked(target: Target, batch: Batch) -> str:
    """Import a batch and mark it; return its first object's key."""
    target.import_batch(batch)
    mark_imported(batch, S3Objects())
    return batch.objects[0].key


def forget_imports(target: Target) -> None:
    target.execute(f"DELETE FROM Demo.{IMPORTS}")


@pytest.fixture
def activated(target: Target) -> Target:
    with target.connect() as aurora:
        activate(aurora, target.mapping)
    return target


def test_streamed_batches_that_are_marked_and_not_in_the_ledger(target: Target) -> None:
    known = import_marked(target, target.write([row("a", 1)]))
    target.write([row("waits", 1)])
    assert find(target) == []
    forget_imports(target)
    assert find(target) == [known]


def test_more_than_an_answer_may_have(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_unimported, "ASKED_AT_ONCE", 2)
    monkeypatch.setattr(find_unimported, "MOST_FOUND", 1)
    imported = [import_marked(target, target.write([row(str(number), 1)])) for number in range(5)]
    forget_imports(target)
    assert find(target) == sorted(imported)


def test_a_batch_of_which_a_part_was_missing_then(activated: Target) -> None:
    """Lines with and without a label are parts of their own, each with a row in the ledger."""
    body = row_label(activated.mapping) + encode_row(row("labelled", 1)) + encode_row(row("plain", 1))
    batch = activated.write_bytes(body)
    key = import_marked(activated, batch)
    assert len(activated.ledger()) == 2
    now = datetime.now(UTC).timestamp() + 1
    assert find(activated, since=now) == []
    activated.execute(f"DELETE FROM Demo.{IMPORTS} WHERE batch_id = '{batch.id}'")
    assert find(activated, since=now) == [key]
    assert find(activated, since=now + timedelta(hours=2).total_seconds()) == [], "it was whole by then"


def write_run_batch(target: Target, name: str, source: str) -> Batch:
    """Write a batch of a run as CSV, without its descriptor."""
    key = f"{keys.runs_prefix(target.mapping.name)}r1/{name}.csv"
    body = encode_row(row(name, 1))
    etag = S3Objects().write(target.bucket, key, body)
    item = BatchObject(target.bucket, key, etag, len(body))
    return Batch(target.mapping.name, source, "r1", 1, (item,), digest=target.mapping.digest)


def test_batches_of_runs_are_found_by_their_descriptors(activated: Target) -> None:
    store, name, made = S3Objects(), activated.mapping.name, []
    for number, source in ((1, "backfill"), (2, "verify")):
        batch = write_run_batch(activated, f"batch-{number:06}", source)
        document = {"fingerprint": "f", "batch": batch.as_dict()}
        store.write(activated.bucket, keys.backfill_descriptor(name, "r1", number), json.dumps(document).encode())
        made.append(batch)
    swept = write_run_batch(activated, "sweep-000001", "sweep")
    store.write(activated.bucket, keys.sweep_plan(name, "r1"), json.dumps([swept.as_dict()]).encode())
    store.write(activated.bucket, keys.backfill_descriptor(name, "r1", 3), b"no descriptor")
    for batch in (made[0], swept):
        import_marked(activated, batch)
    mark_imported(made[1], store)
    assert find(activated) == []
    forget_imports(activated)
    assert find(activated) == [made[0].objects[0].key, swept.objects[0].key]


def test_what_was_reprocessed_is_found_by_its_descriptor(activated: Target) -> None:
    store, name = S3Objects(), activated.mapping.name
    key = f"{keys.failed_records_prefix(name)}1"
    body = encode_failed_record(FailedRecord(encode_change(click_change()), "Refused", "", 1, 0, ""))
    etag = store.write(activated.bucket, key, body)
    remaker = Remaker(
        RowMapper(activated.mapping), store, activated.bucket, "r1", 5, ignore_expiries=False, function_arn=""
    )
    remade = remaker.remake(1, [FailedObject(key, etag, len(body))])
    batch = Batch.from_event({"batch": remade.batch})
    imported = import_marked(activated, batch)
    assert find(activated) == []
    forget_imports(activated)
    assert find(activated) == [imported]


def test_what_is_gone_is_left(activated: Target) -> None:
    batch = write_run_batch(activated, "batch-000001", "backfill")
    key = keys.backfill_descriptor(activated.mapping.name, "r1", 1)
    S3Objects().write(activated.bucket, key, json.dumps({"batch": batch.as_dict()}).encode())
    import_marked(activated, batch)
    forget_imports(activated)
    S3Objects().delete(activated.bucket, batch.objects[0].key)
    assert find(activated) == []


def test_the_objects_of_other_mappings_are_left(target: Target) -> None:
    other = target.write_bytes(encode_row(row("a", 1)), key="processed/mapping=others/1")
    mark_imported(dataclasses.replace(other, mapping="others"), S3Objects())
    assert find(target) == []

import json
from dataclasses import asdict

import pytest

from dynaurora import keys
from dynaurora.errors import InvalidExportError
from dynaurora.exports import DataFile
from dynaurora.planning import MAX_BATCH_FILES, PlannedBatch, group_files, plan_backfill
from tests.unit.export_factory import BUCKET, TABLE_ARN, Export
from tests.unit.factories import click_item


def files_of(*counts):
    return [DataFile(f"data/{number}.json.gz", count, "md5") for number, count in enumerate(counts)]


def test_batches_are_bounded_by_items_and_keep_the_files_order():
    batches = list(group_files(files_of(30_000, 20_000, 1, 60_000, 5)))
    assert [[file.items for file in batch.files] for batch in batches] == [[30_000, 20_000], [1], [60_000], [5]]
    assert [batch.number for batch in batches] == [1, 2, 3, 4]
    assert [batch.items for batch in batches] == [50_000, 1, 60_000, 5]


def test_batches_are_bounded_by_files():
    batches = list(group_files(files_of(*[1] * (MAX_BATCH_FILES * 2 + 1))))
    assert [len(batch.files) for batch in batches] == [MAX_BATCH_FILES, MAX_BATCH_FILES, 1]


def test_no_files_are_no_batches():
    assert list(group_files([])) == []


def test_the_plan_skips_empty_files_and_says_what_it_comes_to():
    export = (
        Export().add("a", [click_item(), click_item(page_id="b")]).add("empty", []).add("c", [click_item()]).write()
    )
    plan = plan_backfill(export.store, BUCKET, "r1", export.summary_key, TABLE_ARN)
    assert (plan.items, plan.files, plan.files_empty, plan.batches) == (3, 3, 1, 1)
    assert (plan.bucket, plan.key) == (BUCKET, keys.plan("r1"))
    (entry,) = json.loads(export.store.read(BUCKET, plan.key))
    assert [file.items for file in PlannedBatch.from_dict(entry).files] == [2, 1]


def test_planning_again_writes_the_same_plan():
    export = Export().add("a", [click_item()]).write()
    first = plan_backfill(export.store, BUCKET, "r1", export.summary_key, TABLE_ARN)
    body = export.store.read(BUCKET, first.key)
    assert plan_backfill(export.store, BUCKET, "r1", export.summary_key, TABLE_ARN) == first
    assert export.store.read(BUCKET, first.key) == body


def test_an_export_of_another_table_is_refused():
    export = Export().add("a", [click_item()]).write()
    with pytest.raises(InvalidExportError, match="web_analytics, and not of arn:other"):
        plan_backfill(export.store, BUCKET, "r1", export.summary_key, "arn:other")


def test_manifests_that_contradict_each_other_are_refused():
    export = Export(summary={"itemCount": 7}).add("a", [click_item()]).write()
    with pytest.raises(InvalidExportError, match="1 items, and its summary says 7"):
        plan_backfill(export.store, BUCKET, "r1", export.summary_key, TABLE_ARN)


@pytest.mark.parametrize("entry", [None, {}, {"number": 1, "items": 1, "files": [{}]}, {"number": "x", "items": 1}])
def test_an_entry_that_is_no_batch_is_refused(entry):
    with pytest.raises(InvalidExportError):
        PlannedBatch.from_dict(entry)


def test_a_batchs_entry_stays_small():
    long_key = "exports/run=20261123T081500Z/AWSDynamoDB/01700000000000-abcdef12/data/" + "x" * 26 + ".json.gz"
    files = [DataFile(long_key, 1, "m" * 24) for _ in range(MAX_BATCH_FILES)]
    (batch,) = group_files(files)
    assert len(json.dumps(asdict(batch))) < 32 * 1024

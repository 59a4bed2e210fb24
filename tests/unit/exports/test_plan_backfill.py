import json
import time
from dataclasses import asdict, dataclass, field

import pytest

from dynaurora import keys
from dynaurora.errors import InvalidExportError, NotReadyError, ThrottledError
from dynaurora.exports.manifests import DataFile
from dynaurora.exports.plan import MAX_BATCH_ITEMS, PlannedBatch, read_plan, share_items
from dynaurora.exports.plan_backfill import (
    MAX_BATCH_BYTES,
    MAX_BATCH_FILES,
    ExportToPlan,
    StreamTimes,
    bound_items,
    group_files,
    plan_backfill,
)
from tests.support.export_factory import BUCKET, Export, changed, incremental
from tests.support.factories import CREATED_AT, TABLE_ARN, click_item
from tests.support.fakes import InMemoryObjects


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


def test_batches_are_bounded_by_the_items_that_are_asked_for():
    batches = list(group_files(files_of(3, 2, 1, 9, 5), 5))
    assert [[file.items for file in batch.files] for batch in batches] == [[3, 2], [1], [9], [5]]


@pytest.mark.parametrize(
    ("counts", "wanted", "batches"),
    [
        pytest.param([25_100, 24_900, 25_050, 24_950], 25_000, [25_100, 24_900, 25_050, 24_950], id="a file each"),
        pytest.param([12_520, 12_490, 12_480, 12_510] * 2, 25_000, [25_010, 24_990] * 2, id="several files each"),
        pytest.param([5_000] * 20, 25_000, [25_000] * 4, id="alike"),
        pytest.param([40_000, 4_000, 4_000, 4_000, 4_000], 14_000, [40_000, 16_000], id="one that is large"),
        pytest.param([30_000, 30_000], 40_000, [30_000, 30_000], id="never more than may be"),
        pytest.param([4_536] * 33, 18_711, [18_144] * 3 + [22_680] + [18_144] * 4, id="no small one in the end"),
    ],
)
def test_batches_have_about_their_share(counts, wanted, batches):
    assert [batch.items for batch in group_files(files_of(*counts), batch_items=wanted)] == batches


@pytest.mark.parametrize(
    ("items", "at_once", "share"),
    [
        pytest.param(0, 2, 10_000, id="nothing"),
        pytest.param(15_000, 4, 10_000, id="too few to share"),
        pytest.param(50_000, 2, 25_000, id="one batch becomes two"),
        pytest.param(100_000, 4, 25_000, id="two become four"),
        pytest.param(100_000, 1, MAX_BATCH_ITEMS, id="one at a time"),
        pytest.param(120_000, 2, 30_000, id="two whole rounds"),
        pytest.param(1_000_000, 2, MAX_BATCH_ITEMS, id="large"),
        pytest.param(10**9, 4, MAX_BATCH_ITEMS, id="very large"),
    ],
)
def test_a_batch_is_to_have_its_share_of_a_table(items, at_once, share):
    assert share_items(items, MAX_BATCH_ITEMS, at_once) == share


def test_large_items_are_shared_in_smaller_batches():
    assert share_items(8_000, 1_310, 2) == 1_000, "in four rounds of two"
    assert share_items(1_000, 1_310, 2) == 500
    assert share_items(100, 1_310, 2) == 262


@pytest.mark.parametrize(
    ("items", "item_bytes", "bound"),
    [
        pytest.param(0, 0, MAX_BATCH_ITEMS, id="nothing"),
        pytest.param(100, 0, MAX_BATCH_ITEMS, id="nothing billed"),
        pytest.param(1_000_000, 100, MAX_BATCH_ITEMS, id="small"),
        pytest.param(1_000_000, 16 * 1024, 32 * 1024, id="large"),
        pytest.param(1_000_000, 400 * 1024, 1310, id="as large as DynamoDB allows"),
        pytest.param(1, 2 * MAX_BATCH_BYTES, 1, id="larger than a batch"),
    ],
)
def test_large_items_make_batches_of_fewer(items, item_bytes, bound):
    assert bound_items(items, items * item_bytes) == bound


def test_the_plan_of_large_items_has_smaller_batches():
    export = Export(summary={"billedSizeBytes": 3 * MAX_BATCH_BYTES})
    for name in "abc":
        export.add(name, [click_item(page_id=name)])
    assert plan(export.write()).batches == 3


def test_no_files_are_no_batches():
    assert list(group_files([])) == []


def test_the_plan_skips_empty_files_and_says_what_it_comes_to():
    export = (
        Export().add("a", [click_item(), click_item(page_id="b")]).add("empty", []).add("c", [click_item()]).write()
    )
    plan = plan_backfill(
        export.store, BUCKET, "web_analytics", "r1", ExportToPlan(BUCKET, export.summary_key, TABLE_ARN)
    )
    assert (plan.items, plan.files, plan.files_empty, plan.batches) == (3, 3, 1, 1)
    assert (plan.bucket, plan.key) == (BUCKET, keys.plan("web_analytics", "r1"))
    (entry,) = json.loads(export.store.read(BUCKET, plan.key))
    assert [file.items for file in PlannedBatch.from_dict(entry).files] == [2, 1]


def test_planning_again_writes_the_same_plan():
    export = Export().add("a", [click_item()]).write()
    first = plan_backfill(
        export.store, BUCKET, "web_analytics", "r1", ExportToPlan(BUCKET, export.summary_key, TABLE_ARN)
    )
    body = export.store.read(BUCKET, first.key)
    assert (
        plan_backfill(export.store, BUCKET, "web_analytics", "r1", ExportToPlan(BUCKET, export.summary_key, TABLE_ARN))
        == first
    )
    assert export.store.read(BUCKET, first.key) == body


def test_a_run_whose_plan_is_gone_is_planned_again_with_batches_of_the_same_size(monkeypatch):
    monkeypatch.setattr("dynaurora.exports.plan.MOST_SHARES", MAX_BATCH_ITEMS)
    export = Export()
    for name in "abcd":
        export.add(name, [click_item(page_id=name)])
    export.write()

    def plan_again(at_once):
        wanted = ExportToPlan(BUCKET, export.summary_key, TABLE_ARN, at_once=at_once)
        return plan_backfill(export.store, BUCKET, "web_analytics", "r1", wanted)

    first = plan_again(2)
    body = export.store.read(BUCKET, first.key)
    assert (first.batches, first.batch_items) == (2, 2)
    export.store.delete(BUCKET, first.key)
    assert plan_again(4) == first
    assert export.store.read(BUCKET, first.key) == body
    of_before = {name: value for name, value in asdict(first).items() if name != "batch_items"}
    export.store.write(BUCKET, keys.planned("web_analytics", "r1"), json.dumps(of_before).encode())
    assert (plan_again(4).batches, plan_again(4).batch_items) == (1, None)


def test_an_export_of_another_table_is_refused():
    export = Export().add("a", [click_item()]).write()
    with pytest.raises(InvalidExportError, match="web_analytics, and not of arn:other"):
        plan_backfill(
            export.store, BUCKET, "web_analytics", "r1", ExportToPlan(BUCKET, export.summary_key, "arn:other")
        )


def test_an_export_of_a_time_to_come_is_refused():
    export = Export(summary={"exportTime": "2199-01-01T00:00:00Z"}).add("a", [click_item()]).write()
    with pytest.raises(InvalidExportError, match="is of 2199-01-01T00:00:00Z, which is yet to come"):
        plan(export)


def test_an_export_of_a_time_after_its_start_is_refused():
    export = Export(summary={"exportTime": "2023-11-14T22:15:00Z"}).add("a", [click_item()]).write()
    with pytest.raises(InvalidExportError, match="and was started at 2023-11-14T22:13:21Z, before that"):
        plan(export)


WINDOW = incremental("2023-11-14T21:13:20.000Z", "2023-11-14T22:13:20.000Z")


def changes():
    line = changed({"page_id": {"S": "a"}}, None, 1_700_000_000_000_000)
    return Export(summary=WINDOW).add_changes("a", [line]).write()


def test_the_batches_of_an_incremental_export_say_so():
    export = changes()
    planned = plan(export, enabled_at=2_000_000_000)  # the stream is another by now
    (entry,) = json.loads(export.store.read(BUCKET, planned.key))
    assert (planned.window_from, planned.export_second) == (1_699_996_400, 1_700_000_000)
    assert PlannedBatch.from_dict(entry).incremental
    assert "incremental" not in PlannedBatch(1, 1, ()).as_dict()


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"sweeps": True}, "A sweep would take all other rows for deleted"),
        ({"compares": True}, "A verification would take all other rows for extra"),
        ({"keeps_expired": True}, "keeps the rows of expired items"),
    ],
)
def test_changes_of_a_window_are_not_taken_for_the_whole_table(wanted, says):
    export = changes()
    with pytest.raises(InvalidExportError, match=says):
        plan_backfill(
            export.store, BUCKET, "web_analytics", "r1", ExportToPlan(BUCKET, export.summary_key, TABLE_ARN, **wanted)
        )


def test_manifests_that_contradict_each_other_are_refused():
    export = Export(summary={"itemCount": 7}).add("a", [click_item()]).write()
    with pytest.raises(InvalidExportError, match="1 items, and its summary says 7"):
        plan_backfill(export.store, BUCKET, "web_analytics", "r1", ExportToPlan(BUCKET, export.summary_key, TABLE_ARN))


def test_a_data_file_that_is_listed_twice_is_refused():
    export = Export(checksum_suffix="", summary={"itemCount": 2}).add("a", [click_item()]).write()
    key = BUCKET, f"{export.folder}/manifest-files.json"
    export.store.objects[key] *= 2
    with pytest.raises(InvalidExportError, match="lists a data file twice"):
        plan(export)


def test_manifests_that_could_not_be_verified_are_a_warning():
    warnings = plan(Export(checksum_suffix="").add("a", [click_item()]).write()).warnings
    assert [warning.rpartition(" has no checksum")[0].rpartition("/")[2] for warning in warnings] == [
        "manifest-summary.json",
        "manifest-files.json",
    ]


def test_a_batchs_entry_stays_small():
    long_key = "exports/run=20261123T081500Z/AWSDynamoDB/01700000000000-abcdef12/data/" + "x" * 26 + ".json.gz"
    files = [DataFile(long_key, 1, "m" * 24) for _ in range(MAX_BATCH_FILES)]
    (batch,) = group_files(files)
    assert len(json.dumps(asdict(batch))) < 32 * 1024


def test_an_empty_table_is_a_plan_of_no_batches():
    export = Export().add("empty", []).add("empty too", []).write()
    planned = plan(export)
    assert (planned.items, planned.files, planned.files_empty, planned.batches) == (0, 2, 2, 0)
    assert json.loads(export.store.read(BUCKET, planned.key)) == []


def plan(export, enabled_at=None, changed_at=None, *, has_margin=False):
    stream = StreamTimes(enabled_at, changed_at, has_margin)
    return plan_backfill(
        export.store, BUCKET, "web_analytics", "r1", ExportToPlan(BUCKET, export.summary_key, TABLE_ARN, stream)
    )


@dataclass
class BreakingObjects(InMemoryObjects):
    """Objects of which so many more can be written."""

    writes: int = 0

    def write(self, bucket, key, body):
        if not self.writes:
            raise ThrottledError("PutObject answered SlowDown.")
        self.writes -= 1
        return super().write(bucket, key, body)


@pytest.mark.parametrize("writes", [0, 1])
def test_a_plan_that_could_not_be_written_whole_is_none(writes):
    export = Export().add("a", [click_item()]).write()
    export.store = BreakingObjects(export.store.objects, writes=writes)
    with pytest.raises(ThrottledError):
        plan(export)
    assert ((BUCKET, keys.plan("web_analytics", "r1")) in export.store.objects) is (writes == 1)
    assert read_plan(export.store, BUCKET, "web_analytics", "r1") is None
    export.store.writes = 2
    planned = plan(export)
    assert read_plan(export.store, BUCKET, "web_analytics", "r1") == planned


@pytest.mark.parametrize(
    ("enabled_at", "changed_at", "warnings"),
    [
        pytest.param(None, None, [], id="nobody said"),
        pytest.param(-120, -120, [], id="on for the margin"),
        pytest.param(-86_400, -120, [], id="on for a day"),
        pytest.param(-119.5, -120, ["stream was switched on"], id="on for less than the margin"),
        pytest.param(0, -120, ["stream was switched on"], id="on since the export"),
        pytest.param(0.9, 0, ["stream was switched on"], id="on within the export's second"),
        pytest.param(-120, 0, [], id="mapping changed at the export"),
        pytest.param(-120, 0.5, ["mapping was changed"], id="mapping changed after the export"),
        pytest.param(-119, 3600, ["stream was switched on", "mapping was changed"], id="both"),
    ],
)
def test_what_is_doubtful_about_an_exports_time_is_a_warning(enabled_at, changed_at, warnings):
    times = [None if after is None else CREATED_AT + after for after in (enabled_at, changed_at)]
    planned = plan(Export().add("a", [click_item()]).write(), *times)
    assert len(planned.warnings) == len(warnings)
    for warning, says in zip(planned.warnings, warnings, strict=True):
        assert says in warning
        assert warning.startswith("The export is of 2023-11-14T22:13:20Z")


def test_an_export_that_waited_for_the_margin_is_not_doubted():
    export = Export().add("a", [click_item()]).write()
    assert plan(export, CREATED_AT, CREATED_AT + 1, has_margin=True).warnings == []


@pytest.mark.parametrize("has_margin", [True, False], ids=["the run's own", "given"])
@pytest.mark.parametrize("enabled_at", [1, 1.5, 86_400])
def test_an_export_from_before_the_stream_is_refused(enabled_at, has_margin):
    export = Export().add("a", [click_item()]).write()
    with pytest.raises(NotReadyError, match=r"is of 2023-11-14T22:13:20Z, before the table's stream was switched on"):
        plan(export, CREATED_AT + enabled_at, has_margin=has_margin)
    assert read_plan(export.store, BUCKET, "web_analytics", "r1") is None


@dataclass
class CountedObjects(InMemoryObjects):
    """Objects that count how often they are asked for."""

    calls: list = field(default_factory=list)

    def read(self, bucket, key):
        self.calls.append(key)
        return super().read(bucket, key)


STATES_BYTES = 256 * 1024
"""What a state's input may have (Step Functions Developer Guide, "Service quotas")."""


def export_of_files(count, prefix):
    """Return an export of so many data files of one item, of which only the manifests are there."""
    export = Export(prefix)
    for number in range(count):
        export.files[f"{number:026}"], export.counts[f"{number:026}"] = b"", 1
    return export.write()


def test_a_hundred_thousand_files_are_planned_in_a_few_reads_and_seconds():
    export = export_of_files(100_000, "exports/run=r1")
    export.store = CountedObjects(export.store.objects)
    started = time.process_time()
    planned = plan(export)
    assert time.process_time() - started < 10
    assert len(export.store.calls) == 5
    assert (planned.files, planned.items) == (100_000, 100_000)
    assert planned.batches == -(-100_000 // MAX_BATCH_FILES)
    assert len(json.dumps(asdict(planned))) < 1000
    entries = json.loads(export.store.read(BUCKET, planned.key))
    assert max(input_bytes(entry) for entry in entries) < STATES_BYTES / 10


def input_bytes(entry):
    """Return the bytes of what a child of the map is started with for an entry of the plan."""
    selected = {
        "mapping": "m" * 63,
        "run": "r" * 64,
        "export_second": CREATED_AT,
        "bucket": "b" * 63,
        "export_bucket": "b" * 63,
        "batch": entry,
    }
    return len(json.dumps(selected).encode())


@pytest.mark.parametrize("letter", ["x", "ü", "漢", "🦄", '"', "\\"])
def test_an_entry_of_the_longest_keys_is_no_larger_than_a_state_takes(letter):
    longest = letter * ((1024 - 100) // len(letter.encode()))
    export = export_of_files(MAX_BATCH_FILES, longest)
    assert 900 < len(export.key("0" * 26).encode()) <= 1024
    entries = json.loads(export.store.read(BUCKET, plan(export).key))
    assert max(input_bytes(entry) for entry in entries) < STATES_BYTES * 3 / 4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora import keys
from dynaurora.errors import InvalidBatchError
from dynaurora.keys import LandingKey
from dynaurora.runs.requests import RUN_ID

RUNS = st.from_regex(RUN_ID, fullmatch=True)
NAMES = st.from_regex(r"[a-z][a-z0-9_]*", fullmatch=True)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (keys.processed_prefix("clicks"), "processed/mapping=clicks/"),
        (keys.failed_records_prefix("clicks"), "transformation_failed_data_backup/mapping=clicks/"),
        (
            keys.unforwardable_records("clicks", "a1"),
            "transformation_failed_data_backup/mapping=clicks/unforwardable/a1.json",
        ),
        (keys.oversize_record("clicks", "123"), "transformation_failed_data_backup/mapping=clicks/oversize/123.json"),
        (keys.mapping_document("clicks", "abc"), "mappings/mapping=clicks/abc.json"),
        (keys.mapping_pointer("clicks"), "mappings/mapping=clicks/current.json"),
        (keys.manifest("clicks", "abc"), "batches/mapping=clicks/abc.manifest"),
        (keys.failed_batches_prefix("clicks"), "failed_batches/mapping=clicks/"),
        (keys.failed_batch("clicks", "abc"), "failed_batches/mapping=clicks/abc.json"),
        (keys.export_prefix("clicks", "r1"), "exports/run=clicks-r1"),
        (keys.export_request("clicks", "r1"), "batches/run=clicks-r1/export.json"),
        (keys.plan("clicks", "r1"), "batches/run=clicks-r1/plan.json"),
        (keys.planned("clicks", "r1"), "batches/run=clicks-r1/planned.json"),
        (keys.backfill_batch("clicks", "r1", 1), "batches/run=clicks-r1/batch-000001.csv"),
        (keys.backfill_batch("clicks", "r1", 1_234_567), "batches/run=clicks-r1/batch-1234567.csv"),
        (keys.backfill_descriptor("clicks", "r1", 12), "batches/run=clicks-r1/batch-000012.json"),
        (keys.backfill_unmapped("clicks", "r1", 12), "batches/run=clicks-r1/batch-000012.unmapped.json"),
        (keys.sweep_plan("clicks", "r1"), "batches/run=clicks-r1/sweep.json"),
        (keys.sweep_batch("clicks", "r1", 3), "batches/run=clicks-r1/sweep-000003.csv"),
        (keys.report("clicks", "r1"), "reports/run=clicks-r1/report.json"),
        (keys.report_page("clicks", "r1"), "reports/run=clicks-r1/report.html"),
        (
            keys.backfill_rejects("clicks", "r1", 7),
            "transformation_failed_data_backup/mapping=clicks/backfill/run=r1/batch-000007.json",
        ),
    ],
)
def test_keys_are_as_documented(key, expected):
    assert key == expected


def test_records_that_a_backfill_refused_are_found_with_all_others():
    key = keys.backfill_rejects("clicks", "r1", 7)
    assert key.startswith(keys.failed_records_prefix("clicks"))
    assert LandingKey.parse(key) == LandingKey(keys.FAILED_RECORDS, "clicks", "backfill/run=r1/batch-000007.json")


IDS = st.tuples(NAMES, RUNS)


@given(IDS, IDS, st.integers(1, 10**7), st.integers(1, 10**7))
def test_no_two_things_of_runs_have_the_same_key(run, other, number, another):
    found = keys_of(*run, number)
    assert len(set(found)) == len(found)
    if run != other:
        assert not set(found) & set(keys_of(*other, another))
    elif number != another:
        numbered = {key for key in found if str(number) in key.rpartition("/")[2]}
        assert not numbered & set(keys_of(*other, another))


def keys_of(mapping, run, number):
    """Return the key of everything that a run writes, for one of its batches."""
    whole = (keys.export_request, keys.plan, keys.planned, keys.sweep_plan, keys.report, keys.reprocess_plan)
    numbered = (
        keys.backfill_batch,
        keys.backfill_descriptor,
        keys.backfill_attempts,
        keys.sweep_batch,
        keys.backfill_rejects,
    )
    indexed = (keys.remainder, keys.parked_remainder)
    return [
        *(build(mapping, run) for build in whole),
        *(build(mapping, run, number) for build in numbered),
        *(build(mapping, run, number, 1) for build in indexed),
    ]


@given(IDS, IDS)
def test_an_export_is_in_no_other_runs_prefix(run, other):
    prefix, elsewhere = f"{keys.export_prefix(*run)}/", f"{keys.export_prefix(*other)}/"
    assert prefix.startswith(elsewhere) is (run == other)


@given(st.from_regex("[a-z_]+", fullmatch=True), NAMES, st.text(min_size=1))
def test_a_key_is_parsed_into_what_it_was_built_from(prefix, mapping, rest):
    key = LandingKey(prefix, mapping, rest)
    assert LandingKey.parse(str(key)) == key


@pytest.mark.parametrize(
    "key",
    ["", "processed", "processed/mapping=clicks", "processed/mapping=clicks/", "processed/mapping=Clicks/x", "x/y/z"],
)
def test_a_key_of_something_else_is_refused(key):
    with pytest.raises(InvalidBatchError, match="is not one of"):
        LandingKey.parse(key)

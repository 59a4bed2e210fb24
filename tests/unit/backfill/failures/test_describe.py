import json

from hypothesis import given
from hypothesis import strategies as st

from backfill.failures.describe import HEADER, make_printable, print_revealed, read_key, shorten, summarize_failure
from backfill.failures.reader import Selection
from backfill.looking import name_again
from dynaurora.errors import TargetMismatchError
from tests.support import failure_factories as made
from tests.support.read_failures import explain, read, read_one
from tests.unit.backfill.failures.test_reader import parked_store


def test_a_line_has_a_cell_for_each_header():
    (line,) = [summarize_failure(failure) for failure in read()][2:3]
    assert len(line) == len(HEADER)
    assert line[1:] == (
        "record",
        "2026-11-23 08:15:00Z",
        "4",
        "",
        "page_id=about, activity_dt=2026-01-01",
        "type",
        "payload.Hits",
        "is a string, and the schema takes integer",
    )


def test_a_batchs_line_names_its_error():
    line = summarize_failure(read_one(BATCH_KEY=made.failed_batch()))
    assert line[1:7] == ("batch", "2026-11-23 07:00:00Z", "2", "", made.BATCH_ID, "DatabaseError")


def test_a_refused_record_is_explained_in_full():
    failure = read(made.make_store(FIREHOSE_KEY=made.failed_lines(made.failed_record(reprocessed=2))))[0]
    text = explain(failure)
    for line in (
        f"failure: {failure.id}, a record",
        "item: page_id=about, activity_dt=2026-01-01",
        "change: put, version 1",
        "first seen: 2026-11-23 08:15:00Z",
        "attempts: 4, 2 of them by a reprocess",
        "error then: Lambda.FunctionError: The function returned an error.",
        "mapping now: refuses it by the rule type, at payload.Hits",
        "  which is a string, and the schema takes integer",
        f"kept in: s3://landing/{made.FIREHOSE_KEY}, record 1",
        "runbook: docs/runbooks/failed-records.md",
        "next: Mend the mapping",
        "  again",
    ):
        assert line in text


def test_a_record_that_passes_now_has_nothing_to_mend():
    text = explain(read_one(OVERSIZE_KEY=made.failed_lines(made.failed_record(made.GOOD))))
    assert "mapping now: passes now" in text
    assert "next: Nothing has to be mended" in text


def test_a_record_whose_import_failed_is_explained_by_what_that_failed_with():
    message = "Aurora said 1366: Incorrect integer value: 'secret' for column 'hits'."
    record = made.failed_record(made.GOOD, error_code="Import.TargetMismatchError", error_message=message)
    failure = read_one(FIREHOSE_KEY=made.failed_lines(record))
    said = "TargetMismatchError: Aurora said 1366: Incorrect integer value: '…' for column 'hits'."
    assert failure.labels == ("TargetMismatchError (import)",)
    assert summarize_failure(failure)[6:] == ("import", "", said)
    text = explain(failure)
    assert "mapping now: passes now" in text
    assert f"next: {TargetMismatchError.remedy}" in text
    assert "runbook: docs/runbooks/failed-batches.md" in text


def test_a_record_that_is_refused_now_is_explained_by_that_whatever_its_import_failed_with():
    record = made.failed_record(error_code="Import.TargetMismatchError")
    failure = read_one(FIREHOSE_KEY=made.failed_lines(record))
    assert failure.labels == ("payload.Hits (type)",)
    assert "runbook: docs/runbooks/failed-records.md" in explain(failure)


def test_what_takes_a_batch_of_records_up_again_takes_up_the_records():
    batch = json.loads(made.failed_batch())["batch"] | {"source": "reprocess"}
    (superseded,) = read(made.make_store(BATCH_KEY=made.failed_batch(batch=batch)))
    assert name_again(superseded, made.MAPPING, None) == "dynaurora reprocess start web_analytics --watch"
    (other,) = read(made.make_store(BATCH_KEY=made.failed_batch()))
    assert name_again(other, made.MAPPING, None).endswith(f"--prefix {made.BATCH_KEY} --watch")


def test_without_a_mapping_records_are_shown_by_their_error():
    failure = read(judging=False)[2]
    assert summarize_failure(failure)[5:] == ("unknown", "Lambda.FunctionError", "", "The function returned an error.")
    assert "mapping now: unknown" in explain(failure)
    assert failure.as_dict()["verdict"] is None


def test_a_batch_is_explained_in_full():
    text = explain(read_one(BATCH_KEY=made.failed_batch()))
    for line in (
        f"batch: {made.BATCH_ID}",
        "source: stream",
        "rows: 7",
        "object: s3://landing/processed/a.csv",
        "execution: arn:execution",
        "error then: DatabaseError: Aurora said 1366: Incorrect integer value: '…' for column 'hits' at row 1.",
        "runbook: docs/runbooks/failed-batches.md",
        "next: Look the error number up.",
    ):
        assert line in text


def test_parked_is_said():
    store = parked_store()
    failure = read(store, Selection(only_parked=True))[1]
    assert "a batch, parked" in explain(failure)
    assert summarize_failure(failure)[4] == "yes"


def test_keys_are_shown_only_where_they_are_keys():
    assert read_key({"S": "a\x1b[2J"}) == "a\\x1b[2J"
    assert read_key({"N": "1"}) == "1"
    for value in ({"M": {}}, {"S": 1}, {}, "text", {"S": "a", "N": "1"}):
        assert read_key(value) == "?"


@given(st.text())
def test_nothing_that_is_printed_controls_a_terminal(text):
    assert make_printable(text).isprintable()


def test_a_revealed_record_is_json_or_what_it_was():
    assert '"page_id"' in print_revealed(made.GOOD)
    assert print_revealed(b"a\xff\x1b") == "a\\xff\\x1b"


def test_long_cells_are_cut():
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "ab…"

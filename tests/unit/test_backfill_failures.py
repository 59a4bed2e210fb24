import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from backfill.cli import main
from backfill.commands.failures import find_failure, find_newest, name_again, open_output, take_newest
from backfill.failures.counts import HOUR, PREFIX, REASON, Tally
from backfill.failures.describe import (
    HEADER,
    describe_failure,
    make_printable,
    print_revealed,
    read_key,
    shorten,
    summarize_failure,
)
from backfill.failures.preview import describe_preview, preview_reprocess
from backfill.failures.reader import Selection, mask_values, name_prefix, read_iso, read_time
from backfill.failures.verdicts import IGNORED, PASSES, REFUSED, Judge
from backfill.terminal.console import WrongUseError
from dynaurora import keys
from dynaurora.errors import TargetMismatchError
from dynaurora.mappings.mapping import load_mapping
from dynaurora.mappings.row_mapper import RowMapper
from tests.unit import failure_factories as made
from tests.unit.factories import EXPIRED, stream_record
from tests.unit.fakes import WRITTEN_AT, InMemoryObjects

EVERYTHING = Selection(include_parked=True)


def read(store=None, selection=EVERYTHING, *, judging=True):
    return list(made.make_reader(store, judging=judging).read(selection))


def read_one(**objects):
    (failure,) = read(made.make_store(**objects))
    return failure


def explain(failure, *, reveal=False):
    pairs = describe_failure(failure, "again", "web_analytics", reveal=reveal)
    return "\n".join(f"{name}: {value}" if name else f"  {value}" for name, value in pairs)


# Reading


def test_every_kind_of_failure_is_read():
    assert [(failure.kind, failure.key, failure.number) for failure in read()] == [
        ("record", made.BACKFILL_KEY, 1),
        ("record", made.OVERSIZE_KEY, 1),
        ("record", made.FIREHOSE_KEY, 1),
        ("record", made.FIREHOSE_KEY, 2),
        ("record", made.UNFORWARDED_KEY, 1),
        ("batch", made.BATCH_KEY, 1),
        ("conversion", made.CONVERSION_KEY, 1),
    ]


def test_a_records_times_are_its_own():
    record = made.failed_record(arrived_at_ms=made.SEEN_MS - 60_000, reprocessed=2)
    failure = read_one(FIREHOSE_KEY=made.failed_lines(record))
    assert failure.first_seen_at == datetime(2026, 11, 23, 8, 14, tzinfo=UTC)
    assert failure.last_tried_at == datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
    assert (failure.attempts, failure.reprocessed) == (4, 2)


@pytest.mark.parametrize(
    "objects",
    [
        {"UNFORWARDED_KEY": json.dumps({"payload": {"Records": [stream_record()]}}).encode()},
        {"UNFORWARDED_KEY": b"no invocation"},
        {"FIREHOSE_KEY": b"no envelope"},
        {"FIREHOSE_KEY": made.failed_lines(made.failed_record(seen_ms=0))},
        {"FIREHOSE_KEY": made.failed_lines(made.failed_record(seen_ms=10**17))},
        {"BATCH_KEY": b"no record"},
        {"BATCH_KEY": b"[1]"},
        {"BATCH_KEY": made.failed_batch(first_failed_at=None, last_failed_at=7)},
    ],
    ids=["unforwarded", "no invocation", "no envelope", "no time", "wrong time", "no JSON", "a list", "no times"],
)
def test_what_has_no_times_has_those_of_its_object(objects):
    failure = read_one(**objects)
    assert (failure.first_seen_at, failure.last_tried_at) == (WRITTEN_AT, WRITTEN_AT)
    assert summarize_failure(failure)
    assert explain(failure)
    assert json.dumps(failure.as_dict(reveal=True))


def test_a_batch_tells_what_it_was():
    failure = read_one(BATCH_KEY=made.failed_batch())
    assert (failure.id, failure.error, failure.attempts) == (made.BATCH_ID[:12], "DatabaseError", 2)
    assert failure.first_seen_at == datetime(2026, 11, 23, 7, tzinfo=UTC)
    assert failure.verdict is None


def test_what_a_run_settles_meanwhile_is_passed_over():
    class Settled(InMemoryObjects):
        def open(self, bucket, key):
            self.delete(bucket, key)
            return super().open(bucket, key)

    store = Settled(made.make_store(FIREHOSE_KEY=made.failed_lines(made.failed_record())).objects)
    assert read(store) == []


def test_only_one_record_is_held_at_a_time():
    opened = []

    class Watched(InMemoryObjects):
        def open(self, bucket, key):
            opened.append(key)
            return super().open(bucket, key)

    failures = made.make_reader(Watched(made.make_store().objects)).read(Selection())
    next(failures)
    assert opened == [made.BACKFILL_KEY]


# Ids


def test_a_records_id_stays_when_it_is_tried_again_moved_or_parked():
    first = read_one(FIREHOSE_KEY=made.failed_lines(made.failed_record()))
    store = made.make_store(
        OVERSIZE_KEY=made.failed_lines(made.failed_record(made.GOOD), made.failed_record(reprocessed=3))
    )
    again = read(store)[1]
    store.copy(made.BUCKET, made.OVERSIZE_KEY, keys.parked(made.MAPPING, made.OVERSIZE_KEY))
    parked = read(store, Selection(only_parked=True))[1]
    assert first.id == again.id == parked.id
    assert parked.is_parked


def test_ids_are_short_and_differ():
    ids = [failure.id for failure in read()]
    assert ids[-2:] == ["0123456789ab", "r1-000002"]
    assert all(len(record) == 12 for record in ids[:-2])
    assert len({ids[2], ids[3], ids[4]}) == 3


@pytest.mark.parametrize("name", ["0123456789ab", made.BATCH_ID, "r1-000002"])
def test_a_failure_is_found_by_its_id(name):
    assert find_failure(made.make_reader(), name, None).is_called(name)


def test_a_failure_that_is_not_there_says_how_to_list_them():
    with pytest.raises(WrongUseError, match="failures list --include-parked --stack clicks"):
        find_failure(made.make_reader(), "nope", "clicks")


def test_a_batch_that_no_import_was_started_for_is_told_from_one_that_failed():
    (failure,) = read(parked_store(), Selection(prefix=made.LANDED_KEY))
    assert (failure.kind, failure.key, failure.attempts) == ("unstarted", made.LANDED_KEY, 0)
    assert failure.first_seen_at == WRITTEN_AT
    text = "\n".join(f"{name}: {value}" for name, value in describe_failure(failure, "again", "m", reveal=False))
    assert f"object: s3://{made.BUCKET}/{made.LANDED_KEY}" in text
    assert "not marked as imported" in text
    assert name_prefix(made.PLACE, failure.key) == "processed/mapping=web_analytics/"


def test_a_failed_batch_of_records_is_told_to_be_forgotten():
    batch = json.loads(made.failed_batch())["batch"] | {"source": "reprocess"}
    store = made.make_store(BATCH_KEY=made.failed_batch(batch=batch))
    document = preview_reprocess(made.make_reader(store), Selection()).as_dict()
    assert document["batches"] == {"import": 0, "convert": 0, "forget": 1}


# Selecting


def parked_store():
    store = made.make_store()
    for key in (made.OVERSIZE_KEY, made.BATCH_KEY):
        store.copy(made.BUCKET, key, keys.parked(made.MAPPING, key))
    store.write(made.BUCKET, made.LANDED_KEY, b"row\n")
    return store


@pytest.mark.parametrize(
    ("selection", "count"),
    [
        (Selection(), 7),
        (Selection(include_parked=True), 9),
        (Selection(only_parked=True), 2),
        (Selection(only_parked=True, prefix="failed_batches/mapping=web_analytics/"), 1),
        (Selection(prefix=f"parked/mapping=web_analytics/{made.FAILED}"), 1),
        (Selection(prefix=made.FIREHOSE_KEY), 2),
        (Selection(prefix="aws/lambda/uuid/"), 1),
        (Selection(reason="payload.hits (TYPE)"), 2),
        (Selection(reason="passes now"), 3),
        (Selection(reason="DatabaseError"), 2),
        (Selection(reason="no such reason"), 0),
        (Selection(prefix="processed/mapping=web_analytics/"), 1),
    ],
    ids=str,
)
def test_selections(selection, count):
    assert len(read(parked_store(), selection)) == count


def test_a_prefix_that_can_hold_no_failures_is_wrong_use():
    with pytest.raises(WrongUseError, match="No failures can be under 'reports/'") as caught:
        read(selection=Selection(prefix="reports/"))
    assert "backfill start" not in caught.value.message


# Judging


def judge(data, **options):
    return Judge(RowMapper(load_mapping(made.MAPPING)), **options).judge(data)


def test_a_record_that_is_mended_passes():
    verdict = judge(made.GOOD)
    assert (verdict.outcome, verdict.labels, verdict.is_delete) == (PASSES, ("passes now",), False)
    assert verdict.key == {"page_id": {"S": "home"}, "activity_dt": {"S": "2026-01-01"}}


def test_a_refused_record_tells_the_rule_and_where():
    verdict = judge(made.BAD)
    assert (verdict.outcome, verdict.labels, verdict.version) == (REFUSED, ("payload.Hits (type)",), 1)
    assert verdict.key["page_id"] == {"S": "about"}
    assert "secret" not in json.dumps(verdict.as_dict())


def test_what_is_no_change_is_refused_without_a_key():
    assert judge(b"nothing").labels == ("record (record)",)
    assert judge(b"nothing").key is None


def test_an_expiry_is_ignored_where_the_stack_ignores_them():
    expired = json.dumps({**stream_record("REMOVE"), "userIdentity": EXPIRED}).encode()
    assert judge(expired, ignores_expiries=True).outcome == IGNORED
    assert judge(expired).outcome == PASSES


def test_an_error_that_nobody_foresaw_is_this_records():
    class Faulty:
        mapping = load_mapping(made.MAPPING)

        def row(self, _change):
            raise ZeroDivisionError

    assert Judge(Faulty()).judge(made.GOOD).labels == ("record (unforeseen)",)


# Masking


@pytest.mark.parametrize(
    ("message", "masked"),
    [
        (
            "Aurora said 1366: Incorrect integer value: 'it's me' for column 'hits' at row 1.",
            "Aurora said 1366: Incorrect integer value: '…' for column 'hits' at row 1.",
        ),
        ("Duplicate entry 'a-b' for key 'PRIMARY'", "Duplicate entry '…' for key 'PRIMARY'"),
        ("Truncated incorrect DOUBLE value: 'x'", "Truncated incorrect DOUBLE value: '…'"),
        ("invalid literal for int() with base 10: 'x y'", "invalid literal for int() with base 10: '…'"),
        ("could not convert string to float: 'x'.", "could not convert string to float: '…'."),
        ("Unknown column 'hits' in 'field list'", "Unknown column 'hits' in 'field list'"),
        ("Incorrect string value: '\\xF0 and so", "Incorrect string value: '…'"),
        ("payload: 'Hits' is a required property (required)", "payload: 'Hits' is a required property (required)"),
    ],
)
def test_values_that_messages_quote_are_masked(message, masked):
    assert mask_values(message) == masked


@given(st.text(), st.sampled_from(["'{}' for column 'c' at row 1", "'{}'", "'{}'."]))
def test_no_value_survives_in_a_message(value, rest):
    assert mask_values(f"Incorrect integer value: {rest.format(f'⟨{value}⟩')}").count("⟨") == 0


def test_nothing_of_an_item_is_shown_unless_it_is_to_be_revealed():
    for failure in read():
        text = f"{summarize_failure(failure)}{explain(failure)}{json.dumps(failure.as_dict())}"
        assert "secret" not in text
        assert "Firefox" not in text
    shown = "".join(explain(failure, reveal=True) + json.dumps(failure.as_dict(reveal=True)) for failure in read())
    assert "secret" in shown
    assert "Firefox" in shown


# Showing


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


def test_the_newest_come_first_and_only_so_many():
    known, newest = take_newest(iter(read()), 3)
    assert known == 7
    assert [failure.key for failure in newest] == [made.FIREHOSE_KEY, made.FIREHOSE_KEY, made.UNFORWARDED_KEY]
    assert newest[0].first_seen_at > newest[1].first_seen_at


def test_of_those_of_one_time_the_first_come_first():
    (failure,) = read(made.make_store(OVERSIZE_KEY=made.failed_lines(made.failed_record())))
    known, newest = take_newest((replace(failure, number=number) for number in range(1, 100)), 2)
    assert (known, [one.number for one in newest]) == (99, [1, 2])
    assert take_newest(iter(()), 2) == (0, [])


def test_an_export_is_readable_by_its_owner_only(tmp_path):
    path = tmp_path / "failures.jsonl"
    path.write_text("older and longer")
    path.chmod(0o644)
    with open_output(path) as lines:
        lines.write("{}\n")
    assert path.read_text() == "{}\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_export_to_where_no_file_can_be_is_refused(tmp_path):
    with pytest.raises(WrongUseError, match="No such file or directory"), open_output(tmp_path / "no" / "f.jsonl"):
        pass


def test_what_came_last_is_shown_where_no_failure_is_named():
    reader = made.make_reader()
    assert find_newest(reader, Selection()).key == made.FIREHOSE_KEY
    assert find_newest(reader, Selection(prefix="failed_batches/")).key.startswith("failed_batches/")
    with pytest.raises(WrongUseError, match="No failure is like that"):
        find_newest(reader, Selection(only_parked=True))


def test_a_failure_is_named_or_chosen_but_not_both():
    answer = CliRunner().invoke(main, ["failures", "show", "3f2a9c0d41be", "--parked"])
    assert answer.exit_code == 2
    assert "not both" in answer.stderr


# Counting


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        (REASON, [("passes now", 3), ("payload.Hits (type)", 2), ("DatabaseError", 2)]),
        (HOUR, [("2026-11-23T06:00Z", 1), ("2026-11-23T07:00Z", 3), ("2026-11-23T08:00Z", 3)]),
        (
            PREFIX,
            [
                (f"{made.FAILED}processing-failed/", 2),
                ("failed_batches/mapping=web_analytics/", 2),
                (f"{made.FAILED}backfill/run=r1/", 1),
                (f"{made.FAILED}oversize/", 1),
                ("aws/lambda/", 1),
            ],
        ),
    ],
)
def test_failures_are_counted(by, groups):
    tally = Tally(by, made.PLACE)
    for failure in read():
        tally.add(failure)
    assert sorted(tally.groups) == sorted(groups)
    assert tally.groups == (sorted(groups) if by == HOUR else tally.counts.most_common())
    assert (tally.records, tally.batches, tally.parked) == (5, 2, 0)


def test_a_counted_prefix_can_be_asked_for():
    store = parked_store()
    for failure in read(store):
        prefix = name_prefix(made.PLACE, failure.key)
        assert failure.key in [found.key for found in read(store, Selection(prefix=prefix, include_parked=True))]


# Previewing


def preview(selection=EVERYTHING, **options):
    return preview_reprocess(made.make_reader(**options), selection)


def test_a_preview_tells_what_would_pass():
    document = preview().as_dict()
    assert document["objects"] == 6
    assert document["records"] == {"all": 5, "passes": 3, "refused": 2, "ignored": 0, "unjudged": 0}
    assert document["reasons"] == {"payload.Hits (type)": 2}
    assert document["batches"] == {"import": 1, "convert": 1, "forget": 0}
    assert document["errors"] == {"DatabaseError": 2}


def test_a_preview_is_shown():
    text = "\n".join(f"{name}: {value}" for name, value in describe_preview(preview()))
    for line in (
        "records: 5",
        "3 would pass",
        "2 would be refused again",
        "2 payload.Hits (type)",
        "1 to import again",
    ):
        assert line in text


def test_a_preview_without_a_mapping_only_counts():
    found = preview(judging=False)
    assert found.as_dict()["records"] == {"all": 5, "passes": 0, "refused": 0, "ignored": 0, "unjudged": 5}
    assert "not judged" in str(list(describe_preview(found)))


def test_a_preview_is_of_what_the_run_would_take_up():
    assert preview(Selection(prefix=made.BATCH_KEY)).as_dict()["objects"] == 1
    assert preview(store=InMemoryObjects()).failures == 0


def test_times_that_are_none():
    assert read_time(0) is None
    assert read_iso("yesterday") is None

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill.failures.describe import summarize_failure
from backfill.failures.reader import mask_values
from backfill.failures.verdicts import IGNORED, PASSES, READ_AGAIN, REFUSED, Judge
from dynaurora.dynamodb.changes import encode_change
from dynaurora.failures.failed_records import FailedRecord, encode_failed_record
from dynaurora.failures.refused_rows import ROW_REFUSED
from dynaurora.mappings.row_mapper import RowMapper
from tests.support import failure_factories as made
from tests.support.example import load_example
from tests.support.factories import EXPIRED, stream_record
from tests.support.read_failures import explain, read
from tests.support.several_targets import change, several


def judge(data, **options):
    return Judge(RowMapper(load_example(made.MAPPING)), **options).judge(data)


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


REFUSED_ROW = json.dumps(
    {
        "Refused": {
            "Target": "WebAnalytics",
            "Keys": {"page_id": "home"},
            "Version": "7",
            "Error": 1406,
            "Column": "hits",
        }
    }
).encode()


def test_a_row_that_aurora_refused_is_to_be_read_again():
    verdict = judge(REFUSED_ROW)
    assert (verdict.outcome, verdict.version, verdict.is_delete) == (READ_AGAIN, 7, None)
    assert verdict.key == {"page_id": {"S": "home"}}
    assert verdict.labels == ("a row that Aurora refused: its item is read again",)


def test_a_row_that_aurora_refused_is_explained():
    message = "Aurora refuses the row: error 1406, column hits, a value of 70 bytes."
    record = FailedRecord(REFUSED_ROW, ROW_REFUSED, message, 1, 1_795_421_700_000, "arn:f")
    failure = read(made.make_store(FIREHOSE_KEY=encode_failed_record(record)))[0]
    assert summarize_failure(failure)[5:] == ("page_id=home", "SQL", "", message)
    text = explain(failure)
    for line in (
        "change: refused, version 7",
        f"error then: dynaurora.RowRefused: {message}",
        "mapping now: a row that Aurora refused: its item is read again",
        "next: Mend the column, constraint or trigger that refuses the row; then take it up again.",
    ):
        assert line in text


def test_an_expiry_is_ignored_where_the_stack_ignores_them():
    expired = json.dumps({**stream_record("REMOVE"), "userIdentity": EXPIRED}).encode()
    assert judge(expired, ignores_expiries=True).outcome == IGNORED
    assert judge(expired).outcome == PASSES


def test_an_error_that_nobody_foresaw_is_this_records():
    class Faulty:
        mapping = load_example(made.MAPPING)

        def row(self, _change):
            raise ZeroDivisionError

    assert Judge(Faulty()).judge(made.GOOD).labels == ("record (unforeseen)",)


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


def test_a_record_is_judged_by_the_targets_that_it_is_missing_in():
    judge = Judge(RowMapper(several())).judge
    moved, other = encode_change(change(1, "ORDER#1", status="open")), encode_change(change(1, "ITEM#1", x="y"))
    assert judge(moved).outcome == judge(moved, "OpenOrders").outcome == REFUSED
    assert judge(moved).labels == ("record (required)",)
    assert judge(moved, "ShutOrders").outcome == judge(other).outcome == PASSES

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.failures.failed_records import FailedRecord, decode_failed_record, encode_failed_record, now_ms

TEXTS = st.text()
RECORDS = st.builds(FailedRecord, st.binary(), TEXTS, TEXTS, st.integers(0, 99), st.integers(0, 10**13), TEXTS)


@given(RECORDS)
def test_a_failed_record_is_one_line_and_comes_back(record):
    line = encode_failed_record(record)
    assert line.count(b"\n") == 1
    assert decode_failed_record(line) == record


def test_the_envelope_is_firehoses():
    record = FailedRecord(b"data", "code", "message", 1, 1_700_000_000_000, "arn:f")
    assert json.loads(encode_failed_record(record)) == {
        "attemptsMade": 1,
        "arrivalTimestamp": 1_700_000_000_000,
        "errorCode": "code",
        "errorMessage": "message",
        "attemptEndingTimestamp": 1_700_000_000_000,
        "rawData": "ZGF0YQ==",
        "lambdaArn": "arn:f",
    }


def test_numbers_are_read_as_text_too():
    line = b'{"attemptsMade":"4","attemptEndingTimestamp":"1700000012345","rawData":"ZGF0YQ==","lambdaARN":"arn:f"}'
    assert decode_failed_record(line) == FailedRecord(b"data", "", "", 4, 1_700_000_012_345, "arn:f")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('"1700000012345.0"', 1_700_000_012_345),
        ("1.700000012345e12", 1_700_000_012_345),
        ('"2026-11-23T08:15:00Z"', 0),
        ("null", 0),
        ("Infinity", 0),
        ("[1]", 0),
    ],
)
def test_what_is_said_of_a_record_is_read_as_far_as_it_can_be(written, read):
    line = f'{{"ATTEMPTENDINGTIMESTAMP": {written}, "attemptsmade": {written}, "RawData": "ZGF0\\nYQ=="}}'
    record = decode_failed_record(line.encode())
    assert (record.data, record.failed_at_ms, record.attempts) == (b"data", read, read)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"x",
        b"[]",
        b"null",
        b"{}",
        b'{"rawData": null}',
        b'{"rawData": "a"}',
        b"[" * 100_000,
    ],
    ids=lambda line: line[:40].decode(),
)
def test_what_is_no_envelope_is_refused(line):
    with pytest.raises(ValueError, match="not a failed record"):
        decode_failed_record(line)


def test_time_is_in_milliseconds():
    assert 1_600_000_000_000 < now_ms() < 10**13

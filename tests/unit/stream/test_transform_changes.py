import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.dynamodb.changes import Change
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.mapping import load_mapping
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.stream.transform_changes import MAX_RESPONSE_BYTES, transform_records
from tests.support.factories import click, click_change, column, firehose_record, make_mapping

MAPPER = RowMapper(load_mapping("web_analytics"))


def test_a_change_becomes_its_row_with_a_newline():
    change = click_change()
    result = transform_records([firehose_record(change, "r1")], MAPPER)
    ((answer),) = result.records
    assert (answer["recordId"], answer["result"]) == ("r1", "Ok")
    line = base64.b64decode(answer["data"])
    assert line == encode_row(MAPPER.row(change))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1


def test_a_refused_change_fails_alone_and_its_data_is_left_to_firehose():
    records = [
        firehose_record(click_change(), "1"),
        firehose_record(click_change("x"), "2"),
        firehose_record(click_change(), "3"),
    ]
    result = transform_records(records, MAPPER)
    assert [answer["result"] for answer in result.records] == ["Ok", "ProcessingFailed", "Ok"]
    assert result.records[1] == {"recordId": "2", "result": "ProcessingFailed", "data": ""}
    assert [(rejection.record_id, rejection.reasons[0].rule) for rejection in result.rejections] == [("2", "json")]
    assert (result.transformed, result.overflowed) == (2, 0)


def test_a_rejection_names_a_key_by_the_one_spelling_of_its_number():
    mapping = make_mapping(column("n", "INT"))
    changes = [Change(1, 0, {"id": {"N": text}}, {"id": {"N": text}, "n": {"S": "x"}}) for text in ("0.10", "0.1")]
    result = transform_records([firehose_record(change, "1") for change in changes], RowMapper(mapping))
    assert [rejection.key for rejection in result.rejections] == [{"id": {"N": "0.1"}}] * 2


@pytest.mark.parametrize(
    "record",
    [
        pytest.param({"recordId": "1"}, id="no data"),
        pytest.param({"recordId": "1", "data": None}, id="null data"),
        pytest.param({"recordId": "1", "data": "é"}, id="no ASCII"),
        pytest.param({"recordId": "1", "data": "abc"}, id="no base64"),
        pytest.param({"recordId": "1", "data": ""}, id="empty"),
        pytest.param(firehose_record(b"hello"), id="no change"),
        pytest.param(firehose_record(b'{"Version": "1", "ChangedAtMs": 1, "Keys": {}}'), id="a delete without keys"),
        pytest.param(firehose_record(b'{"Version":Infinity,"ChangedAtMs":1,"Keys":{}}'), id="an infinite version"),
        pytest.param(
            firehose_record(
                b'{"Version":"1","ChangedAtMs":1,"Keys":{},"NewImage":{"a":' + b'{"L":[' * 400 + b"]}" * 400 + b"}}"
            ),
            id="nested deep",
        ),
    ],
)
def test_a_record_that_is_no_change_is_failed_and_answered(record):
    result = transform_records([record], MAPPER)
    assert result.records == [{"recordId": "1", "result": "ProcessingFailed", "data": ""}]
    assert len(result.rejections) == 1


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 12_000))
def test_every_record_is_answered_once_in_order_and_the_answer_is_bounded(goods, limit):
    records = [
        firehose_record(click_change(None if good else "x"), f"record-{number}") for number, good in enumerate(goods)
    ]
    result = transform_records(records, MAPPER, max_answer_bytes=limit)
    assert [answer["recordId"] for answer in result.records] == [record["recordId"] for record in records]
    rows = [answer["result"] for answer, good in zip(result.records, goods, strict=True) if good]
    assert rows == ["Ok"] * result.transformed + ["ProcessingFailed"] * result.overflowed  # the tail, never a middle
    if result.transformed:
        assert len(json.dumps({"records": result.records})) <= limit


def test_an_answer_that_fits_fails_nothing():
    records = [firehose_record(click_change(), str(number)) for number in range(50)]
    size = len(json.dumps({"records": transform_records(records, MAPPER).records}))
    assert transform_records(records, MAPPER, max_answer_bytes=size + 50 * 64).overflowed == 0


def test_the_bound_is_below_lambdas_six_megabytes():
    long = click(session=click()["session"] | {"start_timestamp": "😀" * 64})
    records = [firehose_record(click_change(long, page_id="p" * 255), "r" * 56) for _ in range(9000)]
    result = transform_records(records, MAPPER)
    assert result.overflowed > 0
    assert MAX_RESPONSE_BYTES * 0.9 < len(json.dumps({"records": result.records})) < 6_291_556


def test_a_fault_of_the_program_costs_one_record_only():
    class FaultyMapper(RowMapper):
        def row(self, change):
            if change.keys["page_id"]["S"] == "faulty":
                raise ZeroDivisionError
            return super().row(change)

    pages = ("good", "faulty", "good too")
    doubtful = json.dumps(click()).replace('"Hits": 3', '"Hits": 3.0')  # compiled code leaves it to the mapper
    records = [firehose_record(click_change(doubtful, page_id=page), page) for page in pages]
    result = transform_records(records, FaultyMapper(load_mapping("web_analytics")))
    assert [answer["result"] for answer in result.records] == ["Ok", "ProcessingFailed", "Ok"]
    assert result.rejections[0].reasons[0].rule == "unforeseen"

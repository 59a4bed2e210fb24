import base64
import json
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.errors import RegistryUnavailableError, ThrottledError, UnregisteredMappingError
from dynaurora.failures.failed_records import REJECTED, encode_failed_record
from dynaurora.mappings.csv_format import encode_row, row_label
from dynaurora.mappings.registry import Registry
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.mappings.row_mappers import RowMappers
from dynaurora.stream.transform_changes import MAX_REFUSALS, MAX_RESPONSE_BYTES
from tests.support.example import load_example
from tests.support.factories import CREATED_AT, click, click_change, column, firehose_record, make_mapping
from tests.support.fakes import InMemoryObjects
from tests.support.registries import BUCKET
from tests.support.transforming import (
    CLICKS,
    TRANSFORM_ARN,
    data_of,
    make_transformer,
    packed,
    read_refused,
    rows_of,
)

MAPPER = RowMapper(CLICKS)
LABEL = row_label(CLICKS)
FAILED = {"result": "ProcessingFailed", "data": ""}
GOOD, BAD = click_change(), click_change("x", version=2)


def labelled(change, mapper=MAPPER):
    return row_label(mapper.mapping) + encode_row(mapper.row(change))


def transform(*records, **options):
    return make_transformer(**options).transform(records)


def bad(number):
    return click_change("x", version=number, page_id=f"bad-{number}")


def test_a_change_becomes_its_row_with_a_label_and_a_newline():
    result = transform(packed(GOOD, record_id="r1"))
    ((answer),) = result.records
    assert (answer["recordId"], answer["result"]) == ("r1", "Ok")
    line = base64.b64decode(answer["data"])
    assert line == LABEL + encode_row(MAPPER.row(GOOD))
    assert (line.count(b"\n"), line.count(b"\x1a")) == (1, 1)
    assert (result.transformed, result.rejections, result.overflowed) == (1, [], 0)


def test_a_pack_becomes_the_rows_of_its_changes_in_their_order():
    first, second = ([click_change(version=n, page_id=page) for n in (1, 2, 3)] for page in ("a", "b"))
    result = transform(packed(*first, record_id="1"), packed(*second, record_id="2"))
    assert [rows_of(answer) for answer in result.records] == [list(map(labelled, first)), list(map(labelled, second))]
    assert result.transformed == 6


def test_a_value_cannot_imitate_a_label():
    sneaky = click_change(page_id=LABEL.decode())
    (answer,) = transform(packed(sneaky)).records
    assert base64.b64decode(answer["data"]).count(b"\x1a") == 1


def test_each_pack_is_mapped_by_the_document_that_it_is_stamped_with():
    old, new = make_mapping(column("a", "INT")), make_mapping(column("b", "VARCHAR(20)"), column("a", "INT"))
    change = Change(7, 0, {"id": {"S": "k"}}, {"id": {"S": "k"}, "a": {"N": "1"}, "b": {"S": "x"}})
    records = [packed(change, record_id=str(n), mapping=mapping) for n, mapping in enumerate([old, new, old, new])]
    transformer = make_transformer(old, new)
    rows = [rows_of(answer) for answer in transformer.transform(records).records]
    assert rows == [[labelled(change, RowMapper(mapping))] for mapping in (old, new, old, new)]
    assert rows[0] == [b"\x1aThings." + old.digest[:16].encode() + b",0,7,k,1\n"]


def test_a_change_of_the_release_before_is_mapped_by_the_current_document_and_labelled():
    old, new = make_mapping(column("a", "INT")), make_mapping(column("b", "INT"))
    change = Change(7, 0, {"id": {"S": "k"}}, {"id": {"S": "k"}, "a": {"N": "1"}, "b": {"N": "2"}})
    (answer,) = make_transformer(old, new).transform([firehose_record(change)]).records
    assert rows_of(answer) == [b"\x1aThings." + new.digest[:16].encode() + b",0,7,k,2\n"]


@pytest.mark.parametrize("current", [True, False])
def test_a_document_that_is_not_to_be_had_fails_the_invocation(current):
    unknown = make_mapping(column("z", "INT"))
    if current:
        transformer = make_transformer()
        lost = Registry(InMemoryObjects(), BUCKET, "web_analytics")
        object.__setattr__(transformer, "mappers", RowMappers(lost))
        with pytest.raises(RegistryUnavailableError):
            transformer.transform([firehose_record(GOOD)])
        return
    with pytest.raises(UnregisteredMappingError, match=unknown.digest):
        transform(packed(GOOD), packed(GOOD, mapping=unknown))


def test_a_refused_change_is_kept_by_itself_with_its_reasons_and_the_others_go_on():
    store = InMemoryObjects()
    result = transform(packed(GOOD, BAD, click_change(version=3)), store=store)
    assert [answer["result"] for answer in result.records] == ["Ok"]
    assert len(rows_of(result.records[0])) == 2
    assert [(rejection.record_id, rejection.reasons[0].rule) for rejection in result.rejections] == [("1", "json")]
    assert (result.transformed, result.overflowed) == (2, 0)
    ((key, kept),) = read_refused(store).items()
    assert key.startswith("transformation_failed_data_backup/mapping=web_analytics/refused/")
    assert len(key.rpartition("/")[2]) == len(".json") + 64
    assert kept.data == encode_change(BAD)
    assert (kept.error_code, kept.attempts, kept.reprocessed) == (REJECTED, 1, 0)
    assert kept.error_message.startswith("payload: is not JSON")
    assert [(reason.rule, reason.path) for reason in kept.reasons] == [("json", "payload")]
    assert (kept.function_arn, kept.arrived_at_ms) == (TRANSFORM_ARN, CREATED_AT * 1000)


def test_a_record_all_of_whose_changes_are_refused_is_dropped():
    store = InMemoryObjects()
    result = transform(packed(BAD), firehose_record(bad(3), "2"), store=store)
    assert result.records == [{"recordId": number, "result": "Dropped", "data": ""} for number in ("1", "2")]
    assert data_of(read_refused(store).values()) == sorted(map(encode_change, (BAD, bad(3))))


def test_a_refused_change_is_kept_once_whatever_record_it_comes_in():
    store = InMemoryObjects()
    respelled = [
        Change(5, 0, {"id": {"N": text}}, {"id": {"N": text}, "n": {"S": "x"}}) for text in ("0.10", "0.1", "1e-1")
    ]
    mapping = make_mapping(column("n", "INT"))
    transformer = make_transformer(mapping, store=store)
    transformer.transform([packed(*respelled[:2], mapping=mapping), packed(respelled[2], mapping=mapping)])
    kept = dict(store.objects)
    transformer.transform([firehose_record(respelled[1])])
    assert store.objects == kept
    assert [record.data for record in read_refused(store, "things").values()] == [encode_change(respelled[0])]


def test_changes_of_other_keys_versions_and_targets_are_kept_apart():
    store = InMemoryObjects()
    changes = [click_change("x", version=n, page_id=page) for n in (1, 2) for page in ("a", "b")]
    transform(packed(*changes), store=store)
    assert len(read_refused(store)) == 4


def test_a_repeat_takes_no_attempts_back_and_revives_nothing_that_is_settled():
    store = InMemoryObjects()
    transform(packed(BAD, bad(9)), store=store)
    tried, settled = sorted(store.objects)
    again = read_refused(store)[tried[1]].again(REJECTED, "again", "arn:convert")
    store.objects[tried], store.objects[settled] = encode_failed_record(again), b""
    result = transform(packed(bad(9), GOOD), packed(BAD, record_id="2"), store=store)
    assert [answer["result"] for answer in result.records] == ["Ok", "Dropped"]
    assert store.objects[settled] == b""
    assert read_refused(store)[tried[1]].reprocessed == 1


class Failing(InMemoryObjects):
    """Objects of which the one of some number cannot be written."""

    def __init__(self, number):
        super().__init__()
        self.numbers, self.failing = count(), number

    def create(self, bucket, key, body):
        if next(self.numbers) == self.failing:
            raise ThrottledError("S3 answered SlowDown.")
        return super().create(bucket, key, body)


@pytest.mark.parametrize("number", [0, 7, 29])
def test_where_a_refused_change_cannot_be_written_the_invocation_fails_and_its_repeat_completes(number):
    store, changes = Failing(number), [bad(n) for n in range(30)]
    with pytest.raises(ThrottledError):
        transform(packed(*changes, GOOD), store=store)
    result = transform(packed(*changes, GOOD), store=store)
    assert (result.transformed, [answer["result"] for answer in result.records]) == (1, ["Ok"])
    assert data_of(read_refused(store).values()) == sorted(map(encode_change, changes))


def test_more_refusals_than_an_invocation_writes_leave_their_packs_whole_to_firehose():
    store = InMemoryObjects()
    records = [
        packed(*(bad(10 * n + m) for m in range(3)), click_change(version=10 * n), record_id=str(n)) for n in range(4)
    ]
    good = packed(GOOD, record_id="good")
    result = transform(*records, good, store=store, max_refusals=7)
    assert [answer["result"] for answer in result.records] == ["Ok", "Ok", "ProcessingFailed", "ProcessingFailed", "Ok"]
    assert (result.transformed, len(result.rejections), result.overflowed) == (3, 12, 2)
    assert len(read_refused(store)) == 6
    assert MAX_REFUSALS >= 100


def test_a_rejection_names_a_key_by_the_one_spelling_of_its_number():
    mapping = make_mapping(column("n", "INT"))
    changes = [Change(1, 0, {"id": {"N": text}}, {"id": {"N": text}, "n": {"S": "x"}}) for text in ("0.10", "0.1")]
    result = make_transformer(mapping).transform([packed(*changes, mapping=mapping)])
    assert [rejection.key for rejection in result.rejections] == [{"id": {"N": "0.1"}}] * 2


NO_CHANGES = [
    pytest.param(b"hello", id="no change"),
    pytest.param(b"", id="nothing"),
    pytest.param(b'{"Version":Infinity,"ChangedAtMs":1,"Keys":{}}', id="an infinite version"),
    pytest.param(
        b'{"Version":"1","ChangedAtMs":1,"Keys":{},"NewImage":{"a":' + b'{"L":[' * 400 + b"]}" * 400 + b"}}",
        id="nested deep",
    ),
]


@pytest.mark.parametrize(
    "record",
    [
        pytest.param({"recordId": "1"}, id="no data"),
        pytest.param({"recordId": "1", "data": None}, id="null data"),
        pytest.param({"recordId": "1", "data": "é"}, id="no ASCII"),
        pytest.param({"recordId": "1", "data": "abc"}, id="no base64"),
        pytest.param({"recordId": "1", "data": ""}, id="empty"),
        pytest.param(firehose_record(b"hello"), id="no change"),
        pytest.param(firehose_record(b'{"Version":Infinity,"ChangedAtMs":1,"Keys":{}}'), id="an infinite version"),
        pytest.param(firehose_record(b"dynaurora/3 x\n{}\n"), id="a pack of another version"),
        pytest.param(firehose_record(b"dynaurora/2 " + b"0" * 64 + b"\n{}"), id="a pack that is cut off"),
    ],
)
def test_a_record_that_is_neither_pack_nor_change_is_failed_alone_and_left_to_firehose(record):
    store = InMemoryObjects()
    result = transform(record, packed(GOOD, record_id="2"), store=store)
    assert result.records[0] == {"recordId": "1", **FAILED}
    assert result.records[1]["result"] == "Ok"
    assert (len(result.rejections), result.transformed, store.objects) == (1, 1, {})


@pytest.mark.parametrize("data", NO_CHANGES)
def test_a_line_of_a_pack_that_is_no_change_is_kept_by_itself(data):
    store = InMemoryObjects()
    for _ in range(2):
        result = transform(packed(GOOD, data, click_change(version=3)), store=store)
        assert (result.transformed, [answer["result"] for answer in result.records]) == (2, ["Ok"])
    assert [record.data for record in read_refused(store).values()] == [data]


@pytest.mark.parametrize("data", [b'{"Version": "1", "ChangedAtMs": 1, "Keys": {}}'])
def test_a_delete_without_keys_is_refused(data):
    store = InMemoryObjects()
    result = transform(firehose_record(data), store=store)
    assert (result.records[0]["result"], len(read_refused(store))) == ("Dropped", 1)


ODD_KEYS = [
    b'{"id": {"N": 1.5}}',
    b'{"id": 1.5}',
    b'{"id": {"M": {"a": {"N": "1e999"}}}}',
    b'{"id":' + b'{"L":[' * 300 + b"]}" * 300 + b"}",
    b'{"\\ud800": {"S": "\\ud800"}}',
]


@pytest.mark.parametrize("keys", ODD_KEYS)
def test_whatever_a_refused_changes_key_is_it_costs_nothing_but_the_change(keys):
    store = InMemoryObjects()
    data = b'{"Version":"7","ChangedAtMs":1,"Keys":' + keys + b',"NewImage":{}}'
    result = make_transformer(make_mapping(), store=store).transform([packed(data, mapping=make_mapping())])
    assert (result.records[0]["result"], len(read_refused(store, "things"))) == ("Dropped", 1)
    assert json.dumps(result.rejections[0].log_fields())


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=4), max_size=20), st.integers(0, 12_000))
def test_every_record_is_answered_once_in_order_and_the_answer_is_bounded(packs, limit):
    numbers, store = count(1), InMemoryObjects()
    records = [
        packed(*(GOOD if good else bad(next(numbers)) for good in goods), record_id=f"record-{number}")
        for number, goods in enumerate(packs)
    ]
    result = transform(*records, max_answer_bytes=limit, store=store)
    assert [answer["recordId"] for answer in result.records] == [record["recordId"] for record in records]
    rows = [answer["result"] for answer, goods in zip(result.records, packs, strict=True) if any(goods)]
    assert rows == sorted(rows)  # the tail, never a middle
    answered = list(zip(result.records, packs, strict=True))
    assert result.transformed == sum(sum(goods) for answer, goods in answered if answer["result"] == "Ok")
    assert result.overflowed == sum(sum(goods) for answer, goods in answered if answer["result"] == FAILED["result"])
    assert len(result.rejections) == sum(goods.count(False) for goods in packs)
    kept = sum(goods.count(False) for answer, goods in answered if answer["result"] != FAILED["result"])
    assert len(read_refused(store)) == kept  # Firehose has the others
    if result.transformed:
        assert len(json.dumps({"records": result.records})) <= limit


def test_an_answer_that_fits_fails_nothing():
    records = [packed(GOOD, record_id=str(number)) for number in range(50)]
    size = len(json.dumps({"records": transform(*records).records}))
    assert transform(*records, max_answer_bytes=size + 50 * 64).overflowed == 0


def test_the_bound_is_below_lambdas_six_megabytes():
    long = click(session=click()["session"] | {"start_timestamp": "😀" * 64})
    pack = [click_change(long, page_id="p" * 255)] * 60
    records = [packed(*pack, record_id="r" * 56)] * 150
    result = transform(*records)
    assert result.overflowed > 0
    assert MAX_RESPONSE_BYTES * 0.9 < len(json.dumps({"records": result.records})) < 6_291_556


def test_a_fault_of_the_program_costs_one_change_only():
    class FaultyMapper(RowMapper):
        def row(self, change):
            if change.keys["page_id"]["S"] == "faulty":
                raise ZeroDivisionError
            return super().row(change)

    class FaultyMappers(RowMappers):
        def find(self, _digest):
            return FaultyMapper(load_example())

    doubtful = json.dumps(click()).replace('"Hits": 3', '"Hits": 3.0')  # compiled code leaves it to the mapper
    changes = [click_change(doubtful, page_id=page) for page in ("good", "faulty", "good too")]
    store = InMemoryObjects()
    transformer = make_transformer(store=store)
    object.__setattr__(transformer, "mappers", FaultyMappers(Registry(store, BUCKET, "web_analytics")))
    result = transformer.transform([packed(*changes)])
    assert (result.transformed, [answer["result"] for answer in result.records]) == (2, ["Ok"])
    assert result.rejections[0].reasons[0].rule == "unforeseen"
    assert data_of(read_refused(store).values()) == [encode_change(changes[1])]

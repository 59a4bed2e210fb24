import json

import pytest

from dynaurora import keys
from dynaurora.batches.isolating import RefusedRow
from dynaurora.dynamodb.items import TableItems
from dynaurora.dynamodb.versions import SEQUENCE_RANGE, stream_version
from dynaurora.errors import AccessDeniedError, InvalidSettingsError, RejectedChange
from dynaurora.failures.convert_failures import Remaker
from dynaurora.failures.failed_records import FailedRecord, encode_failed_record, read_records
from dynaurora.failures.list_failures import FailedObject
from dynaurora.failures.refused_rows import (
    ROW_REFUSED,
    KeptRow,
    RefusedRowReader,
    RefusedRows,
    decode_refused_row,
)
from dynaurora.mappings.row_mapper import RowMapper
from tests.support.csv_reader import read_line
from tests.support.factories import column, make_mapping
from tests.support.fakes import InMemoryObjects, etag_of

NOW = 1_795_500_000
THINGS = make_mapping(column("n", "INT"), column("city", "VARCHAR(60)"))
ROW = RefusedRow("Things", {"id": "a"}, stream_version(NOW - 5, 10**20), 1406, "city", 70)


class InMemoryItems:
    """The items of a table whose key is `id`."""

    def __init__(self, *items, kind="S"):
        self.items = {json.dumps(item["id"]): item for item in items}
        self.kind = kind
        self.asked = []

    def read_key_types(self):
        return {"id": self.kind}

    def read_item(self, key):
        self.asked.append(key)
        return self.items.get(json.dumps(key["id"]))


def reader(items, mapping=THINGS, now=NOW):
    return RefusedRowReader(mapping, items, clock=lambda: float(now))


def kept(row=ROW, failures=0):
    store = InMemoryObjects()
    RefusedRows(store, "landing", "arn:f")("things", "0f1e", [row], failures)
    (record,) = read_records(store, "landing", keys.refused_rows("things", "0f1e"))
    return record


def test_a_refused_row_is_kept_with_its_key_and_what_was_said_of_it():
    record = kept()
    assert (record.error_code, record.attempts, record.failures, record.function_arn) == (ROW_REFUSED, 1, 1, "arn:f")
    assert record.error_message == "Aurora refuses the row: error 1406, column city, a value of 70 bytes."
    assert json.loads(record.data) == {
        "Refused": {
            "Target": "Things",
            "Keys": {"id": "a"},
            "Version": str(ROW.version),
            "Error": 1406,
            "Column": "city",
            "Length": 70,
        }
    }
    assert decode_refused_row(record.data) == KeptRow({"id": "a"}, ROW.version, "Things")
    assert kept(failures=3).failures == 4


@pytest.mark.parametrize("data", [b"", b"{}", b'{"Version": "1", "Keys": {}}', b"no", b'{"dynamodb": {}}'])
def test_other_records_are_none(data):
    assert decode_refused_row(data) is None


@pytest.mark.parametrize("refused", ["null", "{}", '{"Keys": [], "Version": "1"}', '{"Keys": {}, "Version": "x"}'])
def test_a_record_that_only_begins_so_is_refused(refused):
    with pytest.raises(RejectedChange):
        decode_refused_row(f'{{"Refused": {refused}}}'.encode())


def test_an_item_is_read_again_as_a_view_of_its_time():
    item = {"id": {"S": "a"}, "n": {"N": "3"}}
    change = reader(InMemoryItems(item)).read_change(KeptRow({"id": "a"}, 5 * SEQUENCE_RANGE + 7))
    assert (change.keys, change.new_image, change.is_delete) == ({"id": {"S": "a"}}, item, False)
    assert (change.version, change.changed_at_ms) == ((NOW - 120) * SEQUENCE_RANGE, NOW * 1000)


def test_a_row_that_was_refused_just_now_is_not_read_as_older_than_it_was():
    change = reader(InMemoryItems()).read_change(KeptRow({"id": "a"}, ROW.version))
    assert (change.version, change.is_delete) == (ROW.version, True)


@pytest.mark.parametrize(
    ("kind", "sql", "text", "value"),
    [
        ("S", "VARCHAR(60)", "a,b", "a,b"),
        ("N", "DECIMAL(20,2)", "1.50", "1.5"),
        ("N", "VARCHAR(60)", "15", "15"),
        ("B", "VARBINARY(60)", "AP8K", "AP8K"),
        ("S", "VARBINARY(60)", "w6E=", "á"),
        ("N", "BIGINT", "-7", "-7"),
    ],
)
def test_a_key_is_asked_for_as_the_table_has_it(kind, sql, text, value):
    mapping = make_mapping(column("n", "INT"), key_type=sql)
    items = InMemoryItems(kind=kind)
    reader(items, mapping).read_change(KeptRow({"id": text}, 1))
    assert items.asked == [{"id": {kind: value}}]


def test_another_key_than_the_tables_is_refused():
    with pytest.raises(RejectedChange, match=r"its key is \['other'\], and the table's \['id'\]"):
        reader(InMemoryItems()).read_change(KeptRow({"other": "a"}, 1))


def test_nothing_is_read_where_nobody_says_how():
    with pytest.raises(InvalidSettingsError):
        reader(None).read_change(KeptRow({"id": "a"}, 1))


def remake(items, record, *, parked=False):
    store = InMemoryObjects()
    key = keys.refused_rows("things", "0f1e")
    key = keys.parked("things", key) if parked else key
    body = encode_failed_record(record)
    store.write("landing", key, body)
    remaker = Remaker(
        RowMapper(THINGS), store, "landing", "r1", 3, ignore_expiries=False, function_arn="f", items=items
    )
    remade = remaker.remake(1, [FailedObject(key, etag_of(body), len(body))])
    (item,) = remade.batch["objects"]
    rows = [read_line(line + b"\n") for line in store.objects["landing", item["key"]].split(b"\n")[:-1]]
    return remade, rows, store


def test_a_refused_row_becomes_a_row_of_the_item_as_it_is_now():
    remade, ((deleted, _, *fields),), _ = remake(InMemoryItems({"id": {"S": "a"}, "n": {"N": "3"}}), kept())
    assert (deleted, fields) == ("0", ["a", "3", None])
    assert (remade.batch["rows"], remade.batch["failures"], remade.settlements[0]["remainder"]) == (1, 1, None)


def test_a_refused_row_of_an_item_that_is_gone_becomes_a_tombstone():
    _, ((deleted, version, *_),), _ = remake(InMemoryItems(), kept())
    assert deleted == "1"
    assert int(version) >= ROW.version


def test_a_refused_row_that_the_mapping_refuses_now_is_kept_as_it_is():
    record = kept()
    remade, rows, store = remake(InMemoryItems({"id": {"S": "a"}, "n": {"S": "x"}}), record)
    assert rows == []
    (again,) = read_records(store, "landing", remade.settlements[0]["remainder"])
    assert (again.data, again.failures) == (record.data, 2)


@pytest.mark.parametrize(("failures", "parked", "is_read"), [(1, False, True), (2, False, False), (2, True, True)])
def test_a_row_that_aurora_refuses_too_often_is_parked_and_read_again_on_request(failures, parked, is_read):
    items = InMemoryItems()
    remade, _, _ = remake(items, kept(failures=failures), parked=parked)
    assert (len(items.asked) == 1, remade.parked) == (is_read, int(not is_read))


def test_the_table_is_asked_consistently_and_its_binary_is_base64(stub):
    dynamodb = stub("dynamodb")
    definition = {
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": kind} for name, kind in (("x", "S"), ("id", "B"))
        ],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    }
    dynamodb.add_response("describe_table", {"Table": definition}, {"TableName": "things"})
    assert TableItems("things").read_key_types() == {"id": "B"}
    asked = {"TableName": "things", "Key": {"id": {"B": b"\0\xff"}}, "ConsistentRead": True}
    item = {"id": {"B": b"\0\xff"}, "m": {"M": {"l": {"L": [{"BS": [b"a"]}, {"NULL": True}, {"N": "1.5"}]}}}}
    dynamodb.add_response("get_item", {"Item": item}, asked)
    assert TableItems("things").read_item({"id": {"B": "AP8="}}) == {
        "id": {"B": "AP8="},
        "m": {"M": {"l": {"L": [{"BS": ["YQ=="]}, {"NULL": True}, {"N": "1.5"}]}}},
    }
    dynamodb.add_response("get_item", {}, asked)
    assert TableItems("things").read_item({"id": {"B": "AP8="}}) is None
    dynamodb.add_client_error("get_item", "AccessDeniedException", "no", 400)
    with pytest.raises(AccessDeniedError):
        TableItems("things").read_item({"id": {"B": "AP8="}})


def test_a_failed_record_of_another_kind_is_mapped_as_before():
    record = FailedRecord(b"no change", "dynaurora.Rejected", "", 1, 0, "")
    remade, rows, _ = remake(None, record)
    assert (rows, remade.records, remade.settlements[0]["remainder"] is not None) == ([], 1, True)

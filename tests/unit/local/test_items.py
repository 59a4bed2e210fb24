"""A file of items is checked as a whole, each line named; what is written is what it has."""

import base64
import gzip
import json

import pytest
from botocore.exceptions import ClientError

from dynaurora.mappings.key_types import guess_key_types
from local.items import BATCH, MOST_PROBLEMS, ItemFile, ItemsError
from tests.support.example import load_example
from tests.support.factories import make_mapping

MAPPING = load_example()
KEY = {"page_id": {"S": "/a"}, "activity_dt": {"S": "now"}}


class Table:
    """Takes writes as DynamoDB does: no key twice in a batch, 25 at most, some left unprocessed the first time."""

    def __init__(self, refused=None):
        self.items = []
        self.batches = []
        self.refused = refused

    def batch_write_item(self, RequestItems):  # noqa: N803
        (requests,) = RequestItems.values()
        items = [request["PutRequest"]["Item"] for request in requests]
        keys = [repr([item[name] for name in MAPPING.key_attributes]) for item in items]
        assert len(set(keys)) == len(keys) <= BATCH
        if self.refused in items:
            raise ClientError({"Error": {"Code": "ValidationException", "Message": "no"}}, "BatchWriteItem")
        self.batches.append(len(items))
        taken, left = (items[:10], requests[10:]) if len(items) == BATCH else (items, [])
        self.items += taken
        return {"UnprocessedItems": {"web_analytics": left} if left else {}}

    def put_item(self, TableName, Item):  # noqa: ARG002, N803
        if Item == self.refused:
            raise ClientError({"Error": {"Code": "ValidationException", "Message": "too large"}}, "PutItem")
        self.items.append(Item)


def write_lines(path, *lines):
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return ItemFile(path, MAPPING)


def make_line(number, **others):
    return {"Item": KEY | {"activity_dt": {"S": str(number)}} | others}


def test_all_lines_are_written_in_order_whatever_stays_unprocessed(tmp_path):
    file, table = write_lines(tmp_path / "a.jsonl", *map(make_line, range(60)), ""), Table()
    assert file.check() == {"page_id": "S", "activity_dt": "S"}
    assert file.write(table) == 60
    assert sorted(int(item["activity_dt"]["S"]) for item in table.items) == [*range(60)]


def test_of_two_lines_with_one_key_the_later_is_written_later(tmp_path):
    file, table = write_lines(tmp_path / "a.jsonl", make_line(1, n={"N": "1"}), make_line(1, n={"N": "2"})), Table()
    assert file.write(table) == 2
    assert [item["n"]["N"] for item in table.items] == ["1", "2"]


def test_binary_is_given_to_the_sdk_as_bytes(tmp_path):
    text = base64.b64encode(b"\x00\x01").decode()
    nested = {"M": {"x": {"L": [{"B": text}, {"BS": [text]}]}}}
    file, table = write_lines(tmp_path / "a.jsonl", make_line(1, b={"B": text}, m=nested)), Table()
    file.check(), file.write(table)
    assert table.items[0]["b"] == {"B": b"\x00\x01"}
    assert table.items[0]["m"] == {"M": {"x": {"L": [{"B": b"\x00\x01"}, {"BS": [b"\x00\x01"]}]}}}


def test_a_packed_file_is_unpacked(tmp_path):
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(json.dumps(make_line(1)).encode()))
    table = Table()
    assert ItemFile(path, MAPPING).write(table) == 1
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ItemsError, match="cannot be read"):
        ItemFile(path, MAPPING).check()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: it is no JSON"),
        ([1], "line 2: it is no item, which is written"),
        ({"item": KEY}, "line 2: it is no item"),
        ({"Item": {"page_id": "/a"}}, "line 2: .*page_id"),
        ({"Item": {"page_id": {"S": "/a"}}}, "line 2: it has no activity_dt, which is a key of web_analytics"),
        ({"Item": KEY | {"page_id": {"BOOL": True}}}, "line 2: page_id is of type BOOL, and a key is one of S, N, B"),
        ({"Item": KEY | {"page_id": {"N": "1"}}}, "line 2: page_id is of type N, and before it was S"),
        ({"Item": KEY | {"n": {"N": "one"}}}, "line 2: .*n"),
        ("[" * 100_000, "line 2: it is no JSON"),
    ],
)
def test_a_line_that_is_no_item_is_named_before_anything_is_written(tmp_path, line, says):
    with pytest.raises(ItemsError, match=f"(?s)a.jsonl is not a file of items for web_analytics:.{says}"):
        write_lines(tmp_path / "a.jsonl", make_line(1), line).check()


def test_of_many_bad_lines_the_first_are_named(tmp_path):
    with pytest.raises(ItemsError) as caught:
        write_lines(tmp_path / "a.jsonl", *["x"] * 1000).check()
    lines = str(caught.value).splitlines()
    assert len(lines) == MOST_PROBLEMS + 2
    assert (lines[1][:7], lines[-1]) == ("line 1:", "…")


def test_a_file_without_items_shows_what_a_line_is(tmp_path):
    with pytest.raises(ItemsError, match=r"has no items; a line is an item, as \{.Item.: \{.page_id.: \{.S.: .….\}"):
        write_lines(tmp_path / "a.jsonl", "").check()


def test_an_item_that_dynamodb_refuses_is_named_by_its_line(tmp_path):
    table = Table(refused=make_line(3)["Item"])
    with pytest.raises(ItemsError, match=r"a.jsonl line 4: too large"):
        write_lines(tmp_path / "a.jsonl", *map(make_line, range(9))).write(table)
    assert [item["activity_dt"]["S"] for item in table.items] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("kind", "schema", "guessed"),
    [
        ("VARCHAR(10)", {}, "S"),
        ("BIGINT", {}, "N"),
        ("DECIMAL(20,0)", {}, "N"),
        ("VARCHAR(40)", {"type": "number"}, "N"),
        ("BIGINT", {"type": "string"}, "S"),
        ("VARBINARY(16)", {"type": "string"}, "B"),
        ("VARBINARY(16)", {}, "B"),
    ],
)
def test_a_keys_type_is_told_by_the_schema_and_by_its_column(kind, schema, guessed):
    mapping = make_mapping(schema={"properties": {"id": schema}}, key_type=kind)
    assert guess_key_types(mapping) == {"id": guessed}

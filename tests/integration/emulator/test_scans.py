"""Scans read each item once, in pages, at a cost that grows with the table and not with its square."""

import random
import uuid
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local.api import Api

pytestmark = pytest.mark.integration


@pytest.fixture
def make_table(emulator):
    """Make a table with or without a sort key."""

    def make(*, sort):
        name = f"table-{uuid.uuid4().hex[:12]}"
        keys = [("p", "HASH", "S"), *([("s", "RANGE", "N")] if sort else [])]
        emulator.client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind, _ in keys],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, _, kind in keys],
        )
        return name

    return make


def write(dynamodb, table, items):
    for start in range(0, len(items), 25):
        puts = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        dynamodb.batch_write_item(RequestItems={table: puts})


def pages(dynamodb, table, **options):
    return list(dynamodb.get_paginator("scan").paginate(TableName=table, **options))


def items_of(scanned):
    return [item for page in scanned for item in page["Items"]]


def ordered(items):
    return sorted(items, key=lambda item: (item["p"]["S"], float(item.get("s", {"N": "0"})["N"])))


@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize("options", [{}, {"Limit": 7}, {"Limit": 1000}, {"FilterExpression": "attribute_exists(v)"}])
def test_every_item_is_read_once_whatever_was_written_between_the_scans(emulator, make_table, sort, options):
    dynamodb, table, seed = emulator.client("dynamodb"), make_table(sort=sort), random.Random(f"{sort} {options}")
    model = {}
    for _ in range(12):
        for _ in range(seed.choice([1, 3, 60])):
            key = {"p": {"S": f"p{seed.randrange(30)}"}} | ({"s": {"N": str(seed.randrange(20))}} if sort else {})
            if seed.random() < 0.4:
                dynamodb.delete_item(TableName=table, Key=key)
                model.pop(str(key), None)
            else:
                model[str(key)] = {**key, "v": {"S": seed.choice("abc")}}
                dynamodb.put_item(TableName=table, Item=model[str(key)])
        assert ordered(items_of(pages(dynamodb, table, **options))) == ordered(model.values())


def test_a_page_ends_at_its_limit_or_at_a_megabyte(emulator, make_table):
    dynamodb, table = emulator.client("dynamodb"), make_table(sort=False)
    write(dynamodb, table, [{"p": {"S": f"{n:03}"}, "v": {"S": "x" * 10_000}} for n in range(250)])
    whole = pages(dynamodb, table)
    assert [page["Count"] for page in whole] == [104, 104, 42]  # 10,005 bytes each, of 1,048,576
    assert ["LastEvaluatedKey" in page for page in whole] == [True, True, False]
    limited = pages(dynamodb, table, Limit=50)
    assert [page["Count"] for page in limited] == [50] * 5 + [0]  # it does not look ahead
    assert sum(page["Count"] for page in pages(dynamodb, table, Select="COUNT")) == 250


def test_segments_are_parts_of_the_whole(emulator, make_table):
    dynamodb, table = emulator.client("dynamodb"), make_table(sort=True)
    items = [{"p": {"S": f"p{n % 40}"}, "s": {"N": str(n)}} for n in range(200)]
    write(dynamodb, table, items)
    parts = [items_of(pages(dynamodb, table, Limit=9, TotalSegments=4, Segment=n)) for n in range(4)]
    assert all(parts)
    assert ordered([item for part in parts for item in part]) == ordered(items)


def test_a_scan_goes_on_from_a_key_that_is_gone(emulator, make_table):
    dynamodb, table = emulator.client("dynamodb"), make_table(sort=False)
    emulator_items = [{"p": {"S": name}} for name in "abcde"]
    write(dynamodb, table, emulator_items)
    page = dynamodb.scan(TableName=table, Limit=2)
    dynamodb.delete_item(TableName=table, Key=page["LastEvaluatedKey"])
    rest = dynamodb.scan(TableName=table, ExclusiveStartKey=page["LastEvaluatedKey"])["Items"]
    assert ordered(page["Items"] + rest) == emulator_items


def test_a_table_that_was_made_anew_is_another_one(emulator, make_table):
    dynamodb, table = emulator.client("dynamodb"), make_table(sort=False)
    write(dynamodb, table, [{"p": {"S": "old"}}])
    assert items_of(pages(dynamodb, table)) == [{"p": {"S": "old"}}]
    dynamodb.delete_table(TableName=table)
    dynamodb.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}],
    )
    write(dynamodb, table, [{"p": {"S": "new"}}])
    assert items_of(pages(dynamodb, table)) == [{"p": {"S": "new"}}]


def test_a_transaction_that_fails_leaves_the_scan_as_it_was(emulator, make_table, error_of):
    dynamodb, table = emulator.client("dynamodb"), make_table(sort=False)
    write(dynamodb, table, [{"p": {"S": "a"}}])
    assert len(items_of(pages(dynamodb, table))) == 1
    statements = [{"Statement": f"INSERT INTO \"{table}\" VALUE {{'p': '{name}'}}"} for name in "ba"]
    assert error_of(dynamodb.execute_transaction, TransactStatements=statements) == "TransactionCanceledException"
    assert items_of(pages(dynamodb, table)) == [{"p": {"S": "a"}}]


def test_a_scan_does_not_take_time_with_the_square_of_the_table(emulator, make_table):
    few, many = (measure_scan(emulator, make_table(sort=False), items) for items in (1_000, 10_000))
    assert many < 30 * few, "of ten times as many; where keys are sorted for each page, it is fifty times as much"


def measure_scan(emulator, table, count):
    """The processor's time that the emulator needs for pages of a table of so many items, in ticks."""
    dynamodb = emulator.client("dynamodb")
    write(dynamodb, table, [{"p": {"S": uuid.uuid4().hex}} for _ in range(count)])
    began = read_ticks(emulator)
    assert sum(page["Count"] for page in pages(dynamodb, table, Limit=40, Select="COUNT")) == count
    return read_ticks(emulator) - began


def read_ticks(emulator):
    user, system = Path(f"/proc/{emulator.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return int(user) + int(system)


def test_a_scan_for_comparing_gives_items_as_they_are_in_json(emulator, make_table):
    api, table = Api(emulator.endpoint, "us-east-1"), make_table(sort=False)
    item = {
        "p": {"S": "a"},
        "v": {"M": {"b": {"B": "AAE="}, "l": {"L": [{"BS": ["AA=="]}, {"NULL": True}, {"N": "1.5"}, {"BOOL": False}]}}},
    }
    sent = {
        "p": {"S": "a"},
        "v": {"M": {"b": {"B": b"\0\1"}, "l": {"L": [{"BS": [b"\0"]}, *item["v"]["M"]["l"]["L"][1:]]}}},
    }
    write(api.dynamodb, table, [sent, {"p": {"S": "b"}}])
    assert ordered(items_of(pages(api.scanned_dynamodb, table, Limit=1))) == [item, {"p": {"S": "b"}}]
    assert ordered(items_of(pages(api.dynamodb, table))) == [sent, {"p": {"S": "b"}}]
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        api.scanned_dynamodb.scan(TableName="nowhere")

"""What PartiQL writes is in the table's stream, and only what other operations would write too."""

import json

import pytest

pytestmark = pytest.mark.integration


@pytest.fixture
def observe(emulator):
    """A table with two items and a way to wait for the records of later writes: event, key, old and new value."""
    table, stream = emulator.create_table()
    for name in ("a", "b"):
        emulator.client("dynamodb").put_item(TableName=table, Item={"id": {"S": name}, "v": {"N": "1"}})
    function = emulator.create_function(
        "import json\ndef handler(event, context):\n    for record in event['Records']: print(json.dumps(record))"
    )
    emulator.client("lambda").create_event_source_mapping(
        FunctionName=function, EventSourceArn=stream, StartingPosition="TRIM_HORIZON"
    )

    def value(image):
        return image and image.get("v", {}).get("N")

    def wait_for(count):
        """The records after the first two, once there is the one of a last write, which is left out."""
        emulator.client("dynamodb").put_item(TableName=table, Item={"id": {"S": "last"}})
        records = emulator.wait_until(lambda: find_all(function))
        assert len(records) == count
        return [
            (
                record["eventName"],
                record["dynamodb"]["Keys"]["id"]["S"],
                value(record["dynamodb"].get("OldImage")),
                value(record["dynamodb"].get("NewImage")),
            )
            for record in records
        ]

    def find_all(function):
        records = [json.loads(line) for line in emulator.logged(function)]
        is_last = [record["dynamodb"]["Keys"]["id"]["S"] == "last" for record in records]
        return records[2:-1] or [None] if any(is_last) else None

    return table, wait_for


def insert(table, name, value):
    return {"Statement": f"INSERT INTO \"{table}\" VALUE {{'id': '{name}', 'v': {value}}}"}


def update(table, name, value):
    return {"Statement": f"UPDATE \"{table}\" SET v = {value} WHERE id = '{name}'"}


def delete(table, name):
    return {"Statement": f"DELETE FROM \"{table}\" WHERE id = '{name}'"}


def write_one_by_one(dynamodb, statements):
    for statement in statements:
        dynamodb.execute_statement(**statement)


def write_in_a_batch(dynamodb, statements):
    answers = dynamodb.batch_execute_statement(Statements=statements)["Responses"]
    assert not any("Error" in answer for answer in answers)


def write_in_a_transaction(dynamodb, statements):
    dynamodb.execute_transaction(TransactStatements=statements)


@pytest.mark.parametrize("write", [write_one_by_one, write_in_a_batch, write_in_a_transaction])
def test_every_write_leaves_a_record(emulator, observe, write):
    table, wait_for = observe
    statements = [insert(table, "c", 1), update(table, "a", "v + 1"), delete(table, "b"), delete(table, "none")]
    write(emulator.client("dynamodb"), statements)
    assert wait_for(3) == [("INSERT", "c", None, "1"), ("MODIFY", "a", "1", "2"), ("REMOVE", "b", "1", None)]


def test_what_changes_nothing_leaves_no_record(emulator, observe):
    table, wait_for = observe
    dynamodb = emulator.client("dynamodb")
    write_one_by_one(dynamodb, [update(table, "a", "1.0"), update(table, "a", 3)])
    dynamodb.execute_statement(Statement=f"SELECT * FROM \"{table}\" WHERE id = 'a'")
    assert wait_for(1) == [("MODIFY", "a", "1", "3")]


def test_a_transaction_that_fails_leaves_no_record(emulator, observe, error_of):
    table, wait_for = observe
    dynamodb = emulator.client("dynamodb")
    statements = [update(table, "a", 2), insert(table, "c", 1), insert(table, "b", 1)]
    failed = error_of(dynamodb.execute_transaction, TransactStatements=statements)
    assert failed == "TransactionCanceledException"
    write_one_by_one(dynamodb, [delete(table, "a")])
    assert wait_for(1) == [("REMOVE", "a", "1", None)]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("{'v': 1}", id="no key"),
        pytest.param("{'id': 1}", id="a key of another type"),
        pytest.param("{'id': ''}", id="an empty key"),
        pytest.param("{'id': 'x', 'v': ?}", id="no number"),
    ],
)
def test_an_item_that_put_item_refuses_is_refused(emulator, error_of, value):
    table, _ = emulator.create_table()
    dynamodb = emulator.client("dynamodb")
    parameters = {"Parameters": [{"N": "x"}]} if "?" in value else {}
    statement = f'INSERT INTO "{table}" VALUE {value}'
    assert error_of(dynamodb.execute_statement, Statement=statement, **parameters) == "ValidationException"
    assert dynamodb.scan(TableName=table)["Count"] == 0


@pytest.mark.parametrize("clause", ["SET id = 'b'", "REMOVE id"])
def test_a_key_cannot_be_updated(emulator, error_of, clause):
    table, _ = emulator.create_table()
    dynamodb = emulator.client("dynamodb")
    emulator.put_items(table, "a")
    statement = f"UPDATE \"{table}\" {clause} WHERE id = 'a'"
    assert error_of(dynamodb.execute_statement, Statement=statement) == "ValidationException"
    assert dynamodb.scan(TableName=table)["Items"] == [{"id": {"S": "a"}}]

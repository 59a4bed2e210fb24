"""Updates add and subtract exactly, to 38 digits."""

import pytest

pytestmark = pytest.mark.integration

KEY = {"id": {"S": "a"}}
LARGEST = "9" * 38


@pytest.fixture
def table(emulator):
    return emulator.create_table()[0]


def expression(text):
    """Ways to send an update expression: alone, and in a transaction."""

    def alone(dynamodb, table, number):
        dynamodb.update_item(
            TableName=table, Key=KEY, UpdateExpression=text, ExpressionAttributeValues={":n": {"N": number}}
        )

    def in_transaction(dynamodb, table, number):
        update = {"TableName": table, "Key": KEY, "UpdateExpression": text}
        update["ExpressionAttributeValues"] = {":n": {"N": number}}
        dynamodb.transact_write_items(TransactItems=[{"Update": update}])

    return alone, in_transaction


def attribute_updates(dynamodb, table, number):
    updates = {"v": {"Action": "ADD", "Value": {"N": number}}}
    dynamodb.update_item(TableName=table, Key=KEY, AttributeUpdates=updates)


def statement(dynamodb, table, number):
    dynamodb.execute_statement(Statement=f"UPDATE \"{table}\" SET v = v + ? WHERE id = 'a'", Parameters=[{"N": number}])


WAYS = [
    *(
        pytest.param(way, id=f"{name} {way.__name__}")
        for name in ("ADD v :n", "SET v = v + :n")
        for way in expression(name)
    ),
    pytest.param(attribute_updates, id="AttributeUpdates"),
    pytest.param(statement, id="PartiQL"),
]


@pytest.mark.parametrize("add", WAYS)
@pytest.mark.parametrize(
    ("before", "added", "after"),
    [
        ("1" + "0" * 37, "1", "1" + "0" * 36 + "1"),
        (LARGEST, "-1", "9" * 37 + "8"),
        ("1E-20", "1E17", "1" + "0" * 17 + "." + "0" * 19 + "1"),
        ("0.1", "0.2", "0.3"),
        ("1.5", "0.5", "2"),
        ("1", "-1.0", "0"),
        ("9E+124", "1E+124", "1" + "0" * 125),
    ],
)
def test_a_sum_has_all_its_digits(emulator, table, add, before, added, after):
    dynamodb = emulator.client("dynamodb")
    dynamodb.put_item(TableName=table, Item={**KEY, "v": {"N": before}})
    add(dynamodb, table, added)
    assert dynamodb.get_item(TableName=table, Key=KEY)["Item"]["v"] == {"N": after}


@pytest.mark.parametrize("add", WAYS)
@pytest.mark.parametrize(
    ("before", "added"),
    [("1E+50", "1"), (LARGEST, "0.1"), ("9E+125", "9E+125"), ("-9E+125", "-1E+125"), ("1E+125", "-1E-130")],
)
def test_a_sum_that_no_number_can_be_fails_the_update(emulator, table, error_of, add, before, added):
    dynamodb = emulator.client("dynamodb")
    dynamodb.put_item(TableName=table, Item={**KEY, "v": {"N": before}})
    kept = dynamodb.get_item(TableName=table, Key=KEY)["Item"]
    kind = error_of(lambda: add(dynamodb, table, added))
    assert kind in {"ValidationException", "TransactionCanceledException"}
    assert dynamodb.get_item(TableName=table, Key=KEY)["Item"] == kept


def test_a_difference_is_exact(emulator, table):
    dynamodb = emulator.client("dynamodb")
    dynamodb.put_item(TableName=table, Item={**KEY, "v": {"N": "1" + "0" * 37}})
    for text in ("SET v = v - :n", "SET v = if_not_exists(w, v) - :n"):
        for subtract in expression(text):
            subtract(dynamodb, table, "1")
    assert dynamodb.get_item(TableName=table, Key=KEY)["Item"]["v"] == {"N": "9" * 36 + "6"}


@pytest.mark.parametrize(
    "text", ["SET v = v + :n", "SET v = :n - v", "SET v = (v - :n)", "SET w = if_not_exists(w, v) + :n"]
)
def test_what_is_no_number_cannot_be_added(emulator, table, error_of, text):
    dynamodb = emulator.client("dynamodb")
    dynamodb.put_item(TableName=table, Item={**KEY, "v": {"S": "1"}})
    for add in expression(text):
        kind = error_of(lambda add=add: add(dynamodb, table, "1"))
        assert kind in {"ValidationException", "TransactionCanceledException"}
    assert dynamodb.get_item(TableName=table, Key=KEY)["Item"]["v"] == {"S": "1"}


def test_adding_to_nothing_starts_from_zero(emulator, table):
    dynamodb = emulator.client("dynamodb")
    for add in (*expression("ADD v :n"), attribute_updates):
        add(dynamodb, table, f"0.{LARGEST}")
        assert dynamodb.get_item(TableName=table, Key=KEY)["Item"]["v"] == {"N": f"0.{LARGEST}"}
        dynamodb.delete_item(TableName=table, Key=KEY)

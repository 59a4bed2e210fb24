"""Numbers, binary and text of items are read as DynamoDB reads them."""

import json
import urllib.error
import urllib.request
import uuid

import pytest

from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.integration

LARGEST = "9" * 38


@pytest.fixture(scope="module")
def table(emulator):
    """A table whose key is a number."""
    name = f"table-{uuid.uuid4().hex[:12]}"
    emulator.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "n", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "n", "AttributeType": "N"}],
    )
    return name


@pytest.fixture
def send(emulator):
    """Send a request as it is, past what the SDK checks; the answer, or the kind of error and its message."""

    def call(operation, body):
        request = urllib.request.Request(
            emulator.endpoint,
            data=body if isinstance(body, bytes) else json.dumps(body).encode(),
            headers={
                "X-Amz-Target": f"DynamoDB_20120810.{operation}",
                "Content-Type": "application/x-amz-json-1.0",
                "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, "
                "SignedHeaders=host, Signature=0",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            problem = json.loads(error.read())
            return problem["__type"].rpartition("#")[2], problem.get("message", problem.get("Message"))

    return call


def number(text):
    return {"N": text}


@pytest.mark.parametrize(
    ("put", "get"),
    [("1", "1.0"), ("1.50", "1.5"), ("100", "1E+2"), ("1E-3", "0.0010"), ("-0", "0"), ("007", "7.00"), ("+3", "3")],
)
def test_a_key_is_its_value_however_it_is_spelled(emulator, table, put, get):
    dynamodb = emulator.client("dynamodb")
    dynamodb.put_item(TableName=table, Item={"n": number(put), "a": {"S": put}})
    assert dynamodb.get_item(TableName=table, Key={"n": number(get)})["Item"]["a"] == {"S": put}
    (read,) = dynamodb.batch_get_item(RequestItems={table: {"Keys": [{"n": number(get)}]}})["Responses"][table]
    assert read["a"] == {"S": put}
    asked = {"KeyConditionExpression": "n = :n", "ExpressionAttributeValues": {":n": number(get)}}
    assert dynamodb.query(TableName=table, **asked)["Count"] == 1
    dynamodb.update_item(
        TableName=table,
        Key={"n": number(get)},
        UpdateExpression="SET a = :a",
        ExpressionAttributeValues={":a": {"S": "new"}},
    )
    dynamodb.delete_item(TableName=table, Key={"n": number(put)})
    assert dynamodb.scan(TableName=table)["Count"] == 0


def test_one_item_may_stand_once_in_a_batch_however_it_is_spelled(emulator, table, error_of):
    dynamodb = emulator.client("dynamodb")
    puts = [{"PutRequest": {"Item": {"n": number(text)}}} for text in ("5", "5.0")]
    assert error_of(dynamodb.batch_write_item, RequestItems={table: puts}) == "ValidationException"
    keys = {"Keys": [{"n": number("5")}, {"n": number("5E0")}]}
    assert error_of(dynamodb.batch_get_item, RequestItems={table: keys}) == "ValidationException"


def test_numbers_are_stored_as_dynamodb_writes_them_by_every_operation(emulator, table):
    dynamodb = emulator.client("dynamodb")
    key = {"n": number("11.0")}
    value = {"M": {"l": {"L": [number("1.50"), {"NS": ["2.0", "1E1"]}]}}}
    kept = {"M": {"l": {"L": [number("1.5"), {"NS": ["2", "10"]}]}}}
    update = {
        "UpdateExpression": "SET v = :v",
        "ExpressionAttributeValues": {":v": value},
    }
    writes = [
        lambda: dynamodb.put_item(TableName=table, Item={**key, "v": value}),
        lambda: dynamodb.update_item(TableName=table, Key=key, **update),
        lambda: dynamodb.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": {**key, "v": value}}}]}),
        lambda: dynamodb.transact_write_items(
            TransactItems=[{"Put": {"TableName": table, "Item": {**key, "v": value}}}]
        ),
        lambda: dynamodb.transact_write_items(TransactItems=[{"Update": {"TableName": table, "Key": key, **update}}]),
        lambda: dynamodb.execute_statement(
            Statement=f"INSERT INTO \"{table}\" VALUE {{'n': ?, 'v': ?}}", Parameters=[key["n"], value]
        ),
        lambda: dynamodb.execute_statement(
            Statement=f"INSERT INTO \"{table}\" VALUE {{'n': 11.0, 'v': {{'l': [1.50, <<2.0, 1E1>>]}}}}"
        ),
    ]
    for write in writes:
        write()
        (item,) = dynamodb.scan(TableName=table)["Items"]
        item["v"]["M"]["l"]["L"][1]["NS"].sort(key=float)
        assert item == {"n": number("11"), "v": kept}
        dynamodb.delete_item(TableName=table, Key=key)


def test_members_of_a_set_are_their_values(emulator, table, error_of):
    dynamodb = emulator.client("dynamodb")
    key = {"n": number("1")}
    dynamodb.put_item(TableName=table, Item={**key, "members": {"NS": ["1.0", "2", "30"]}})

    def change(verb, *members):
        answer = dynamodb.update_item(
            TableName=table,
            Key=key,
            UpdateExpression=f"{verb} members :m",
            ExpressionAttributeValues={":m": {"NS": list(members)}},
            ReturnValues="ALL_NEW",
        )
        return sorted(answer["Attributes"]["members"]["NS"], key=float)

    assert change("ADD", "1", "2.00", "3E1", "4") == ["1", "2", "4", "30"]
    assert change("DELETE", "1.0", "0.3E2") == ["2", "4"]
    contains = {"FilterExpression": "contains(members, :n)", "ExpressionAttributeValues": {":n": number("4.0")}}
    assert dynamodb.scan(TableName=table, **contains)["Count"] == 1
    twice = {**key, "members": {"NS": ["1", "1.0"]}}
    assert error_of(dynamodb.put_item, TableName=table, Item=twice) == "ValidationException"
    dynamodb.delete_item(TableName=table, Key=key)


@pytest.mark.parametrize("text", ["١", "１", "1\n", "1²"])
def test_digits_are_those_of_ascii(send, table, text):
    item = {"n": number("1"), "v": number(text)}
    for operation, body in (
        ("PutItem", {"TableName": table, "Item": item}),
        ("PutItem", {"TableName": table, "Item": {"n": number(text)}}),
        ("BatchWriteItem", {"RequestItems": {table: [{"PutRequest": {"Item": item}}]}}),
        ("TransactWriteItems", {"TransactItems": [{"Put": {"TableName": table, "Item": item}}]}),
        (
            "ExecuteStatement",
            {"Statement": f"INSERT INTO \"{table}\" VALUE {{'n': 1, 'v': ?}}", "Parameters": [number(text)]},
        ),
    ):
        kind, message = send(operation, body)
        assert kind == "ValidationException"
        assert "cannot be converted to a numeric value" in message


@pytest.mark.parametrize("text", ["A", "AAA", "AA=A", "AAAAA===", "A===", "AAF=", "AA_-", "é===", "AA\n=", "AAA=AAA="])
def test_binary_is_base64(send, table, text):
    for value in ({"B": text}, {"BS": ["AAAA", text]}, {"M": {"a": {"L": [{"B": text}]}}}):
        kind, message = send("PutItem", {"TableName": table, "Item": {"n": number("1"), "v": value}})
        assert kind == "SerializationException"
        assert "Base64" in message


@pytest.mark.parametrize("value", [{"N": 1}, {"S": 1.5}, {"S": True}, {"NS": [1]}, {"SS": ["a", 1]}, {"L": [{"N": 1}]}])
def test_numbers_and_text_are_sent_as_strings(send, table, value):
    kind, message = send("PutItem", {"TableName": table, "Item": {"n": number("1"), "v": value}})
    assert kind == "SerializationException"
    assert "_VALUE cannot be converted to String" in message


@pytest.mark.parametrize("kind", ["SS", "NS", "BS"])
def test_a_set_has_members_wherever_it_stands(send, table, kind):
    key = {"n": number("1")}
    update = {"TableName": table, "Key": key, "UpdateExpression": "ADD v :v"}
    for value in ({kind: []}, {"L": [{kind: []}]}):
        for operation, body in (
            ("PutItem", {"TableName": table, "Item": {**key, "v": value}}),
            ("UpdateItem", update | {"ExpressionAttributeValues": {":v": value}}),
            (
                "TransactWriteItems",
                {"TransactItems": [{"Update": update | {"ExpressionAttributeValues": {":v": value}}}]},
            ),
            (
                "Scan",
                {"TableName": table, "FilterExpression": "v = :v", "ExpressionAttributeValues": {":v": value}},
            ),
        ):
            assert send(operation, body)[0] == "ValidationException"


def test_binary_that_is_base64_is_taken(send, table):
    item = {"n": number("1"), "v": {"BS": ["", "AA==", "AAE=", "AAEC", "/+8="]}}
    assert send("PutItem", {"TableName": table, "Item": item}) == {}
    assert send("DeleteItem", {"TableName": table, "Key": {"n": number("1")}}) == {}


def test_text_has_no_lone_surrogate(send, table):
    def put(value, name="v"):
        return send("PutItem", {"TableName": table, "Item": {"n": number("1"), name: value}})

    for text in ("\ud800", "a\udc00b", "\udc00\ud800"):
        for kind, _ in (put({"S": text}), put({"SS": ["a", text]}), put({"M": {text: number("1")}}), put({}, text)):
            assert kind == "SerializationException"
    raw = json.dumps({"TableName": table, "Item": {"n": number("1"), "v": {"S": "?"}}}).encode()
    assert send("PutItem", raw.replace(b"?", b"\xed\xa0\x80"))[0] == "SerializationException"
    for text in ("\U0001f600", "퟿", "\\ud800", "�"):  # the last character below the surrogates, and text alike
        assert put({"S": text}) == {}
        assert send("GetItem", {"TableName": table, "Key": {"n": number("1")}})["Item"]["v"] == {"S": text}
    assert send("DeleteItem", {"TableName": table, "Key": {"n": number("1")}}) == {}


def test_numbers_of_38_digits_are_exact_in_statements(emulator, table):
    dynamodb = emulator.client("dynamodb")
    dynamodb.execute_statement(Statement=f"INSERT INTO \"{table}\" VALUE {{'n': {LARGEST}, 'v': -0.{LARGEST}}}")
    item = dynamodb.get_item(TableName=table, Key={"n": number(LARGEST)})["Item"]
    assert item == {"n": number(LARGEST), "v": number(f"-0.{LARGEST}")}
    dynamodb.execute_statement(Statement=f'DELETE FROM "{table}" WHERE n = {LARGEST}.0')
    assert dynamodb.scan(TableName=table)["Count"] == 0

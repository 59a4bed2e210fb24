"""Items read by their keys: of one that no item can have there is none, and what DynamoDB refuses else is an error."""

import base64

import pytest
from botocore.exceptions import ClientError

from dynaurora.aws import sdk
from dynaurora.dynamodb.items import ItemsRead, TableItems, is_possible_key

TYPES = {"id": "S", "number": "N"}
HERE = {"id": {"S": "a"}, "number": {"N": "1"}}
NOWHERE = {"id": {"S": ""}, "number": {"N": "1"}}


class DynamoDB:
    """Has one item, and refuses what AWS refuses."""

    def __init__(self, error="ValidationException"):
        self.error, self.asked = error, []

    def describe_table(self, TableName):  # noqa: N803, ARG002 (the SDK's names)
        definitions = [{"AttributeName": name, "AttributeType": kind} for name, kind in TYPES.items()]
        return {"Table": {"AttributeDefinitions": definitions, "KeySchema": definitions}}

    def get_item(self, TableName, Key, ConsistentRead):  # noqa: N803
        assert (TableName, ConsistentRead) == ("things", True)
        self.check([Key], "GetItem")
        return {"Item": Key} if Key == HERE else {}

    def batch_get_item(self, RequestItems, ReturnConsumedCapacity):  # noqa: N803, ARG002
        asked = RequestItems["things"]["Keys"]
        self.check(asked, "BatchGetItem")
        return {"Responses": {"things": [key for key in asked if key == HERE]}}

    def check(self, asked, operation):
        self.asked.append(len(asked))
        if NOWHERE in asked or self.error != "ValidationException":
            raise ClientError({"Error": {"Code": self.error, "Message": "It is none."}}, operation)


@pytest.fixture
def dynamodb(monkeypatch):
    fake = DynamoDB()
    monkeypatch.setattr(sdk, "client", lambda _service: fake)
    return fake


def test_of_a_key_that_no_item_can_have_there_is_none(dynamodb):
    items = TableItems("things")
    assert [items.read_item(key) for key in (HERE, NOWHERE)] == [HERE, None]
    assert items.read_items([HERE, NOWHERE]) == ItemsRead([HERE], [], 0)
    assert items.read_items([NOWHERE]) == ItemsRead([], [], 0)
    assert dynamodb.asked == [1, 1, 2, 1, 1]


@pytest.mark.parametrize("error", ["ValidationException", "ResourceNotFoundException"])
def test_what_is_refused_for_another_reason_is_an_error(dynamodb, monkeypatch, error):
    dynamodb.error = error
    monkeypatch.setitem(NOWHERE, "id", {"S": "of the right kind"})
    for ask in (lambda: TableItems("things").read_item(NOWHERE), lambda: TableItems("things").read_items([NOWHERE])):
        with pytest.raises(ClientError, match=error):
            ask()


@pytest.mark.parametrize(
    ("kind", "value", "possible"),
    [
        ("S", "a", True),
        ("S", "", False),
        ("S", "ü" * 1024, True),
        ("S", "ü" * 1025, False),
        ("N", "-1.5E+125", True),
        ("N", "1" * 38, True),
        ("N", "1" * 39, False),
        ("N", "1E126", False),
        ("N", "1E-131", False),
        ("N", "abc", False),
        ("N", "", False),
        ("N", "0.0", True),
        ("B", base64.b64encode(b"\xff").decode(), True),
        ("B", "", False),
    ],
)
def test_a_key_is_possible_by_its_type_and_length(kind, value, possible):
    assert is_possible_key({"id": {kind: value}}, {"id": kind}) is possible
    assert not is_possible_key({"id": {kind: value}}, {"id": "N" if kind == "S" else "S"})
    assert not is_possible_key({"id": {kind: value}}, {"id": kind, "sk": "S"})


def test_a_sort_key_is_shorter():
    types = {"id": "S", "sk": "S"}
    assert is_possible_key({"id": {"S": "a" * 2048}, "sk": {"S": "a" * 1024}}, types)
    assert not is_possible_key({"id": {"S": "a"}, "sk": {"S": "a" * 1025}}, types)


def test_a_key_of_binary_has_one_spelling():
    """In base64 the last bits that no byte has may be anything; two spellings would be taken for two keys."""
    assert is_possible_key({"id": {"B": "AAE="}}, {"id": "B"})
    assert not is_possible_key({"id": {"B": "AAF="}}, {"id": "B"})

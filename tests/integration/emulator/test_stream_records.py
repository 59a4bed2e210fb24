"""Stream records carry what a consumer orders and tells changes apart by."""

import re
import time
import uuid

import pytest

pytestmark = pytest.mark.integration


@pytest.fixture
def observe(emulator):
    """A table and a way to wait for its stream records, as a function receives them."""
    table, stream = emulator.create_table()
    function = emulator.create_function(
        "import json\ndef handler(event, context):\n    for record in event['Records']: print(json.dumps(record))"
    )
    emulator.client("lambda").create_event_source_mapping(
        FunctionName=function, EventSourceArn=stream, StartingPosition="TRIM_HORIZON"
    )

    def wait_for(count):
        import json

        emulator.wait_until(lambda: len(emulator.logged(function)) >= count)
        return [json.loads(line) for line in emulator.logged(function)]

    return table, wait_for


def test_numbers_grow_and_times_are_whole_seconds(emulator, observe):
    table, wait_for = observe
    emulator.put_items(table, *"abcdef")
    records = [record["dynamodb"] for record in wait_for(6)]
    numbers = [record["SequenceNumber"] for record in records]
    assert all(re.fullmatch(r"[1-9]\d{20}", number) for number in numbers)
    assert [int(number) for number in numbers] == sorted({int(number) for number in numbers})
    assert all(isinstance(record["ApproximateCreationDateTime"], int) for record in records)
    assert all(abs(record["ApproximateCreationDateTime"] - time.time()) < 60 for record in records)


def test_times_can_be_of_minutes_ago(emulator, observe):
    table, wait_for = observe
    emulator.set_faults(age_writes_seconds=600)
    try:
        emulator.put_items(table, "a")
    finally:
        emulator.set_faults(age_writes_seconds=0)
    (record,) = wait_for(1)
    assert 590 < time.time() - record["dynamodb"]["ApproximateCreationDateTime"] < 660


def test_images_are_those_of_their_own_change(emulator, observe):
    table, wait_for = observe
    dynamodb = emulator.client("dynamodb")
    dynamodb.put_item(TableName=table, Item={"id": {"S": "a"}, "n": {"N": "1"}, "list": {"L": [{"S": "x"}]}})
    for number in ("2", "3"):
        dynamodb.update_item(
            TableName=table,
            Key={"id": {"S": "a"}},
            UpdateExpression="SET n = :n, #l = list_append(#l, :x)",
            ExpressionAttributeNames={"#l": "list"},
            ExpressionAttributeValues={":n": {"N": number}, ":x": {"L": [{"S": number}]}},
        )
    dynamodb.delete_item(TableName=table, Key={"id": {"S": "a"}})
    records = wait_for(4)
    assert [record["eventName"] for record in records] == ["INSERT", "MODIFY", "MODIFY", "REMOVE"]
    new = [record["dynamodb"].get("NewImage") for record in records]
    old = [record["dynamodb"].get("OldImage") for record in records]
    assert [image and (image["n"]["N"], len(image["list"]["L"])) for image in new] == [
        ("1", 1),
        ("2", 2),
        ("3", 3),
        None,
    ]
    assert old[1:] == new[:3]
    assert not any("userIdentity" in record for record in records)


def test_expired_items_are_removed_by_the_service(emulator, observe):
    table, wait_for = observe
    dynamodb = emulator.client("dynamodb")
    dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"})
    dynamodb.put_item(TableName=table, Item={"id": {"S": "old"}, "expires": {"N": str(int(time.time()) - 10)}})
    dynamodb.put_item(TableName=table, Item={"id": {"S": "new"}, "expires": {"N": str(int(time.time()) + 3600)}})
    (removed,) = [record for record in wait_for(3) if record["eventName"] == "REMOVE"]
    assert removed["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    assert removed["dynamodb"]["Keys"] == {"id": {"S": "old"}}
    assert removed["dynamodb"]["OldImage"]["id"] == {"S": "old"}
    assert [item["id"]["S"] for item in dynamodb.scan(TableName=table)["Items"]] == ["new"]


def test_sizes_are_those_that_aws_documents(emulator):
    """Amazon DynamoDB Developer Guide, "DynamoDB Streams and AWS Lambda triggers": 26, 59 and 38 bytes."""
    name = f"table-{uuid.uuid4().hex[:12]}"
    dynamodb = emulator.client("dynamodb")
    stream = dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "N"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]["LatestStreamArn"]
    for message in ("New item!", "This item has changed"):
        dynamodb.put_item(TableName=name, Item={"Id": {"N": "101"}, "Message": {"S": message}})
    dynamodb.delete_item(TableName=name, Key={"Id": {"N": "101"}})
    streams = emulator.client("dynamodbstreams")
    (shard,) = streams.describe_stream(StreamArn=stream)["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(StreamArn=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")[
        "ShardIterator"
    ]
    records = streams.get_records(ShardIterator=iterator)["Records"]
    assert [record["dynamodb"]["SizeBytes"] for record in records] == [26, 59, 38]

"""DynamoDB tells of a table how large it is, and CloudWatch what writes took of it, minute by minute."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

pytestmark = pytest.mark.integration

KB = 1024


class Table:
    """A table of its own, with what CloudWatch says of it."""

    def __init__(self, emulator, **more):
        self.name = f"table-{uuid.uuid4().hex[:8]}"
        self.dynamodb, self.cloudwatch = emulator.client("dynamodb"), emulator.client("cloudwatch")
        self.dynamodb.create_table(
            TableName=self.name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            **{"AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}], **more},
        )

    def put(self, name, size=0, **attributes):
        self.dynamodb.put_item(TableName=self.name, Item=item(name, size, **attributes))

    def read(self, stat="Sum", name="ConsumedWriteCapacityUnits", **dimensions):
        """What was recorded in the last minutes."""
        listed = [{"Name": key, "Value": value} for key, value in {"TableName": self.name, **dimensions}.items()]
        metric = {"Namespace": "AWS/DynamoDB", "MetricName": name, "Dimensions": listed}
        query = {"Id": "units", "MetricStat": {"Metric": metric, "Period": 60, "Stat": stat}}
        now = datetime.now(UTC)
        answer = self.cloudwatch.get_metric_data(
            MetricDataQueries=[query], StartTime=now - timedelta(minutes=10), EndTime=now + timedelta(minutes=1)
        )
        return answer["MetricDataResults"][0]["Values"]


def item(name, size=0, **attributes):
    return {"id": {"S": name}, "text": {"S": "x" * size}, **attributes}


@pytest.fixture
def table(emulator):
    return Table(emulator)


def test_a_write_takes_a_unit_for_each_kilobyte_of_the_larger_item(table):
    assert table.read() == []
    table.put("a", 10)
    assert sum(table.read()) == 1
    table.put("a", 3 * KB)  # and its name and key: four
    assert sum(table.read()) == 5
    key = {"id": {"S": "a"}}
    table.dynamodb.update_item(
        TableName=table.name,
        Key=key,
        UpdateExpression="SET #t = :t",
        ExpressionAttributeNames={"#t": "text"},
        ExpressionAttributeValues={":t": {"S": "short"}},
    )
    assert sum(table.read()) == 9
    for _ in range(2):  # the second deletes nothing
        table.dynamodb.delete_item(TableName=table.name, Key=key)
    assert sum(table.read()) == 11
    assert sum(table.read("SampleCount")) == 5


def test_those_of_a_batch_are_counted_one_by_one_and_those_of_a_transaction_twice(table):
    requests = [{"PutRequest": {"Item": item(f"b{number}", KB * number)}} for number in range(3)]
    table.dynamodb.batch_write_item(RequestItems={table.name: requests})
    assert sum(table.read()) == 1 + 2 + 3
    puts = [{"Put": {"TableName": table.name, "Item": item(f"t{number}")}} for number in range(3)]
    table.dynamodb.transact_write_items(TransactItems=puts)
    assert sum(table.read()) == 6 + 2 * 3
    statement = {"Statement": f"""DELETE FROM "{table.name}" WHERE "id" = 't0'"""}
    table.dynamodb.execute_statement(**statement)
    assert sum(table.read()) == 13
    statement = {"Statement": f"""DELETE FROM "{table.name}" WHERE "id" = 't1'"""}
    table.dynamodb.execute_transaction(TransactStatements=[statement])
    assert sum(table.read()) == 15


def test_a_global_index_has_units_of_its_own(emulator):
    table = Table(
        emulator,
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "of")],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-of",
                "KeySchema": [{"AttributeName": "of", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
    table.put("a", 5 * KB, of={"S": "b"})
    table.put("c", 10)  # which the index does not have
    assert sum(table.read()) == 6 + 1
    assert sum(table.read(GlobalSecondaryIndexName="by-of")) == 1


def test_what_time_to_live_deletes_takes_nothing_and_is_counted(emulator, table):
    table.dynamodb.update_time_to_live(
        TableName=table.name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"}
    )
    table.put("a", until={"N": "1"})
    emulator.wait_until(lambda: table.read(name="TimeToLiveDeletedItemCount") == [1])
    assert table.dynamodb.scan(TableName=table.name)["Items"] == []
    assert sum(table.read()) == 1


def test_a_tables_size_is_that_of_its_items(table):
    def describe():
        found = table.dynamodb.describe_table(TableName=table.name)["Table"]
        return found["ItemCount"], found["TableSizeBytes"]

    assert describe() == (0, 0)
    for number in range(4):
        table.put(f"a{number}", 1000)
    assert describe() == (4, 4 * (1000 + len("id" + "a0" + "text")))

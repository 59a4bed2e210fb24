"""What CloudWatch and DynamoDB say of a table: asked for by the minute while that is kept, and since it is there."""

from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from backfill.deployment.written import TableSize, choose_period, read_table_size, read_written
from backfill.terminal.console import WrongUseError

NOW = datetime.now(UTC)
OLD = TableSize("Orders", 10, 1000, NOW - timedelta(days=900))


class CloudWatch:
    """What was written to a table, on two pages."""

    def get_paginator(self, name):
        assert name == "get_metric_data"
        return self

    def paginate(self, MetricDataQueries, StartTime, EndTime):  # noqa: N803 (the SDK's names)
        self.start, self.end = StartTime, EndTime
        self.asked = {query["Id"]: query["MetricStat"] for query in MetricDataQueries}
        yield {"MetricDataResults": [{"Id": "units", "Timestamps": [NOW], "Values": [7.0]}]}
        older = {"Timestamps": [OLD.created_at], "Values": [5.0]}
        yield {"MetricDataResults": [{"Id": "units", **older}, {"Id": "expired", **older}]}


class Tables:
    def __init__(self, code=None, **facts):
        self.code, self.facts = code, facts

    def describe_table(self, TableName):  # noqa: N803 (the SDK's names)
        if self.code:
            raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, "DescribeTable")
        return {"Table": {"TableName": TableName, "CreationDateTime": NOW, **self.facts}}


@pytest.mark.parametrize(("days", "period"), [(0.01, 60), (14, 60), (15, 300), (62, 300), (63, 3600), (455, 3600)])
def test_cloudwatch_is_asked_for_the_shortest_period_that_it_still_has(days, period):
    assert choose_period(days) == period


def test_units_and_what_expired_are_summed_by_stretch_of_the_table_alone():
    cloudwatch = CloudWatch()
    found = read_written(cloudwatch, OLD, 14, 300)
    assert found.units == {NOW: 7.0, OLD.created_at: 5.0}
    assert found.expired == {OLD.created_at: 5.0}
    assert {(stat["Period"], stat["Stat"]) for stat in cloudwatch.asked.values()} == {(300, "Sum")}
    metric = {"Namespace": "AWS/DynamoDB", "Dimensions": [{"Name": "TableName", "Value": "Orders"}]}
    assert {name: stat["Metric"] for name, stat in cloudwatch.asked.items()} == {
        "units": metric | {"MetricName": "ConsumedWriteCapacityUnits"},
        "expired": metric | {"MetricName": "TimeToLiveDeletedItemCount"},
    }
    assert found.seconds == pytest.approx(14 * 24 * 3600)
    assert cloudwatch.start.timestamp() % 300 == 0
    assert timedelta(0) <= found.since - cloudwatch.start < timedelta(seconds=300)


def test_a_table_is_looked_at_since_it_is_there():
    young = TableSize("Orders", 10, 1000, datetime.now(UTC) - timedelta(hours=2))
    found = read_written(CloudWatch(), young, 14, 60)
    assert found.since == young.created_at
    assert found.seconds == pytest.approx(7200, abs=60)


def test_a_tables_size_is_what_dynamodb_counted():
    size = read_table_size(Tables(ItemCount=3, TableSizeBytes=900), "Orders")
    assert size == TableSize("Orders", 3, 900, NOW)
    assert read_table_size(Tables(), "Orders") == TableSize("Orders", 0, 0, NOW)


def test_a_table_that_is_not_there_may_be_calculated_by_its_numbers():
    with pytest.raises(WrongUseError, match=r"no table Orders .* --items, --item-bytes and --writes-per-second"):
        read_table_size(Tables("ResourceNotFoundException"), "Orders")
    with pytest.raises(ClientError):
        read_table_size(Tables("AccessDeniedException"), "Orders")

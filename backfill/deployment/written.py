"""Writes of a table, and its size, as AWS has them: CloudWatch counts capacity, DynamoDB items and bytes.

CloudWatch keeps a value for each minute for 15 days, for five minutes 63 days, for an hour 455 days (Amazon CloudWatch
User Guide, "Metrics retention").
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from botocore.exceptions import ClientError

from backfill.terminal.console import WrongUseError

MOST_DAYS: Final = 455
PERIODS: Final = ((14, 60), (62, 300), (MOST_DAYS, 3600))
"""Seconds of the shortest period whose values CloudWatch still has after so many days, a day left for its clock."""
NAMESPACE: Final = "AWS/DynamoDB"
METRICS: Final = {"units": "ConsumedWriteCapacityUnits", "expired": "TimeToLiveDeletedItemCount"}
"""Of a table, by the names of queries: units of its writes, those of its local indexes included (a global one's have a
dimension of their own), and items that time to live has deleted, which takes no units (DynamoDB Developer Guide,
"DynamoDB metrics and dimensions")."""


@dataclass(frozen=True, slots=True)
class TableSize:
    """What DynamoDB says of a table."""

    table: str
    items: int
    """As of the last six hours (DynamoDB API Reference, `TableDescription`)."""
    size_bytes: int
    """As of the same time."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Written:
    """What was written to a table, stretch by stretch."""

    since: datetime
    until: datetime
    stretch_seconds: int
    units: dict[datetime, float]
    """Write units, by the begin of each stretch that had any."""
    expired: dict[datetime, float]
    """Items that time to live has deleted, likewise."""

    @property
    def seconds(self) -> float:
        """Of the whole time that was looked at."""
        return (self.until - self.since).total_seconds()


def read_table_size(dynamodb: Any, table: str) -> TableSize:
    """Return a table's size. Raises the SDK's errors, and WrongUseError where there is no such table."""
    try:
        found = dynamodb.describe_table(TableName=table)["Table"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        raise WrongUseError(
            f"There is no table {table} in this account and region. Name another, or have a table that is still to come"
            " calculated by its numbers: --items, --item-bytes and --writes-per-second."
        ) from None
    created_at = found["CreationDateTime"].astimezone(UTC)
    return TableSize(table, int(found.get("ItemCount", 0)), int(found.get("TableSizeBytes", 0)), created_at)


def choose_period(days: float) -> int:
    """Return the seconds of the shortest period that CloudWatch has of the last so many days."""
    return next(seconds for most, seconds in PERIODS if days <= most)


def read_written(cloudwatch: Any, size: TableSize, days: float, stretch_seconds: int) -> Written:
    """Return what was written to a table in the last so many days, or since it was made. Raises the SDK's errors.

    A stretch is a multiple of what `choose_period` gives for the days.
    """
    now = datetime.now(UTC)
    since = max(now - timedelta(days=days), size.created_at)
    begin = datetime.fromtimestamp(since.timestamp() // stretch_seconds * stretch_seconds, UTC)
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=[make_query(name, size.table, stretch_seconds) for name in METRICS],
        StartTime=begin,
        EndTime=now,
    )
    points: dict[str, dict[datetime, float]] = {name: {} for name in METRICS}
    for page in pages:
        for result in page["MetricDataResults"]:
            points[result["Id"]].update(zip(result["Timestamps"], result["Values"], strict=True))
    return Written(since, now, stretch_seconds, **points)


def make_query(name: str, table: str, seconds: int) -> dict[str, Any]:
    """Return the query of one of METRICS of a table: its sum in each so many seconds."""
    dimensions = [{"Name": "TableName", "Value": table}]
    metric = {"Namespace": NAMESPACE, "MetricName": METRICS[name], "Dimensions": dimensions}
    return {"Id": name, "MetricStat": {"Metric": metric, "Period": seconds, "Stat": "Sum"}}

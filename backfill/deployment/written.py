"""Writes of a table, and its size, as AWS has them: CloudWatch counts capacity, DynamoDB items and bytes.

CloudWatch keeps a value for each minute for 15 days, for five minutes 63 days, for an hour 455 days (Amazon CloudWatch
User Guide, "Metrics retention").
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from backfill.terminal.console import WrongUseError

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_DAYS: Final = 455
PERIODS: Final = ((14, 60), (62, 300), (MOST_DAYS, 3600))
"""Seconds of the shortest period whose values CloudWatch still has after so many days, a day left for its clock."""
NAMESPACE: Final = "AWS/DynamoDB"
UNITS: Final = "ConsumedWriteCapacityUnits"
"""Of a table, those of its local indexes included; a global one's have a dimension of their own."""


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
class WrittenUnits:
    """The write units of a table, stretch by stretch."""

    since: datetime
    until: datetime
    stretch_seconds: int
    units: dict[datetime, float]
    """By the begin of each stretch that had any."""

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


def read_written(cloudwatch: Any, size: TableSize, days: float, stretch_seconds: int) -> WrittenUnits:
    """Return what was written to a table in the last so many days, or since it was made. Raises the SDK's errors.

    A stretch is a multiple of what `choose_period` gives for the days.
    """
    now = datetime.now(UTC)
    since = max(now - timedelta(days=days), size.created_at)
    metric = {"Namespace": NAMESPACE, "MetricName": UNITS, "Dimensions": [{"Name": "TableName", "Value": size.table}]}
    query = {"Id": "units", "MetricStat": {"Metric": metric, "Period": stretch_seconds, "Stat": "Sum"}}
    begin = datetime.fromtimestamp(since.timestamp() // stretch_seconds * stretch_seconds, UTC)
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=[query], StartTime=begin, EndTime=now
    )
    return WrittenUnits(since, now, stretch_seconds, dict(_read_points(pages)))


def _read_points(pages: Iterable[dict[str, Any]]) -> Iterable[tuple[datetime, float]]:
    for page in pages:
        for result in page["MetricDataResults"]:
            yield from zip(result["Timestamps"], result["Values"], strict=True)

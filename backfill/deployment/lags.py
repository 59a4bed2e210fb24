"""Lag: how late rows are, and how far behind the streams their readers are, as CloudWatch has it.

Two metrics of each replication are asked for in one call for hundreds of them. CloudWatch bills each metric that is
asked for (Amazon CloudWatch pricing: GetMetricData, 0.01 $ for a thousand).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from backfill.terminal.formatting import format_iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from backfill.deployment.deployments import Deployment

LOOKED_BACK: Final = timedelta(minutes=15)
PERIOD_SECONDS: Final = 60
MOST_QUERIES: Final = 500
"""Of one call (Amazon CloudWatch API Reference, GetMetricData)."""
ROWS: Final = "rows"
READER: Final = "reader"


@dataclass(frozen=True, slots=True)
class Lag:
    """What was measured last, in seconds; None where nothing was in the last quarter of an hour."""

    rows: float | None = None
    """From the oldest change of a batch to its commit in Aurora."""
    reader: float | None = None
    """Age of the oldest record of the stream that the reader took."""


@dataclass(frozen=True, slots=True)
class LagHistory:
    """What was measured minute by minute, oldest first, in seconds."""

    rows: tuple[tuple[datetime, float], ...] = ()
    reader: tuple[tuple[datetime, float], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines."""
        series = {ROWS: self.rows, READER: self.reader}
        return {
            name: [{"at": format_iso(at), "seconds": seconds} for at, seconds in points]
            for name, points in series.items()
        }


def read_lags(cloudwatch: Any, deployments: Sequence[Deployment]) -> dict[str, Lag]:
    """Return the lag of each replication, by its stack. Raises the SDK's errors."""
    newest = {name: max(points)[1] for name, points in read_points(cloudwatch, deployments, LOOKED_BACK).items()}
    return {
        one.stack: Lag(newest.get(f"{ROWS}_{number}"), newest.get(f"{READER}_{number}"))
        for number, one in enumerate(deployments)
    }


def read_lag_histories(cloudwatch: Any, deployments: Sequence[Deployment], back: timedelta) -> dict[str, LagHistory]:
    """Return the lag of each replication since so long ago, by its stack. Raises the SDK's errors."""
    found = read_points(cloudwatch, deployments, back)
    return {
        one.stack: LagHistory(
            tuple(sorted(found.get(f"{ROWS}_{number}", ()))), tuple(sorted(found.get(f"{READER}_{number}", ())))
        )
        for number, one in enumerate(deployments)
    }


def read_points(
    cloudwatch: Any, deployments: Sequence[Deployment], back: timedelta
) -> dict[str, list[tuple[datetime, float]]]:
    """Return what was measured since so long ago, in seconds, by the names of the queries that have any."""
    now = datetime.now(UTC)
    queries = [query for number, one in enumerate(deployments) for query in list_queries(number, one)]
    found: dict[str, list[tuple[datetime, float]]] = {}
    for start in range(0, len(queries), MOST_QUERIES):
        some = queries[start : start + MOST_QUERIES]
        for name, at, seconds in read_values(cloudwatch, some, now - back, now):
            found.setdefault(name, []).append((at, seconds))
    return found


def list_queries(number: int, deployment: Deployment) -> Iterator[dict[str, Any]]:
    """Yield what is asked of a replication."""
    of_rows = {"mapping": deployment.mapping, "service": "import_batch", "source": "stream"}
    yield make_query(f"{ROWS}_{number}", "dynaurora", "ReplicationLag", of_rows)
    if deployment.forward_changes:
        of_reader = {"FunctionName": deployment.forward_changes}
        yield make_query(f"{READER}_{number}", "AWS/Lambda", "IteratorAge", of_reader)


def make_query(name: str, namespace: str, metric: str, dimensions: dict[str, str]) -> dict[str, Any]:
    """Return the query of a metric's largest value in each minute."""
    listed = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    of = {"Namespace": namespace, "MetricName": metric, "Dimensions": listed}
    return {"Id": name, "MetricStat": {"Metric": of, "Period": PERIOD_SECONDS, "Stat": "Maximum"}}


def read_values(
    cloudwatch: Any, queries: Iterable[dict[str, Any]], since: datetime, now: datetime
) -> Iterator[tuple[str, datetime, float]]:
    """Yield each value of the queries, with its time, in seconds."""
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=[*queries], StartTime=since, EndTime=now + timedelta(seconds=PERIOD_SECONDS)
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            unit = 1000 if result["Id"].startswith(READER) else 1
            for at, value in zip(result["Timestamps"], result["Values"], strict=True):
                yield result["Id"], at, value / unit

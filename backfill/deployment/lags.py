"""Lag: how late rows are, and how far behind the streams their readers are, as CloudWatch has it.

Two metrics of each replication are asked for in one call for hundreds of them. CloudWatch bills each metric that is
asked for (Amazon CloudWatch pricing: GetMetricData, 0.01 $ for a thousand).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

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


def read_lags(cloudwatch: Any, deployments: Sequence[Deployment]) -> dict[str, Lag]:
    """Return the lag of each replication, by its stack. Raises the SDK's errors."""
    now = datetime.now(UTC)
    queries = [query for number, one in enumerate(deployments) for query in list_queries(number, one)]
    found = dict[str, float]()
    for start in range(0, len(queries), MOST_QUERIES):
        found |= dict(read_newest(cloudwatch, queries[start : start + MOST_QUERIES], now))
    return {
        one.stack: Lag(found.get(f"{ROWS}_{number}"), found.get(f"{READER}_{number}"))
        for number, one in enumerate(deployments)
    }


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


def read_newest(cloudwatch: Any, queries: Iterable[dict[str, Any]], now: datetime) -> Iterator[tuple[str, float]]:
    """Yield the newest value of each query that has any, in seconds."""
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=[*queries], StartTime=now - LOOKED_BACK, EndTime=now + timedelta(seconds=PERIOD_SECONDS)
    )
    newest = dict[str, tuple[datetime, float]]()
    for page in pages:
        for result in page["MetricDataResults"]:
            values = zip(result["Timestamps"], result["Values"], strict=True)
            newest[result["Id"]] = max([*values, *filter(None, [newest.get(result["Id"])])], default=(now, -1.0))
    for name, (_, value) in newest.items():
        if value >= 0:
            yield name, value / 1000 if name.startswith(READER) else value

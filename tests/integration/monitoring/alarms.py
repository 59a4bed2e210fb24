"""The alarms of a deployment, by the names that they have in it, and the metrics that they look at."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Described = dict[str, Any]


@dataclass(frozen=True)
class Alarms:
    """The alarms whose names begin with a deployment's."""

    cloudwatch: Any
    name: str

    def describe(self) -> dict[str, Described]:
        """Return every alarm, by its name in the deployment."""
        pages = self.cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{self.name}-")
        found = [alarm for page in pages for alarm in page["MetricAlarms"]]
        return {alarm["AlarmName"].removeprefix(f"{self.name}-"): alarm for alarm in found}

    def state(self, name: str) -> str:
        """Return the state of one alarm."""
        return str(self.describe()[name]["StateValue"])

    def put(self, name: str, **series: list[float | None]) -> None:
        """Put values into metrics of an alarm, by their names without dots: one for each period, the last one now."""
        metrics = {metric["MetricName"].replace(".", ""): metric for metric in read_metrics(self.describe()[name])}
        for metric_name, values in series.items():
            metric = metrics[metric_name]
            now = datetime.now(UTC)
            data = [
                {
                    "MetricName": metric["MetricName"],
                    "Dimensions": metric["Dimensions"],
                    "Value": value,
                    "Timestamp": now - timedelta(seconds=(age + 0.5) * metric["Period"]),
                }
                for age, value in enumerate(reversed(values))
                if value is not None
            ]
            if data:
                self.cloudwatch.put_metric_data(Namespace=metric["Namespace"], MetricData=data)


def read_metrics(alarm: Described) -> list[Described]:
    """Return the metrics that an alarm looks at, each with its period."""
    if "Metrics" not in alarm:
        return [alarm]
    stats = [query["MetricStat"] for query in alarm["Metrics"] if "MetricStat" in query]
    return [{**stat["Metric"], "Period": stat["Period"]} for stat in stats]

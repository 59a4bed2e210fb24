"""CloudWatch Logs: metrics that a log line carries ("Embedded metric format").

The emulator stores such lines as text. Here each becomes data of the metrics that it names, once for each of its sets
of dimensions, at the line's own time; an array of values is as many values. A line that is not of that format is text,
as on AWS.

Source: CloudWatch User Guide, "Specification: Embedded metric format".
"""

import json
import logging
from typing import Any

from ministack.services import cloudwatch, cloudwatch_logs

from local.emulator.replacements import Replacements

logger = logging.getLogger("dynaurora.metrics")


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    emulator.require(cloudwatch.__name__, "_metric_bucket", "(key: tuple) -> list")
    emulator.require(cloudwatch.__name__, "_dims_key", "(dims: dict) -> str")
    emulator.wrap(cloudwatch_logs.__name__, "_append_log_events", "(stream, events)", _extract_metrics)


def _extract_metrics(original: Any) -> Any:
    def append(stream: dict[str, Any], events: list[dict[str, Any]]) -> None:
        original(stream, events)
        for event in events:
            if '"_aws"' in event["message"]:
                record_line(event["message"])

    return append


def record_line(line: str) -> None:
    """Record the metrics of a log line; one of another format has none."""
    try:
        document = json.loads(line)
        metadata = document["_aws"]
        seconds = metadata["Timestamp"] / 1000
        for directive in metadata["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = {name: str(document[name]) for name in names}
                for metric in directive["Metrics"]:
                    record(directive["Namespace"], metric, dimensions, seconds, document[metric["Name"]])
    except (KeyError, TypeError, ValueError):
        logger.warning("A line that is not of the embedded metric format: %.200s", line)


def record(namespace: str, metric: dict[str, str], dimensions: dict[str, str], seconds: float, values: Any) -> None:
    """Record one metric's values."""
    bucket = cloudwatch._metric_bucket((namespace, metric["Name"], cloudwatch._dims_key(dimensions)))
    common = {"Timestamp": seconds, "Unit": metric.get("Unit", "None"), "Dimensions": dimensions}
    bucket.extend({**common, "Value": float(value)} for value in (values if isinstance(values, list) else [values]))

"""Logger, tracer and metrics of the functions, made once.

Log lines carry the mapping, and the run and batch where there is one. They carry keys and reasons, never items.
Metrics leave as EMF in the log (CloudWatch Logs, "Embedded metric format").
"""

from __future__ import annotations

import warnings
from collections import Counter
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dynaurora.errors import Reason

# An invocation that fails counts nothing of its own; that is no news.
warnings.filterwarnings("ignore", message="No application metrics to publish")

MAX_PATH = 120
"""Characters of a path to count by: an attribute's name may have 64 KB."""

logger = Logger()
tracer = Tracer()
metrics = Metrics(namespace="dynaurora")


def observe_mapping(mapping: str) -> None:
    """Put the mapping on every log line and metric of this function."""
    logger.append_keys(mapping=mapping)
    metrics.set_default_dimensions(mapping=mapping)


def count(name: str, value: int) -> None:
    """Add to a metric; nothing is nothing."""
    if value:
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)


def count_reasons(reasons: Iterable[Reason]) -> dict[str, int]:
    """Return how often each reason was given, most frequent first, as `path (rule)`."""
    return dict(Counter(f"{reason.path[:MAX_PATH] or 'record'} ({reason.rule})" for reason in reasons).most_common())

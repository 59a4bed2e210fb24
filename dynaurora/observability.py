"""Logger, tracer and metrics of the functions, made once.

Every line that a function logs carries the mapping, the run and the batch that it works on; its trace has the same
three as annotations, by which X-Ray finds it. Both have keys and reasons, never items. Metrics leave as EMF in the log
(CloudWatch Logs, "Embedded metric format").
"""

from __future__ import annotations

import functools
import time
import warnings
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import EphemeralMetrics

from dynaurora.errors import RetryableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

    Handler: TypeAlias = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]

# An invocation that fails counts nothing of its own; that is no news.
warnings.filterwarnings("ignore", message="No application metrics to publish")

IDS = ("run", "batch", "planned", "entry")
"""What an invocation may work on: a run, a batch, and before there is a batch its number in the plan or the list."""

logger = Logger()
tracer = Tracer(auto_patch=False)  # else it would import all that it can trace, whether a function needs it or not
metrics = Metrics(namespace="dynaurora")


def observe_mapping(mapping: str) -> None:
    """Put the mapping that this invocation is for on its log lines from here on, its metrics and its trace."""
    logger.append_keys(mapping=mapping)
    metrics.add_dimension("mapping", mapping)
    _annotate(mapping=mapping)


def observed(handler: Handler) -> Handler:
    """Log, trace and measure the invocations of a handler; what it raises is logged and raised again."""

    @functools.wraps(handler)
    def invoke(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        logger.remove_keys(("mapping", *IDS))  # they are of the invocation before
        metrics.clear_metrics()  # with its dimensions, which stay where it counted nothing
        try:
            return handler(event, context)
        except Exception as error:
            log = logger.warning if isinstance(error, RetryableError) else logger.error
            log("Invocation failed", extra={"error": type(error).__name__, "reason": str(error)})
            raise

    measured = metrics.log_metrics(invoke)
    traced = tracer.capture_lambda_handler(measured, capture_response=False)
    logged: Handler = logger.inject_lambda_context(traced)
    return logged


def identify(**ids: object) -> None:
    """Put what this invocation works on, of IDS, on its log lines from here on and on its trace."""
    logger.append_keys(**ids)
    _annotate(**ids)


def count(name: str, value: int) -> None:
    """Add to a metric; nothing is nothing."""
    if value:
        measure(name, value)


def measure(name: str, value: float, unit: Literal["Count", "Seconds"] = "Count") -> None:
    """Put a value into a metric, zero included."""
    metrics.add_metric(name=name, unit=unit, value=value)


def count_of_all(name: str, value: int, bucket: str) -> None:
    """Add to a metric of all replications together, told from other platforms' by the landing bucket; at once."""
    if value:
        of_all = EphemeralMetrics(namespace=metrics.namespace)
        of_all.add_dimension("bucket", bucket)
        of_all.add_metric(name=name, unit="Count", value=value)
        of_all.flush_metrics()


class Pulse:
    """Beats once in so many seconds at most, of this process: what goes on all the time is told of that often."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due = 0.0

    def beats(self) -> bool:
        """Tell whether it is time to tell of it."""
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + self._seconds
        return True


def flush_metrics() -> None:
    """Send the metrics that there are, before others of the same invocation are counted for another mapping."""
    if metrics.metric_set:
        metrics.flush_metrics()
    metrics.clear_metrics()


def _annotate(**ids: object) -> None:
    for name, value in ids.items():
        if value is not None:
            tracer.put_annotation(name, str(value))

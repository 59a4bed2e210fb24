"""Measure health: what is kept as failed, whether the streams are read, what waits for Aurora → metrics."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dynaurora.aws.executions import StepFunctionsExecutions
from dynaurora.aws.objects import S3Objects
from dynaurora.dynamodb.source import AwsSource
from dynaurora.mappings.replications import KnownReplications
from dynaurora.measure_health import Failures, Health, count_failures, count_waiting, measure_health
from dynaurora.observability import count, flush_metrics, logger, measure, metrics, observe_mapping, observed
from dynaurora.settings import MeasureHealthSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.replications import Replication

settings = MeasureHealthSettings.from_environment()
executions = StepFunctionsExecutions()
known = KnownReplications()


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Measure each replication, by the clock, and all of them together.

    Of all, what is kept as failed is measured as nothing too, by which an alarm knows that it was measured at all. Each
    metric that is sent is paid for, so nothing else is told of as nothing.
    """
    store, bucket = S3Objects(), settings.landing_bucket
    replications = known.find_all(store, bucket)
    failures = count_failures(store, bucket, replications)
    found = {one.mapping: look_at(one, failures, store) for one in replications}
    waiting = count_waiting(executions, settings.import_batch_arn, datetime.now(UTC))
    metrics.add_dimension("platform", settings.platform)
    measure("FailuresKept", sum(health.failures_kept for health in found.values()))
    count("FailuresParked", sum(health.failures_parked for health in found.values()))
    count("StreamsUnread", sum(bool(health.stream_problems) for health in found.values()))
    count("BatchesWaiting", waiting)
    count("StreamsNearLoss", sum(health.near_loss for health in found.values()))
    described = {mapping: asdict(health) for mapping, health in found.items()}
    return {"batches_waiting": waiting, "replications": described}


def look_at(replication: Replication, failures: Failures, store: ObjectStore) -> Health:
    """Measure one replication, and tell what is wrong with it."""
    source, bucket = AwsSource(replication.table, replication.event_source_mapping), settings.landing_bucket
    health = measure_health(failures, replication.mapping, source, store, bucket, datetime.now(UTC))
    observe_mapping(replication.mapping)
    count("FailuresKept", health.failures_kept)
    count("FailuresParked", health.failures_parked)
    count("StreamsUnread", bool(health.stream_problems))
    count("StreamsNearLoss", health.near_loss)
    if health.near_loss:
        logger.error("The stream was not read for hours: it loses records")
    if health.stream_problems:
        logger.error("The stream is not read", extra={"problems": health.stream_problems})
    flush_metrics()
    logger.remove_keys(("mapping",))
    return health

"""Measure health: what is kept as failed, whether the stream is read, what waits for Aurora → metrics."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dynaurora.aws.executions import StepFunctionsExecutions
from dynaurora.aws.objects import S3Objects
from dynaurora.dynamodb.source import AwsSource
from dynaurora.failures.list_failures import Place
from dynaurora.measure_health import measure_health
from dynaurora.observability import logger, measure, observe_mapping, observed
from dynaurora.settings import MeasureHealthSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = MeasureHealthSettings.from_environment()
source = AwsSource(settings.source_table, settings.event_source_mapping_id)
executions = StepFunctionsExecutions()


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Measure a mapping's replication, by the clock; what is measured is measured as nothing too."""
    observe_mapping(event["mapping"])
    place = Place(settings.landing_bucket, event["mapping"], settings.source_table)
    health = measure_health(place, S3Objects(), source, executions, settings.import_batch_arn, datetime.now(UTC))
    measure("FailuresKept", health.failures_kept)
    measure("FailuresParked", health.failures_parked)
    measure("StreamsUnread", bool(health.stream_problems))
    measure("BatchesWaiting", health.batches_waiting)
    if health.stream_problems:
        logger.error("The stream is not read", extra={"problems": health.stream_problems})
    return asdict(health)

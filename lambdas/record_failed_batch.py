"""Record failed batch: a batch that Aurora did not take → S3 failed_batches/."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dynaurora.failed_batches import record_failed_batch
from dynaurora.notices import Notices
from dynaurora.objects import S3Objects
from dynaurora.observability import count, logger, metrics, observe_mapping, tracer
from dynaurora.settings import RecordFailedBatchSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = RecordFailedBatchSettings.from_environment()
observe_mapping(settings.mapping)


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Keep a failed batch with its reason and remedy, and return what the notification says."""
    failure = {**event["input"], "execution": event["execution"]}
    store = S3Objects()
    notices = Notices(store, settings.landing_bucket, settings.mapping, settings.notice_interval_seconds)
    record = record_failed_batch(failure, store, settings.landing_bucket, notices)
    count("BatchesFailed", 1)
    logger.error(
        "Batch failed", extra={"batch": record["batch_id"], "error": record["error"], "reason": record["reason"]}
    )
    return record

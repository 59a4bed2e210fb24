"""Record failed batch: a batch that Aurora did not take → S3 failed_batches/."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dynaurora.aws.objects import S3Objects
from dynaurora.failures.failed_batches import batch_id_of, mapping_of, record_failed_batch, run_of
from dynaurora.failures.notices import Notices
from dynaurora.observability import count, identify, logger, observe_mapping, observed
from dynaurora.settings import RecordFailedBatchSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = RecordFailedBatchSettings.from_environment()


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Keep a failed batch with its reason and remedy, and return what the notification says."""
    failure = {**event["input"], "execution": event["execution"]}
    mapping = mapping_of(failure)
    observe_mapping(mapping)
    identify(batch=batch_id_of(failure), run=run_of(failure))
    store = S3Objects()
    notices = Notices(store, settings.landing_bucket, mapping, settings.notice_interval_seconds)
    record = record_failed_batch(failure, store, settings.landing_bucket, notices)
    count("BatchesFailed", 1)
    logger.error("Batch failed", extra={"error": record["error"], "reason": record["reason"]})
    return record

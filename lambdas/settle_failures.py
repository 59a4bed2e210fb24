"""Settle failures: what is in Aurora leaves the failed prefixes, what failed too often is parked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dynaurora.notices import Notices
from dynaurora.objects import S3Objects
from dynaurora.observability import count, logger, metrics, observe_mapping, tracer
from dynaurora.reprocessing import Settler
from dynaurora.settings import SettleFailuresSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = SettleFailuresSettings.from_environment()
observe_mapping(settings.mapping)


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Settle the objects of one entry, by how its import ended."""
    store = S3Objects()
    logger.append_keys(run=event["run"], entry=event["entry"]["number"])
    notices = Notices(store, settings.landing_bucket, settings.mapping, settings.notice_interval_seconds)
    claimant = f"{event['run']}-{event['entry']['number']}"
    settled = Settler(store, settings.landing_bucket, settings.max_attempts, notices, claimant).settle(event["entry"])
    count("RecordsParked", settled["records_parked"])
    count("BatchesParked", settled["batches_parked"])
    logger.info("Failures settled", extra={"settled": settled})
    return settled

"""Settle failures: what is in Aurora leaves the failed prefixes, what failed too often is parked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dynaurora.aws.objects import S3Objects
from dynaurora.failures.notices import Notices
from dynaurora.failures.settle_failures import Settler
from dynaurora.observability import count, identify, logger, observe_mapping, observed
from dynaurora.settings import SettleFailuresSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = SettleFailuresSettings.from_environment()


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Settle the objects of one entry, by how its import ended."""
    store = S3Objects()
    entry = event["entry"]
    observe_mapping(event["mapping"])
    identify(run=event["run"], entry=entry["number"], batch=(entry.get("imported") or {}).get("batch_id"))
    notices = Notices(store, settings.landing_bucket, event["mapping"], settings.notice_interval_seconds)
    claimant = f"{event['run']}-{entry['number']}"
    settled = Settler(store, settings.landing_bucket, settings.max_attempts, notices, claimant).settle(entry)
    count("RecordsParked", settled["records_parked"])
    count("BatchesParked", settled["batches_parked"])
    logger.info("Failures settled", extra={"settled": settled})
    return settled

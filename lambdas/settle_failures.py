"""Settle failures: what is in Aurora leaves the failed prefixes, what is overtaken is archived, or parked in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dynaurora.aurora.loader import connect_loader
from dynaurora.aws.objects import S3Objects
from dynaurora.failures.notices import Notices
from dynaurora.failures.settle_failures import Settler
from dynaurora.failures.superseded import Superseder
from dynaurora.mappings.registry import Registries
from dynaurora.observability import count, identify, logger, observe_mapping, observed
from dynaurora.settings import SettleFailuresSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = SettleFailuresSettings.from_environment()
registries = Registries(S3Objects(), settings.landing_bucket)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Settle the objects of one entry, by how its import ended."""
    store = S3Objects()
    entry = event["entry"]
    observe_mapping(event["mapping"])
    identify(run=event["run"], entry=entry["number"], batch=(entry.get("imported") or {}).get("batch_id"))
    notices = Notices(store, settings.landing_bucket, event["mapping"], settings.notice_interval_seconds)
    claimant = f"{event['run']}-{entry['number']}"
    superseder = Superseder(registries.find(event["mapping"]).find_current, lambda: connect_loader(settings))
    settler = Settler(store, settings.landing_bucket, settings.max_attempts, notices, claimant, superseder)
    settled = settler.settle(entry)
    count("RecordsParked", settled["records_parked"])
    count("BatchesParked", settled["batches_parked"])
    logger.info("Failures settled", extra={"settled": settled})
    return settled

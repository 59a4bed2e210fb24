"""Check target: what an import needs of the database → what is missing, for `dynaurora doctor`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dynaurora.aurora.loader import connect_rotated, find_endpoint
from dynaurora.aurora.secrets import read_credentials
from dynaurora.aws.objects import S3Objects
from dynaurora.mappings.registry import Registries
from dynaurora.observability import count, logger, observe_mapping, observed
from dynaurora.settings import CheckTargetSettings
from dynaurora.target.check_target import NO, Target, examine_target

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = CheckTargetSettings.from_environment()
registries = Registries(S3Objects(), settings.landing_bucket)
endpoint = find_endpoint(settings)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Return one finding for each thing that an import into a mapping's target needs: `{"mapping": …}`."""
    observe_mapping(event["mapping"])
    store = S3Objects()
    target = Target(
        read_mapping=registries.renew(event["mapping"]).find_current,  # as it is now
        store=store,
        bucket=settings.landing_bucket,
        read_credentials=lambda: read_credentials(settings.database_secret_arn),
        connect=lambda credentials: connect_rotated(endpoint, credentials, settings.database_secret_arn),
    )
    findings = examine_target(target)
    missing = [finding for finding in findings if finding.state == NO]
    for finding in missing:
        logger.warning("Target is not ready", extra={"check": finding.check, "reason": finding.detail})
    count("TargetsChecked", 1)
    return {"findings": [asdict(finding) for finding in findings]}

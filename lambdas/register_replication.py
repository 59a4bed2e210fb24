"""Register replication: a replication's stack → what the shared functions know of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from dynaurora.aws.custom_resources import ANSWER_SECONDS, fulfil
from dynaurora.aws.objects import S3Objects
from dynaurora.mappings.replications import (
    KnownReplications,
    Replication,
    forget_replication,
    register_replication,
)
from dynaurora.observability import count, logger, observe_mapping, observed
from dynaurora.settings import RegisterReplicationSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = RegisterReplicationSettings.from_environment()
others = KnownReplications()


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Register the replication when CloudFormation creates or updates its stack; forget it when it deletes it."""
    kind, given = event["RequestType"], event["ResourceProperties"]
    observe_mapping(given["Mapping"])
    seconds = context.get_remaining_time_in_millis() / 1000 - ANSWER_SECONDS
    work = forget if kind == "Delete" else register
    earlier = event.get("OldResourceProperties", given)
    done = fulfil(event, f"replication-{given['Mapping']}", partial(work, given, earlier), seconds=seconds)
    count("ReplicationsRegistered" if done else "ReplicationsFailed", 1)
    return {"request": kind, "done": done}


def register(given: dict[str, str], earlier: dict[str, str]) -> dict[str, str]:
    """Make the replication known; one whose mapping was exchanged for another is no more."""
    replication = Replication(
        mapping=given["Mapping"],
        stack=given["Stack"],
        table_arn=given["TableArn"],
        event_source_mappings=(given["EventSourceMappingId"],),
        ttl_deletes="ignore" if given["TtlDeletes"] == "ignore" else "replicate",
    )
    register_replication(S3Objects(), settings.landing_bucket, replication, others)
    if earlier["Mapping"] != given["Mapping"]:
        forget(earlier, earlier)
    logger.info("Replication registered", extra={"table": replication.table, "stack": replication.stack})
    return {}


def forget(given: dict[str, str], _: dict[str, str]) -> dict[str, str]:
    """Make known that there is none any more."""
    forgotten = forget_replication(S3Objects(), settings.landing_bucket, given["Mapping"], given["Stack"])
    logger.info("Replication forgotten", extra={"stack": given["Stack"], "was_registered": forgotten})
    return {}

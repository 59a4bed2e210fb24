"""Purge replicas: what no import needs any more → nothing, by the clock or for `dynaurora purge`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aurora.loader import connect_loader
from dynaurora.aws.objects import S3Objects
from dynaurora.errors import DynauroraError
from dynaurora.mappings.registry import Registries
from dynaurora.mappings.replications import list_replications, read_replication
from dynaurora.observability import count, flush_metrics, logger, observe_mapping, observed
from dynaurora.purging.purge_replicas import PurgeSteps
from dynaurora.settings import PurgeReplicasSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from dynaurora.mappings.replications import Replication

settings = PurgeReplicasSettings.from_environment()
registries = Registries(S3Objects(), settings.landing_bucket)
SPARE_MILLISECONDS: Final = 60_000
"""What is left of an invocation by the clock when it stops: a step takes seconds, and waits for a lock at most 50."""


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a step, `{"mapping": …, "step": "plan"}`; without a mapping, purge all as far as there is time.

    Who asks for steps goes on where an answer says; what the clock has not come to, its next turn does.
    """
    store, bucket = S3Objects(), settings.landing_bucket
    if "mapping" in event:
        return take_steps(read_replication(store, bucket, event["mapping"]), event)
    replications, failed = list_replications(store, bucket), list[DynauroraError]()
    purged = dict[str, Any]()
    for left, replication in zip(range(len(replications), 0, -1), replications, strict=True):
        seconds = max((context.get_remaining_time_in_millis() - SPARE_MILLISECONDS) / 1000 / left, 1.0)
        try:
            purge = {"step": "purge", "seconds": seconds}  # each has its share
            purged[replication.mapping] = take_steps(replication, {"step": "begin"}, purge)
        except DynauroraError as error:  # the others have their turn
            logger.error("Not purged", extra={"problem": f"{type(error).__name__}: {error}"})
            failed.append(error)
        flush_metrics()
    if failed:
        raise failed[0]
    return {"purged": purged}


def take_steps(replication: Replication, *steps: dict[str, Any]) -> dict[str, Any]:
    """Take steps for one replication; return what came of the last one."""
    observe_mapping(replication.mapping)
    mapping, answer = registries.find(replication.mapping).find_current(), dict[str, Any]()
    with connect_loader(settings) as aurora:
        now = datetime.now(UTC)
        purge = PurgeSteps(
            replication, mapping, aurora, S3Objects(), settings.landing_bucket, settings.purge_after_days, now
        )
        for step in steps:
            answer = purge.take(step)
            count("PurgesEnded", bool(answer.get("done")))
            logger.info("Purging", extra={"answer": answer})
    return answer

"""Check readiness: whether the source table can be backfilled now, later, or not yet."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dynaurora.aws.objects import S3Objects
from dynaurora.dynamodb.source import AwsSource
from dynaurora.exports.check_readiness import WantedExport, check_readiness, find_complete_from
from dynaurora.mappings.registry import Registries
from dynaurora.mappings.replications import read_replication
from dynaurora.observability import identify, logger, observe_mapping, observed
from dynaurora.settings import CheckReadinessSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = CheckReadinessSettings.from_environment()
registries = Registries(S3Objects(), settings.landing_bucket)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Return whether the run may start, after how long to ask again, and which export to make."""
    state, store = event["input"], S3Objects()
    options = state["options"]
    observe_mapping(state["mapping"])
    identify(run=state["run"])
    registry = registries.renew(state["mapping"])  # as it is now: no copy of before
    replication = read_replication(store, settings.landing_bucket, state["mapping"])
    readiness = check_readiness(
        AwsSource(replication.table, replication.event_source_mapping),
        store,
        settings.landing_bucket,
        state["mapping"],
        state["run"],
        export_arn=options["export_arn"],
        now=datetime.now(UTC),
        complete_from=find_complete_from(registry),
        is_current=state.get("digest") in {None, registry.find_pointer().digest},
        current=registry.find_current(),
        wanted=WantedExport(options.get("export_summary"), options.get("window_from"), options.get("window_to")),
    )
    logger.info("Readiness checked", extra=asdict(readiness))
    return asdict(readiness)

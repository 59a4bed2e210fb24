"""Plan backfill: an export's manifests → batches of bounded size."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dynaurora.aws.objects import S3Objects
from dynaurora.exports.plan import read_whole_plan
from dynaurora.exports.plan_backfill import ExportToPlan, StreamTimes, plan_backfill
from dynaurora.mappings.replications import read_replication
from dynaurora.observability import count, identify, logger, observe_mapping, observed
from dynaurora.settings import PlanBackfillSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = PlanBackfillSettings.from_environment()


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Write the plan of a run and return what it comes to; a run that has its plan keeps it."""
    state, store = event["input"], S3Objects()
    observe_mapping(state["mapping"])
    identify(run=state["run"])
    plan = read_whole_plan(store, settings.landing_bucket, state["mapping"], state["run"])
    if plan is None:
        export = read_export(state, read_replication(store, settings.landing_bucket, state["mapping"]).table_arn)
        plan = plan_backfill(store, settings.landing_bucket, state["mapping"], state["run"], export)
        count("BatchesPlanned", plan.batches)
    logger.info("Backfill planned", extra={"plan": asdict(plan)})
    return asdict(plan)


def read_export(state: dict[str, Any], table_arn: str) -> ExportToPlan:
    """Return the export that the states before have described, which has to be of a table."""
    readiness, export = state["readiness"], state["export"]["ExportDescription"]
    times = StreamTimes(
        enabled_at=readiness["stream_enabled_at"],
        mapping_changed_at=readiness["mapping_changed_at"],
        # An export of the run's own is made once the stream has been on for long enough; a given one may be older.
        has_margin=state["options"]["export_arn"] is None,
    )
    compares = bool(state["options"].get("compare"))
    return ExportToPlan(export["S3Bucket"], export["ExportManifest"], table_arn, times, compares)

"""Plan backfill: an export's manifests → batches of bounded size."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dynaurora.aws.objects import S3Objects
from dynaurora.exports.plan import read_whole_plan
from dynaurora.exports.plan_backfill import ExportToPlan, StreamTimes, plan_backfill
from dynaurora.mappings.replications import read_replication
from dynaurora.observability import count, identify, logger, observe_mapping, observed
from dynaurora.runs.requests import read_summary_address
from dynaurora.settings import PlanBackfillSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from dynaurora.mappings.replications import Replication

settings = PlanBackfillSettings.from_environment()


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Write the plan of a run and return what it comes to; a run that has its plan keeps it."""
    state, store = event["input"], S3Objects()
    observe_mapping(state["mapping"])
    identify(run=state["run"])
    plan = read_whole_plan(store, settings.landing_bucket, state["mapping"], state["run"])
    if plan is None:
        export = read_export(state, read_replication(store, settings.landing_bucket, state["mapping"]))
        plan = plan_backfill(store, settings.landing_bucket, state["mapping"], state["run"], export)
        if not export.compares:  # a verification imports none of them
            count("BatchesPlanned", plan.batches)
    logger.info("Backfill planned", extra={"plan": asdict(plan)})
    return asdict(plan)


def read_export(state: dict[str, Any], replication: Replication) -> ExportToPlan:
    """Return the export that the states before have described, or the run's input names, and what it has to fit."""
    readiness, options = state["readiness"], state["options"]
    given = options.get("export_summary")
    times = StreamTimes(
        enabled_at=readiness["stream_enabled_at"],
        mapping_changed_at=readiness["mapping_changed_at"],
        # An export of the run's own is made once the stream has been on for long enough; a given one may be older.
        has_margin=options["export_arn"] is None and given is None,
    )
    if given is None:
        described = state["export"]["ExportDescription"]
        bucket, key = described["S3Bucket"], described["ExportManifest"]
    else:
        bucket, key = read_summary_address(given)
    return ExportToPlan(
        bucket,
        key,
        options.get("source_table_arn") or replication.table_arn,
        times,
        compares=bool(options.get("compare")),
        sweeps=bool(options.get("sweep")),
        keeps_expired=replication.ignores_expiries,
        at_once=options["max_concurrency"],
    )

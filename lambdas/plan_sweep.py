"""Plan sweep: rows that the export does not have → batches of tombstones."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dynaurora.aurora.loader import connect_loader
from dynaurora.aws.objects import S3Objects
from dynaurora.errors import RejectedItemsError
from dynaurora.exports.plan import Plan
from dynaurora.exports.plan_sweep import Sweeper
from dynaurora.exports.reconcile_run import Totals
from dynaurora.mappings.registry import Registries
from dynaurora.observability import count, identify, logger, observe_mapping, observed
from dynaurora.runs.ends import judge_rejected
from dynaurora.settings import PlanSweepSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = PlanSweepSettings.from_environment()
registries = Registries(S3Objects(), settings.landing_bucket)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Write the batches of tombstones and return what they come to; a run that refused too much sweeps nothing."""
    state = event["input"]
    observe_mapping(state["mapping"])
    identify(run=state["run"])
    if refused := judge_rejected(state):
        raise RejectedItemsError(refused["Cause"])
    plan, totals = Plan.from_dict(state["plan"]), Totals(**state["totals"])
    mapping = registries.find(state["mapping"]).find_recorded(state.get("digest"))
    with connect_loader(settings) as aurora:
        sweeper = Sweeper(mapping, aurora, S3Objects(), settings.landing_bucket, state["run"], plan.export_second)
        sweep = sweeper.plan(totals)
    count("RowsSwept", sweep.rows)
    logger.info("Sweep planned", extra=asdict(sweep))
    return asdict(sweep)

"""Reconcile run: exported = imported + already newer + rejected, to the item."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dynaurora.aurora.loader import connect_loader
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.batch import BACKFILL, VERIFY
from dynaurora.exports.plan import Plan
from dynaurora.exports.reconcile_run import MappingChange, reconcile_run
from dynaurora.mappings.registry import Registries
from dynaurora.observability import count, identify, logger, observe_mapping, observed
from dynaurora.settings import ReconcileRunSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = ReconcileRunSettings.from_environment()
registries = Registries(S3Objects(), settings.landing_bucket)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Return what the run came to, by the ledger, or fail it where items have no account."""
    state = event["input"]
    run, plan = state["run"], Plan.from_dict(state["plan"])
    observe_mapping(state["mapping"])
    identify(run=run)
    mapping = registries.find(state["mapping"]).find_recorded(state.get("digest"))
    kind = VERIFY if (state.get("options") or {}).get("compare") else BACKFILL
    change = MappingChange(state.get("generation", 1), (state.get("readiness") or {}).get("complete_from"), kind)
    with connect_loader(settings) as aurora:
        totals = reconcile_run(aurora, mapping, run, plan, S3Objects(), change)
    count("ItemsExported", totals.exported)
    logger.info("Run reconciled", extra=asdict(totals))
    return asdict(totals)

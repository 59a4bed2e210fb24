"""Open run: a run's input → its row in `_dynaurora_runs`, and a target that it fits."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from dynaurora.aurora.loader import connect_loader
from dynaurora.aurora.replica_columns import check_replica
from dynaurora.aurora.verifications import Verifications
from dynaurora.aws.executions import StepFunctionsExecutions
from dynaurora.aws.objects import S3Objects
from dynaurora.mappings.registry import Registries
from dynaurora.mappings.replications import read_replication
from dynaurora.observability import count, identify, logger, observe_mapping, observed
from dynaurora.runs.requests import Limits, RunRequest, read_request
from dynaurora.runs.runs import Runs
from dynaurora.settings import OpenRunSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = OpenRunSettings.from_environment()
registries = Registries(S3Objects(), settings.landing_bucket)
EXPORT = "export"
"""How a verification of a run reads its items, as its row tells it."""
bounds = Limits(settings.backfill_concurrency, settings.import_concurrency)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Check what is asked for, open the run, and check that the target can take it."""
    request, store = read_request(event, bounds), S3Objects()
    observe_mapping(request.mapping)
    identify(run=request.run)
    replication = read_replication(store, settings.landing_bucket, request.mapping)
    limits = replace(bounds, keeps_expired=replication.ignores_expiries)
    request = read_request(event, limits)
    registry = registries.renew(request.mapping)  # as it is now: no copy of before
    pointer, mapping = registry.find_pointer(), registry.find_current()
    with connect_loader(settings, load_from_s3=True) as aurora:
        runs, executions = Runs(aurora, mapping.database), StepFunctionsExecutions()
        request = read_request(event, limits.beside(runs.count_batches_of_others(request, executions)))
        runs.open(request, mapping, event["execution"]["id"], executions)
        for target in mapping.targets:
            check_replica(aurora, target)
        if isinstance(request, RunRequest) and request.options.judge:
            Verifications(aurora, mapping).open(request.run, EXPORT)
    count("RunsOpened", 1)
    logger.info("Run opened", extra={**request.as_dict()["options"], **asdict(pointer)})
    return {**request.as_dict(), **asdict(pointer)}

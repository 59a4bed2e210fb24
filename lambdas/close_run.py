"""Close run: a run's end → its row in `_dynaurora_runs`; and its report, where it was stopped."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from dynaurora.aurora.fills import settle_fills
from dynaurora.aurora.loader import connect_loader
from dynaurora.aws.objects import S3Objects
from dynaurora.exports.plan import read_plan
from dynaurora.mappings.readers import write_filled
from dynaurora.mappings.registry import Registries
from dynaurora.mappings.replications import read_replication
from dynaurora.observability import identify, logger, observe_mapping, observed
from dynaurora.runs.close_run import Ending, close_run, read_ending
from dynaurora.runs.report_stopped import UNREPORTED, RunSoFar, build_stopped_report
from dynaurora.runs.report_verification import read_report_before
from dynaurora.runs.requests import is_run_id
from dynaurora.runs.runs import Runs
from dynaurora.settings import CloseRunSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = CloseRunSettings.from_environment()
registries = Registries(S3Objects(), settings.landing_bucket)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Close the run that ended, as its state machine or EventBridge tells it."""
    ending = read_ending(event)
    observe_mapping(ending.mapping)
    identify(run=ending.run)
    if ending.plan is None and is_run_id(ending.run):  # it was stopped, or came to none
        plan = read_plan(S3Objects(), settings.landing_bucket, ending.mapping, ending.run)
        ending = replace(ending, plan=asdict(plan) if plan else None)
    mapping = registries.find(ending.mapping).find_current()
    is_whole = bool(ending.generation or ending.shows_until) and (ending.swept or keeps_expired(ending))
    with connect_loader(settings) as aurora:
        if ending.generation and is_whole:
            settle_fills(aurora, mapping, ending.run, ending.generation)
        runs = Runs(aurora, mapping.database)
        closed = close_run(runs, ending)
        if event.get("detail", {}).get("status") in UNREPORTED and is_run_id(ending.run):
            report_stopped(ending, event["detail"], RunSoFar(aurora, mapping, runs))
    if ending.shows_until and is_whole:  # whatever the stream had lost by then
        write_filled(S3Objects(), settings.landing_bucket, ending.mapping, (0, ending.shows_until))
    logger.info("Run closed" if closed else "Run was closed before", extra={"state": ending.state})
    return {"run": ending.run, "state": ending.state, "closed": closed}


def report_stopped(ending: Ending, detail: dict[str, Any], so_far: RunSoFar) -> None:
    """Write the report of a run that was stopped, unless it was reported before that."""
    from dynaurora.runs.report_page import write_report  # which imports Jinja2, and few runs are stopped

    store, bucket = S3Objects(), settings.landing_bucket
    before = read_report_before(store, bucket, ending.mapping, ending.run)
    is_reported = before is not None and before.get("execution") == ending.execution
    if not is_reported and not so_far.is_anothers(ending.run, ending.execution):
        report = build_stopped_report(ending, detail, so_far)
        unwritten = write_report(store, bucket, ending.mapping, ending.run, report)
        logger.info("Run reported", extra={"unwritten": unwritten})


def keeps_expired(ending: Ending) -> bool:
    """Tell whether Aurora keeps the rows of items that expired: no run can be swept then, nor has to be."""
    return read_replication(S3Objects(), settings.landing_bucket, ending.mapping).ignores_expiries

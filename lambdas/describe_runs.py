"""Describe runs: `_dynaurora_runs` and the ledger → what the command line shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dynaurora.aurora.loader import connect_loader
from dynaurora.aws.objects import S3Objects
from dynaurora.mappings.registry import Registries
from dynaurora.observability import identify, observe_mapping, observed
from dynaurora.runs.runs import Runs
from dynaurora.runs.summaries import summarize_replications
from dynaurora.settings import DescribeRunsSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = DescribeRunsSettings.from_environment()
registries = Registries(S3Objects(), settings.landing_bucket)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Return one run of a mapping, or the newest ones, with their progress; or of several mappings a summary each."""
    if "mappings" in event:
        with connect_loader(settings) as aurora:
            return {"replications": summarize_replications(aurora, registries, event["mappings"])}
    observe_mapping(event["mapping"])
    identify(run=event.get("run"))
    database = registries.find(event["mapping"]).find_current().database
    with connect_loader(settings) as aurora:
        return {"runs": Runs(aurora, database).describe(event["mapping"], event.get("run"), event.get("kind"))}

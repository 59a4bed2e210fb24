"""Change mapping: a mapping's document → what its target would need, or has from now on, for `dynaurora mapping`.

A backfill that succeeded → the views of the targets that it has filled.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dynaurora.aurora.connection import Endpoint, connect
from dynaurora.aurora.secrets import read_credentials
from dynaurora.aws.objects import S3Objects
from dynaurora.mappings.registry import Registries
from dynaurora.observability import count, logger, observe_mapping, observed
from dynaurora.runs.close_run import read_mapping_name
from dynaurora.settings import ChangeMappingSettings
from dynaurora.target.change_mapping import answer_request, show_targets

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from dynaurora.aurora.connection import Aurora

settings = ChangeMappingSettings.from_environment()
endpoint = Endpoint(settings.database_host, settings.database_port, settings.database_ca)
METRICS = {
    "plan": "MappingsPlanned",
    "registered": "MappingsRegistered",
    "applied": "MappingsApplied",
    "waiting": "MappingsDelayed",
    "shown": "TargetsShown",
    "replicas": "ReplicasListed",
}
"""The metric of each answer."""


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Plan, apply or register the document of a mapping; who waits for a table is told, and asks again.

    Or make the views that are due after a backfill, as EventBridge tells of its end.
    """
    is_told = "detail" in event
    name = read_mapping_name(json.loads(event["detail"]["input"])) if is_told else event["mapping"]
    observe_mapping(name)
    with connect(endpoint, read_credentials(settings.database_admin_secret_arn)) as aurora:
        answer = show(name, aurora) if is_told else answer_request(event, aurora, S3Objects(), settings.landing_bucket)
    ((kind, done),) = answer.items()
    count(METRICS[kind], 1)
    if kind in {"applied", "shown", "waiting"}:
        logger.info("Mapping changed", extra={kind: done})
    return answer


def show(name: str, aurora: Aurora) -> dict[str, Any]:
    """Make the views that are due; a table that is kept for too long fails the event, which is told again."""
    mapping = Registries(S3Objects(), settings.landing_bucket).find(name).find_current()
    return {"shown": show_targets(aurora, mapping)}

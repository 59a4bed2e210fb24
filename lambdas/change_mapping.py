"""Change mapping: a mapping's document → what its target would need, or has from now on, for `dynaurora mapping`."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dynaurora.aurora.column_changes import Patience
from dynaurora.aurora.connection import Endpoint, connect
from dynaurora.aurora.secrets import read_credentials
from dynaurora.aws.objects import S3Objects
from dynaurora.errors import LockWaitError
from dynaurora.mappings.mapping import Mapping, build_mapping
from dynaurora.observability import count, logger, observe_mapping, observed
from dynaurora.settings import ChangeMappingSettings
from dynaurora.target.change_mapping import apply_change, plan_change, register_mapping

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
}
"""The metric of each answer."""


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Plan, apply or register the document of a mapping; who waits for a table is told, and asks again."""
    observe_mapping(event["mapping"])
    mapping = read_mapping(event)
    with connect(endpoint, read_credentials(settings.database_admin_secret_arn)) as aurora:
        answer = change(event, mapping, aurora)
    ((kind, _),) = answer.items()
    count(METRICS[kind], 1)
    return answer


def change(event: dict[str, Any], mapping: Mapping, aurora: Aurora) -> dict[str, Any]:
    """Do what is asked for, and return what came of it under its name."""
    store, bucket, drop = S3Objects(), settings.landing_bucket, bool(event.get("drop"))
    if event["action"] == "plan":
        return {"plan": plan_change(aurora, mapping, drop=drop)}
    if event["action"] == "register":
        return {"registered": register_mapping(aurora, mapping, store, bucket)}
    patience = Patience(float(event.get("seconds", 20)), tell=lambda text: logger.info("Waiting", extra={"for": text}))
    try:
        applied = apply_change(aurora, mapping, store, bucket, patience, drop=drop)
    except LockWaitError as error:
        return {"waiting": error.problem}
    logger.info("Mapping applied", extra=applied)
    return {"applied": applied}


def read_mapping(event: dict[str, Any]) -> Mapping:
    """Return the mapping of an event. Raises InvalidMappingError."""
    text = event["document"]
    return build_mapping(event["mapping"], json.loads(text, parse_float=Decimal), text=text)

"""List failures: what is kept as failed → what a run takes up, or merely whether there is anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dynaurora import keys
from dynaurora.aws.objects import S3Objects
from dynaurora.errors import InvalidRunError
from dynaurora.failures.list_failures import Place, is_anything_failed, plan_reprocess
from dynaurora.mappings.replications import read_replication
from dynaurora.observability import count, identify, logger, observe_mapping, observed
from dynaurora.runs.requests import is_mapping_name
from dynaurora.settings import ListFailuresSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = ListFailuresSettings.from_environment()


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Write the list of the failures to take up and return what it comes to; before a run, only look for some."""
    state, store = event["input"], S3Objects()
    if not is_mapping_name(state.get("mapping")):
        raise InvalidRunError("The input names no mapping.")
    observe_mapping(state["mapping"])
    replication = read_replication(store, settings.landing_bucket, state["mapping"])
    readers = replication.event_source_mappings
    place = Place(settings.landing_bucket, state["mapping"], replication.table, readers)
    if "look" in event:
        return {"anything": is_anything_failed(place, store, noting=True)}
    run, options = state["run"], state["options"]
    identify(run=run)
    entries = list(plan_reprocess(place, store, prefix=options["prefix"], parked=options["include_parked"]))
    key = keys.reprocess_plan(place.mapping, run)
    store.write(place.bucket, key, json.dumps(entries, separators=(",", ":")).encode())
    objects = sum(len(entry["objects"]) for entry in entries)
    count("FailuresListed", objects)
    logger.info("Failures listed", extra={"objects": objects, "entries": len(entries)})
    return {"bucket": place.bucket, "key": key, "entries": len(entries), "objects": objects}

"""IAM with AUTH=true: local requests count as encrypted; Map Runs and stream mappings can be named in policies.

AWS's endpoints are reached by TLS, the local one by plain HTTP on the loopback interface. A policy that denies plain
HTTP (``aws:SecureTransport`` is ``"false"``), as a bucket's should, would deny every local request; what it is there
to prevent does not exist here.

DescribeMapRun, UpdateMapRun and the ListExecutions of a Map Run are authorized on the Map Run's ARN (service
authorization reference, "Actions, resources, and condition keys for AWS Step Functions"); the emulator knows no ARN
for them, so that only a policy for ``*`` would allow them.

A request that names one event source mapping is GetEventSourceMapping, UpdateEventSourceMapping or
DeleteEventSourceMapping (service authorization reference, "Actions, resources, and condition keys for AWS Lambda");
the emulator takes the first for ListEventSourceMappings, and has no action for the others. Each has the condition key
``lambda:FunctionArn``, the function that the mapping is of.
"""

from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.services import lambda_svc

from local.emulator.replacements import Replacements

MAPPING_ACTIONS = {
    "GET": "GetEventSourceMapping",
    "PUT": "UpdateEventSourceMapping",
    "DELETE": "DeleteEventSourceMapping",
}


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    signature = "(key: str, ctx: ministack.core.iam_evaluator.EvalContext) -> Any"
    emulator.wrap(iam_evaluator.__name__, "_resolve_condition_key", signature, _resolve_further)
    emulator.require(iam_actions.__name__, "_safe_json_field", "(body: bytes, field: str) -> str")
    emulator.wrap(
        iam_actions.__name__,
        "extract_resource_arn",
        "(service: str, method: str, path: str, headers: dict, body: bytes, query_params: dict, region: str, "
        "account_id: str) -> str",
        _name_map_run,
    )
    emulator.wrap(
        iam_actions.__name__, "_lambda_action", "(method: str, path: str) -> str | None", _name_mapping_action
    )


def _resolve_further(original: Any) -> Any:
    def resolve(key: str, ctx: Any) -> Any:
        if key.lower() == "aws:securetransport":
            return "true"
        _, separator, mapping = ctx.resource_arn.partition(":event-source-mapping:")
        if key.lower() == "lambda:functionarn" and separator:
            return (lambda_svc._esms.get(mapping) or {}).get("FunctionArn")
        return original(key, ctx)

    return resolve


def _name_map_run(original: Any) -> Any:
    def extract(service: str, method: str, path: str, headers: dict[str, str], body: bytes, *rest: Any) -> str:
        map_run: str = iam_actions._safe_json_field(body, "mapRunArn") if service == "states" else ""
        return map_run or str(original(service, method, path, headers, body, *rest))

    return extract


def _name_mapping_action(original: Any) -> Any:
    def name(method: str, path: str) -> str | None:
        *_, collection, mapping = ["", *path.strip("/").split("/")]
        if collection == "event-source-mappings" and mapping and method in MAPPING_ACTIONS:
            return MAPPING_ACTIONS[method]
        action: str | None = original(method, path)
        return action

    return name

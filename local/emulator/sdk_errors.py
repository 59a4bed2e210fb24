"""Step Functions: what an SDK integration (``aws-sdk:…``) calls an error.

The names are those of the SDK for Java. An exception of the service's model keeps its name, ending in Exception
(``DynamoDb.ExportConflictException``, ``Sfn.ExecutionDoesNotExistException``); any other error, such as DynamoDB's
ValidationException or AccessDeniedException, is the service's general one: ``DynamoDb.DynamoDbException``. The emulator
makes a name from every error's code, so that a state machine could match one that AWS never reports.

Source: Step Functions developer guide, "Learning to use AWS service SDK integrations"; the endings were observed on
AWS by others. Only services with a JSON protocol are looked at.
"""

from typing import Any

from ministack.core import responses
from ministack.services import stepfunctions

from local.emulator.replacements import Replacements


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    emulator.require(responses.__name__, "_service_model", "(service: str)")
    emulator.wrap(
        stepfunctions.__name__,
        "_prefix_sdk_error",
        "(service_name: str, error_code: str) -> str",
        _name_as_java,
    )


def _name_as_java(original: Any) -> Any:
    def name_error(service_name: str, error_code: str) -> str:
        named: str = original(service_name, error_code)
        service = stepfunctions._AWS_SDK_SERVICE_MAP.get(service_name, {})
        if service.get("protocol") != "json" or "." in error_code:
            return named
        model = responses._service_model(service.get("service_key", service_name))
        if model is None:
            return named
        if error_code in {shape.name for shape in model.error_shapes}:
            return f"{named.removesuffix('Exception')}Exception"
        prefix = named.partition(".")[0]
        return f"{prefix}.{prefix}Exception"

    return name_error

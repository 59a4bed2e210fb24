"""Secrets Manager: RotateSecret calls the rotation function, step by step; and rotation schedules of CloudFormation.

The emulator's RotateSecret gives a copy of the value to a new version and makes that the current one at once. Here, as
on AWS, the new version is empty and pending, and the function is asked to create, set, test and finish it. Where a step
fails, the rotation is begun again with the same version, some times, seconds apart. A rotation is refused while another
one is unfinished. A version without a value is not found by GetSecretValue.

``AWS::SecretsManager::RotationSchedule``, which the emulator has not, starts a rotation when it is made or changed. The
days that it names are kept, and do not pass here.

Source: AWS Secrets Manager User Guide, "Rotation by Lambda function" and "Lambda rotation functions"; API Reference,
"RotateSecret".
"""

import contextvars
import logging
import threading
import time
import uuid
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import lambda_svc, secretsmanager
from ministack.services.cloudformation import provisioners

from local.emulator.replacements import Replacements
from local.emulator.values import read_bool, read_int

logger = logging.getLogger("dynaurora.rotations")

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
ATTEMPTS = 5
PAUSE_SECONDS = 2.0

Request = dict[str, Any]
Secret = dict[str, Any]


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    module, functions = secretsmanager.__name__, lambda_svc.__name__
    emulator.require(module, "_resolve", "(secret_id, *, use_arn_scope=False)")
    emulator.require(module, "_find_stage_version", "(secret, stage)")
    emulator.require(functions, "_resolve_name_and_qualifier", "(name_or_arn: str) -> tuple[str, str | None]")
    emulator.require(functions, "_execute_function", "(func: dict, event: dict) -> dict")
    emulator.wrap(module, "_rotate_secret", "(data)", _rotate_by_function)
    emulator.wrap(module, "_get_secret_value", "(data)", _hide_empty_versions)
    handlers = {"create": _create_schedule, "update": _update_schedule, "delete": _delete_schedule}
    emulator.add(provisioners.__name__, "_RESOURCE_HANDLERS[AWS::SecretsManager::RotationSchedule]", handlers)


def _rotate_by_function(original: Any) -> Any:
    def rotate(data: Request) -> Any:
        _, secret = secretsmanager._resolve(data.get("SecretId"))
        if secret is None or secret.get("DeletedDate"):
            return original(data)  # which says so
        function = data.get("RotationLambdaARN") or secret["RotationLambdaARN"]
        if not function:
            return _refuse("No Lambda rotation function ARN is associated with this secret.")
        secret["RotationLambdaARN"], secret["RotationEnabled"] = function, True
        secret["RotationRules"] = data.get("RotationRules") or secret["RotationRules"]
        if not data.get("RotateImmediately", True):
            return json_response(_describe(secret))
        pending, version = secretsmanager._find_stage_version(secret, "AWSPENDING")
        if version is not None and "AWSCURRENT" not in version["Stages"]:
            return _refuse(f"A previous rotation isn't complete. That rotation will be reattempted: {pending}.")
        if version is not None:
            version["Stages"].remove("AWSPENDING")
        token = data.get("ClientRequestToken") or str(uuid.uuid4())
        empty = {"SecretString": None, "SecretBinary": None, "CreatedDate": int(time.time()), "Stages": ["AWSPENDING"]}
        secret["Versions"][token] = empty
        run = contextvars.copy_context().run  # the emulator's stores are scoped by account and region
        threading.Thread(target=run, args=(_carry_out, secret, token), daemon=True).start()
        return json_response(_describe(secret) | {"VersionId": token})

    return rotate


def _carry_out(secret: Secret, token: str) -> None:
    """Ask for the steps, from the first one again where one fails."""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE_SECONDS)
        failed = next((step for step in STEPS if not _take(step, secret, token)), None)
        if failed is None:
            return
        logger.warning("%s of %s failed", failed, secret["Name"])


def _take(step: str, secret: Secret, token: str) -> bool:
    name, qualifier = lambda_svc._resolve_name_and_qualifier(secret["RotationLambdaARN"])
    function, _ = lambda_svc._get_func_record_for_qualifier(name, qualifier)
    event = {"Step": step, "SecretId": secret["ARN"], "ClientRequestToken": token}
    return function is not None and not lambda_svc._execute_function(function, event).get("error")


def _hide_empty_versions(original: Any) -> Any:
    def get(data: Request) -> Any:
        _, secret = secretsmanager._resolve(data.get("SecretId"))
        stage = data.get("VersionStage", "AWSCURRENT")
        if secret is not None and not data.get("VersionId"):
            _, version = secretsmanager._find_stage_version(secret, stage)
            if version is not None and version["SecretString"] is None and version["SecretBinary"] is None:
                said = f"Secrets Manager can't find the specified secret value for staging label: {stage}"
                return error_response_json("ResourceNotFoundException", said, 400)
        return original(data)

    return get


def _create_schedule(_logical_id: str, props: Request, _stack_name: str) -> tuple[str, Request]:
    rules = {**props.get("RotationRules", {})}
    if "AutomaticallyAfterDays" in rules:
        rules["AutomaticallyAfterDays"] = read_int(rules["AutomaticallyAfterDays"], 0)
    answer = secretsmanager._rotate_secret(
        {
            "SecretId": props["SecretId"],
            "RotationLambdaARN": props["RotationLambdaARN"],
            "RotationRules": rules,
            "RotateImmediately": read_bool(props.get("RotateImmediatelyOnUpdate"), True),
        }
    )
    if answer[0] >= 300:
        raise ValueError(f"AWS::SecretsManager::RotationSchedule: {answer[2]!r}")
    return props["SecretId"], {}


def _update_schedule(_physical_id: str, _old: Request, props: Request, stack_name: str) -> tuple[str, Request]:
    return _create_schedule("", props, stack_name)


def _delete_schedule(physical_id: str, _props: Request) -> None:
    _, secret = secretsmanager._resolve(physical_id)
    if secret is not None:
        secret["RotationEnabled"] = False


def _describe(secret: Secret) -> Request:
    return {"ARN": secret["ARN"], "Name": secret["Name"]}


def _refuse(said: str) -> Any:
    return error_response_json("InvalidRequestException", said, 400)

"""Rotate loader secret: a step that Secrets Manager asks for → a new password of the loader, one step nearer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dynaurora.aurora.loader import find_endpoint
from dynaurora.observability import count, logger, observed
from dynaurora.settings import RotateLoaderSecretSettings
from dynaurora.target.rotate_loader_secret import FINISH, Rotation, take_step

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = RotateLoaderSecretSettings.from_environment()
endpoint = find_endpoint(settings)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Take one step: `{"SecretId": …, "ClientRequestToken": the version's id, "Step": …}`."""
    step = event["Step"]
    is_pending = take_step(step, Rotation(event["SecretId"], event["ClientRequestToken"], endpoint))
    count("SecretsRotated", is_pending and step == FINISH)
    logger.info("Rotation step taken" if is_pending else "Rotation was finished before", extra={"step": step})
    return {"step": step, "taken": is_pending}

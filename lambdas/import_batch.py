"""Import batch: CSV objects in S3 → Aurora, once."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dynaurora.aurora import Endpoint, connect
from dynaurora.batches import Batch
from dynaurora.imports import import_batch
from dynaurora.mapping import load_mapping
from dynaurora.objects import S3Objects
from dynaurora.observability import count, logger, metrics, observe_mapping, tracer
from dynaurora.secrets import read_credentials
from dynaurora.settings import ImportBatchSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = ImportBatchSettings.from_environment()
observe_mapping(settings.mapping)
mapping = load_mapping(settings.mapping)
endpoint = Endpoint(settings.database_host, settings.database_port, settings.database_ca)


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Apply one batch to Aurora, or say that it was applied before."""
    batch = Batch.from_event(event)
    logger.append_keys(batch=batch.id, run=batch.run)
    credentials = read_credentials(settings.database_secret_arn)
    with connect(endpoint, credentials, load_from_s3=True) as aurora:
        result = import_batch(batch, mapping, aurora, S3Objects(), settings.landing_bucket)
    count("BatchesImported", result.status == "applied")
    count("BatchesRepeated", result.status == "already_applied")
    count("RowsChanged", result.rows_changed if result.status == "applied" else 0)
    logger.info("Batch imported", extra=asdict(result))
    return asdict(result)

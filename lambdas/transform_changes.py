"""Transform changes: Firehose's records → CSV rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dynaurora.aws.objects import S3Objects
from dynaurora.mappings.reasons import count_reasons
from dynaurora.mappings.registry import Registry
from dynaurora.mappings.row_mappers import RowMappers
from dynaurora.observability import count, logger, observe_mapping, observed
from dynaurora.settings import TransformChangesSettings
from dynaurora.stream.transform_changes import Transformer

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

MAX_LOGGED = 20
"""Rejections that are logged one by one: enough to find what they have in common; the rest are counted."""

settings = TransformChangesSettings.from_environment()
mappers = RowMappers(Registry(S3Objects(), settings.landing_bucket, settings.mapping))


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer Firehose with the rows of each record, once what is refused of it is kept."""
    observe_mapping(settings.mapping)
    mappers.begin(context.get_remaining_time_in_millis() / 1000)
    transformer = Transformer(
        mapping=settings.mapping,
        mappers=mappers,
        store=S3Objects(),
        landing_bucket=settings.landing_bucket,
        function_arn=context.invoked_function_arn,
    )
    result = transformer.transform(event["records"])
    count("ChangesTransformed", result.transformed)
    count("ChangesRejected", len(result.rejections))
    count("ChangesOverflowed", result.overflowed)
    count("ChangesSkipped", result.skipped)
    unmapped = mappers.take_unmapped()
    count("AttributesIgnored", unmapped.total)
    if unmapped.total:
        logger.info("Attributes were ignored", extra=unmapped.log_fields())
    for rejection in result.rejections[:MAX_LOGGED]:
        logger.warning("Change rejected", extra=rejection.log_fields())
    if result.rejections:
        reasons = count_reasons(reason for rejection in result.rejections for reason in rejection.reasons)
        logger.warning("Some changes were rejected", extra={"rejected": len(result.rejections), "reasons": reasons})
    return {"records": result.records}

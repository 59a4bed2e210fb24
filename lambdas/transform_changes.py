"""Transform changes: Firehose's records → CSV rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dynaurora.mappings.mapping import load_mapping
from dynaurora.mappings.reasons import count_reasons
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.observability import count, logger, observe_mapping, observed
from dynaurora.settings import TransformChangesSettings
from dynaurora.stream.transform_changes import transform_records

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

MAX_LOGGED = 20
"""Rejections that are logged one by one: enough to find what they have in common; the rest are counted."""

settings = TransformChangesSettings.from_environment()
observe_mapping(settings.mapping)
mapper = RowMapper(load_mapping(settings.mapping))
if mapper.writer.why_plain:
    logger.info("Records are mapped plainly", extra={"why": mapper.writer.why_plain})


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 (Lambda's signature)
    """Answer Firehose with each record's row, or with its refusal."""
    result = transform_records(event["records"], mapper)
    count("ChangesTransformed", result.transformed)
    count("ChangesRejected", len(result.rejections))
    count("ChangesOverflowed", result.overflowed)
    unmapped = mapper.unmapped.take()
    count("AttributesIgnored", unmapped.total)
    if unmapped.total:
        logger.info("Attributes were ignored", extra=unmapped.log_fields())
    for rejection in result.rejections[:MAX_LOGGED]:
        logger.warning("Change rejected", extra=rejection.log_fields())
    if result.rejections:
        reasons = count_reasons(reason for rejection in result.rejections for reason in rejection.reasons)
        logger.warning("Some changes were rejected", extra={"rejected": len(result.rejections), "reasons": reasons})
    return {"records": result.records}

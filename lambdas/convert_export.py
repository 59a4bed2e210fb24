"""Convert export: some of an export's data files → one CSV batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dynaurora.aws.objects import S3Objects
from dynaurora.batches.conversion import check_conversion
from dynaurora.exports.convert_export import Converter
from dynaurora.exports.plan import PlannedBatch
from dynaurora.mappings.registry import Registries
from dynaurora.mappings.row_mappers import SharedRowMappers
from dynaurora.observability import count, identify, logger, observe_mapping, observed
from dynaurora.settings import ConvertExportSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = ConvertExportSettings.from_environment()
mappers = SharedRowMappers(Registries(S3Objects(), settings.landing_bucket))


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Convert one planned batch and return the descriptor of what is to be imported."""
    check_conversion(event)
    observe_mapping(event["mapping"])
    planned = PlannedBatch.from_dict(event["batch"])
    identify(run=event["run"], planned=planned.number)
    mappers.begin(context.get_remaining_time_in_millis() / 1000)
    its_mappers = mappers.of(event["mapping"])
    converter = Converter(
        mapper=its_mappers.find_recorded(event.get("digest")),
        store=S3Objects(),
        bucket=settings.landing_bucket,
        export_bucket=event["export_bucket"],
        run=event["run"],
        export_second=event["export_second"],
        function_arn=context.invoked_function_arn,
        make_careful=its_mappers.find_careful,
    )
    batch = converter.convert_once(planned)
    if not planned.compares:  # what a verification finds refused is in its report
        count("ItemsConverted", planned.items)
        count("ItemsRejected", batch.rows_rejected)
    count("AttributesIgnored", converter.unmapped.total)
    identify(batch=batch.id)
    if converter.unmapped.total:
        logger.info("Attributes were ignored", extra=converter.unmapped.log_fields())
    logger.info("Export converted", extra={"rows": batch.rows, "rejected": batch.rejected})
    return {"batch": batch.as_dict()}

"""Convert failures: failed records → one CSV batch, by the mapping that is the current one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dynaurora.aws.objects import S3Objects
from dynaurora.batches.batch import Batch
from dynaurora.dynamodb.items import TableItems
from dynaurora.failures.convert_failures import Remaker
from dynaurora.failures.list_failures import FailedObject
from dynaurora.mappings.registry import Registries
from dynaurora.mappings.replications import read_replication
from dynaurora.mappings.row_mappers import SharedRowMappers
from dynaurora.observability import count, identify, logger, observe_mapping, observed
from dynaurora.settings import ConvertFailuresSettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = ConvertFailuresSettings.from_environment()
mappers = SharedRowMappers(Registries(S3Objects(), settings.landing_bucket))


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Map the records of some failed objects again; return the batch and how to settle the objects."""
    entry = event["entry"]
    observe_mapping(event["mapping"])
    identify(run=event["run"], entry=entry["number"])
    mappers.begin(context.get_remaining_time_in_millis() / 1000)
    its_mappers = mappers.of(event["mapping"])
    mapper = its_mappers.find_recorded(event["digest"]) if "digest" in event else its_mappers.find_current()
    replication = read_replication(S3Objects(), settings.landing_bucket, event["mapping"])
    remaker = Remaker(
        mapper=mapper,
        store=S3Objects(),
        bucket=settings.landing_bucket,
        run=event["run"],
        max_attempts=settings.max_attempts,
        ignore_expiries=replication.ignores_expiries,
        function_arn=context.invoked_function_arn,
        items=TableItems(replication.table),
        make_careful=its_mappers.find_careful,
    )
    remade = remaker.remake(entry["number"], [FailedObject(**item) for item in entry["objects"]])
    rejected = sum(remade.batch["rejected"].values())
    count("RecordsReprocessed", remade.records)
    count("RecordsRejectedAgain", rejected)
    count("AttributesIgnored", sum(target.unmapped.take().total for target in mapper.targets))
    identify(batch=Batch.from_event({"batch": remade.batch}).id)
    logger.info("Failures converted", extra={"records": remade.records, "rejected": remade.batch["rejected"]})
    return {**entry, **asdict(remade)}

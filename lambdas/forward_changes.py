"""Forward changes: DynamoDB stream → Firehose."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dynaurora.aws.delivery_stream import FirehoseStream
from dynaurora.aws.objects import S3Objects
from dynaurora.errors import DynauroraError
from dynaurora.mappings.readers import TOLD_SECONDS, write_forwarded
from dynaurora.mappings.registry import Registry
from dynaurora.observability import Pulse, count, count_of_all, logger, observe_mapping, observed
from dynaurora.settings import ForwardChangesSettings
from dynaurora.stream.forward_changes import Forwarder

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

PULSE_SECONDS = 60
"""How often a process tells that changes are forwarded at all; an alarm looks at five minutes."""

settings = ForwardChangesSettings.from_environment()
registry = Registry(S3Objects(), settings.landing_bucket, settings.mapping)
pulse = Pulse(PULSE_SECONDS)
marks = Pulse(TOLD_SECONDS)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Send a batch of stream records to Firehose; name those to be delivered again.

    Raises RegistryUnavailableError where nobody knows by which mapping: then all of them are.
    """
    observe_mapping(settings.mapping)
    forwarder = Forwarder(
        mapping=settings.mapping,
        digest=registry.find_pointer().digest,
        stream=FirehoseStream(settings.delivery_stream),
        store=S3Objects(),
        landing_bucket=settings.landing_bucket,
        ignore_expiries=settings.ttl_deletes == "ignore",
        function_arn=context.invoked_function_arn,
    )
    result = forwarder.forward(event["Records"])
    count("ChangesForwarded", result.forwarded)
    count("ExpiriesIgnored", result.expiries_ignored)
    count("ChangesDiverted", result.oversize + result.unforwardable)
    count("StampsReversed", len(result.reversed_stamps))
    count("ChangesUnsent", len(result.failed))
    if result.forwarded and pulse.beats():
        count_of_all("StreamsForwarded", 1, settings.landing_bucket)
    if result.first_second and not result.failed and marks.beats():
        with suppress(DynauroraError):  # it is noted the next time; the changes are on their way
            write_forwarded(S3Objects(), settings.landing_bucket, settings.mapping, result.first_second)
    count_of_all("StampsReversed", len(result.reversed_stamps), settings.landing_bucket)
    if result.reversed_stamps:
        logger.error("Stamps went back", extra={"records": result.reversed_stamps})
    if result.unforwardable:
        reasons = {"unforwardable": result.unforwardable, "reasons": result.unforwardable_reasons}
        logger.warning("Some records can never be sent, and are kept as failed", extra=reasons)
    if result.failed:
        logger.warning("Some changes were not sent", extra={"unsent": len(result.failed), "reasons": result.reasons})
    return {"batchItemFailures": [{"itemIdentifier": number} for number in result.failed]}

"""The delivery stream of Firehose, as forwarding uses it."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from dynaurora.aws import sdk


class FirehoseStream:
    """The real one."""

    def __init__(self, name: str) -> None:
        self.name = name

    def put(self, records: list[bytes]) -> list[str | None]:
        """Send a batch and return each entry's error code, None where it was taken. Raises ThrottledError."""
        try:
            answer = sdk.client("firehose").put_record_batch(
                DeliveryStreamName=self.name, Records=[{"Data": data} for data in records]
            )
        except (ClientError, BotoCoreError) as error:
            translated = sdk.translate_error(error)
            if translated is None:
                raise
            raise translated from error
        return [entry.get("ErrorCode") for entry in answer["RequestResponses"]]

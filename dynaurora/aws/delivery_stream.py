"""The delivery stream of Firehose, as forwarding uses it.

The SDK's own JSON of a call takes as long as all else that it does, since it looks at each character of base64. So its
body is written here, and put in the place of one of an empty record, by two of the events that botocore has for it
(Botocore documentation, "Extensibility").
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from pybase64 import b64encode

from dynaurora.aws import sdk

if TYPE_CHECKING:
    from collections.abc import Iterable

BODY: Final = "dynaurora_body"
"""Where the context of a call has its body."""


class FirehoseStream:
    """The real one."""

    def __init__(self, name: str) -> None:
        self.name = name

    def put(self, records: list[bytes]) -> list[str | None]:
        """Send a batch and return each entry's error code, None where it was taken. Raises ThrottledError."""
        take_over_bodies(sdk.client("firehose"))
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


def take_over_bodies(client: Any) -> None:
    """Have the bodies of a client's calls written here: once, however often it is asked for."""
    for event, handler in HANDLERS.items():
        client.meta.events.register(event, handler, unique_id=event)


def write_body(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Write the body of a call, and leave an empty record of its parameters."""
    context[BODY] = encode_call(params["DeliveryStreamName"], (record["Data"] for record in params["Records"]))
    params["Records"] = [{"Data": b""}]


def replace_body(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Put the body of a call in the place of the SDK's; it is not signed yet."""
    params["body"] = context.pop(BODY)


def encode_call(name: str, records: Iterable[bytes]) -> bytes:
    """Return the body of a PutRecordBatch (Amazon Data Firehose API Reference)."""
    encoded = b'"},{"Data":"'.join(map(b64encode, records))
    return b'{"DeliveryStreamName":%b,"Records":[{"Data":"%b"}]}' % (json.dumps(name).encode(), encoded)


HANDLERS: Final = {
    "before-parameter-build.firehose.PutRecordBatch": write_body,
    "before-call.firehose.PutRecordBatch": replace_body,
}

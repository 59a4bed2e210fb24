"""Changes on their way through Firehose, in memory: packed, transformed, kept where they are refused."""

import base64
from collections.abc import Iterable
from typing import Any

from dynaurora import keys
from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.dynamodb.packs import encode_pack
from dynaurora.failures.failed_records import FailedRecord, decode_failed_record
from dynaurora.mappings.mapping import Mapping
from dynaurora.mappings.row_mappers import RowMappers
from dynaurora.stream.transform_changes import Transformer
from tests.support.example import load_example
from tests.support.factories import firehose_record
from tests.support.fakes import InMemoryObjects
from tests.support.registries import BUCKET, make_registry

CLICKS = load_example()
TRANSFORM_ARN = "arn:aws:lambda:us-east-1:123456789012:function:dynaurora-transform-changes"


def make_transformer(*mappings: Mapping, store: InMemoryObjects | None = None, **options: Any) -> Transformer:
    """Return a transformer by these mappings, the last one current, which keeps what it refuses in the store."""
    activated = mappings or (CLICKS,)
    return Transformer(
        mapping=activated[-1].name,
        mappers=RowMappers(make_registry(*activated)),
        store=InMemoryObjects() if store is None else store,
        landing_bucket=BUCKET,
        function_arn=TRANSFORM_ARN,
        **options,
    )


def packed(*changes: Change | bytes, record_id: str = "1", mapping: Mapping = CLICKS) -> dict[str, Any]:
    """Return a pack of changes as Firehose hands it to its transformation Lambda."""
    lines = [change if isinstance(change, bytes) else encode_change(change) for change in changes]
    return firehose_record(encode_pack(mapping.digest, lines), record_id)


def rows_of(answer: dict[str, str]) -> list[bytes]:
    """Return the labelled rows of an answered record."""
    return base64.b64decode(answer["data"]).splitlines(keepends=True)


def read_refused(store: InMemoryObjects, mapping: str = "web_analytics") -> dict[str, FailedRecord]:
    """Return the refused changes that are kept, by their keys; those that are settled are left out."""
    prefix = keys.refused_changes_prefix(mapping)
    found = {key: body for (bucket, key), body in store.objects.items() if bucket == BUCKET and key.startswith(prefix)}
    return {key: decode_failed_record(body) for key, body in found.items() if body}


def data_of(records: Iterable[FailedRecord]) -> list[bytes]:
    """Return the changes of failed records, in order."""
    return sorted(record.data for record in records)

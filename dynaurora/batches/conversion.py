"""Conversions: batches of an export that are still to be converted.

A batch of an export that is not converted yet has no descriptor. The state machine takes instead what convert_export
is asked with, which answers the descriptor:

    {"mapping": "web_analytics", "run": "20261123T081500Z", "digest": "…", "export_second": 1795421700,
     "bucket": "…", "export_bucket": "…",
     "batch": {"number": 1, "items": 18, "files": [{"key": "…", "items": 9, "md5": "…"}]}}

`batch` is the entry of the run's plan. `digest` names the mapping that the run works by; one that was recorded by the
release before has none.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dynaurora import keys
from dynaurora.aws.objects import read_or_none
from dynaurora.batches.batch import Batch, read_digest, read_field

if TYPE_CHECKING:
    from dynaurora.aws.objects import ObjectStore


CONVERSION_FIELDS = {
    "mapping": str,
    "run": str,
    "export_second": int,
    "bucket": str,
    "export_bucket": str,
    "batch": dict,
}
"""Of what convert_export is asked with, each field and its type."""
DIGEST_FIELD = "digest"
"""The one that it may be asked without."""


def check_conversion(event: Any) -> None:
    """Raise InvalidBatchError, naming the field, where an event is not what convert_export is asked with."""
    for name, kind in CONVERSION_FIELDS.items():
        read_field(event, name, kind, "batch")
    read_digest(event, "batch")


def take_fields(conversion: dict[str, Any]) -> dict[str, Any]:
    """Return what is asked of convert_export, and nothing that came with it."""
    return {name: conversion[name] for name in (*CONVERSION_FIELDS, DIGEST_FIELD) if name in conversion}


def read_converted(store: ObjectStore, bucket: str, mapping: str, run: str, number: int) -> Batch | None:
    """Return the batch that a planned one was converted to; None where it is not converted."""
    body = read_or_none(store, bucket, keys.backfill_descriptor(mapping, run, number))
    return None if body is None else Batch.from_event(json.loads(body))


def is_conversion(document: Any) -> bool:
    """Return whether a document has all that convert_export is asked with, each of its type, and a planned number."""
    fields = CONVERSION_FIELDS.items()
    has_all = isinstance(document, dict) and all(type(document.get(name)) is kind for name, kind in fields)
    return has_all and type(document["batch"].get("number")) is int

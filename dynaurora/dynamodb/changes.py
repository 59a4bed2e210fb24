"""Changes: one item's put or delete, with the version that says when it was made.

A change is made from a DynamoDB stream record, and travels through Firehose as one JSON object:

    {"Version": "17000000000…", "ChangedAtMs": 1700000000000, "Keys": {…}, "NewImage": {…}}

Keys and image stay in DynamoDB's typed form, so that a change that some mapping refuses can be mapped again later,
from the very same bytes. A delete has no NewImage. The old image never travels: nothing needs it, and with it a
400 KB item could pass Firehose's 1,000 KiB.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from dynaurora.dynamodb.attributes import load_json, respell_numbers
from dynaurora.dynamodb.versions import stream_version
from dynaurora.errors import Reason, RejectedChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

VIEWS_WITHOUT_IMAGE = ("KEYS_ONLY", "OLD_IMAGE")
"""Of a stream's four view types, those without new images (DynamoDB API Reference, `StreamSpecification`)."""
VERSION = re.compile(r"[0-9]{1,50}")

TypedItem = dict[str, Any]
"""An item or key in DynamoDB's JSON: attribute name → {type descriptor: value}."""


@dataclass(frozen=True, slots=True)
class Change:
    """One item's put, or its delete where there is no new image."""

    version: int
    """Which of two changes of a key is the newer: `dynaurora.dynamodb.versions`."""
    changed_at_ms: int
    """When the change was made, in milliseconds of Unix time, as exactly as its source knows."""
    keys: TypedItem
    new_image: TypedItem | None
    """The whole item after the change, keys included; None for a delete."""

    @property
    def is_delete(self) -> bool:
        """Whether the change takes the item away."""
        return self.new_image is None

    def key(self, names: Iterable[str]) -> TypedItem:
        """Return what tells the item apart, by the names of its key: a number in its one spelling."""
        return respell_numbers({name: self.keys[name] for name in names if name in self.keys})


def from_stream_record(record: Mapping[str, Any]) -> Change:
    """Return the change that a DynamoDB stream record, as Lambda receives it, tells of.

    Raises RejectedChange where the record is not one that DynamoDB writes, or where the stream's view type leaves
    the new image out: taken for a delete, it would remove the row.
    """
    try:
        data = record["dynamodb"]
        if record["eventName"] != "REMOVE" and "NewImage" not in data:
            raise RejectedChange(_without_image(data.get("StreamViewType")))
        created_at = float(data["ApproximateCreationDateTime"])
        change = Change(
            version=stream_version(int(created_at), int(data["SequenceNumber"])),
            changed_at_ms=round(created_at * 1000),
            keys=_typed_item(data["Keys"]),
            new_image=None if record["eventName"] == "REMOVE" else _typed_item(data["NewImage"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        missing = f" {error}" if isinstance(error, KeyError) else ""  # others quote what there is
        problem = f"is not a stream record with keys and new image: {type(error).__name__}{missing}"
        raise RejectedChange(Reason("record", "", problem)) from error
    return change


def _without_image(view: object) -> Reason:
    """Return why a put without its item is refused: for what its stream is set to write, where that is it."""
    if view not in VIEWS_WITHOUT_IMAGE:
        return Reason("record", "", "is not a stream record with keys and new image: NewImage is missing")
    return Reason(
        "view",
        "",
        f"has no new image, since its stream's view type is {view}: switch the stream off and on again with"
        " NEW_AND_OLD_IMAGES or NEW_IMAGE, deploy again, then start a backfill, which brings the item",
    )


def is_expiry(record: Mapping[str, Any]) -> bool:
    """Return whether a stream record is a delete by Time to Live.

    Its user identity is DynamoDB itself (DynamoDB Developer Guide, "DynamoDB Streams and Time to Live"). The copy
    of such a delete in another region of a global table has no user identity and is told as a plain delete.
    """
    identity = record.get("userIdentity")
    return (
        record.get("eventName") == "REMOVE"
        and isinstance(identity, dict)
        and identity.get("type") == "Service"
        and identity.get("principalId") == "dynamodb.amazonaws.com"
    )


def encode_change(change: Change) -> bytes:
    """Return a change as one line of JSON, without its newline.

    Raises RejectedChange where it is nested too deep to be written.
    """
    document: dict[str, Any] = {
        "Version": str(change.version),
        "ChangedAtMs": change.changed_at_ms,
        "Keys": change.keys,
    }
    if change.new_image is not None:
        document["NewImage"] = change.new_image
    try:
        return dump_json(document)
    except RecursionError:
        raise RejectedChange(Reason("depth", "", "is nested too deep")) from None


def encode_keys(typed_key: TypedItem) -> bytes:
    """Return what tells an item apart by its key, in whatever order its attributes come."""
    return dump_json(typed_key, _write_sorted)


def dump_json(document: Any, write: Callable[[Any], bytes] | None = None) -> bytes:
    """Return a document as JSON.

    What msgspec does not write, as a lone surrogate, travels unharmed as an escape, to be refused with its reason.
    """
    try:
        return (write or _write_quickly)(document)
    except RecursionError:
        raise
    except NOT_WRITTEN:
        return json.dumps(document, separators=(",", ":"), sort_keys=write is _write_sorted).encode()


NOT_WRITTEN = (UnicodeEncodeError, OverflowError, TypeError, ValueError, msgspec.MsgspecError)
_write_quickly = msgspec.json.Encoder().encode
_write_sorted = msgspec.json.Encoder(order="sorted").encode


def decode_change(data: bytes) -> Change:
    """Return the change that `encode_change` wrote.

    Raises RejectedChange where the bytes are something else.
    """
    try:
        document = load_json(data)
        return Change(
            version=_version(document["Version"]),
            changed_at_ms=_milliseconds(document["ChangedAtMs"]),
            keys=_typed_item(document["Keys"]),
            new_image=_typed_item(document["NewImage"]) if "NewImage" in document else None,
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        problem = f"is not a change as forward_changes writes it: {type(error).__name__} {error}"
        raise RejectedChange(Reason("record", "", problem)) from error


def _version(value: object) -> int:
    """Return a version from its text: as a JSON number, another reader might round its 50 digits."""
    if not isinstance(value, str) or not VERSION.fullmatch(value):
        raise TypeError("a version is a string of at most 50 digits")
    return int(value)


def _milliseconds(value: object) -> int:
    if type(value) is not int:
        raise TypeError("a time is a whole number of milliseconds")
    return value


def _typed_item(value: object) -> TypedItem:
    if not isinstance(value, dict):
        raise TypeError("an item is an object of attributes")
    return value

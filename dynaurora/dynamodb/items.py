"""Items of the source table, read by their keys, in DynamoDB's JSON."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aws import sdk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dynaurora.dynamodb.changes import TypedItem

MOST_KEYS: Final = 100
"""Of one BatchGetItem (Amazon DynamoDB API Reference, "BatchGetItem")."""


@dataclass(frozen=True, slots=True)
class ItemsRead:
    """What reading some keys at once gave."""

    items: list[TypedItem]
    """Those that there are, in no order."""
    unread: list[TypedItem]
    """Keys that were not read: the answer would have been too large, or the table is busy."""
    units: float
    """Read units that were used."""


@dataclass(frozen=True)
class TableItems:
    """The items of one table."""

    table: str

    def read_key_types(self) -> dict[str, str]:
        """Return the type descriptor of each key attribute: S, N or B."""
        with sdk.translated_errors():
            table = sdk.client("dynamodb").describe_table(TableName=self.table)["Table"]
        types = {entry["AttributeName"]: entry["AttributeType"] for entry in table["AttributeDefinitions"]}
        return {entry["AttributeName"]: types[entry["AttributeName"]] for entry in table["KeySchema"]}

    def read_item(self, key: TypedItem) -> TypedItem | None:
        """Return an item as it is now, by its key; None where there is none. The read is strongly consistent."""
        asked = {name: _to_sdk(value) for name, value in key.items()}
        with sdk.translated_errors():
            answer = sdk.client("dynamodb").get_item(TableName=self.table, Key=asked, ConsistentRead=True)
        item: TypedItem | None = answer.get("Item")
        return None if item is None else {name: to_json(value) for name, value in item.items()}

    def read_items(self, keys: Sequence[TypedItem]) -> ItemsRead:
        """Return the items of at most MOST_KEYS different keys, as they are now. The read is strongly consistent."""
        asked = [{name: _to_sdk(value) for name, value in key.items()} for key in keys]
        with sdk.translated_errors():
            answer = sdk.client("dynamodb").batch_get_item(
                RequestItems={self.table: {"Keys": asked, "ConsistentRead": True}}, ReturnConsumedCapacity="TOTAL"
            )
        found, unread = answer["Responses"].get(self.table, []), answer.get("UnprocessedKeys", {}).get(self.table, {})
        return ItemsRead(
            [{name: to_json(value) for name, value in item.items()} for item in found],
            [{name: to_json(value) for name, value in key.items()} for key in unread.get("Keys", [])],
            sum(float(used.get("CapacityUnits", 0)) for used in answer.get("ConsumedCapacity", [])),
        )


def _to_sdk(value: dict[str, str]) -> dict[str, Any]:
    """Return a key attribute as the SDK takes it: binary as bytes."""
    return {kind: base64.b64decode(text) if kind == "B" else text for kind, text in value.items()}


def to_json(value: Any) -> Any:
    """Return a typed value as DynamoDB's JSON has it: the SDK decodes binary, which is base64 there."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, dict):
        return {name: to_json(inner) for name, inner in value.items()}
    if isinstance(value, (list, set)):
        return [to_json(inner) for inner in value]
    return value

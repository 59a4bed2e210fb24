"""Items of the source table, read one by one by their keys, in DynamoDB's JSON."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dynaurora.aws import sdk

if TYPE_CHECKING:
    from dynaurora.dynamodb.changes import TypedItem


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

"""Items of the source table, read by their keys, in DynamoDB's JSON."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aws import sdk
from dynaurora.dynamodb.attributes import is_possible_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dynaurora.dynamodb.changes import TypedItem

MOST_KEYS: Final = 100
"""Of one BatchGetItem (Amazon DynamoDB API Reference, "BatchGetItem")."""
MOST_KEY_BYTES: Final = (2048, 1024)
"""Of text or binary in a partition key, and in a sort key, which are not empty either (Amazon DynamoDB Developer Guide,
"Quotas in Amazon DynamoDB")."""


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
        """Return an item as it is now, by its key; None where there is none. The read is strongly consistent.

        There is none of a key that no item can have either, which a row may have that people wrote.
        """
        asked = {name: _to_sdk(value) for name, value in key.items()}
        answer = self._ask(
            [key], lambda: sdk.client("dynamodb").get_item(TableName=self.table, Key=asked, ConsistentRead=True)
        )
        if answer is None:
            return None
        item: TypedItem | None = answer.get("Item")
        return None if item is None else {name: to_json(value) for name, value in item.items()}

    def read_items(self, keys: Sequence[TypedItem]) -> ItemsRead:
        """Return the items of at most MOST_KEYS different keys, as they are now. The read is strongly consistent."""
        asked = [{name: _to_sdk(value) for name, value in key.items()} for key in keys]
        answer = self._ask(
            keys,
            lambda: sdk.client("dynamodb").batch_get_item(
                RequestItems={self.table: {"Keys": asked, "ConsistentRead": True}}, ReturnConsumedCapacity="TOTAL"
            ),
        )
        if answer is None:
            possible = [key for key in keys if is_possible_key(key, self._key_types)]
            return self.read_items(possible) if possible else ItemsRead([], [], 0.0)
        found, unread = answer["Responses"].get(self.table, []), answer.get("UnprocessedKeys", {}).get(self.table, {})
        return ItemsRead(
            [{name: to_json(value) for name, value in item.items()} for item in found],
            [{name: to_json(value) for name, value in key.items()} for key in unread.get("Keys", [])],
            sum(float(used.get("CapacityUnits", 0)) for used in answer.get("ConsumedCapacity", [])),
        )

    @cached_property
    def _key_types(self) -> dict[str, str]:
        return self.read_key_types()

    def _ask(self, keys: Sequence[TypedItem], ask: Callable[[], Any]) -> Any:
        """Return what DynamoDB answers of some keys; None where no item can have some of them."""
        with sdk.translated_errors():
            answer = sdk.unless_invalid(ask)
            if answer is None and all(is_possible_key(key, self._key_types) for key in keys):
                return ask()  # which raises what else is not valid
        return answer


def is_possible_key(key: TypedItem, types: dict[str, str]) -> bool:
    """Tell whether an item of a table can have a key: by its types, the partition key's first, numbers and lengths.

    Raises AttributeError, TypeError or ValueError where it is not of DynamoDB's JSON.
    """
    return key.keys() == types.keys() and all(
        [*key[name]] == [kind] and _is_possible_value(kind, key[name][kind], most)
        for (name, kind), most in zip(types.items(), MOST_KEY_BYTES, strict=False)
    )


def _is_possible_value(kind: str, text: str, most: int) -> bool:
    if kind == "N":
        return is_possible_number(text)
    data = base64.b64decode(text, validate=True) if kind == "B" else text.encode()
    is_canonical = kind != "B" or base64.b64encode(data) == text.encode()  # else it is another name of the same key
    return is_canonical and 0 < len(data) <= most


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

"""DynamoDB: what PartiQL writes is checked, and told to the table's stream, as what other operations write.

The emulator leaves no stream record of INSERT, UPDATE and DELETE. AWS captures every change to an item (developer
guide, "Change data capture for DynamoDB Streams"); statements of a transaction leave records once all of them have
succeeded. The emulator also stores items and keys that PutItem and UpdateItem refuse.
"""

import contextvars
from typing import Any

from ministack.core import responses
from ministack.services import dynamodb

from local.emulator.replacements import Replacements

Item = dict[str, Any]
Table = dict[str, Any]
Write = tuple[str, Item | None, Item | None]
"""A table's name, and its item before and after."""

_written: contextvars.ContextVar[list[Write] | None] = contextvars.ContextVar("written_by_partiql", default=None)


def install(emulator: Replacements) -> None:
    """Plan the replacements that tell of writes."""
    module = dynamodb.__name__
    emulator.require(
        module,
        "_emit_stream_event",
        "(table_name: str, event_name: str, old_item: dict | None, new_item: dict | None, replicate: bool = True)",
    )
    emulator.require(
        module,
        "_validate_item",
        "(item: dict, pk_name: str | None = None, sk_name: str | None = None, size_msg: str = "
        "'Item size has exceeded the maximum allowed size') -> tuple | None",
    )
    for statement in ("_execute_statement", "_execute_transaction"):
        emulator.wrap(module, statement, "(data)", _tell_of_writes)
    emulator.wrap(module, "_set_item", "(table, pk_val, sk_val, item)", _note_set)
    emulator.wrap(module, "_remove_item", "(table, pk_val, sk_val)", _note_removal)
    emulator.wrap(module, "_partiql_insert", "(table, parsed)", _check_inserted)
    emulator.wrap(module, "_partiql_update", "(table, parsed, data=None)", _check_updated)


def _tell_of_writes(original: Any) -> Any:
    def execute(data: Any) -> Any:
        written: list[Write] = []
        token = _written.set(written)
        try:
            answer = original(data)
        finally:
            _written.reset(token)
        if answer[0] == 200:  # a transaction that failed was rolled back
            for name, before, after in written:
                event = "REMOVE" if after is None else "INSERT" if before is None else "MODIFY"
                dynamodb._emit_stream_event(name, event, before, after)
        return answer

    return execute


def _note_set(original: Any) -> Any:
    def set_item(table: Table, pk_val: Any, sk_val: Any, item: Item) -> Any:
        before = original(table, pk_val, sk_val, item)
        if (written := _written.get()) is not None:
            written.append((table["TableName"], before, item))
        return before

    return set_item


def _note_removal(original: Any) -> Any:
    def remove_item(table: Table, pk_val: Any, sk_val: Any) -> Any:
        before = original(table, pk_val, sk_val)
        if before is not None and (written := _written.get()) is not None:
            written.append((table["TableName"], before, None))
        return before

    return remove_item


def _check_inserted(original: Any) -> Any:
    """Refuse an item that PutItem would refuse."""

    def insert(table: Table, parsed: dict[str, Any]) -> Any:
        item = parsed.get("item") or {}
        if set(item) == {"M"}:
            item = item["M"]
        refusal = item and dynamodb._validate_item(item, table["pk_name"], table["sk_name"])
        if refusal:
            return refusal
        missing = [name for name in (table["pk_name"], table["sk_name"]) if name and name not in item]
        problem = (
            f"One or more parameter values were invalid: Missing the key {missing[0]} in the item"
            if missing
            else dynamodb._key_type_mismatch_reason(table, item)
        )
        if item and problem:
            return responses.error_response_json("ValidationException", problem, 400)
        return dynamodb._validate_index_key_values(table, item) or original(table, parsed)

    return insert


def _check_updated(original: Any) -> Any:
    """Refuse an update of a key, which would leave the item where it does not belong."""

    def update(table: Table, parsed: dict[str, Any], data: Any = None) -> Any:
        paths = [*(parts for parts, _ in parsed.get("assignments") or []), *(parsed.get("removes") or [])]
        refusal = dynamodb._key_attribute_update_error(table, {parts[0] for parts in paths})
        return refusal or original(table, parsed, data)

    return update

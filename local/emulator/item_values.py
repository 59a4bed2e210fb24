"""DynamoDB: the values of a request are read as AWS reads them, before anything is done with them.

- A number is its value: it is stored, compared, and found as a key or a member of a set, without the zeros that say
  nothing (developer guide, "Supported data types": leading and trailing zeros are trimmed). The emulator compares keys
  and members as text, transactions store numbers as they come, and those in PartiQL's statements lose digits behind
  the 28th.
- A number has the digits 0 to 9, and is sent as a string. The emulator takes digits of every script, and has another
  error for a number of JSON.
- Binary is base64 with its padding, and no bits beside it; anything else is a ``SerializationException``. The
  emulator stores any text.
- A set has members, wherever it stands. The emulator takes empty ones in expressions.
- Strings and names are UTF-8 (developer guide, "Supported data types" and "Naming rules"), so that no lone surrogate
  can be in them. AWS does not document how it refuses one; here it is a ``SerializationException``.

The messages on what cannot be read are those that others have seen AWS answer with.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from ministack.core import responses
from ministack.services import _dynamodb_keywords, dynamodb

from local.emulator.replacements import Replacements

OPERATIONS = (
    "_put_item",
    "_get_item",
    "_delete_item",
    "_update_item",
    "_query",
    "_scan",
    "_batch_write_item",
    "_batch_get_item",
    "_transact_write_items",
    "_transact_get_items",
    "_execute_statement",
    "_batch_execute_statement",
    "_execute_transaction",
)
BY_ATTRIBUTE = frozenset({"Item", "Key", "ExclusiveStartKey", "ExpressionAttributeValues"})
"""Members of requests that have a value for each name."""
LISTS = frozenset({"Parameters", "AttributeValueList"})
"""Members of requests that are lists of values."""
BY_NAME = frozenset({"RequestItems", "AttributeUpdates", "Expected", "KeyConditions", "QueryFilter", "ScanFilter"})
"""Members of requests whose names are a person's: tables and attributes."""
PLAIN_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,37}").fullmatch
UNREADABLE = "SerializationException"
DEEPEST = 64
"""Beyond the depth at which DynamoDB refuses a value; what is deeper is left to that."""
EMPTY_SETS = {
    "SS": "An string set  may not be empty",
    "NS": "An number set  may not be empty",
    "BS": "Binary sets should not be empty",
}
"""What AWS says of each kind of set that has no member."""


class _UnreadableError(Exception):
    """A value that cannot be read; the message is the answer's."""


def install(emulator: Replacements) -> None:
    """Plan the replacements that read values."""
    module = dynamodb.__name__
    emulator.require(module, "_ddb_canonicalize_number", "(s: str) -> str | None")
    for operation in OPERATIONS:
        emulator.wrap(module, operation, "(data)", _read_values)
    for check in ("_number_error", "_partiql_number_param_error"):
        emulator.wrap(module, check, "(text) -> str | None", _refuse_other_digits)
    emulator.replace(_dynamodb_keywords.__name__, "canonical_number", "(text)", spell)
    emulator.wrap(
        module,
        "handle_request",
        "(method: str, path: str, headers: dict, body: bytes, query_params: dict) -> tuple",
        _refuse_surrogates,
    )


def find_values(node: Any) -> Iterator[Any]:
    """Yield each attribute value of a request, or of a part of one."""
    if isinstance(node, list):
        for member in node:
            yield from find_values(member)
    if not isinstance(node, dict):
        return
    for name, member in node.items():
        if name in BY_ATTRIBUTE and isinstance(member, dict):
            yield from member.values()
        elif name == "Keys" and isinstance(member, list):
            for key in member:
                yield from key.values() if isinstance(key, dict) else ()
        elif name in LISTS and isinstance(member, list):
            yield from member
        elif name == "Value":
            yield member
        elif name in BY_NAME and isinstance(member, dict):
            for part in member.values():
                yield from find_values(part)
        else:
            yield from find_values(member)


def normalize(value: Any, depth: int = 0) -> str | None:
    """Give each number in an attribute value its one spelling, in place; what is no value is left to the emulator.

    Returns the kind of a set without members, where there is one. Raises _UnreadableError on binary that is not
    base64, and on a text or number that is no string of JSON.
    """
    if not isinstance(value, dict) or len(value) != 1 or depth > DEEPEST:
        return None
    ((descriptor, content),) = value.items()
    if descriptor in {"N", "S"}:
        _check_text(content)
        if descriptor == "N":
            value["N"] = spell(content)
    elif descriptor == "B":
        _check_base64(content)
    elif descriptor in EMPTY_SETS and isinstance(content, list):
        return _normalize_set(value, descriptor, content)
    elif descriptor == "M" and isinstance(content, dict):
        return normalize_all(content.values(), depth + 1)
    elif descriptor == "L" and isinstance(content, list):
        return normalize_all(content, depth + 1)
    return None


def normalize_all(values: Iterable[Any], depth: int = 0) -> str | None:
    """Normalize each of some values."""
    empty = None
    for value in values:
        empty = normalize(value, depth) or empty
    return empty


def _normalize_set(value: dict[str, Any], descriptor: str, members: list[Any]) -> str | None:
    for member in members:
        (_check_base64 if descriptor == "BS" else _check_text)(member)
    if descriptor == "NS":
        value["NS"] = [spell(member) for member in members]
    return None if members else descriptor


def spell(number: Any) -> Any:
    """Return the one spelling of a number; anything else as it is, for the emulator to refuse."""
    if type(number) is not str or PLAIN_NUMBER(number):
        return number
    spelled: str | None = dynamodb._ddb_canonicalize_number(number)
    return number if spelled is None else spelled


def _check_text(value: Any) -> None:
    if isinstance(value, int | float):
        kind = "NUMBER_VALUE" if not isinstance(value, bool) else str(value).upper() + "_VALUE"
        raise _UnreadableError(f"{kind} cannot be converted to String")


def _check_base64(text: Any) -> None:
    if type(text) is not str:
        return
    if len(text) % 4:
        raise _UnreadableError(f"Base64 encoded length is expected a multiple of 4 bytes but found: {len(text)}")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # ValueError: it is not ASCII
        raise _UnreadableError("Invalid Base64 character") from None
    if base64.b64encode(data).decode() != text:
        raise _UnreadableError("Invalid last non-pad Base64 character dectected")  # AWS spells it so


def _read_values(original: Any) -> Any:
    def operate(data: Any) -> Any:
        try:
            empty = normalize_all(find_values(data))
        except _UnreadableError as error:
            return responses.error_response_json(UNREADABLE, str(error), 400)
        if empty:
            problem = f"One or more parameter values were invalid: {EMPTY_SETS[empty]}"
            return responses.error_response_json("ValidationException", problem, 400)
        return original(data)

    return operate


def _refuse_other_digits(original: Any) -> Any:
    def find_error(text: Any) -> Any:
        if isinstance(text, str) and (not text.isascii() or text.endswith("\n")):
            return f"{dynamodb._NOT_NUMERIC}: {text}"
        return original(text)

    return find_error


def _refuse_surrogates(original: Any) -> Any:
    """Refuse a request with a lone surrogate, as an escape or in three bytes, wherever it stands."""

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes | str, query_params: Any) -> Any:
        sent = body.encode(errors="surrogatepass") if isinstance(body, str) else body  # a text where a service asks
        if b"\xed" in sent or b"\\ud" in sent or b"\\uD" in sent:
            try:
                json.dumps(json.loads(sent), ensure_ascii=False).encode()
            except UnicodeEncodeError:
                message = "The request has a lone surrogate, which is no text in UTF-8"
                return responses.error_response_json(UNREADABLE, message, 400)
            except (ValueError, RecursionError):
                pass  # for the emulator to refuse
        return await original(method, path, headers, body, query_params)

    return handle

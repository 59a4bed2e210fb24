"""Lines of an export's data files: an item each of a full export, a change each of an incremental one.

    {"Item": {…}}
    {"Metadata": {"WriteTimestampMicros": {"N": "1700000000123456"}}, "Keys": {…}, "OldImage": {…}, "NewImage": {…}}

A change without a new image is a delete, in both views that incremental exports have. The time is that of the item's
last write within the window; some texts print it as a bare number. (DynamoDB Developer Guide, "DynamoDB table export
output format".)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dynaurora.dynamodb.attributes import load_json
from dynaurora.dynamodb.changes import Change
from dynaurora.dynamodb.versions import SNAPSHOT_MARGIN_SECONDS, incremental_version
from dynaurora.errors import InvalidExportError

if TYPE_CHECKING:
    from collections.abc import Iterable

SECOND: Final = 1_000_000
"""In microseconds."""


def read_item(line: bytes, place: str) -> dict[str, Any]:
    """Return the item of a data file's line. Raises InvalidExportError where it is none."""
    try:
        document = load_json(line)
    except (ValueError, RecursionError) as error:
        raise InvalidExportError(f"{place} is not an item: it is no JSON, {type(error).__name__} {error}.") from error
    item = document.get("Item") if isinstance(document, dict) else None
    if not isinstance(item, dict):
        problem = 'its "Item" is no object' if item is not None else 'it is no object with an "Item"'
        raise InvalidExportError(f"{place} is not an item: {problem}.")
    return item


def read_change_line(line: bytes, place: str, export_to_second: int, names: Iterable[str]) -> Change:
    """Return the change that a line of an incremental export's file tells of, by the names of the table's key.

    Raises InvalidExportError where it is none, or is of a time that the window does not reach: it would beat changes
    that are newer.
    """
    try:
        document = load_json(line)
    except (ValueError, RecursionError) as error:
        raise InvalidExportError(f"{place} is not a change: it is no JSON, {type(error).__name__} {error}.") from error
    try:
        micros = _read_micros(document["Metadata"]["WriteTimestampMicros"])
        keys, image = document["Keys"], document.get("NewImage", {})
        if not isinstance(keys, dict) or not isinstance(image, dict):
            raise TypeError("Keys or NewImage is no object")
        version = incremental_version(micros, export_to_second)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        problem = f"{type(error).__name__} {error}"
        raise InvalidExportError(f"{place} is not a change of an incremental export: {problem}.") from error
    if micros > (export_to_second + SNAPSHOT_MARGIN_SECONDS) * SECOND:
        raise InvalidExportError(f"{place} was written at {micros} µs, after its export's window.")
    of_key = {name: keys[name] for name in names if name in keys}
    return Change(version, micros // 1000, of_key, image if "NewImage" in document else None)


def _read_micros(value: Any) -> int:
    """Return a time in microseconds. Raises TypeError or ValueError where it is none."""
    text = value["N"] if isinstance(value, dict) else value
    if type(text) is int or (isinstance(text, str) and text.isascii() and text.isdecimal()):
        return int(text)
    raise ValueError("WriteTimestampMicros is no whole number of microseconds")

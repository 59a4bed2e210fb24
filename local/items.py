"""Items from a file, written to a table: one `{"Item": {"id": {"S": "17"}, …}}` a line, as DynamoDB exports them.

A file is checked as a whole before anything of it is written: each line is an item of DynamoDB's JSON, and has the
mapping's key attributes, of the same types as all others. Names that end with .gz are unpacked.

Format: DynamoDB Developer Guide, "DynamoDB table export output format".
"""

from __future__ import annotations

import base64
import gzip
import json
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from dynaurora.dynamodb.attributes import plain_item
from dynaurora.errors import RejectedChange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_dynamodb import DynamoDBClient

    from dynaurora.mappings.mapping import Mapping

MOST_PROBLEMS: Final = 10
"""Lines that an error names; it counts no more than these."""
BATCH: Final = 25
"""Items that BatchWriteItem takes (DynamoDB API Reference)."""
KEY_TYPES: Final = ("S", "N", "B")
FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 2.0


class ItemsError(Exception):
    """A file's items cannot be written; the message names the file and the lines."""


@dataclass(frozen=True)
class ItemFile:
    """A file of items of a mapping's table."""

    path: Path
    mapping: Mapping

    def check(self) -> dict[str, str]:
        """Check every line; return the type descriptors of the key attributes.

        Raises ItemsError for lines that hold no item of the table, and for a file that cannot be read or has no line.
        """
        types: dict[str, str] = {}
        problems = list(islice(self._find_problems(types), MOST_PROBLEMS + 1))
        if problems:
            more = ["…"] if len(problems) > MOST_PROBLEMS else []
            told = "\n".join([*problems[:MOST_PROBLEMS], *more])
            raise ItemsError(f"{self.path} is not a file of items for {self.mapping.source_table}:\n{told}")
        if not types:
            raise ItemsError(f"{self.path} has no items; a line is an item, as {self._show_line()}")
        return types

    def write(self, dynamodb: DynamoDBClient) -> int:
        """Write the items of a checked file, in its order; return how many lines it has.

        Raises ItemsError for an item that DynamoDB refuses; those before it are written.
        """
        table, count, batch = self.mapping.source_table, 0, _Batch(dynamodb, self)
        for number, line in self._lines():
            item = {name: _to_sdk(attribute) for name, attribute in json.loads(line)["Item"].items()}
            batch.add(table, number, item)
            count += 1
        batch.flush(table)
        return count

    def refuse(self, number: int, reason: str) -> ItemsError:
        """Return the error for a line."""
        return ItemsError(f"{self.path} line {number}: {reason}")

    def _find_problems(self, types: dict[str, str]) -> Iterator[str]:
        """Yield what is wrong, by line; `types` gets those of the keys."""
        for number, line in self._lines():
            try:
                found = self._read_key_types(line)
            except ValueError as error:
                yield f"line {number}: {error}"
                continue
            for name, kind in found.items():
                if types.setdefault(name, kind) != kind:
                    yield f"line {number}: {name} is of type {kind}, and before it was {types[name]}"

    def _read_key_types(self, line: bytes) -> dict[str, str]:
        """Return the types of a line's keys. Raises ValueError where it is no item of the table."""
        try:
            document = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"it is no JSON: {error}") from error
        item = document.get("Item") if isinstance(document, dict) else None
        if not isinstance(item, dict):
            raise ValueError(f"it is no item, which is written {self._show_line()}")
        try:
            plain_item(item)
        except RejectedChange as error:
            raise ValueError("; ".join(str(reason) for reason in error.reasons)) from error
        return {name: self._read_type(item, name) for name in self.mapping.key_attributes}

    def _read_type(self, item: dict[str, Any], name: str) -> str:
        if name not in item:
            raise ValueError(f"it has no {name}, which is a key of {self.mapping.source_table}")
        (kind,) = item[name]
        if kind not in KEY_TYPES:
            raise ValueError(f"{name} is of type {kind}, and a key is one of {', '.join(KEY_TYPES)}")
        return str(kind)

    def _show_line(self) -> str:
        shown = {name: {"S": "…"} for name in self.mapping.key_attributes}
        return json.dumps({"Item": shown}, ensure_ascii=False)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that are not blank, with their numbers."""
        try:
            with gzip.open(self.path) if self.path.suffix == ".gz" else self.path.open("rb") as file:
                yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())
        except (OSError, EOFError) as error:
            raise ItemsError(f"{self.path} cannot be read: {error}") from error


class _Batch:
    """Items that are written together: of different keys."""

    def __init__(self, dynamodb: DynamoDBClient, file: ItemFile) -> None:
        self._dynamodb = dynamodb
        self._file = file
        self._items: dict[str, tuple[int, dict[str, Any]]] = {}

    def add(self, table: str, number: int, item: dict[str, Any]) -> None:
        """Take one more item, and write what is there where that is enough, or has an item of its key."""
        key = repr([item[name] for name in self._file.mapping.key_attributes])
        if key in self._items or len(self._items) == BATCH:
            self.flush(table)
        self._items[key] = number, item

    def flush(self, table: str) -> None:
        """Write what is there."""
        requests: Any = {table: [{"PutRequest": {"Item": item}} for _, item in self._items.values()]}
        pause = FIRST_PAUSE_SECONDS
        try:
            while requests.get(table):
                requests = self._dynamodb.batch_write_item(RequestItems=requests)["UnprocessedItems"]
                if requests:
                    time.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":
                raise
            self._write_one_by_one(table)
        self._items.clear()

    def _write_one_by_one(self, table: str) -> None:
        """Write what DynamoDB refused together, to find out which item it is that it refuses."""
        for number, item in self._items.values():
            try:
                self._dynamodb.put_item(TableName=table, Item=item)
            except ClientError as error:
                raise self._file.refuse(number, error.response["Error"]["Message"]) from error


def _to_sdk(attribute: Any) -> Any:
    """Return a typed value of DynamoDB's JSON as the SDK takes it: binary, which is base64 there, as bytes."""
    ((kind, value),) = attribute.items()
    if kind == "B":
        return {kind: base64.b64decode(value)}
    if kind == "BS":
        return {kind: [base64.b64decode(text) for text in value]}
    if kind == "M":
        return {kind: {name: _to_sdk(inner) for name, inner in value.items()}}
    if kind == "L":
        return {kind: [_to_sdk(inner) for inner in value]}
    return attribute

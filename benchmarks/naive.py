"""What somebody would write who needs it done by the evening: json, boto3, jsonschema and csv.

It is honest work: each item is unwrapped by boto3's own TypeDeserializer, judged by jsonschema, and written by csv. It
leaves out what this project does beyond: exact limits of columns, bytes of the format, reasons for people.
"""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import Binary, TypeDeserializer
from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dynaurora.mappings.mapping import Mapping


class Naive:
    """Rows of one mapping's items."""

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self._deserialize: Callable[[Any], Any] = TypeDeserializer().deserialize
        self._errors = Draft202012Validator(mapping.schema).iter_errors
        self._paths = [column.source.split(".") for column in mapping.columns]

    def convert(self, body: bytes, version: int, changed_at_ms: int) -> tuple[str, list[str]]:
        """Return the CSV of an export's data file, and what is wrong with the items that are refused."""
        text, refused = io.StringIO(), list[str]()
        writer = csv.writer(text)
        with gzip.open(io.BytesIO(body)) as lines:
            for line in lines:
                self._write(writer, json.loads(line)["Item"], version, changed_at_ms, refused)
        return text.getvalue(), refused

    def transform(self, records: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
        """Return the answer to Firehose for changes as `dynaurora.dynamodb.changes` encodes them."""
        answer = []
        for record in records:
            change, text, refused = json.loads(base64.b64decode(record["data"])), io.StringIO(), list[str]()
            item = change.get("NewImage")
            if item is None:
                keys = {name: self._deserialize(value) for name, value in change["Keys"].items()}
                row = [keys.get(path[0]) if len(path) == 1 else None for path in self._paths]
                csv.writer(text).writerow([1, change["Version"], *row])
            else:
                self._write(csv.writer(text), item, change["Version"], change["ChangedAtMs"], refused)
            data = base64.b64encode(text.getvalue().encode()).decode()
            answer.append(
                {"recordId": record["recordId"], "result": "ProcessingFailed" if refused else "Ok", "data": data}
            )
        return answer

    def _write(self, writer: Any, item: Any, version: Any, changed_at_ms: int, refused: list[str]) -> None:
        plain = {name: plain_value(self._deserialize(unpacked(value))) for name, value in item.items()}
        for name in self.mapping.json_attributes:
            plain[name] = json.loads(plain[name])
        errors = list(self._errors(plain))
        if errors:
            refused.append("; ".join(error.message for error in errors))
        else:
            row = [changed_at_ms if path == ["@changed_at_ms"] else find(plain, path) for path in self._paths]
            writer.writerow([0, version, *row])


def consume(records: Iterable[dict[str, Any]], cursor: Any, statement: str) -> None:
    """Write the changes of clicks straight into the database, by a statement that lets the newest version win.

    It is what a consumer of the stream is that somebody writes by hand for this one table: no schema, no limits, a
    record that is odd stops its shard, and the database has as many writers as the stream has shards.
    """
    rows = []
    for record in records:
        change = record["dynamodb"]
        created = change["ApproximateCreationDateTime"]
        version = int(created) * 10**40 + int(change["SequenceNumber"])
        key = change["Keys"]["page_id"]["S"], change["Keys"]["activity_dt"]["S"]
        if record["eventName"] == "REMOVE":
            rows.append((1, version, *key, None, None, None, None, None))
            continue
        payload = json.loads(change["NewImage"]["payload"]["S"])
        session, country = payload["session"], payload["device"]["location"]["country"]
        times = session["start_timestamp"], session["stop_timestamp"]
        rows.append((0, version, *key, round(created * 1000), payload["Hits"], *times, country))
    cursor.executemany(statement, rows)


def unpacked(attribute: dict[str, Any]) -> dict[str, Any]:
    """Return a typed attribute with its binary as bytes, which TypeDeserializer wants; exports have base64."""
    ((kind, value),) = attribute.items()
    if kind == "B":
        return {kind: base64.b64decode(value)}
    if kind == "BS":
        return {kind: [base64.b64decode(member) for member in value]}
    if kind == "M":
        return {kind: {name: unpacked(member) for name, member in value.items()}}
    return {kind: [unpacked(member) for member in value]} if kind == "L" else attribute


def plain_value(value: Any) -> Any:
    """Return what TypeDeserializer returns as jsonschema and json know it."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Binary):
        return base64.b64encode(value.value).decode()  # type: ignore[attr-defined]  # of the stubs
    if isinstance(value, set):
        return [plain_value(member) for member in value]
    if isinstance(value, list):
        return [plain_value(member) for member in value]
    if isinstance(value, dict):
        return {name: plain_value(member) for name, member in value.items()}
    return value


def find(item: dict[str, Any], path: list[str]) -> Any:
    """Return the value at a path as a field of CSV."""
    value: Any = item
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return json.dumps(value) if isinstance(value, dict | list) else value

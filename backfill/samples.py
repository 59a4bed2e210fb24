"""Samples of items: some of a table, of an export or of a file, in batches, with what reading them came to.

A table is scanned in parts that lie apart, eventually consistent, so that a read unit reads 8 KB; a pause after each
page keeps to the units a second that are allowed. Of an export, each data file gives its share.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from backfill.deployment.clients import connect_objects, connect_to
from backfill.terminal.console import WrongUseError, say
from backfill.terminal.formatting import format_bytes, format_usd
from dynaurora.dynamodb.items import to_json
from dynaurora.errors import InvalidExportError
from dynaurora.exports.convert_export import ITEM_BYTES
from dynaurora.exports.export_lines import read_item
from dynaurora.exports.gzip_lines import MAX_LINE_BYTES, GzipError, TextTooLongError, read_lines
from dynaurora.exports.manifests import ExportSummary, read_data_files, read_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.dynamodb.changes import TypedItem

Batch = tuple[list[Any], int]
"""Items, and about how many bytes their JSON has."""

TABLE_SAMPLE: Final = 10_000
"""Items that are read of a table unless more are asked for."""
FILE_SAMPLE: Final = 1_000_000
MOST_SAMPLE: Final = 100_000_000
PAGE_ITEMS: Final = 500
SEGMENTS: Final = 8
"""Parts of a table that are read in turn: one that has a large partition gives no more than its share."""
READ_UNIT_USD: Final = 0.125 / 1e6
"""On demand, in us-east-1 (aws.amazon.com/dynamodb/pricing/on-demand)."""
MOST_FILES: Final = 200
"""Data files of an export that a sample is read of, evenly among them; each has items of all partitions' hashes."""
EXPORT_ARN: Final = re.compile(r"arn:[^:]+:dynamodb:[^:]*:[^:]*:table/(?P<table>[^/]+)/export/[^/]+")
S3_URL: Final = re.compile(r"s3://(?P<bucket>[^/]+)/(?P<key>.+)")
SHOWN_LINE: Final = 'A line is written {"Item": {"id": {"S": "a1"}, "total": {"N": "9.5"}}}, as DynamoDB exports items.'
SUMMARY: Final = "manifest-summary.json"


class UnreadableFileError(click.ClickException):
    """A file's lines are no items; the message names the line, and how one is written."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What DynamoDB says of a table."""

    table: str
    key_types: dict[str, str]
    """The type descriptor of each key attribute, the partition key's first."""
    ttl_attribute: str | None
    items: int
    """As of the last six hours (DynamoDB API Reference, `TableDescription`)."""
    size_bytes: int = 0
    """As of the same time."""


@dataclass
class Sample:
    """Items to look at, and what reading them comes to as it goes on."""

    where: str
    """What they are of, for people."""
    batches: Iterator[Batch]
    of: int | None = None
    """Items that there are, where that is known."""
    cost: dict[str, float] = field(default_factory=dict)
    """Read units and dollars, of a table; bytes, of an export."""


class _Line(msgspec.Struct):
    """A line of an export's data file."""

    Item: dict[str, dict[str, Any]]


_decode: Final[Callable[[bytes], _Line]] = msgspec.json.Decoder(_Line).decode


def decode_lines(lines: Sequence[bytes], place: str, first: int) -> list[Any]:
    """Return the items of lines, blank ones left out. Raises InvalidExportError, naming the line, where one is none."""
    items: list[Any] = []
    for number, line in enumerate(lines, first):
        try:
            items.append(_decode(line).Item)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            if line.strip():
                items.append(read_item(line, f"{place} line {number}"))
    return items


def say_cost(sample: Sample) -> str:
    """Say what reading came to."""
    if "read_units" in sample.cost:
        usd = format_usd(sample.cost["usd"])
        return f"{sample.cost['read_units']:,.1f} read units, {usd} on demand in us-east-1"
    return f"{format_bytes(sample.cost['bytes'])} of text read"


# Tables


def describe_table(table: str) -> TableFacts:
    """Return what DynamoDB says of a table. Raises the SDK's errors, and WrongUseError where there is none."""
    dynamodb = connect_to("dynamodb")
    try:
        found = dynamodb.describe_table(TableName=table)["Table"]
    except dynamodb.exceptions.ResourceNotFoundException:
        raise WrongUseError(f"There is no table {table} in this account and region.") from None
    types = {each["AttributeName"]: each["AttributeType"] for each in found["AttributeDefinitions"]}
    names = [each["AttributeName"] for each in sorted(found["KeySchema"], key=lambda each: each["KeyType"])]
    ttl = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    is_on = ttl.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}
    return TableFacts(
        table,
        {name: types[name] for name in names},
        ttl.get("AttributeName") if is_on else None,
        int(found.get("ItemCount", 0)),
        int(found.get("TableSizeBytes", 0)),
    )


def sample_table(table: str, most: int, units_a_second: float) -> Sample:
    """Return a sample of a table's items: read in parts, no faster than so many read units a second."""
    cost = {"read_units": 0.0, "usd": 0.0}
    sample = Sample(f"table {table}", iter(()), cost=cost)
    sample.batches = scan(connect_to("dynamodb"), table, most, units_a_second, cost)
    return sample


def scan(dynamodb: Any, table: str, most: int, units_a_second: float, cost: dict[str, float]) -> Iterator[Batch]:
    """Yield pages of the parts of a table in turn until there are enough items."""
    parts: list[dict[str, Any]] = [{"Segment": number, "TotalSegments": SEGMENTS} for number in range(SEGMENTS)]
    left = most
    while parts and left > 0:
        part = parts.pop(0)
        limit = min(left, PAGE_ITEMS, max(1, most // SEGMENTS))
        began = time.monotonic()
        page = dynamodb.scan(TableName=table, Limit=limit, ReturnConsumedCapacity="TOTAL", **part)
        items = [to_json(item) for item in page["Items"]]
        left -= len(items)
        if "LastEvaluatedKey" in page:
            parts.append(part | {"ExclusiveStartKey": page["LastEvaluatedKey"]})
        units = float(page.get("ConsumedCapacity", {}).get("CapacityUnits", 0))
        cost["read_units"] += units
        cost["usd"] = cost["read_units"] * READ_UNIT_USD
        yield items, sum(len(json.dumps(item)) for item in items)
        if left > 0:
            time.sleep(max(0.0, units / units_a_second - (time.monotonic() - began)))


# Exports


def open_export(given: str) -> tuple[ObjectStore, ExportSummary]:
    """Return the summary of the export that an ARN or the s3:// address of its summary names.

    Raises WrongUseError for anything else, the SDK's errors, and those of `read_summary`.
    """
    store = connect_objects()
    if EXPORT_ARN.fullmatch(given):
        described = connect_to("dynamodb").describe_export(ExportArn=given)["ExportDescription"]
        if described["ExportStatus"] != "COMPLETED":
            raise WrongUseError(f"The export {given} is {described['ExportStatus']}: wait until it is COMPLETED.")
        return store, read_summary(store, described["S3Bucket"], described["ExportManifest"], say)
    found = S3_URL.fullmatch(given)
    if not found:
        raise WrongUseError(f"--export is an export's ARN or s3://BUCKET/…/{SUMMARY}, not {given!r}.")
    key = found["key"] if found["key"].endswith(".json") else f"{found['key'].rstrip('/')}/{SUMMARY}"
    return store, read_summary(store, found["bucket"], key, say)


def sample_export(store: ObjectStore, summary: ExportSummary, most: int) -> Sample:
    """Return a sample of an export's items: of each data file the share that it has of all items."""
    cost = {"bytes": 0.0}
    sample = Sample(f"export {summary.export_arn}", iter(()), of=summary.items, cost=cost)
    sample.batches = read_export(store, summary, most, cost)
    return sample


def read_export(store: ObjectStore, summary: ExportSummary, most: int, cost: dict[str, float]) -> Iterator[Batch]:
    """Yield items of an export's data files."""
    files = [file for file in read_data_files(store, summary, say) if file.items]
    if most < summary.items:
        files = files[:: -(-len(files) // MOST_FILES)]
    of = sum(file.items for file in files)
    for file in files:
        wanted = -(-most * file.items // of) if most < of else file.items
        with store.open(summary.bucket, file.key) as stream:
            yield from read_stream(stream, f"s3://{summary.bucket}/{file.key}", wanted, cost)


def read_stream(stream: Any, place: str, most: int, cost: dict[str, float]) -> Iterator[Batch]:
    """Yield up to so many of a gzip stream's items, one a line. Raises InvalidExportError, naming the place."""
    read = first = 0
    try:
        for lines in read_lines(stream, MAX_LINE_BYTES + most * ITEM_BYTES):
            items = decode_lines(lines, place, first + 1)[: most - read]
            size = sum(map(len, lines))
            first += len(lines)
            read += len(items)
            cost["bytes"] = cost.get("bytes", 0) + size
            yield items, size
            if read >= most:
                return
    except (EOFError, gzip.BadGzipFile, GzipError) as error:
        raise InvalidExportError(f"{place} is not gzip, or is cut off, after line {first}: {error}.") from error
    except TextTooLongError as error:
        raise InvalidExportError(f"{place} has no items after line {first}: {error}.") from error


# Files


def sample_file(path: str, most: int) -> Sample:
    """Return a sample of the items of a file of lines, `{"Item": …}` each; `-` is standard input, .gz is unpacked."""
    cost = {"bytes": 0.0}
    return Sample(f"file {path}", read_file(path, most, cost), cost=cost)


def read_file(path: str, most: int, cost: dict[str, float]) -> Iterator[Batch]:
    """Yield the items of a file, from its beginning. Raises UnreadableFileError, naming the line, for what is none."""
    try:
        yield from read_file_lines(path, most, cost)
    except InvalidExportError as error:
        raise UnreadableFileError(f"{error.problem} {SHOWN_LINE}") from error


def read_file_lines(path: str, most: int, cost: dict[str, float]) -> Iterator[Batch]:
    """Yield the items of a file, from its beginning. Raises InvalidExportError as that of an export's."""
    with open_lines(path) as stream:
        if path.endswith(".gz"):
            yield from read_stream(stream, path, most, cost)
            return
        read, first = 0, 1
        while read < most and (lines := stream.readlines(1 << 18)):
            items = decode_lines(lines, path, first)[: most - read]
            first += len(lines)
            read += len(items)
            size = sum(map(len, lines))
            cost["bytes"] += size
            yield items, size


@contextmanager
def open_lines(path: str) -> Iterator[Any]:
    """Open a file of lines. Raises WrongUseError where there is none."""
    if path == "-":
        yield sys.stdin.buffer
        return
    if not Path(path).is_file():
        raise WrongUseError(f"There is no file {path}. Each of its lines is an item, as exports have them.")
    with Path(path).open("rb") as stream:
        yield stream


def take_key(item: TypedItem, names: Sequence[str]) -> TypedItem:
    """Return the key attributes of an item."""
    return {name: item[name] for name in names if name in item}

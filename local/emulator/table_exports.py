"""DynamoDB: ExportTableToPointInTime and DescribeExport, full and incremental, in DynamoDB JSON.

An export is accepted or refused at once, and written in the background: IN_PROGRESS, then COMPLETED or FAILED with a
FailureCode. Sources: API reference, "ExportTableToPointInTime", "ExportDescription" and
"IncrementalExportSpecification"; developer guide, "DynamoDB data export to Amazon S3".

- ExportTime is a whole second; the export shows the table just prior to it. Without one it shows the present. It must
  lie between the switching on of point-in-time recovery and now, else InvalidExportTimeException.
- An incremental export covers ExportFromTime (inclusive) to ExportToTime (exclusive, now if not given): each changed
  item once, in its final state, with the time of its last write. An item that was inserted and deleted in between
  leaves no record.
- A ClientToken is good for 8 hours after its export ended. With the same parameters it answers the same export, with
  others ExportConflictException.

=============================== ======================================================================================
environment variable            meaning
=============================== ======================================================================================
DYNAURORA_EXPORT_SECONDS        how long an export is IN_PROGRESS at least (0.5; AWS takes five minutes)
DYNAURORA_EXPORT_WINDOW_SECONDS shortest window of an incremental export (900, which is AWS's)
DYNAURORA_EXPORT_FILE_BYTES     uncompressed bytes in a data file, about (8 MiB)
=============================== ======================================================================================

With AUTH=true a policy's resource is the table's ARN for starting an export, and the export's for describing it.

Differences: Amazon Ion is refused. BilledSizeBytes counts the bytes of the exported JSON. The caller needs no
permission for the bucket, and S3BucketOwner is not compared. What the emulator answers to ListExports is its own.
"""

import contextvars
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ministack.core import iam_actions, responses
from ministack.services import dynamodb

from local.emulator import faults
from local.emulator.change_log import MICROSECONDS, Change, ChangeLog, Item, Table, find_log, key_values, now
from local.emulator.export_files import (
    ExportBucket,
    ExportKeys,
    ExportRefusedError,
    RecordForm,
    write_data_files,
    write_manifests,
)
from local.emulator.objects import require_objects
from local.emulator.replacements import Replacements

logger = logging.getLogger("dynaurora.exports")

TOKEN_SECONDS = 8 * 3600
LONGEST_WINDOW_SECONDS = 24 * 3600
VIEW_TYPES = ("NEW_AND_OLD_IMAGES", "NEW_IMAGE")

_HOLD_POLL_SECONDS = 0.02
_FULL, _INCREMENTAL = "FULL_EXPORT", "INCREMENTAL_EXPORT"
_PRIVATE = "_request"  # what was asked for, beside what is answered

Description = dict[str, Any]
Answer = tuple[int, dict[str, str], Any]


class RequestRefusedError(Exception):
    """A request that AWS refuses. ``code`` is the name of AWS's exception."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(f"{code}: {message}")


@dataclass(frozen=True)
class Window:
    """The part of a table's past that an export shows; microseconds since the epoch."""

    start: int | None
    """Inclusive; ``None`` for a full export, which shows the table at ``end``."""
    end: int
    """Exclusive."""

    def shift(self, seconds: int) -> "Window":
        """Return the window as it is when DynamoDB misses the time that was asked for."""
        by = seconds * MICROSECONDS
        return Window(None if self.start is None else self.start + by, self.end + by)


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    module = dynamodb.__name__
    emulator.require(module, "_table_name_from_arn", "(arn: str) -> str | None")
    emulator.require(module, "_list_exports", "(data)")
    require_objects(emulator)
    emulator.replace(module, "_export_table_to_point_in_time", "(data)", _answer(start_export))
    emulator.replace(module, "_describe_export", "(data)", _answer(describe_export))
    signature = "(body: bytes, region: str, account_id: str) -> list[str]"
    emulator.wrap(iam_actions.__name__, "dynamodb_resource_arns", signature, _name_export)


def start_export(request: dict[str, Any]) -> Description:
    """Accept an export and begin it, or find the one that its ClientToken began. Raises RequestRefusedError."""
    _throttle()
    if faults.take("limit_exports"):
        raise RequestRefusedError("LimitExceededException", "Too many exports are in progress. Retry later.")
    for name in ("TableArn", "S3Bucket"):
        _require(request, name)
    known = _find_by_token(request)
    if known is not None:
        return known
    table = _find_table(request["TableArn"])
    log = find_log(table)
    if log is None:
        raise RequestRefusedError(
            "PointInTimeRecoveryUnavailableException",
            f"Point in time recovery is not enabled for table '{table['TableName']}'",
        )
    description = _describe_request(request, table)
    window = _read_window(request, description, log)
    dynamodb._exports[description["ExportArn"]] = description
    run = contextvars.copy_context().run
    threading.Thread(target=run, args=(_run, description, log, window), name="table-export", daemon=True).start()
    return description


def describe_export(request: dict[str, Any]) -> Description:
    """Return what is known of an export. Raises RequestRefusedError."""
    _throttle()
    _require(request, "ExportArn")
    description: Description | None = dynamodb._exports.get(request["ExportArn"])
    if description is None:
        raise RequestRefusedError("ExportNotFoundException", f"Export not found: {request['ExportArn']}")
    return description


def _throttle() -> None:
    if faults.take("throttle_exports"):
        raise RequestRefusedError("ThrottlingException", "Rate of requests exceeds the allowed throughput.")


def _answer(operation: Callable[[dict[str, Any]], Description]) -> Callable[[dict[str, Any]], Answer]:
    def handle(data: dict[str, Any]) -> Answer:
        try:
            description = operation(data)
        except RequestRefusedError as error:
            refusal: Answer = responses.error_response_json(error.code, error.message, 400)
            return refusal
        public = {name: value for name, value in list(description.items()) if name != _PRIVATE}
        answer: Answer = responses.json_response({"ExportDescription": public})
        return answer

    return handle


def _name_export(original: Any) -> Any:
    """Let policies name what an export is of: the table to start one, the export to describe it."""

    def resource_arns(body: bytes, region: str, account_id: str) -> list[str]:
        arns: list[str] = original(body, region, account_id)
        if arns:
            return arns
        try:
            request = json.loads(body or b"{}")
        except ValueError:
            return []
        arn = request.get("TableArn" if "S3Bucket" in request else "ExportArn") if isinstance(request, dict) else None
        return [arn] if isinstance(arn, str) else []

    return resource_arns


def _require(request: dict[str, Any], name: str) -> None:
    if not request.get(name):
        member = name[0].lower() + name[1:]
        raise RequestRefusedError(
            "ValidationException",
            f"1 validation error detected: Value null at '{member}' failed to satisfy constraint: "
            "Member must not be null",
        )


def _find_by_token(request: dict[str, Any]) -> Description | None:
    token = request.get("ClientToken")
    if not token:
        return None
    known = [d for d in dynamodb._exports.values() if d.get("ClientToken") == token and _is_token_valid(d)]
    if not known:
        return None
    description: Description = known[-1]
    if description[_PRIVATE] != _without_token(request):
        raise RequestRefusedError(
            "ExportConflictException",
            "Duplicate request detected. Please note that ExportTableToPointInTime requests with the same client token "
            "must have the same parameters.",
        )
    return description


def _is_token_valid(description: Description) -> bool:
    ended = description.get("EndTime")
    return ended is None or time.time() < ended + TOKEN_SECONDS


def _without_token(request: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in request.items() if name != "ClientToken"}


def _find_table(arn: str) -> Table:
    table: Table | None = dynamodb._tables.get(dynamodb._table_name_from_arn(arn))
    if table is None:
        raise RequestRefusedError("TableNotFoundException", f"Table not found: {arn}")
    return table


def _describe_request(request: dict[str, Any], table: Table) -> Description:
    """Begin the description of an export. Raises RequestRefusedError for what is not among a parameter's values."""
    started = time.time()
    given = ("ClientToken", "S3BucketOwner", "S3Prefix", "S3SseKmsKeyId")
    return {
        "ExportArn": f"{table['TableArn']}/export/{int(started * 1000):014d}-{uuid.uuid4().hex[:8]}",
        "ExportStatus": "IN_PROGRESS",
        "StartTime": started,
        "TableArn": table["TableArn"],
        "TableId": table["TableId"],
        "S3Bucket": request["S3Bucket"],
        "S3SseAlgorithm": _read_choice(request, "S3SseAlgorithm", ("AES256", "KMS")),
        "ExportFormat": _read_choice(request, "ExportFormat", ("DYNAMODB_JSON",)),
        "ExportType": _read_choice(request, "ExportType", (_FULL, _INCREMENTAL)),
        **{name: request[name] for name in given if request.get(name)},
        _PRIVATE: _without_token(request),
    }


def _read_choice(request: dict[str, Any], name: str, choices: tuple[str, ...]) -> str:
    """Return a parameter's value, by default the first of its choices."""
    value: str = request.get(name) or choices[0]
    if value in choices:
        return value
    if value == "ION":
        raise RequestRefusedError(
            "ValidationException", "The local DynamoDB exports DYNAMODB_JSON only; Amazon Ion is not implemented."
        )
    raise RequestRefusedError("ValidationException", f"{name} '{value}' is none of {', '.join(choices)}")


def _read_window(request: dict[str, Any], description: Description, log: ChangeLog) -> Window:
    """Read and check the times of an export, and describe them."""
    if description["ExportType"] == _INCREMENTAL:
        return _read_incremental_window(request, description, log)
    present = now()
    if request.get("ExportTime") is None:
        description["ExportTime"] = present // 1000 / 1000
        return Window(None, present + 1)
    at = _read_time(request, "ExportTime")
    _check_recoverable("ExportTime", at, log, present)
    description["ExportTime"] = at
    return Window(None, at * MICROSECONDS)


def _read_incremental_window(request: dict[str, Any], description: Description, log: ChangeLog) -> Window:
    specification = request.get("IncrementalExportSpecification") or {}
    _require(specification, "ExportFromTime")
    present = now()
    start = _read_time(specification, "ExportFromTime")
    is_open = specification.get("ExportToTime") is None
    end = present // MICROSECONDS if is_open else _read_time(specification, "ExportToTime")
    _check_length(start, end)
    _check_recoverable("ExportFromTime", start, log, present)
    _check_recoverable("ExportToTime", end, log, present)
    description["IncrementalExportSpecification"] = {
        "ExportFromTime": start,
        "ExportToTime": end,
        "ExportViewType": _read_choice(specification, "ExportViewType", VIEW_TYPES),
    }
    return Window(start * MICROSECONDS, end * MICROSECONDS)


def _read_time(parameters: dict[str, Any], name: str) -> int:
    """Return a time in whole seconds since the epoch. Step Functions hands on the text of a time as it is."""
    value = parameters[name]
    try:
        return int(datetime.fromisoformat(value).timestamp() if isinstance(value, str) else value)
    except (TypeError, ValueError) as error:
        raise RequestRefusedError("SerializationException", f"{name} is no time: {value!r}") from error


def _check_length(start: int, end: int) -> None:
    shortest = float(os.environ.get("DYNAURORA_EXPORT_WINDOW_SECONDS", "900"))
    if start >= end:
        raise RequestRefusedError(
            "ValidationException",
            "Incremental export period from time should not be greater or equal to incremental export period to time",
        )
    if not shortest <= end - start <= LONGEST_WINDOW_SECONDS:
        raise RequestRefusedError(
            "ValidationException",
            f"Incremental export period must be between {shortest:g} and {LONGEST_WINDOW_SECONDS} seconds long; "
            f"it is {end - start}",
        )


def _check_recoverable(name: str, at: int, log: ChangeLog, present: int) -> None:
    if not log.earliest <= at * MICROSECONDS <= present:
        window = " to ".join(_format_time(instant / MICROSECONDS) for instant in (log.earliest, present))
        raise RequestRefusedError(
            "InvalidExportTimeException",
            f"{name} {_format_time(at)} is outside of the point in time recovery window, which is {window}",
        )


def _run(description: Description, log: ChangeLog, window: Window) -> None:
    """Write an export and say how it ended. Runs in a thread of its own, in the request's account and region."""
    try:
        result = _write_export(description, log, window.shift(faults.read_export_shift()))
    except ExportRefusedError as error:
        result = {"ExportStatus": "FAILED", "FailureCode": f"S3{error.code}", "FailureMessage": error.message}
    except Exception:
        logger.exception("Export %s failed", description["ExportArn"])
        result = {
            "ExportStatus": "FAILED",
            "FailureCode": "InternalServerError",
            "FailureMessage": "Export failed. Please try again.",
        }
    status = result.pop("ExportStatus")
    description.update({"EndTime": time.time()} | result)
    description["ExportStatus"] = status  # last: whoever sees it sees the rest


def _write_export(description: Description, log: ChangeLog, window: Window) -> Description:
    """Write all files of an export; what its description gains by that. Raises ExportRefusedError."""
    bucket = ExportBucket(description["S3Bucket"], description["S3SseAlgorithm"], description.get("S3SseKmsKeyId"))
    export_id = description["ExportArn"].rpartition("/")[2]
    keys = ExportKeys(description.get("S3Prefix"), export_id, description["ExportType"] == _INCREMENTAL)
    try:
        bucket.put(keys.of("_started"), b"")
        records, form = _read_records(description, log, window)
        file_bytes = int(os.environ.get("DYNAURORA_EXPORT_FILE_BYTES", str(8 << 20)))
        files, size = write_data_files(bucket, keys, records, form, file_bytes)
    finally:
        _wait_until_due(description["StartTime"])
    if faults.take("fail_exports"):
        raise RuntimeError("The export was to fail")
    outcome = {"EndTime": time.time(), "BilledSizeBytes": size, "ItemCount": len(records)}
    write_manifests(bucket, keys, files, _summarize(description | outcome, keys))
    return {"ExportStatus": "COMPLETED", "ExportManifest": keys.of("manifest-summary.json"), **outcome}


def _wait_until_due(started: float) -> None:
    time.sleep(max(0.0, started + float(os.environ.get("DYNAURORA_EXPORT_SECONDS", "0.5")) - time.time()))
    while faults.holds_exports():
        time.sleep(_HOLD_POLL_SECONDS)


def _read_records(description: Description, log: ChangeLog, window: Window) -> tuple[list[Any], RecordForm]:
    """Return what an export consists of, and how it is written."""
    table, spread = log.table, faults.read_export_spread() * MICROSECONDS
    if window.start is None:
        items = list(log.items_around(window.end, spread) if spread else log.items_at(window.end))
        return items, RecordForm(lambda item: str(key_values(table, item)[0]), lambda item: {"Item": item})
    view_type = description["IncrementalExportSpecification"]["ExportViewType"]
    ends = window.start, window.end
    return log.changes_around(*ends, spread) if spread else log.changes_between(*ends), RecordForm(
        lambda change: str(key_values(table, _image_of(change))[0]),
        lambda change: _format_change(table, change, view_type),
    )


def _image_of(change: Change) -> Item:
    image = change.after if change.after is not None else change.before
    assert image is not None  # noqa: S101 - a change has at least one of them
    return image


def _format_change(table: Table, change: Change, view_type: str) -> dict[str, Any]:
    image = _image_of(change)
    names = [name for name in (table["pk_name"], table["sk_name"]) if name]
    record: dict[str, Any] = {
        "Metadata": {"WriteTimestampMicros": {"N": str(change.written)}},
        "Keys": {name: image[name] for name in names},
    }
    if change.before is not None and view_type == "NEW_AND_OLD_IMAGES":
        record["OldImage"] = change.before
    if change.after is not None:
        record["NewImage"] = change.after
    return record


def _summarize(description: Description, keys: ExportKeys) -> dict[str, Any]:
    """Return the content of ``manifest-summary.json``."""
    return {
        "version": "2023-08-01",
        "exportArn": description["ExportArn"],
        "startTime": _format_time(description["StartTime"]),
        "endTime": _format_time(description["EndTime"]),
        "tableArn": description["TableArn"],
        "tableId": description["TableId"],
        **_summarize_times(description),
        "s3Bucket": description["S3Bucket"],
        "s3Prefix": description.get("S3Prefix"),
        "s3SseAlgorithm": description["S3SseAlgorithm"],
        "s3SseKmsKeyId": description.get("S3SseKmsKeyId"),
        "manifestFilesS3Key": keys.of("manifest-files.json"),
        "billedSizeBytes": description["BilledSizeBytes"],
        "itemCount": description["ItemCount"],
        "outputFormat": description["ExportFormat"],
        "exportType": description["ExportType"],
    }


def _summarize_times(description: Description) -> dict[str, str]:
    if description["ExportType"] == _FULL:
        return {"exportTime": _format_time(description["ExportTime"])}
    specification = description["IncrementalExportSpecification"]
    return {
        "exportFromTime": _format_time(specification["ExportFromTime"]),
        "exportToTime": _format_time(specification["ExportToTime"]),
        "outputView": specification["ExportViewType"],
    }


def _format_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""Stream records, changes and mappings to vary in a test."""

import base64
import json
from typing import Any

from dynaurora.dynamodb.changes import Change, encode_change
from dynaurora.exports.plan import Plan
from dynaurora.exports.reconcile_run import Totals
from dynaurora.mappings.mapping import Mapping, build_mapping
from dynaurora.mappings.row_mapper import RowMapper
from dynaurora.mappings.rows import Row
from dynaurora.runs.requests import Limits, RunRequest

SEQUENCE_NUMBER = "111000000000000000000000"
CREATED_AT = 1_700_000_000

Document = dict[str, Any]


def click(**changed: Any) -> Document:
    """Return a plain payload that the web_analytics mapping accepts, with some of its members changed."""
    payload = {
        "Hits": 3,
        "device": {
            "make": "Firefox",
            "platform": {"name": "linux", "version": "6.1"},
            "location": {"latitude": "52.5", "longitude": "13.4", "country": "DE"},
        },
        "session": {"session_id": "s-1", "start_timestamp": "2026-01-01 10:00", "stop_timestamp": "2026-01-01 10:05"},
    }
    return payload | changed


def click_item(payload: Any = None, page_id: str = "home", activity_dt: str = "2026-01-01") -> Document:
    """Return a typed web_analytics item; a payload that is no text is written as JSON."""
    if not isinstance(payload, str):
        payload = json.dumps(click() if payload is None else payload)
    return {"page_id": {"S": page_id}, "activity_dt": {"S": activity_dt}, "payload": {"S": payload}}


def click_change(payload: Any = None, version: int = 1, page_id: str = "home") -> Change:
    """Return the change that puts a web_analytics item."""
    item = click_item(payload, page_id)
    return Change(version, CREATED_AT * 1000, {name: item[name] for name in ("page_id", "activity_dt")}, item)


def stream_record(
    name: str = "INSERT",
    item: Document | None = None,
    sequence_number: str = SEQUENCE_NUMBER,
    created_at: float = CREATED_AT,
) -> Document:
    """Return a stream record of a web_analytics item, as Lambda receives it."""
    item = item or click_item()
    data: Document = {
        "ApproximateCreationDateTime": created_at,
        "Keys": {key: item[key] for key in ("page_id", "activity_dt")},
        "SequenceNumber": sequence_number,
        "SizeBytes": 100,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    if name != "REMOVE":
        data["NewImage"] = item
    if name != "INSERT":
        data["OldImage"] = item
    return {"eventID": "1", "eventName": name, "eventSource": "aws:dynamodb", "dynamodb": data}


EXPIRED = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
"""The user identity of a delete by Time to Live."""


def mapping_document(
    *columns: Document,
    schema: Any = True,
    unmapped: Any = "ignore",
    key_type: str = "VARCHAR(20)",
    indexes: Any = (),
    **source: Any,
) -> Document:
    """Return a mapping of a table keyed by `id`, with these columns behind the key's."""
    return {
        "source": {"table": "things", "partition_key": "id", **source},
        "schema": schema,
        "target": {
            "database": "Demo",
            "table": "Things",
            "columns": [{"name": "id", "type": key_type, "from": "id"}, *columns],
            "unmapped": unmapped,
            **({"indexes": indexes} if indexes else {}),
        },
    }


def make_mapping(*columns: Document, name: str = "things", **options: Any) -> Mapping:
    """Return the mapping of `mapping_document`."""
    return build_mapping(name, mapping_document(*columns, **options))


def column(name: str, kind: str, source: str | None = None) -> Document:
    """Return a column of a mapping; it is from the attribute of its name unless told."""
    return {"name": name, "type": kind, "from": source or name}


def map_item(mapping: Mapping, version: int = 1, **attributes: Any) -> Row:
    """Return the row of an item with these typed attributes and the key `id`."""
    item = {"id": {"S": "a"}} | attributes
    return RowMapper(mapping).row(Change(version, CREATED_AT * 1000, {"id": item["id"]}, item))


def firehose_record(change: Change | bytes, record_id: str = "1") -> Document:
    """Return a change as Firehose hands it to its transformation Lambda."""
    data = change if isinstance(change, bytes) else encode_change(change)
    return {
        "recordId": record_id,
        "approximateArrivalTimestamp": CREATED_AT * 1000,
        "data": base64.b64encode(data).decode("ascii"),
    }


TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/web_analytics"
EXPORT_ARN = f"{TABLE_ARN}/export/01700000000000-abcdef12"


def run_input(**changed: Any) -> Document:
    """Return the input of a run with every field, some of them changed."""
    document = {
        "mapping": "web_analytics",
        "run": "r1",
        "export_arn": None,
        "max_concurrency": 2,
        "tolerated_failure_percentage": 0,
        "tolerated_rejected_percentage": 10,
        "sweep": False,
        "compare": False,
        "judge": False,
        "export_summary": None,
        "source_table_arn": None,
        "window_from": None,
        "window_to": None,
    }
    return document | changed


def run_request(run: str = "r1", **changed: Any) -> RunRequest:
    """Return what `run_input` asks for, of a deployment that allows everything."""
    return RunRequest.from_input(run_input(run=run, **changed), Limits(2, 0))


def make_plan(**changed: Any) -> Plan:
    """Return what a plan of ten items in two batches comes to, with some of its facts changed."""
    facts: Document = {
        "bucket": "landing",
        "key": "batches/run=r1/plan.json",
        "export_arn": EXPORT_ARN,
        "export_second": CREATED_AT,
        "export_bucket": "landing",
        "items": 10,
        "billed_bytes": 1000,
        "files": 3,
        "files_empty": 1,
        "batches": 2,
    }
    return Plan(**facts | changed)


def make_totals(**changed: Any) -> Totals:
    """Return what the run of `make_plan` comes to where everything is imported, with some of it changed."""
    counts: Document = {
        "exported": 10,
        "imported": 10,
        "already_newer": 0,
        "rejected": 0,
        "rejected_reasons": {},
        "unaccounted": 0,
        "batches_planned": 2,
        "batches_imported": 2,
        "batches_failed": 0,
        "retries": 0,
        "import_seconds": 1.5,
        "older_rows": None,
        "complete": True,
        "skipped": 0,
        "targets": None,
    }
    return Totals(**counts | changed)

"""Measure the figures of `backfill.costs.figures`.

python -m benchmarks.measure_figures            prints them
python -m benchmarks.measure_figures --write    and keeps them, with a digest of the code that they are of

All are processor time, which others on the machine do not disturb: of what imports, of the importer and the server
together, since one waits for the other.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, Final

from backfill.costs.figures import FILE, Figures
from benchmarks.database import Database, local_database, make_rows, shuffled
from benchmarks.growth import convert, run, write_data_file
from benchmarks.handlers import call, serve_firehose
from benchmarks.items import CLICKS
from benchmarks.measured_sources import digest_sources
from benchmarks.results import describe_machine
from benchmarks.timing import cpu_seconds
from benchmarks.transform_changes import make_records, pack_changes
from dynaurora.dynamodb.changes import encode_change, from_stream_record
from dynaurora.exports.plan import MAX_BATCH_ITEMS
from dynaurora.mappings.csv_format import encode_row
from local.clicks import tell_seeded

RECORDS = 500
"""Of one call of forward_changes and of transform_changes."""
ROUNDS = 5
ITEMS = 50_000
LANDED: Final = {
    "bucket": "dynaurora-landing",
    "key": f"processed/mapping={CLICKS.name}/2026/11/23/08/dynaurora-clicks-changes-1-2026-11-23-08-15-00-0f1e2d3c",
    "etag": "9e107d9d372bb6826bd81d3542a419d6",
    "size": 84_000,
}
"""A streamed batch, as its event names it."""


def measure_figures() -> Figures:
    """Measure all of them."""
    clicks = [story[0].request["PutRequest"]["Item"] for story in tell_seeded(RECORDS, seed=0, run="bench")]
    records = list(map(to_stream_record, clicks, range(len(clicks))))
    changes = [encode_change(from_stream_record(record)) for record in records]
    rows = list(map(encode_row, make_rows(range(1000), 1)))
    with tempfile.TemporaryDirectory(prefix="dynaurora-bench-") as directory:
        written = write_data_file(Path(directory), ITEMS)
        converting = median(run(convert, written).microseconds for _ in range(ROUNDS))
    with local_database() as database:
        importing = measure_imports(database)
    return Figures(
        convert_cpu_us=round(converting, 1),
        **measure_handlers(records, changes),
        item_bytes=round(sum(len(json.dumps({"Item": click})) + 1 for click in clicks) / len(clicks)),
        change_bytes=round(sum(map(len, changes)) / len(changes)),
        row_bytes=round(sum(map(len, rows)) / len(rows)),
        **importing,
    )


def to_stream_record(item: Any, number: int) -> dict[str, Any]:
    """Return the record of an item's insert, as Lambda receives it."""
    return {
        "eventID": str(number),
        "eventName": "INSERT",
        "eventSource": "aws:dynamodb",
        "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/web_analytics/stream/2026",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_763_900_000,
            "Keys": {name: item[name] for name in ("page_id", "activity_dt")},
            "NewImage": item,
            "SequenceNumber": f"{111 * 10**21 + number}",
            "SizeBytes": 400,
            "StreamViewType": "NEW_IMAGE",
        },
    }


def measure_handlers(records: list[dict[str, Any]], changes: list[bytes]) -> dict[str, float]:
    """Return what calls of the stream's functions take, and what they log."""
    batch = {"source": "stream", "run": None, "rows": None, "objects": [LANDED]}
    with serve_firehose() as endpoint:
        forward = [call("forward_changes", {"Records": records}, endpoint) for _ in range(ROUNDS)]
    packs = make_records(pack_changes(changes))
    transform = [call("transform_changes", {"records": packs, "invocationId": "i"}) for _ in range(ROUNDS)]
    imported = call("import_batch", {"input": {"batch": batch}, "retries": 0})
    return {
        "forward_cpu_us": round(median(each.cpu_seconds for each in forward) / len(records) * 1e6, 1),
        "transform_cpu_us": round(median(each.cpu_seconds for each in transform) / len(changes) * 1e6, 1),
        "forward_log_bytes": round(median(each.log_bytes for each in forward)),
        "transform_log_bytes": round(median(each.log_bytes for each in transform)),
        "import_log_bytes": round(imported.log_bytes),
    }


def measure_imports(database: Database) -> dict[str, float]:
    """Return what importing a batch takes, of new rows and of existing ones."""
    taken: dict[str, list[float]] = {"new": [], "existing": [], "cpu": [], "redo_new": [], "redo_existing": []}
    for number in range(ROUNDS):
        database.empty()
        for version, kind in enumerate(("new", "existing")):
            batch = database.write(make_rows(shuffled(range(MAX_BATCH_ITEMS), number), version))
            redo, cpu, started = database.redo_bytes(), time.process_time(), cpu_seconds(database.process)
            database.import_batch(batch)
            taken[kind].append(MAX_BATCH_ITEMS / (cpu_seconds(database.process) - started))
            taken["cpu"].append((time.process_time() - cpu) * 1000)
            taken[f"redo_{kind}"].append((database.redo_bytes() - redo) / MAX_BATCH_ITEMS)
    return {
        "import_cpu_ms": round(median(taken["cpu"])),
        "import_new_rows_per_second": round(median(taken["new"]), -3),
        "import_existing_rows_per_second": round(median(taken["existing"]), -3),
        "redo_bytes_new": round(median(taken["redo_new"])),
        "redo_bytes_existing": round(median(taken["redo_existing"])),
    }


def main() -> None:
    """Measure, print, and keep where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"keep them, in {FILE.name}")
    options = parser.parse_args()
    digest = digest_sources()
    measured = {"machine": describe_machine(), "sources": digest, "figures": asdict(measure_figures())}
    text = json.dumps(measured, indent=2, ensure_ascii=False)
    print(text)
    if options.write:
        FILE.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()

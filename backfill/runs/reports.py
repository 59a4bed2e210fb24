"""The report of a run: read from the landing bucket, and shown to people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from backfill.terminal.console import name_command
from backfill.terminal.formatting import format_bytes, format_count, format_quantity, format_seconds, format_usd
from backfill.terminal.tables import format_table
from dynaurora import keys
from dynaurora.mappings.csv_format import SHORT_DIGEST_LENGTH
from dynaurora.runs.ends import format_percentage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

MAX_SHOWN = 10
"""Ignored attributes that people are shown; `dynaurora mapping diff` has them all."""

Report = dict[str, Any]
Pair = tuple[str, str]


def read_report(s3: S3Client, bucket: str, mapping: str, run: str) -> Report | None:
    """Return the report of a run; None where there is none."""
    try:
        body = s3.get_object(Bucket=bucket, Key=keys.report(mapping, run))["Body"].read()
    except ClientError as error:
        # S3 answers AccessDenied for a key that does not exist to whom it does not let list the bucket.
        if error.response.get("Error", {}).get("Code") in {"NoSuchKey", "AccessDenied"}:
            return None
        raise
    report: Report = json.loads(body)
    return report


def describe_report(report: Report) -> Iterator[Pair]:
    """Yield what a report says, as names and values; a pair without a name goes on with the one before."""
    yield from _describe_mapping(report)
    yield from _describe_export(report)
    yield from _describe_totals(report)
    yield from _describe_verification(report)
    yield from _describe_ignored(report)
    yield from _name_first("warnings", report.get("warnings", []))
    yield from _describe_failures(report)
    yield from _name_first("phases", format_table(_list_phases(report), numeric=frozenset({1})))
    yield from _describe_cost(report)


def describe_reprocess_report(report: Report) -> Iterator[Pair]:
    """Yield what the report of a reprocess says, in the same way."""
    yield from _describe_mapping(report)
    yield "taken up", format_count(report.get("objects"), "object")
    if totals := report.get("totals"):
        yield "records", f"{format_count(totals['records'])} mapped again"
        rows, changed = totals["rows"], totals["rows_changed"]
        yield "imported", f"{format_count(rows, 'row')}, {format_count(rows - changed)} of them older than Aurora's"
        yield "refused", format_count(totals["rejected"], "record")
        yield from (("", f"{format_count(count)} {reason}") for reason, count in totals["rejected_reasons"].items())
        if superseded := totals.get("records_superseded"):
            yield "superseded", f"{format_count(superseded, 'record')}, archived: of items with newer rows or failures"
        yield "batches", f"{totals['batches_imported']:,} imported, {totals['batches_failed']:,} failed"
        parked = format_count(totals["batches_parked"], "batch", "batches")
        yield "parked", f"{format_count(totals['records_parked'], 'record')}, {parked}"
        yield "entries", f"{format_count(totals['entries'])}, {totals['entries_failed']:,} not settled"
    if report.get("retry_causes"):
        yield "retries", "of imports, for:"
        yield from _describe_causes(report)
    yield from _describe_failures(report)
    yield from _name_first("phases", format_table(_list_phases(report), numeric=frozenset({1})))


def _describe_causes(report: Report) -> Iterator[Pair]:
    """Yield what imports were tried again for; a report of the release before has none."""
    for cause in report.get("retry_causes") or ():
        times, batches = format_count(cause["times"], "time"), format_count(cause["batches"], "batch", "batches")
        yield "", f"{cause['error']} {times}, in {batches}"


def _describe_mapping(report: Report) -> Iterator[Pair]:
    if digest := report.get("digest"):
        yield "mapping", f"{digest[:SHORT_DIGEST_LENGTH]}, generation {report['generation']}"


def _describe_export(report: Report) -> Iterator[Pair]:
    export = report.get("export")
    if not export or export.get("items") is None:
        return
    files = format_count(export["files"], "file") + f" ({format_count(export['files_empty'])} empty)"
    yield "exported", f"{format_count(export['items'], 'item')} as of {export['time']}"
    yield "", f"{files}, {format_bytes(export['billed_bytes'])} billed"
    yield "", export["arn"]


def _describe_totals(report: Report) -> Iterator[Pair]:
    totals = report.get("totals")
    if totals is None:
        return
    planned, imported, failed = (totals[f"batches_{word}"] for word in ("planned", "imported", "failed"))
    yield "batches", f"{planned:,} planned, {imported:,} imported, {failed:,} failed"
    yield "imported", format_count(totals["imported"], "row")
    yield "already newer", format_count(totals["already_newer"], "row")
    share = f", {format_percentage(totals['rejected'], totals['exported'])}" if totals["rejected"] else ""
    yield "rejected", format_count(totals["rejected"], "record") + share
    yield from (("", f"{format_count(count)} {reason}") for reason, count in totals["rejected_reasons"].items())
    if skipped := totals.get("skipped"):
        yield "skipped", format_count(skipped, "item")
    yield from _describe_targets(totals)
    yield "unaccounted", format_count(totals["unaccounted"], "item")
    yield from _describe_older_rows(totals)
    yield "retries", format_count(totals.get("retries"))
    yield from _describe_causes(report)
    if sweep := report.get("sweep"):
        yield (
            "swept",
            f"{format_count(sweep['rows'], 'row')} in {format_count(sweep['batches'], 'batch', 'batches')}",
        )
        if left_out := sweep.get("left_out"):
            yield "", f"left as they are: rows of {format_count(left_out, 'rejected item')}"


def _describe_verification(report: Report) -> Iterator[Pair]:
    """Yield what a run found that judged what it compared; no other has anything."""
    if found := report.get("verification"):
        yield "verified", f"{format_count(found['unexplained'], 'difference')} without an explanation"
        counts = ((name.replace("_", " "), count) for name, count in found["counts"].items() if count)
        yield "", ", ".join(f"{format_count(count)} {name}" for name, count in counts)


def _describe_targets(totals: dict[str, Any]) -> Iterator[Pair]:
    """Yield what each of several targets has of the items; a report of the release before has none."""
    names = ("imported", "already_newer", "rejected", "skipped")
    lines = [(table, *(f"{of[name]:,}" for name in names)) for table, of in (totals.get("targets") or {}).items()]
    if lines:
        heading = ("", *(name.replace("_", " ") for name in names))
        yield from _name_first("targets", format_table([heading, *lines], numeric=frozenset(range(1, 5))))


def _describe_older_rows(totals: dict[str, Any]) -> Iterator[Pair]:
    """Yield the rows of an older mapping; a report of the release before has none."""
    older = totals.get("older_rows")
    if older is None:
        return
    yield "older mapping", f"{format_count(older['changed_since'], 'row')} changed since the export"
    yield "", f"{format_count(older['not_imported'], 'row')} of items that are gone, rejected or in failed batches"
    yield "", format_count(older["tombstones"], "tombstone")


def _describe_ignored(report: Report) -> Iterator[Pair]:
    """Yield the attributes that no column takes; a report of the release before has none."""
    if ignored := report.get("ignored"):
        lines = [(each["name"], f"{each['items']:,}", each["type"]) for each in ignored["attributes"][:MAX_SHOWN]]
        further = sum(each["items"] for each in ignored["attributes"][MAX_SHOWN:]) + ignored["others"]
        if further:
            lines.append(("others", f"{further:,}", ""))
        yield from _name_first("ignored", format_table(lines, numeric=frozenset({1})))
        yield "", "attributes, the items that have them, and the type that a column would need"


def _describe_failures(report: Report) -> Iterator[Pair]:
    if failure := report.get("failure"):
        yield "failure", f"{failure['error']}: {failure['reason']}"
        yield "", failure["remedy"]
    for failed in report.get("failures", []):
        what = "parked batch" if failed.get("parked") else "failed batch"
        yield what, f"{failed['batch']}: {failed['error']}: {failed['reason']}"
        yield "", failed["remedy"]
        yield "", failed["key"]
        if failed.get("parked"):
            yield "", f"then: {name_command('reprocess', 'start', report['mapping'], '--prefix', failed['key'])}"


def _list_phases(report: Report) -> list[tuple[str, str]]:
    return [(phase["name"], format_seconds(phase["seconds"])) for phase in report.get("phases", [])]


def _describe_cost(report: Report) -> Iterator[Pair]:
    cost = report.get("cost")
    if not cost:
        return
    yield "cost", f"about {format_usd(cost['total_usd'])}"
    lines = [
        (line["what"], format_quantity(line["quantity"]), line["unit"], format_usd(line["usd"]))
        for line in cost["lines"]
    ]
    yield from (("", line) for line in format_table(lines, numeric=frozenset({1, 3})))


def _name_first(name: str, lines: list[str]) -> Iterator[Pair]:
    for line in lines:
        yield name, line
        name = ""

"""`dynaurora mapping diff`: what a table's items have and no column takes, and what column would take it."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import click

from backfill.commands.options import json_option, stack_option
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect, connect_objects, connect_to
from backfill.deployment.deployments import choose_deployment, find_deployments
from backfill.terminal.console import name_command, print_json, print_line, print_pairs
from backfill.terminal.formatting import format_count, format_table
from dynaurora import keys
from dynaurora.aws.objects import read_or_none
from dynaurora.dynamodb.attributes import plain_item
from dynaurora.errors import RejectedChange
from dynaurora.mappings.csv_format import SHORT_DIGEST_LENGTH
from dynaurora.mappings.registry import Registry
from dynaurora.mappings.unmapped import UnmappedCounter, Untaken, name_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.mapping import Mapping

MOST_SCANNED: Final = 10_000
PAGE_ITEMS: Final = 500
"""Of one page of a scan; DynamoDB ends a page at 1 MB anyway."""
REPORTS_READ: Final = 20
"""Of the newest reports, until one of a backfill is found."""
HEADER: Final = ("attribute", "items", "column type", "values seen", "key of one")


@click.command(
    epilog="""\b
Examples:
  dynaurora mapping diff web_analytics
  dynaurora mapping diff web_analytics --scan 1000
  dynaurora mapping diff web_analytics --json | jq -r '.attributes[].name'
"""
)
@click.argument("mapping")
@click.option(
    "--scan",
    type=click.IntRange(1, MOST_SCANNED),
    metavar="N",
    help=f"Read N items of the table and count those, up to {MOST_SCANNED:,}; their reads are billed.",
)
@stack_option
@json_option
def diff(mapping: str, scan: int | None, stack: str | None, as_json: bool) -> None:
    """Show the attributes that the items of the deployed MAPPING have, no column takes and its schema does not name.

    Each has the number of items that have it, the type of a column that would take its values, and the key of one of
    the items. The items are those of the last backfill, all of them counted, or with --scan some that are read now.
    Types are told from some of the values: look at more before you rely on a length.
    """
    with explained_errors():
        clients = connect()
        deployment = choose_deployment(find_deployments(clients.cloudformation, stack), mapping)
        store = connect_objects()
        registry = Registry(store, deployment.bucket, deployment.mapping)
        pointer, current = registry.find_pointer(), registry.find_current()
        if current.routes:
            raise click.ClickException(
                f"{current.name} has targets with conditions, each with attributes of its own, which are not told apart"
                " here: the report of a backfill names what their columns leave, of all of them together."
            )
        counted = count_items(store, deployment.bucket, deployment.table, current, scan)
    document = {
        "mapping": current.name,
        "digest": pointer.digest,
        "generation": pointer.generation,
        "unmapped": current.unmapped,
        **counted,
        "declared": [name_path(path) for path in Untaken(current).list_declared()],
    }
    if as_json:
        print_json(document)
    else:
        print_diff(document)


def count_items(store: ObjectStore, bucket: str, table: str, mapping: Mapping, scan: int | None) -> dict[str, Any]:
    """Return what is counted, and of what. Raises ClickException where no backfill has counted anything."""
    if mapping.unmapped != "ignore":
        return {"source": None, "run": None, "of": None, "exact": True, "attributes": [], "others": 0}
    if scan is not None:
        return scan_items(table, mapping, scan)
    report = find_report(store, bucket, mapping.name)
    if report is None:
        command = name_command("mapping", "diff", mapping.name, "--scan", "1000")
        raise click.ClickException(
            f"No backfill of {mapping.name} has counted what its columns leave. Count some of its items: {command}"
        )
    ignored = report["ignored"] or {"attributes": [], "others": 0, "exact": True}
    totals = report["totals"]
    counted = {"source": "backfill", "run": report["run"], "counted_by": report["digest"]}
    return {**counted, "of": totals["exported"] - totals["rejected"], **ignored}


def find_report(store: ObjectStore, bucket: str, mapping: str) -> dict[str, Any] | None:
    """Return the newest report of a backfill that came to its totals; None where there is none of this release."""
    listed = [found for found in store.list(bucket, keys.reports_prefix(mapping)) if keys.is_report(found.key)]
    for found in sorted(listed, key=lambda found: found.modified_at, reverse=True)[:REPORTS_READ]:
        with suppress(ValueError):
            report: dict[str, Any] = json.loads(read_or_none(store, bucket, found.key) or b"{}")
            if "ignored" in report and report["totals"]:
                return report
    return None


def scan_items(table: str, mapping: Mapping, most: int) -> dict[str, Any]:
    """Read some items of a table and count what no column takes of them."""
    counter, looked_at = UnmappedCounter(mapping), 0
    for typed in read_items(table, most):
        looked_at += 1
        with suppress(RejectedChange, TypeError):  # of what is refused, the failed records tell
            counter.look(plain_item(typed, mapping.json_attributes), typed)
    found = counter.take()
    counted = {"source": "scan", "run": None, "counted_by": mapping.digest, "of": looked_at, "exact": False}
    return {**counted, "attributes": found.describe(), "others": found.others}


def read_items(table: str, most: int) -> Iterator[dict[str, Any]]:
    """Yield items of a table, typed, as exports have them; pages are read until there are as many."""
    dynamodb, left = connect_to("dynamodb"), most
    start: dict[str, Any] = {}
    while left > 0:
        page = dynamodb.scan(TableName=table, Limit=min(left, PAGE_ITEMS), **start)
        yield from (as_export(item) for item in page["Items"])
        left -= len(page["Items"])
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def as_export(value: Any) -> Any:
    """Return what the SDK gives of an item as DynamoDB's own JSON has it: bytes in base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: as_export(member) for name, member in value.items()}
    return [as_export(member) for member in value] if isinstance(value, list) else value


def print_diff(document: dict[str, Any]) -> None:
    """Print what was counted for people."""
    digest = f"{document['digest'][:SHORT_DIGEST_LENGTH]}, generation {document['generation']}"
    print_pairs([("mapping", document["mapping"]), ("current", digest), ("counted", describe_source(document))])
    rows = [
        (
            each["name"],
            f"{each['items']:,}",
            each["type"],
            f"{each['values_seen']:,}",
            json.dumps(each["keys"][0]) if each["keys"] else "-",
        )
        for each in document["attributes"]
    ]
    print_line()
    if rows:
        for line in format_table([HEADER, *rows], frozenset({1, 3})):
            print_line(line)
    else:
        print_line("Nothing that no column takes and the schema does not name.")
    if document["others"]:
        print_line(f"Further names were found {format_count(document['others'], 'time')}.")
    if document["declared"]:
        print_line()
        print_line(f"Named by the schema and taken by no column: {', '.join(document['declared'])}.")


def describe_source(document: dict[str, Any]) -> str:
    """Say of which items the counts are, and whether they are exact."""
    if document["source"] is None:
        return "nothing: what no column takes is refused or kept, as `unmapped` of the mapping says"
    items = format_count(document["of"], "item")
    if document["source"] == "scan":
        return f"a sample: {items} read now"
    how = "all" if document["exact"] else "some, since it had very many batches,"
    other = "" if document["counted_by"] == document["digest"] else ", under an older mapping"
    return f"{how} of the {items} that run {document['run']} converted{other}"

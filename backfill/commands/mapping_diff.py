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
from backfill.terminal.console import name_command, print_json, print_line, print_pairs, print_table
from backfill.terminal.formatting import format_count
from dynaurora import keys
from dynaurora.aws.objects import read_or_none
from dynaurora.dynamodb.attributes import plain_item
from dynaurora.mappings.conditions import Condition
from dynaurora.mappings.csv_format import SHORT_DIGEST_LENGTH
from dynaurora.mappings.registry import Registry
from dynaurora.mappings.unmapped import UnmappedCounter, Untaken, name_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.unmapped import Unmapped

MOST_SCANNED: Final = 10_000
PAGE_ITEMS: Final = 500
"""Of one page of a scan; DynamoDB ends a page at 1 MB anyway."""
REPORTS_READ: Final = 20
"""Of the newest reports, until one of a backfill is found."""
NOTHING: Final[dict[str, Any]] = {"attributes": [], "others": 0}
TAKES: Final = {
    "ignore": "no more than its columns",
    "reject": "no item with more than its columns",
    "column": "the rest in a column",
}
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
        counted = count_items(store, deployment.bucket, deployment.table, current, scan)
    of_targets = counted.pop("targets", None)
    document = {"mapping": current.name, "digest": pointer.digest, "generation": pointer.generation, **counted}
    if of_targets is None:
        document |= describe_target(current)
    else:
        document["targets"] = [
            {"view": f"{target.database}.{target.table}"} | of_targets[target.table] | describe_target(target)
            for target in current.targets
        ]
    if as_json:
        print_json(document)
    else:
        print_diff(document)


def describe_target(target: Mapping) -> dict[str, Any]:
    """Return what a target does with what its columns leave, and what its schema names all the same."""
    return {
        "unmapped": target.unmapped,
        "declared": [name_path(path) for path in Untaken(target).list_declared()],
    }


def count_items(store: ObjectStore, bucket: str, table: str, mapping: Mapping, scan: int | None) -> dict[str, Any]:
    """Return what is counted, and of what; of several targets in `targets`, by table.

    Raises ClickException where no backfill has counted it.
    """
    if all(target.unmapped != "ignore" for target in mapping.targets) and not mapping.others:
        return {"source": None, "run": None, "of": None, "exact": True, "attributes": [], "others": 0}
    if scan is not None:
        return scan_items(table, mapping, scan)
    report = find_report(store, bucket, mapping.name)
    ignored = (report and report["ignored"]) or NOTHING | {"exact": True}
    is_apart = not ignored["attributes"] or ("targets" in ignored) == bool(mapping.others)
    if report is None or not is_apart:
        command = name_command("mapping", "diff", mapping.name, "--scan", "1000")
        raise click.ClickException(
            f"No backfill of {mapping.name} has counted what its columns leave"
            f"{'' if report is None else ', target by target'}. Count some of its items: {command}"
        )
    totals = report["totals"]
    counted = {"source": "backfill", "run": report["run"], "counted_by": report["digest"], "exact": ignored["exact"]}
    counted["of"] = totals["exported"] - (0 if mapping.others else totals["rejected"])
    if not mapping.others:
        return counted | {"attributes": ignored["attributes"], "others": ignored["others"]}
    found = ignored.get("targets", {})
    return counted | {"targets": {target.table: found.get(target.table, NOTHING) for target in mapping.targets}}


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
    counters = [
        (UnmappedCounter(target), Condition(target) if target.when else None, target) for target in mapping.targets
    ]
    looked_at = 0
    for typed in read_items(table, most):
        looked_at += 1
        for counter, condition, target in counters:
            with suppress(Exception):  # of what is refused, the failed records tell
                if target.unmapped == "ignore" and (condition is None or condition.holds(typed)):
                    counter.look(plain_item(typed, mapping.json_attributes), typed)
    counted = {"source": "scan", "run": None, "counted_by": mapping.digest, "of": looked_at, "exact": False}
    found = {target.table: describe_found(counter.take()) for counter, _, target in counters}
    return counted | ({"targets": found} if mapping.others else found[mapping.table])


def describe_found(found: Unmapped) -> dict[str, Any]:
    """Return what was found for machines."""
    return {"attributes": found.describe(), "others": found.others}


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
    for target in document.get("targets", [document]):
        if "view" in target:
            print_line()
            print_line(f"{target['view']}, which takes {TAKES[target['unmapped']]}:")
        print_attributes(target)


def print_attributes(document: dict[str, Any]) -> None:
    """Print what the columns of a target leave."""
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
        print_table([HEADER, *rows], frozenset({1, 3}))
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

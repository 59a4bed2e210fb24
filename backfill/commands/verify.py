"""`dynaurora verify`: whether the items of a table and its rows are equal, and which are not, and why."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from backfill.commands.options import PercentRange, json_option, stack_option
from backfill.commands.verification_options import patience_option, read_units_option, settle_option
from backfill.comparing_exports import compare_export
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect, connect_functions, connect_objects, connect_to
from backfill.deployment.deployments import choose_deployment, find_deployments
from backfill.deployment.sources import can_export
from backfill.reporting import describe_found, leave_report
from backfill.rereading import name_key
from backfill.runs.run_ids import check_run
from backfill.samples import READ_UNIT_USD, describe_table
from backfill.terminal.console import WrongUseError, name_command, print_json, print_line, print_pairs, say
from backfill.terminal.formatting import format_bytes, format_count, format_seconds, format_usd
from backfill.verifying import Verification, choose_segments
from dynaurora.dynamodb.items import TableItems, is_possible_key
from dynaurora.dynamodb.scans import Pace, TableScan
from dynaurora.failures.list_failures import Place
from dynaurora.mappings.registry import Registry
from dynaurora.mappings.sandbox import choose_row_mapper
from dynaurora.runs.costs import estimate_verification
from dynaurora.verification.compared_exports import ComparedExport
from dynaurora.verification.expectations import Expecter
from dynaurora.verification.function_lookup import FunctionLookup
from dynaurora.verification.verdicts import RowVerdict
from dynaurora.verification.verifier import make_suspect_judge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backfill.deployment.deployments import Deployment
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.dynamodb.changes import TypedItem
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.verification.verdicts import Tally

ANSWER_SECONDS: Final = 130.0
"""How long compare_rows is waited for, which waits for a database that has paused."""
SHOWN: Final = 20
"""Keys that are printed for people."""
NAMED: Final = 1_000
"""Keys that are named for machines."""
TOLD_SECONDS: Final = 2.0
HALF_UNIT_BYTES: Final = 8 * 1024
"""That one read unit reads, eventually consistent (DynamoDB Developer Guide, "Read/write capacity mode")."""
EPILOG: Final = """\b
Examples:
  dynaurora verify web_analytics
  dynaurora verify web_analytics --via scan --read-units 500
  dynaurora verify web_analytics --sample 5
  dynaurora verify web_analytics --keys keys.jsonl --reveal
  dynaurora verify web_analytics --watch --json | tail -1 | jq .differing

It needs cloudformation:DescribeStacks; lambda:InvokeFunction of compare-rows and describe-runs, and
GetEventSourceMapping; dynamodb:DescribeTable, DescribeContinuousBackups, Scan and GetItem of the table;
states:StartExecution, DescribeExecution, GetExecutionHistory, ListMapRuns and DescribeMapRun; and of the landing
bucket s3:ListBucket, GetObject and GetObjectTagging, and for its report s3:PutObject below reports/.
"""
EXAMPLES: Final = {"S": "…", "N": "1", "B": "AAE="}
"""Of a key's value, by its type."""
EXPLAINED: Final = {
    "identical": "equal",
    "differing": "the row has other values",
    "missing": "the item has no row",
    "extra": "the row has no item",
    "impossible": "the row's version lies in the future: it takes no changes until then",
    "behind": "still changing, or waiting for an import",
    "newer": "changed since",
    "older_mapping": "as an older mapping wrote it: a repair or a backfill brings it up to date",
    "failed": "refused by the mapping, or kept as failed: see `dynaurora failures list`",
    "skipped": "of other targets",
}
"""What each count is of."""


@dataclass(frozen=True)
class Wanted:
    """How a verification is to be done."""

    via: str
    sample: float | None
    keys: str | None
    units: float
    workers: int
    settle_seconds: float
    patience_seconds: float
    reveal: bool

    @property
    def is_whole(self) -> bool:
        """Whether all items are compared."""
        return self.sample is None and self.keys is None


@click.command(epilog=EPILOG)
@click.argument("mapping")
@click.option(
    "--via",
    type=click.Choice(["export", "scan"]),
    help="How the items are read: of an export, by default where the table has point-in-time recovery, or by a scan.",
)
@click.option("--run", metavar="RUN", help="Go on with the verification by an export that has this id.")
@click.option(
    "--sample", type=PercentRange(0.1, 100), metavar="P", help="Compare about P percent of the items; no extra rows."
)
@click.option("--keys", metavar="FILE", help="Compare only these: a key on each line, in DynamoDB's JSON; - for stdin.")
@read_units_option
@click.option("--workers", type=click.IntRange(1, 32), default=4, show_default=True, help="Segments beside each other.")
@settle_option
@patience_option
@click.option("--reveal", is_flag=True, help="Record both values of columns that differ, and not only their digests.")
@click.option("--watch", "watching", is_flag=True, help="Tell how far it is while it goes on.")
@stack_option
@json_option
def verify(
    mapping: str,
    via: str | None,
    run: str | None,
    sample: float | None,
    keys: str | None,
    read_units: float,
    workers: int,
    settle: float,
    patience: float,
    reveal: bool,
    watching: bool,
    stack: str | None,
    as_json: bool,
) -> None:
    """Compare the items of MAPPING's table with their rows in Aurora, column by column.

    An export of the table is converted as in a backfill, and compared with the rows in the database; it uses no read
    capacity. Or the table is scanned in parts beside each other, which does, and rows are looked up by a function in
    the stack's network. No value leaves the database. What does not agree is looked at again, row and then item, until
    it is equal or proved different, so that changes on their way are no false alarm. In the end, rows are found that no
    item was seen of. What is proved is recorded in _dynaurora_differences, and a report is left, which `dynaurora
    report` fetches. Nothing else is changed.

    Exit status 0 where everything is equal, or something says why it is not; 1 where a row differs, is missing or
    extra, or has an impossible version. With --json the last line is one object that counts all of it.
    """
    if sample is not None and keys is not None:
        raise WrongUseError("--sample chooses among all items, and --keys names some. Give one of the two.")
    if "export" in {via, run and "export"} and not (sample is None and keys is None):
        raise WrongUseError("An export has all items: --sample and --keys go with --via scan.")
    if run is not None and via == "scan":
        raise WrongUseError("A scan that ended cannot be gone on with: --run goes with --via export.")
    with explained_errors():
        deployment = choose_deployment(find_deployments(connect().cloudformation, stack), mapping)
        if not deployment.compare_rows:
            raise WrongUseError(
                f"The platform {deployment.platform} is of a release that cannot verify. Deploy it: dynaurora deploy"
            )
        store = connect_objects()
        current = Registry(store, deployment.bucket, deployment.mapping).find_current()
        via = via or ("export" if run else choose_way(deployment, sample, keys))
        wanted = Wanted(via, sample, keys, read_units, workers, settle, patience, reveal)
        run = run or f"verify-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
        check_run(deployment.mapping, run)
        say_cost(deployment, wanted)
        progress = Progress(as_json=as_json) if watching else None
        began, started_at = time.monotonic(), datetime.now(UTC)
        verification = verify_table(deployment, store, current, run, wanted, progress)
        seconds = time.monotonic() - began
        found = describe_found(verification, whole=wanted.is_whole)
        kept = leave_report(store, deployment, current, run, via, started_at, found)
    report(verification, run, wanted, seconds, kept, as_json=as_json)
    if not verification.tally.agrees:
        raise SystemExit(1)


class Progress:
    """Tells how far a verification is, now and then."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._told_at = time.monotonic()

    def tell(self, tally: Tally) -> None:
        """Tell it, unless it was told just now."""
        if time.monotonic() - self._told_at < TOLD_SECONDS:
            return
        self._told_at = time.monotonic()
        if self._as_json:
            print_json({**tally.as_dict(), "final": False})
        else:
            say(f"{tally.items:,} items compared, {tally.identical:,} equal; {tally.rows:,} rows looked through")


def choose_way(deployment: Deployment, sample: float | None, keys: str | None) -> str:
    """Return how items are read where nobody says: of an export, where the table can be exported and all are wanted."""
    if sample is not None or keys is not None:
        return "scan"
    return "export" if can_export(connect_to("dynamodb"), deployment.table) else "scan"


def verify_table(
    deployment: Deployment, store: ObjectStore, mapping: Mapping, run: str, wanted: Wanted, progress: Progress | None
) -> Verification:
    """Compare, judge and record."""
    lookup = FunctionLookup(connect_functions(ANSWER_SECONDS), deployment.compare_rows, mapping, run)
    verification = Verification(Expecter(choose_row_mapper(mapping)), lookup)
    if progress:
        verification.tell = progress.tell
    items = TableItems(deployment.table)
    lookup.ask("begin", via=wanted.via)
    try:
        if wanted.via == "export":
            take_export(verification, items, deployment, ComparedExport(deployment.bucket, mapping, store, run))
        else:
            compare(verification, items, deployment, wanted)
        place = Place(deployment.bucket, mapping.name, deployment.table, (deployment.event_source_mapping,))
        settle, patience = wanted.settle_seconds, wanted.patience_seconds
        expired = deployment.ignores_expiries
        verification.judge(
            make_suspect_judge(verification, items, place, store, settle, patience, keeps_expired=expired)
        )
        verification.record(items, reveal=wanted.reveal)
        result = verification.make_result(whole=wanted.is_whole)
    except BaseException:
        if wanted.via == "scan":  # nothing goes on with it; a run may be gone on with
            lookup.forget(discard=True)
        raise
    lookup.forget(**result)
    return verification


def take_export(verification: Verification, items: TableItems, deployment: Deployment, export: ComparedExport) -> None:
    """Have an export compared, and take what was found."""
    key_types = items.read_key_types()
    compare_export(connect(), deployment, export.run)
    verification.take(export.read_totals())
    for compared in export.read_batches(key_types):
        verification.take(compared)
    if not deployment.ignores_expiries:  # rows of expired items are there by right
        verification.find_extra_rows(key_types, export.read_version())


def compare(verification: Verification, items: TableItems, deployment: Deployment, wanted: Wanted) -> None:
    """Compare what is to be compared."""
    if wanted.keys is not None:
        verification.compare_keys(items, read_keys(wanted.keys, items.read_key_types()))
        return
    segments, of = choose_segments(wanted.sample, wanted.workers)
    verification.scan(TableScan(deployment.table, Pace(wanted.units)), segments, of, wanted.workers)
    if wanted.is_whole and not deployment.ignores_expiries:  # rows of expired items are there by right
        verification.find_extra_rows(items.read_key_types())


def read_keys(path: str, types: dict[str, str]) -> Iterator[TypedItem]:
    """Yield the keys of a file, each once. Raises WrongUseError, naming the line, where one is none."""
    if path != "-" and not (Path(path).exists() and os.access(path, os.R_OK) and not Path(path).is_dir()):
        example = json.dumps(_example(types))
        raise WrongUseError(f"There is no file {path} that can be read. Each of its lines is a key: {example}")
    names = set[str]()
    with nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                key = json.loads(line)
                is_key = is_possible_key(key, types)
            except (AttributeError, RecursionError, TypeError, ValueError):
                is_key = False
            if not is_key:
                example = json.dumps(_example(types))
                raise WrongUseError(f"Line {number} of {path} is no key. One is written so: {example}")
            if (name := name_key(key)) not in names:
                names.add(name)
                yield key
    if not names:
        raise WrongUseError(f"{path} has no key, so there is nothing to compare.")


def _example(types: dict[str, str]) -> TypedItem:
    return {name: {kind: EXAMPLES[kind]} for name, kind in types.items()}


def say_cost(deployment: Deployment, wanted: Wanted) -> None:
    """Say about what a scan costs, before it begins."""
    if wanted.keys is not None:
        return
    facts = describe_table(deployment.table)
    if wanted.via == "export":
        cost = format_usd(estimate_verification(facts.items, facts.size_bytes))
        say(
            f"Exporting {deployment.table}, {format_bytes(facts.size_bytes)} as of the last hours, and comparing it:"
            f" about {cost} in us-east-1, and no read capacity"
        )
        return
    share = 1.0 if wanted.sample is None else wanted.sample / 100
    units = facts.size_bytes / HALF_UNIT_BYTES * share
    say(
        f"Scanning {deployment.table}, {format_count(round(facts.items * share), 'item')} as of the last hours:"
        f" about {units:,.0f} read units, {format_usd(units * READ_UNIT_USD)} on demand in us-east-1"
    )


def report(
    verification: Verification, run: str, wanted: Wanted, seconds: float, kept: str | None, *, as_json: bool
) -> None:
    """Print what was found, and where its report is kept."""
    tally, proved = verification.tally, verification.proved
    counts = {**tally.as_dict(), "seconds": round(seconds, 1)}
    if as_json:
        named = [suspect.as_dict() for suspect in proved[:NAMED]]
        more = {"run": run, "via": wanted.via, "whole": wanted.is_whole, "agrees": tally.agrees, "report": kept}
        left_out = len(proved) - len(named) + verification.unproved
        print_json({**counts, **more, "reasons": dict(tally.reasons), "differences": named, "left_out": left_out})
        return
    print_pairs([("items", f"{tally.items:,}"), ("rows", f"{tally.rows:,}")])
    for verdict in RowVerdict:
        found = getattr(tally, verdict)
        if found or verdict is RowVerdict.IDENTICAL:
            print_pairs([(f"  {verdict.value}", f"{found:,}  {EXPLAINED[verdict.value]}")])
    print_pairs([("time", format_seconds(seconds))])
    if kept:
        print_pairs([("report", kept), ("", name_command("report", run, "--open"))])
    for suspect in proved[:SHOWN]:
        print_line(f"{suspect.table} {json.dumps(suspect.key)}: {suspect.finding}")
    if len(proved) + verification.unproved > SHOWN:
        print_line(f"… {len(proved) + verification.unproved - SHOWN:,} more: _dynaurora_differences, run {run}")

"""`dynaurora mapping try`: what becomes of real items by a mapping, before anything is written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from backfill.commands.mapping_files import load
from backfill.commands.options import json_option, stack_option
from backfill.commands.sample_options import export_option, items_option, rate_option, sample_option
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect, connect_objects
from backfill.deployment.deployments import choose_deployment, find_deployments
from backfill.failures.counts import noting_progress
from backfill.failures.reader import RECORD, FailureReader, Selection
from backfill.failures.verdicts import Judge
from backfill.samples import (
    FILE_SAMPLE,
    TABLE_SAMPLE,
    Sample,
    describe_table,
    open_export,
    sample_export,
    sample_file,
    sample_table,
    say_cost,
)
from backfill.terminal.console import WrongUseError, print_json, print_line, print_pairs, print_table, say
from backfill.terminal.formatting import format_count
from backfill.trials import Trial
from dynaurora.mappings.row_mapper import RowMapper

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.mappings.mapping import Mapping

MOST_ROWS: Final = 100
HEADER: Final = ("column", "type", "filled", "longest")
REVEALED: Final = "These are rows as they would be loaded; they may hold personal data."


@click.command(
    "try",
    epilog="""\b
Examples:
  dynaurora mapping try web_analytics
  dynaurora mapping try ./mappings/orders.json --table orders --sample 50000
  dynaurora mapping try ./mappings/orders.json --items orders.jsonl
  dynaurora mapping try ./mappings/orders.json --export ARN --json | jq .reasons
  dynaurora mapping try web_analytics --failed
""",
)
@click.argument("name")
@click.option("--table", metavar="T", help="The table to read items of, where it is not the mapping's own.")
@export_option
@items_option
@click.option("--failed", is_flag=True, help="Try the records that are kept as failed by the mapping's deployment.")
@sample_option
@rate_option
@click.option("--rows", type=click.IntRange(0, MOST_ROWS), default=0, metavar="N", help="Print N of the rows, too.")
@stack_option
@json_option
def try_command(name: str, failed: bool, rows: int, stack: str | None, as_json: bool, **given: Any) -> None:
    """Map real items by NAME, a mapping or the path of its file, and show what is taken, what is refused, and why.

    Of a mapping with several targets each gets the items that its condition is true of; what none takes is skipped.
    Nothing is written, to no table and no bucket. Each reason has the number of its items and keys of some of them; an
    item that is refused for several reasons is counted by its first. Of the rows it tells how many have a value in each
    column, and how long these are. What rows hold is printed with --rows only.

    A table is read by Scan, eventually consistent, which is billed as it says; --failed needs what `failures` needs.

    Exit status 0 where all are taken, 1 where any is refused or cannot be read, 2 for wrong use.
    """
    mapping = load(name)
    trial = Trial(mapping, keep=rows)
    with explained_errors():
        if failed:
            if any(given[each] for each in ("table", "export", "items")):
                raise WrongUseError("--failed tries what is kept as failed: give no --table, --export or --items.")
            where, sample = "records that are kept as failed", None
            try_failed(trial, mapping, stack, given["sample"] or FILE_SAMPLE)
        else:
            sample = open_sample(mapping, **given)
            where = sample.where
            for items, _ in sample.batches:
                trial.add_all(items)
                if trial.items % 100_000 < len(items):
                    say(f"{format_count(trial.items, 'item')} tried")
    if as_json:
        document = {"mapping": mapping.name, "source": where, "cost": sample.cost if sample else {}, **trial.as_dict()}
        print_json(document)
    else:
        print_trial(trial, where, sample)
    if trial.items > trial.taken + trial.skipped:
        refused = format_count(trial.items - trial.taken - trial.skipped, "item")
        raise click.ClickException(f"{mapping.name} refuses {refused} of {trial.items:,}.")


def open_sample(
    mapping: Mapping, table: str | None, export: str | None, items: str | None, sample: int | None, rate: float
) -> Sample:
    """Return the items to try. Raises WrongUseError."""
    if sum(map(bool, (table, export, items))) > 1:
        raise WrongUseError("Give one of --table, --export and --items.")
    if export:
        return sample_export(*open_export(export), sample or FILE_SAMPLE)
    if items:
        return sample_file(items, sample or FILE_SAMPLE)
    facts = describe_table(table or mapping.source_table)
    if list(facts.key_types) != list(mapping.key_attributes):
        own, named = " + ".join(facts.key_types), " + ".join(mapping.key_attributes)
        raise click.ClickException(f"The key of the table {facts.table} is {own}, and that of {mapping.name} {named}.")
    return sample_table(facts.table, sample or TABLE_SAMPLE, rate)


def try_failed(trial: Trial, mapping: Mapping, stack: str | None, most: int) -> None:
    """Try what the deployment of a mapping keeps as failed."""
    deployment = choose_deployment(find_deployments(connect().cloudformation, stack), mapping.name)
    judge = Judge(RowMapper(mapping), deployment.ignores_expiries)
    reader = FailureReader(deployment.place, connect_objects(), judge)
    for failure in take(noting_progress(reader.read(Selection(include_parked=True))), most):
        if failure.verdict:
            trial.add_verdict(failure.verdict)


def take(failures: Iterator[Any], most: int) -> Iterator[Any]:
    """Yield up to so many of the failures that are records."""
    left = most
    for failure in failures:
        if failure.kind == RECORD:
            yield failure
            left -= 1
            if not left:
                return


def print_trial(trial: Trial, where: str, sample: Sample | None) -> None:
    """Print the result for people."""
    print_pairs([("mapping", trial.mapping.name), ("tried", f"{format_count(trial.items, 'item')}, {where}")])
    print_pairs([("cost", say_cost(sample))] if sample else [])
    refused = trial.items - trial.taken - trial.skipped
    skipped = [("skipped", f"{trial.skipped:,}, which no target takes")] if trial.skipped else []
    print_pairs([("taken", f"{trial.taken:,}"), ("refused", f"{refused:,}"), *skipped])
    for name, found in trial.ordered():
        print_line()
        print_line(f"{found.items:,} {name}: {found.message}")
        for key in found.keys:
            print_line(f"  as in {json.dumps(key)}")
    for target in trial.mapping.targets:
        print_rows(trial, target)
    if trial.kept:
        say(REVEALED)
        for row in trial.kept:
            print_line(json.dumps(row, ensure_ascii=False))


def print_rows(trial: Trial, target: Mapping) -> None:
    """Print how the rows of a target look."""
    rows = trial.rows[target.table]
    if not rows:
        return
    print_line()
    if trial.mapping.routes:
        print_line(f"{format_count(rows, 'row')} of {target.table}")
    columns = [
        (
            column.name,
            column.type.sql,
            say_share(trial.filled[target.table, column.name], rows),
            f"{trial.longest.get((target.table, column.name), 0):,}",
        )
        for column in target.columns
    ]
    print_table([HEADER, *columns], frozenset({2, 3}))


def say_share(filled: int, rows: int) -> str:
    """Say in which part of the rows a column has a value."""
    return "all" if filled == rows else "none" if not filled else f"{100 * filled / rows:.1f} %"

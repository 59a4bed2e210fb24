"""`dynaurora failures …`: what is kept as failed, counted, listed, explained and written out."""

from __future__ import annotations

import heapq
import json
import os
import stat
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from backfill.commands.failures_discard import discard, restore
from backfill.commands.options import apply_options, json_option, prefix_option, stack_option
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect
from backfill.deployment.deployments import choose_deployments, find_deployments, split_names
from backfill.failures.counts import AGE, HOUR, PREFIX, REASON, Tally, noting_progress
from backfill.failures.describe import ARCHIVED_HEADER, DETAILS, HEADER, NUMERIC, describe_failure, print_revealed
from backfill.failures.reader import RECORD, Selection
from backfill.looking import Look, describe_tally, find_failure, keep_newest, name_again
from backfill.terminal.console import WrongUseError, print_json, print_line, print_lines, print_pairs, print_table, say
from backfill.terminal.formatting import format_count
from dynaurora.mappings.mapping import NAME
from dynaurora.runs.ends import format_percentage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from backfill.failures.items import ItemEntry
    from backfill.failures.reader import Failure

DEFAULT_LISTED: Final = 50
MOST_LISTED: Final = 10_000
REVEALED: Final = "This is the record as it was sent; it may hold personal data."
EPILOG = """\b
Examples:
  dynaurora failures count
  dynaurora failures count orders --by age --include-parked
  dynaurora failures list --reason payload.Hits
  dynaurora failures show 3f2a9c0d41be
  dynaurora failures export -o failures.jsonl
  dynaurora failures discard --superseded --dry-run
"""


@click.group("failures", epilog=EPILOG)
def failures_group() -> None:
    """See what is kept as failed: records that no mapping took, and batches that Aurora did not take.

    A failure is an item's: of several of one key the newest is told. It is superseded as soon as the item's row is
    newer, and the next reprocess archives it. Without MAPPING they are those of all mappings.

    Each is explained: which rule refused it, where in the item, and what the mapping on this machine says of it now.
    What items hold is printed on request only; their keys are printed, since they are what an item is found by.

    Talks to the account, region and endpoint that the AWS SDK is configured for. Results go to standard output,
    progress and messages to standard error. Exit status 0 done, 1 failed, 2 wrong use.

    They need cloudformation:DescribeStacks, and of the landing bucket s3:ListBucket and s3:GetObject; where they are
    allowed, they use lambda:InvokeFunction of compare_rows, which looks rows up, and dynamodb:DescribeTable.
    """


mapping_argument: Final = click.argument("mapping", required=False)
superseded_option: Final = click.option(
    "--superseded", is_flag=True, help="Only what a newer row of its item has overtaken, which is left out otherwise."
)


def selection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that select failures; it gets a Selection."""
    options = (
        prefix_option,
        click.option("--parked", "only_parked", is_flag=True, help="Only what failed too often and was parked."),
        click.option("--include-parked", is_flag=True, help="What was parked too."),
        click.option("--archived", is_flag=True, help="Only what was discarded or superseded, and can be restored."),
        click.option("--reason", metavar="TEXT", help="Only what `count --by reason` shows with this in its reason."),
    )
    return apply_options(command, options)


def select(*, superseded: bool = False, **selected: Any) -> Selection:
    """Return the selection of a command's options. Raises WrongUseError for those that do not go together."""
    selection = Selection(**selected)
    if selection.archived and (selection.include_parked or selection.only_parked or superseded):
        raise WrongUseError(
            "--archived takes all that is archived: leave out --parked, --include-parked, --superseded."
        )
    return selection


failures_group.add_command(discard)
failures_group.add_command(restore)


@failures_group.command(
    "list",
    epilog="""\b
Examples:
  dynaurora failures list
  dynaurora failures list --reason "payload.Hits (type)" --limit 10
  dynaurora failures list --parked --json | jq -r '.[].id'
  dynaurora failures list orders --archived
""",
)
@mapping_argument
@selection_options
@superseded_option
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_LISTED),
    default=DEFAULT_LISTED,
    show_default=True,
    metavar="N",
    help="How many failures to list.",
)
@stack_option
@json_option
def list_command(
    mapping: str | None, superseded: bool, limit: int, stack: str | None, as_json: bool, **selected: Any
) -> None:
    """List failures item by item, those that came last first."""
    selection = select(superseded=superseded, **selected)
    known, left_out = 0, 0
    newest: list[tuple[str, int, ItemEntry]] = []
    with explained_errors():
        for look in open_looks(mapping, stack):
            for entry in look.read_entries(selection, REASON):
                if bool(entry.superseded) != superseded:
                    left_out += 1
                    continue
                known += 1
                keep_newest(newest, entry, known, limit)
    listed = [entry for *_, entry in sorted(newest, reverse=True)]
    if as_json:
        print_json([entry.as_dict() for entry in listed])
        return
    if not listed and (superseded or not left_out):
        say("No failure is superseded." if superseded else describe_none(selection))
    if listed:
        header = ARCHIVED_HEADER if selection.archived else HEADER
        print_table([header, *(entry.cells for entry in listed)], NUMERIC, below=DETAILS)
    if known > len(listed):
        say(f"{len(listed):,} of {format_count(known, 'failure')}; more with --limit, all with `failures export`.")
    if left_out and not superseded:
        say(f"{format_count(left_out, 'failure')} that newer rows have overtaken left out: --superseded lists them.")


def take_newest(failures: Iterable[Failure], limit: int) -> tuple[int, list[Failure]]:
    """Return how many failures there are, and those that came last, newest first; only these are held."""
    newest: list[tuple[datetime, int, Failure]] = []
    number = 0
    for number, failure in enumerate(failures, 1):
        entry = (failure.first_seen_at, -number, failure)
        if len(newest) < limit:
            heapq.heappush(newest, entry)
        else:
            heapq.heappushpop(newest, entry)
    return number, [failure for *_, failure in sorted(newest, reverse=True)]


@failures_group.command(
    epilog="""\b
Examples:
  dynaurora failures count
  dynaurora failures count orders --by age
  dynaurora failures count --by hour --reason required
  dynaurora failures count --by prefix --include-parked --json
"""
)
@mapping_argument
@click.option(
    "--by",
    type=click.Choice([REASON, AGE, HOUR, PREFIX]),
    default=REASON,
    show_default=True,
    help="By why it is refused now, by how long ago or in which hour it was first seen, or by where it is kept.",
)
@selection_options
@stack_option
@json_option
def count(mapping: str | None, by: str, stack: str | None, as_json: bool, **selected: Any) -> None:
    """Count failures, item by item. One that is refused for several reasons is counted by its first one.

    With --json, one object on a line for each mapping.
    """
    selection = select(**selected)
    with explained_errors():
        looks = open_looks(mapping, stack)
        for look in looks:
            tally = Tally(by)
            for entry in look.read_entries(selection, by):
                tally.add(entry)
            items = look.count_items()
            if as_json:
                print_json(describe_tally(look.deployment, tally, by, items))
                continue
            if len(looks) > 1:
                print_line(f"{look.deployment.mapping}:")
            print_tally(tally, items)


def print_tally(tally: Tally, items: int | None) -> None:
    """Print counts for people."""
    print_table([(f"{number:,}", group) for group, number in tally.groups], frozenset({0}), header=False)
    records, batches = format_count(tally.records, "record"), format_count(tally.batches, "batch", "batches")
    print_line(f"{records} and {batches}" + (f", {tally.parked:,} of them parked" if tally.parked else ""))
    if tally.records and items:
        print_line(f"{format_percentage(min(tally.records, items), items)} of about {items:,} items of the table")
    if overtaken := tally.superseded + tally.older:
        by = "newer rows or failures of their items"
        print_line(f"{overtaken:,} more superseded by {by}: the next reprocess archives them")
    if tally.oldest:
        print_line(f"first seen {tally.oldest} to {tally.newest}")


@failures_group.command(
    epilog="""\b
Examples:
  dynaurora failures show
  dynaurora failures show orders
  dynaurora failures show 3f2a9c0d41be --reveal
  dynaurora failures show --prefix failed_batches/
"""
)
@click.argument("names", nargs=-1, metavar="[MAPPING] [FAILURE]")
@click.option("--reveal", is_flag=True, help="Print the record itself too; it may hold personal data.")
@selection_options
@stack_option
@json_option
def show(names: tuple[str, ...], reveal: bool, stack: str | None, as_json: bool, **selected: Any) -> None:
    """Explain FAILURE, by the id that `failures list` prints, or a batch by its own; by default what came last.

    An id stays the same when the failure is tried again, or parked. Records of the same bytes have the same id, and
    the first one is shown.
    """
    selection = select(**selected)
    if len(names) > 2:
        raise WrongUseError("One failure is shown at a time: name a mapping, a failure, or both.")
    check_choice(selection, is_named=len(names) == 2 or any(not NAME.fullmatch(name) for name in names))
    with explained_errors():
        deployments = find_deployments(connect().cloudformation, stack)
        mapping, ids = split_names(names, deployments)
        check_choice(selection, is_named=bool(ids))
        looks = [Look.open(found) for found in choose_deployments(deployments, mapping)]
        look, found = find_failure(looks, ids[0], stack) if ids else find_newest(looks, selection)
        superseded = None if found.archived else look.is_superseded(found)
    again = name_again(found, look.deployment.mapping, stack)
    if as_json:
        print_json({**found.as_dict(reveal=reveal), "superseded": superseded, "next": again})
        return
    print_pairs(describe_failure(found, again, look.deployment.mapping, reveal=reveal, superseded=superseded))
    if reveal and found.kind == RECORD:
        say(REVEALED)
        print_lines(print_revealed(found.data))


@failures_group.command(
    epilog="""\b
Examples:
  dynaurora failures export > failures.jsonl
  dynaurora failures export --include-parked -o failures.jsonl
  dynaurora failures export --reveal -o records.jsonl
"""
)
@click.option(
    "-o",
    "--output",
    "path",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Write to FILE, readable by its owner only, instead of standard output.",
)
@click.option("--reveal", is_flag=True, help="Write the records themselves too; they may hold personal data.")
@mapping_argument
@selection_options
@stack_option
@json_option
def export(
    mapping: str | None, path: Path | None, reveal: bool, stack: str | None, as_json: bool, **selected: Any
) -> None:
    """Write failures as JSON Lines, each as it is kept and in that order. --json tells of the file as JSON."""
    written, selection = 0, select(**selected)
    with explained_errors():
        looks = open_looks(mapping, stack)
        with open_output(path) as lines:
            for failure in noting_progress(failure for look in looks for failure in look.reader.read(selection)):
                lines.write(json.dumps(failure.as_dict(reveal=reveal)) + "\n")
                written += 1
    if path is None:
        return
    if as_json:
        print_json({"file": str(path), "failures": written})
    else:
        print_line(f"{format_count(written, 'failure')} in {path}")
    if reveal and written:
        say(f"{path} holds the records as they were sent; they may be personal data.")


def open_looks(mapping: str | None, stack: str | None) -> list[Look]:
    """Return what looks at the failures of a mapping, or of each that is deployed."""
    deployments = find_deployments(connect().cloudformation, stack)
    return [Look.open(found) for found in choose_deployments(deployments, mapping)]


def check_choice(selection: Selection, *, is_named: bool) -> None:
    """Raise WrongUseError where a failure is both named and chosen."""
    if is_named and selection != Selection():
        raise WrongUseError("A failure is named, or chosen by options as the one that came last of those; not both.")


def find_newest(looks: Sequence[Look], selection: Selection) -> tuple[Look, Failure]:
    """Return the failure of a selection that came last. Raises WrongUseError where there is none."""
    newest: list[tuple[datetime, Look, Failure]] = []
    for look in looks:
        _, its = take_newest(noting_progress(look.reader.read(selection)), 1)
        newest += [(failure.first_seen_at, look, failure) for failure in its]
    if newest:
        _, look, found = max(newest, key=lambda one: one[0])
        return look, found
    raise WrongUseError(describe_none(selection))


def describe_none(selection: Selection) -> str:
    """Say that nothing is in a selection."""
    if selection == Selection(archived=True):
        return "Nothing is archived."
    return "Nothing is kept as failed." if selection == Selection() else "No failure is like that."


@contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """Yield where the lines go: a file that only its owner reads, or standard output.

    Raises WrongUseError where the file cannot be opened.
    """
    if path is None:
        yield sys.stdout
        return
    try:
        lines = open(path, "w", encoding="utf-8", opener=open_private)  # noqa: SIM115 (closed below)
    except OSError as error:
        raise WrongUseError(f"{path} cannot be written: {error.strerror}. Name another file with -o.") from error
    with lines:
        yield lines


def open_private(name: str, flags: int) -> int:
    """Open a file that only its owner may read, whoever could before."""
    descriptor = os.open(name, flags, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.fchmod(descriptor, 0o600)
    return descriptor

"""`dynaurora failures …`: what is kept as failed, counted, listed, explained and written out."""

from __future__ import annotations

import heapq
import json
import os
import shlex
import stat
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from backfill.commands.options import json_option, prefix_option, stack_option
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect, connect_objects
from backfill.deployment.deployments import choose_only, find_deployments
from backfill.failures.counts import HOUR, PREFIX, REASON, Tally, noting_progress
from backfill.failures.describe import HEADER, NUMERIC, describe_failure, print_revealed, summarize_failure
from backfill.failures.reader import RECORD, FailureReader, Selection
from backfill.failures.verdicts import load_judge
from backfill.terminal.console import WrongUseError, name_command, print_json, print_line, print_pairs, say
from backfill.terminal.formatting import format_count, format_table
from dynaurora.failures.list_failures import SUPERSEDED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from backfill.deployment.deployments import Deployment
    from backfill.failures.reader import Failure

DEFAULT_LISTED: Final = 50
MOST_LISTED: Final = 10_000
REVEALED: Final = "This is the record as it was sent; it may hold personal data."
EPILOG = """\b
Examples:
  dynaurora failures count
  dynaurora failures count --by prefix --include-parked
  dynaurora failures list --reason payload.Hits
  dynaurora failures show 3f2a9c0d41be
  dynaurora failures export -o failures.jsonl
"""


@click.group("failures", epilog=EPILOG)
def failures_group() -> None:
    """See what is kept as failed: records that no mapping took, and batches that Aurora did not take.

    Each is explained: which rule refused it, where in the item, and what the mapping on this machine says of it now.
    What items hold is printed on request only; their keys are printed, since they are what an item is found by.

    Talks to the account, region and endpoint that the AWS SDK is configured for. Results go to standard output,
    progress and messages to standard error. Exit status 0 done, 1 failed, 2 wrong use.

    They need cloudformation:DescribeStacks, and of the landing bucket s3:ListBucket and s3:GetObject.
    """


def selection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that select failures; it gets a Selection."""
    options = (
        prefix_option,
        click.option("--parked", "only_parked", is_flag=True, help="Only what failed too often and was parked."),
        click.option("--include-parked", is_flag=True, help="What was parked too."),
        click.option("--reason", metavar="TEXT", help="Only what `count --by reason` shows with this in its reason."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@failures_group.command(
    "list",
    epilog="""\b
Examples:
  dynaurora failures list
  dynaurora failures list --reason "payload.Hits (type)" --limit 10
  dynaurora failures list --parked --json | jq -r '.[].id'
""",
)
@selection_options
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
def list_command(limit: int, stack: str | None, as_json: bool, **selected: Any) -> None:
    """List failures one by one, those that came last first."""
    selection = Selection(**selected)
    with explained_errors():
        reader = open_reader(find_deployment(stack))
        known, newest = take_newest(noting_progress(reader.read(selection)), limit)
    if as_json:
        print_json([failure.as_dict() for failure in newest])
        return
    if not newest:
        say(describe_none(selection))
        return
    for line in format_table([HEADER, *map(summarize_failure, newest)], NUMERIC):
        print_line(line)
    if known > len(newest):
        say(f"{len(newest):,} of {format_count(known, 'failure')}; more with --limit, all with `failures export`.")


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
  dynaurora failures count --by hour --reason required
  dynaurora failures count --by prefix --include-parked --json
"""
)
@click.option(
    "--by",
    type=click.Choice([REASON, HOUR, PREFIX]),
    default=REASON,
    show_default=True,
    help="By why it is refused now, by when it was first seen, or by where it is kept.",
)
@selection_options
@stack_option
@json_option
def count(by: str, stack: str | None, as_json: bool, **selected: Any) -> None:
    """Count failures. A record that is refused for several reasons is counted by its first one."""
    with explained_errors():
        reader = open_reader(find_deployment(stack))
        tally = Tally(by, reader.place)
        for failure in noting_progress(reader.read(Selection(**selected))):
            tally.add(failure)
    totals = {"records": tally.records, "batches": tally.batches, "parked": tally.parked}
    if as_json:
        counts = [{by: group, "count": number} for group, number in tally.groups]
        print_json({"failures": tally.counts.total(), **totals, "by": by, "counts": counts})
        return
    for line in format_table([(f"{number:,}", group) for group, number in tally.groups], frozenset({0})):
        print_line(line)
    records, batches = format_count(tally.records, "record"), format_count(tally.batches, "batch", "batches")
    print_line(f"{records} and {batches}" + (f", {tally.parked:,} of them parked" if tally.parked else ""))


@failures_group.command(
    epilog="""\b
Examples:
  dynaurora failures show
  dynaurora failures show 3f2a9c0d41be --reveal
  dynaurora failures show --prefix failed_batches/
"""
)
@click.argument("failure", required=False)
@click.option("--reveal", is_flag=True, help="Print the record itself too; it may hold personal data.")
@selection_options
@stack_option
@json_option
def show(failure: str | None, reveal: bool, stack: str | None, as_json: bool, **selected: Any) -> None:
    """Explain FAILURE, by the id that `failures list` prints, or a batch by its own; by default what came last.

    An id stays the same when the failure is tried again, or parked. Records of the same bytes have the same id, and
    the first one is shown.
    """
    selection = Selection(**selected)
    if failure and selection != Selection():
        raise WrongUseError("A failure is named, or chosen by options as the one that came last of those; not both.")
    with explained_errors():
        deployment = find_deployment(stack)
        reader = open_reader(deployment)
        found = find_failure(reader, failure, stack) if failure else find_newest(reader, selection)
    again = name_again(found, deployment.mapping, stack)
    if as_json:
        print_json({**found.as_dict(reveal=reveal), "next": again})
        return
    print_pairs(describe_failure(found, again, deployment.mapping, reveal=reveal))
    if reveal and found.kind == RECORD:
        say(REVEALED)
        print_line(print_revealed(found.data))


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
@selection_options
@stack_option
@json_option
def export(path: Path | None, reveal: bool, stack: str | None, as_json: bool, **selected: Any) -> None:
    """Write failures as JSON Lines, in the order in which they are kept. --json tells of the file as JSON."""
    written = 0
    with explained_errors():
        reader = open_reader(find_deployment(stack))
        with open_output(path) as lines:
            for failure in noting_progress(reader.read(Selection(**selected))):
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


def find_deployment(stack: str | None) -> Deployment:
    """Return the deployment that is meant. Raises WrongUseError where it has to be named."""
    return choose_only(find_deployments(connect().cloudformation, stack))


def open_reader(deployment: Deployment) -> FailureReader:
    """Return what reads a deployment's failures."""
    return FailureReader(deployment.place, connect_objects(), load_judge(deployment))


def find_failure(reader: FailureReader, name: str, stack: str | None) -> Failure:
    """Return the failure of a name, parked or not. Raises WrongUseError where there is none."""
    failures = noting_progress(reader.read(Selection(include_parked=True)))
    if found := next((failure for failure in failures if failure.is_called(name)), None):
        return found
    raise WrongUseError(
        f"Nothing that is kept as failed is called {name!r}. It may have been settled meanwhile. List what there is "
        f"with: {name_command('failures', 'list', '--include-parked', stack=stack)}"
    )


def find_newest(reader: FailureReader, selection: Selection) -> Failure:
    """Return the failure of a selection that came last. Raises WrongUseError where there is none."""
    _, newest = take_newest(noting_progress(reader.read(selection)), 1)
    if newest:
        return newest[0]
    raise WrongUseError(describe_none(selection))


def describe_none(selection: Selection) -> str:
    """Say that nothing is in a selection."""
    return "Nothing is kept as failed." if selection == Selection() else "No failure is like that."


def name_again(failure: Failure, mapping: str, stack: str | None) -> str:
    """Return the command that takes a failure's object up again; of a batch of records, those that it was made of."""
    prefix = () if failure.kind == SUPERSEDED else ("--prefix", shlex.quote(failure.key))
    return name_command("reprocess", "start", mapping, *prefix, "--watch", stack=stack)


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

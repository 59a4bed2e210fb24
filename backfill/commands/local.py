"""`dynaurora local …`: an AWS the size of this machine, started, looked at, demonstrated and stopped.

What the commands do is in `local/`, which is imported when one of them runs: it takes a second.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from backfill.commands.local_progress import watched_progress
from backfill.commands.local_report import keep_report
from backfill.commands.local_shared import (
    explained_errors,
    find_running,
    name_command,
    say,
    with_engine,
    with_timeout,
)
from backfill.commands.local_status import env, print_places, status
from backfill.commands.options import json_option
from backfill.project import EXAMPLE, current_project, load_example, read_project
from backfill.runs.screens import show_text
from backfill.terminal.console import WrongUseError, output, print_json, print_line, print_lines, print_table
from dynaurora.escaping import escape_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dynaurora.mappings.mapping import Mapping
    from dynaurora.verification.verdicts import Tally
    from local.api import Api
    from local.backfills import Backfill
    from local.findings import Result
    from local.items import ItemFile

DEFAULT_CHANGES = 5000
DEFAULT_SEEDED = 2000
MOST_REASONS = 10


@click.group("local")
def local_group() -> None:
    """Run all of it on this machine: an emulated AWS, a real MariaDB or MySQL as Aurora.

    The templates, functions and state machine are the ones that go to AWS. Files are kept in .local/ of the project,
    and several projects can run at once.
    """


@local_group.command(
    epilog="""\b
Examples:
  dynaurora local up
  dynaurora local up --items orders.jsonl --items devices=export/data.json.gz
  dynaurora local up --json | jq -r .endpoint_url
  dynaurora local up --engine mysql
  AUTH=true dynaurora local up         enforce the functions' own roles
"""
)
@click.option("--database", help="Database that clients use by default; the first mapping's, unless told.")
@click.option(
    "--items",
    "files",
    multiple=True,
    metavar="[NAME=]FILE",
    help='Write the items of a file, one {"Item": …} a line, to the table of a mapping; of the one with the file\'s'
    " name, unless told. Can be given several times.",
)
@click.option("--seed", is_flag=True, help=f"Write {DEFAULT_SEEDED:,} clicks to the example's table.")
@with_engine
@click.option("--json", "as_json", is_flag=True, help="Print where things are as one JSON object.")
def up(database: str | None, files: tuple[str, ...], seed: bool, engine: str | None, *, as_json: bool) -> None:
    """Start the local AWS in the background and deploy the project's mappings to it.

    Their tables are created where they are not there, with keys of the types that the items or the mapping have. Where
    it is up, what has changed in the project is deployed. It starts empty: DynamoDB is, and the replica too.
    """
    project = current_project()
    with explained_errors():
        from local.lifecycle import start_for_good
        from local.replicating import replicate
        from local.running import check_roles, describe, find_api, find_database

        mappings = project.load_mappings()
        items = choose_files(files, mappings)
        clicks = choose_example(mappings) if seed else None
        directory, database = project.state_directory, database or mappings[0].database
        with start_for_good(directory, database=database, engine=engine, report=say) as state:
            check_roles(state)
            api = find_api(state)
            deployments = replicate(
                api,
                find_database(state),
                mappings,
                platform=project.stack,
                items=items,
                report=say,
            )
            if clicks:
                write_clicks(api, clicks)
    where = describe(state, deployments)
    if as_json:
        click.echo(json.dumps(where))
    else:
        print_places(where)
        print_lines(f'\nNext: eval "$({name_command()} local env)" and then aws or mysql')


def choose_files(files: Sequence[str], mappings: Sequence[Mapping]) -> list[ItemFile]:
    """Return the files of items, each with its mapping. Raises WrongUseError where it is of none, or not there."""
    from local.items import ItemFile

    by_name = {mapping.name: mapping for mapping in mappings}
    chosen = []
    for given in files:
        name, _, path = given.rpartition("=")
        name = name or Path(path).name.partition(".")[0]
        if name not in by_name:
            raise WrongUseError(
                f"--items {given}: no mapping is named {name!r}; there are: {', '.join(by_name)}. Say whose items they"
                f" are: --items NAME={path}"
            )
        if not Path(path).is_file():
            raise WrongUseError(f"--items {given}: there is no file {path}.")
        chosen.append(ItemFile(Path(path), by_name[name]))
    return chosen


def choose_example(mappings: Sequence[Mapping]) -> Mapping:
    """Return the example's mapping. Raises WrongUseError where the project has another, or none."""
    found = [mapping for mapping in mappings if mapping.digest == load_example().digest]
    if not found:
        raise WrongUseError("--seed writes the example's clicks, and this project has not its mapping; see --items.")
    return found[0]


def write_clicks(api: Api, mapping: Mapping) -> None:
    """Write the example's clicks; the same each time."""
    from local.clicks import Written, tell_seeded, write_stories

    say(f"Writing {DEFAULT_SEEDED:,} clicks to {mapping.source_table}")
    write_stories(api.dynamodb, mapping.source_table, tell_seeded(DEFAULT_SEEDED, 1, "seed"), Written())


@local_group.command(
    epilog="""\b
Examples:
  dynaurora local compare
  dynaurora local compare orders --json | jq .orders.identical
"""
)
@click.argument("names", metavar="[NAME…]", nargs=-1)
@with_timeout("what is on its way")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as one JSON object, by mapping.")
def compare(names: tuple[str, ...], timeout: float, *, as_json: bool) -> None:
    """Compare the tables of mappings with their rows in Aurora, key by key: all, or those that are named.

    Changes that are on their way are waited for. Items that a mapping refuses as they are now are counted apart, with
    the reasons. Exit status 0 where every other key agrees, 1 where one differs or is missing.
    """
    with explained_errors():
        from local.deployment import read_deployment
        from local.replicating import compare_tables
        from local.running import find_api

        state, found = find_running(), {}
        api = find_api(state)
        for mapping in current_project().load_mappings(names):
            tables = ", ".join(f"{target.database}.{target.table}" for target in mapping.targets)
            say(f"Comparing {mapping.source_table} and {tables}")
            found[mapping.name] = compare_tables(state, api, read_deployment(api, mapping.name), timeout)
    if as_json:
        click.echo(json.dumps({name: asdict(comparison) for name, comparison in found.items()}))
    else:
        print_comparisons(found)
    if not all(comparison.agrees for comparison in found.values()):
        raise SystemExit(1)


def print_comparisons(found: dict[str, Tally]) -> None:
    """Print what was found, a row for each mapping, then what is rare of it, examples and reasons."""
    names = ("items", "rows", "identical", "differing", "missing", "extra", "failed")
    header = ("mapping", *("refused" if name == "failed" else name for name in names))
    rows = [(name, *(f"{getattr(tally, column):,}" for column in names)) for name, tally in found.items()]
    print_table([header, *rows], frozenset(range(1, len(header))))
    for name, comparison in found.items():
        for text in describe_rare(name, comparison):
            print_line(f"{name}: {text}")
        for example in comparison.examples:
            print_line(f"{name}: {escape_text(example)}")
        for reason, count in comparison.reasons.most_common(MOST_REASONS):
            print_line(f"{name}: {count:,} refused: {escape_text(reason)}")


def describe_rare(mapping: str, comparison: Tally) -> Iterator[str]:
    """Yield what the table has no column for, so that its counts add up."""
    for verdict in ("behind", "newer", "impossible"):
        if count := getattr(comparison, verdict):
            yield f"{count:,} {verdict}"
    if comparison.older_mapping:
        completes = f"{name_command()} backfill start {mapping} --watch"
        yield f"{comparison.older_mapping:,} as an older mapping made them; a backfill completes them: {completes}"


@local_group.command(
    epilog="""\b
Examples:
  dynaurora local down
  dynaurora local down --json | jq .stopped
"""
)
@json_option
def down(*, as_json: bool) -> None:
    """Stop the local AWS, wait until all of it has stopped, and remove what it kept."""
    directory = current_project().state_directory
    with explained_errors():
        from local.lifecycle import clear, stop

        stopped = stop(directory)
        clear(directory)
    if as_json:
        print_json({"stopped": bool(stopped)})
    else:
        click.echo("Stopped." if stopped else "Nothing was running.")


@local_group.command(
    epilog="""\b
Examples:
  dynaurora local demo
  dynaurora local demo --items 100000 --seed 7
  dynaurora local demo --engine mysql
  AUTH=true dynaurora local demo       enforce the functions' own roles
"""
)
@click.option(
    "--items",
    "changes",
    type=click.IntRange(1),
    default=DEFAULT_CHANGES,
    show_default=True,
    metavar="N",
    help="How many changes to write.",
)
@click.option(
    "--seeded",
    type=click.IntRange(0),
    default=DEFAULT_SEEDED,
    show_default=True,
    metavar="N",
    help="How many items are there before, for the backfill.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed writes the same changes.")
@with_timeout("the last of them")
@with_engine
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def demo(changes: int, seeded: int, seed: int, timeout: float, engine: str | None, *, as_json: bool) -> None:
    """Replicate and backfill the example's table while it is written to, and compare it with Aurora key by key.

    Items are seeded before the table's stream is on, then changes are written, of seeded items too, and the table is
    backfilled meanwhile; in the end both sides have to be the same, whatever came first. Uses the local AWS that runs
    and leaves it running; where none runs, starts one and stops it at the end. Exit status 0 only where every key
    agrees or is accounted for by a rejection. In the end it tells where the backfill's report is, in .local/ until
    `dynaurora local down`.
    """
    with explained_errors():
        from local.demo import Options, run_demo
        from local.lifecycle import borrow
        from local.running import check_roles, find_api
        from local.stack import REPORTS

        options = Options(changes, seeded, seed, timeout, load_example())
        directory, database = find_demo_directory(), options.mapping.database
        with borrow(directory, database=database, engine=engine, report=say) as (state, was_running):
            check_roles(state)
            with watched_progress(changes, seeded) as progress:
                result = run_demo(state, options, prepare_backfill, progress)
            report = keep_demo_report(find_api(state), result, directory / REPORTS)
    if as_json:
        click.echo(json.dumps({**result.as_dict(), "report": str(report) if report else None}, indent=2))
    else:
        print_result(result)
        print_next_commands(was_running=was_running)
        if report:
            print_lines(f"\nReport of the backfill: {report}")
    if result.problems:
        raise SystemExit(1)


def keep_demo_report(api: Api, result: Result, directory: Path) -> Path | None:
    """Write the report of the demo's backfill into a directory, before the local AWS that has it stops."""
    view, pipeline = result.view, result.stage.pipeline
    if view is None or view.is_running:
        return None
    return keep_report(api.s3, pipeline.deployment.bucket, pipeline.mapping.name, view.run, directory)


def find_demo_directory() -> Path:
    """Return where the demo's local AWS is: that of the example's project where that is the current one."""
    try:
        project = current_project()
    except WrongUseError:
        return read_project(EXAMPLE).state_directory
    return project.state_directory


def prepare_backfill(api: Api, mapping: str) -> Backfill:
    """Return the backfill of a mapping's table that the demo is to make."""
    from backfill.commands.local_backfill import DemonstratedRun
    from backfill.deployment.clients import Clients

    clients = Clients(cloudformation=api.cloudformation, states=api.stepfunctions, s3=api.s3, functions=api.functions)
    return DemonstratedRun(clients, mapping)


def print_result(result: Result) -> None:
    """Print what the demo found."""
    comparison = result.comparison
    table = Table("", "count", show_header=False)
    table.columns[0].overflow, table.columns[1].justify = "fold", "right"
    for section in (list_written, list_backfilled, list_rejected, list_compared, list_seconds):
        for name, number, *style in section(result):
            table.add_row(show_text(name), number, style=style[0] if style else None)
        table.add_section()
    output.print(table, soft_wrap=False)
    for problem in result.problems:
        output.print(show_text("✗", style="red"), show_text(problem))
    if not result.problems:
        kept = f"; {comparison.failed:,} are refused as they are, and kept" if comparison.failed else ""
        output.print(show_text("✓", style="green"), f"Aurora holds what DynamoDB holds, key by key{kept}.")


def list_written(result: Result) -> Iterator[tuple[str, ...]]:
    """Yield the names and numbers, and the styles of some, of what was written."""
    stage = result.stage
    when = "through the stream" if stage.is_streamed else "before the stream was on"
    yield f"items seeded, {when}", f"{stage.seeded.changes:,}"
    yield "changes written", f"{result.changes:,}"
    for name, count in result.count_seeded_changes().items():
        act, _, when = name.partition("_")
        yield f"  seeded items {act} {when} the export's time", f"{count:,}", "dim"


def list_backfilled(result: Result) -> Iterator[tuple[str, ...]]:
    """Yield the same of what the backfill did."""
    totals = result.backfill.get("totals") or {}
    names = {
        "exported": "items exported by the backfill",
        "imported": "  imported",
        "already_newer": "  already newer in Aurora",
        "rejected": "  rejected",
    }
    yield from ((text, f"{totals[name]:,}") for name, text in names.items() if name in totals)


def list_rejected(result: Result) -> Iterator[tuple[str, ...]]:
    """Yield the same of what the mapping refused."""
    yield "changes rejected", f"{result.rejected:,}"
    yield from ((f"  {reason}", f"{count:,}", "dim") for reason, count in result.reasons.most_common())


def list_compared(result: Result) -> Iterator[tuple[str, ...]]:
    """Yield the same of both sides, compared."""
    comparison = result.comparison
    yield "items in DynamoDB", f"{comparison.items:,}"
    yield "  identical to their rows", f"{comparison.identical:,}"
    yield "  refused as they are now", f"{comparison.failed:,}"
    yield "  differing", f"{comparison.differing:,}"
    yield "  missing", f"{comparison.missing:,}"
    yield "rows in Aurora", f"{comparison.rows:,}"
    yield "  identical to their items", f"{comparison.identical:,}"
    yield "  of refused items, as they were before", f"{result.rows_of_refused:,}"
    yield "  extra", f"{comparison.extra:,}"


def list_seconds(result: Result) -> Iterator[tuple[str, ...]]:
    """Yield the same of how long it took."""
    if report := result.backfill:
        yield "seconds of the backfill", f"{report['seconds']:.1f}"
        yield from ((f"  {phase['name']}", f"{phase['seconds']:.1f}", "dim") for phase in report["phases"])
    yield "seconds from last write to last row", f"{result.seconds:.1f}"
    yield "seconds to compare both sides", f"{result.compared_seconds:.1f}"


def print_next_commands(*, was_running: bool) -> None:
    """Print the two commands that a person would try next."""
    command = name_command()
    first = f"{command} local status" if was_running else f"{command} local up && {command} local demo"
    query = "SELECT country_code, COUNT(*) FROM Demo.WebAnalytics GROUP BY 1"
    output.print("\nNext:", style="bold")
    print_line(f"  {first}")
    print_line(f"  eval \"$({command} local env)\" && mysql -e '{query}'")


local_group.add_command(status)
local_group.add_command(env)

"""`dynaurora local …`: an AWS the size of this machine, started, looked at, demonstrated and stopped.

What the commands do is in `local/`, which is imported when one of them runs: it needs a checkout and the extra
`local`, and nothing else on the command line does.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.api import Api
    from local.backfills import Backfill, BackfillView
    from local.findings import Result
    from local.state import State

DEFAULT_DATABASE = "Demo"
DEFAULT_CHANGES = 5000
DEFAULT_SEEDED = 2000
DEFAULT_TIMEOUT_SECONDS = 600.0
PHASES = {
    "checking": "checking that the table can be exported, and that its stream is read",
    "waiting for margin": "waiting until the stream has been read for long enough",
    "exporting": "DynamoDB exports the table as it is at this second",
    "planning": "grouping the export's files into batches",
    "importing": "converting and importing the batches, beside the stream's",
    "reconciling": "accounting for every exported item",
    "reporting": "writing the report",
}
"""What a backfill does in its phases, for who sees one for the first time."""

ENGINES = ("mariadb", "mysql")

errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
output = Console(highlight=False, soft_wrap=True, emoji=False)


with_engine = click.option(
    "--engine",
    type=click.Choice(ENGINES),
    envvar="DYNAURORA_ENGINE",
    show_envvar=True,
    help="Database server that stands for Aurora; mariadb unless told.",
)


@click.group("local")
def local_group() -> None:
    """Run all of it on this machine: an emulated AWS, a real MariaDB or MySQL as Aurora.

    The templates, functions and state machine are the ones that go to AWS. Files are kept in .local/ of the checkout,
    and two checkouts can run at once.
    """


@local_group.command(
    epilog="""\b
Examples:
  dynaurora local up
  dynaurora local up --json | jq -r .endpoint_url
  dynaurora local up --engine mysql
  AUTH=true dynaurora local up         enforce the functions' own roles
"""
)
@click.option("--database", default=DEFAULT_DATABASE, show_default=True, help="Database that clients use by default.")
@with_engine
@click.option("--json", "as_json", is_flag=True, help="Print where things are as one JSON object.")
def up(database: str, engine: str | None, *, as_json: bool) -> None:
    """Start the local AWS in the background and deploy a platform and the example's replication to it.

    Where it is up, what has changed in the checkout is deployed. It starts empty: DynamoDB is, and the replica too.
    """
    with explained_errors():
        from local.deployment import deploy
        from local.lifecycle import start_for_good
        from local.running import check_roles, describe, find_api, find_database

        with start_for_good(database=database, engine=engine, report=say) as state:
            check_roles(state)
            deployment = deploy(find_api(state), find_database(state), report=say)
    where = describe(state, [deployment])
    if as_json:
        click.echo(json.dumps(where, indent=2))
    else:
        print_places(where)
        output.print(f'\nNext: [bold]eval "$({name_command()} local env)"[/] and then [bold]aws[/] or [bold]mysql[/]')


@local_group.command()
def down() -> None:
    """Stop the local AWS and wait until all of it has stopped."""
    with explained_errors():
        from local.lifecycle import stop

        click.echo("Stopped." if stop() else "Nothing was running.")


@local_group.command(
    epilog="""\b
Examples:
  dynaurora local status
  dynaurora local status --json | jq .waiting
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print the status as one JSON object.")
def status(*, as_json: bool) -> None:
    """Show what runs where, and how much is on its way. Exit status 1 where nothing runs."""
    with explained_errors():
        from local.status import read_status

        found = read_status()
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        print_status(found)
    if not found["running"]:
        raise SystemExit(1)


@local_group.command(
    epilog="""\b
Example:
  eval "$(dynaurora local env)"
  aws dynamodb scan --table-name web_analytics --max-items 3
  mysql -e 'SELECT * FROM Demo.WebAnalytics LIMIT 3'
"""
)
def env() -> None:
    """Print shell exports with which aws, boto3 and mysql reach the local AWS."""
    with explained_errors():
        from local.lifecycle import DIRECTORY
        from local.running import UNSET_VARIABLES, export_variables, find_client_directory

        state = find_running()
        variables, client = export_variables(state, DIRECTORY), find_client_directory(state)
    for name in UNSET_VARIABLES:
        click.echo(f"unset {name}")
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")
    if client:
        click.echo(f'export PATH="$PATH":{shlex.quote(str(client))}')


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
@click.option(
    "--timeout",
    type=click.FloatRange(1),
    default=DEFAULT_TIMEOUT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the last of them.",
)
@with_engine
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def demo(changes: int, seeded: int, seed: int, timeout: float, engine: str | None, *, as_json: bool) -> None:
    """Replicate and backfill a DynamoDB table while it is written to, and compare it with Aurora key by key.

    Items are seeded before the table's stream is on, then changes are written, of seeded items too, and the table is
    backfilled meanwhile; in the end both sides have to be the same, whatever came first. Uses the local AWS that runs
    and leaves it running; where none runs, starts one and stops it at the end. Exit status 0 only where every key
    agrees or is accounted for by a rejection.
    """
    with explained_errors():
        from local.demo import Options, run_demo
        from local.lifecycle import borrow
        from local.running import check_roles

        with borrow(database=DEFAULT_DATABASE, engine=engine, report=say) as (state, was_running):
            check_roles(state)
            with watched_progress(changes, seeded) as progress:
                result = run_demo(state, Options(changes, seeded, seed, timeout), prepare_backfill, progress)
    if as_json:
        click.echo(json.dumps(result.as_dict(), indent=2))
    else:
        print_result(result)
        print_next_commands(was_running=was_running)
    if result.problems:
        raise SystemExit(1)


def prepare_backfill(api: Api, mapping: str) -> Backfill:
    """Return the backfill of a mapping's table that the demo is to make."""
    from backfill.commands.local_backfill import DemonstratedRun
    from backfill.deployment.clients import Clients

    clients = Clients(cloudformation=api.cloudformation, states=api.stepfunctions, s3=api.s3, functions=api.functions)
    return DemonstratedRun(clients, mapping)


class DemoProgress:
    """Shows the demo's steps and counts on standard error."""

    def __init__(self, changes: int, seeded: int, bars: Progress) -> None:
        self._bars = bars
        self._seeded = bars.add_task("seeded in DynamoDB", total=seeded, visible=False)
        self._written = bars.add_task("written to DynamoDB", total=changes, visible=False)
        self._accounted = bars.add_task("arrived in Aurora", total=changes, visible=False)
        self._backfilled = bars.add_task("backfilled", total=None, visible=False)
        self._phase = ""

    def say(self, line: str) -> None:
        """Tell of a step."""
        say(line)

    def seed(self, written: int) -> None:
        """Show how many items are seeded."""
        self._bars.update(self._seeded, completed=written, visible=True)

    def count(self, written: int, accounted: int, of: int) -> None:
        """Show how many changes are written, and how many have arrived or are kept with a reason, of how many."""
        self._bars.update(self._seeded, visible=False)
        self._bars.update(self._written, completed=written, total=of, visible=True)
        self._bars.update(self._accounted, completed=accounted, total=of, visible=True)

    def backfill(self, view: BackfillView) -> None:
        """Show how far the backfill is."""
        if view.phase != self._phase and view.phase in PHASES:
            say(f"  backfill: {PHASES[view.phase]}")
        self._phase = view.phase
        items = view.plan["items"] if view.plan else None
        self._bars.update(self._backfilled, completed=view.rows.all if view.rows else 0, total=items, visible=True)


@contextmanager
def watched_progress(changes: int, seeded: int) -> Iterator[DemoProgress]:
    """Show progress bars while the demo runs, where a person is watching."""
    columns = (TextColumn("  {task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=not errors.is_terminal, disable=not errors.is_terminal) as bars:
        yield DemoProgress(changes, seeded, bars)


@contextmanager
def explained_errors() -> Iterator[None]:
    """End the command with status 1 and an error's message, for those that say what to do."""
    try:
        from local.expected_errors import EXPECTED
    except ImportError as error:
        raise click.ClickException(f"{error}. The local AWS needs a checkout and: pip install -e '.[local]'") from error
    try:
        yield
    except EXPECTED as error:
        raise click.ClickException(str(error)) from error


def find_running() -> State:
    """Return the state of the running local AWS, or end the command."""
    from local.lifecycle import DIRECTORY
    from local.state import read_state

    state = read_state(DIRECTORY)
    if state is None:
        raise click.ClickException(f"The local AWS is not running; start it with: {name_command()} local up")
    return state


def say(line: str) -> None:
    """Tell of a step, on standard error."""
    errors.print(f"[dim]{line} …[/]")


def print_places(where: dict[str, Any]) -> None:
    """Print where things are, for people."""
    aurora = where["aurora"]
    rows = {
        "AWS API": where["endpoint_url"],
        "DynamoDB table": where["table"],
        "landing bucket": where["bucket"],
        "delivery stream": where["delivery_stream"],
        "state machines": ", ".join(where["state_machines"].values()),
        "Aurora": f"mysql://{aurora['user']}@{aurora['host']}:{aurora['port']}/{aurora['database']}",
    }
    print_pairs(rows)


def print_status(found: dict[str, Any]) -> None:
    """Print the status for people."""
    if not found["running"]:
        output.print(f"The local AWS is not running; start it with: {name_command()} local up")
        return
    print_pairs(
        {
            "supervisor": f"process {found['processes']['supervisor']}",
            "AWS API": f"{found['endpoint_url']}, process {found['processes']['emulator']}",
            "Aurora": f"{found['aurora']['host']}:{found['aurora']['port']}, "
            + (f"process {found['processes']['database']}" if found["processes"]["database"] else "down"),
        }
    )
    counts = found.get("pipeline")
    if counts is None:
        output.print(f"Nothing is deployed; deploy with: {name_command()} local up")
        return
    print_pairs(
        {
            "batches waiting": "unknown" if counts["waiting"] is None else counts["waiting"],
            "imports running": counts["executions"]["running"],
            "imports succeeded": counts["executions"]["succeeded"],
            "imports failed": counts["executions"]["failed"],
            "backfills": ", ".join(f"{count} {word}" for word, count in counts["backfills"].items()),
            "rejected records": f"{counts['rejected_objects']} objects",
            "items in DynamoDB": counts["items"],
            "rows in Aurora": "unknown" if counts["rows"] is None else counts["rows"],
        }
    )


def print_pairs(pairs: dict[str, Any]) -> None:
    """Print names and values in two columns."""
    for name, value in pairs.items():
        output.print(f"{name:<18} {value}", markup=False)


def print_result(result: Result) -> None:
    """Print what the demo found."""
    comparison = result.comparison
    table = Table("", "count", show_header=False)
    table.columns[1].justify = "right"
    for section in (list_written, list_backfilled, list_rejected, list_compared, list_seconds):
        for name, number, *style in section(result):
            table.add_row(name, number, style=style[0] if style else None)
        table.add_section()
    output.print(table)
    for problem in result.problems:
        output.print(f"[red]✗[/] {problem}")
    if not result.problems:
        kept = f"; {comparison.unmapped:,} are refused as they are, and kept" if comparison.unmapped else ""
        output.print(f"[green]✓[/] Aurora holds what DynamoDB holds, key by key{kept}.")


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
    yield "rows in Aurora", f"{comparison.rows:,}"
    yield "  identical", f"{comparison.identical:,}"
    yield "  differing", f"{comparison.differing:,}"
    yield "  missing", f"{comparison.missing:,}"


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
    output.print(f"  {first}", markup=False)
    output.print(f"  eval \"$({command} local env)\" && mysql -e '{query}'", markup=False)


def name_command() -> str:
    """Return what a person types for this command: its path, where it is not on the PATH."""
    called = Path(sys.argv[0])
    if shutil.which(called.name) == str(called.absolute()):
        return called.name
    here = Path.cwd()
    return str(called.absolute().relative_to(here) if called.absolute().is_relative_to(here) else called)

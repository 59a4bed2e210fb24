"""`dynaurora mapping rebuild`: what cannot be altered online, in a second table that is filled and then switched to.

Each step is found done or not by what is there: the active mapping, the run that has filled the second table, and the
file. So a command that was killed goes on when it is given again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import click

from backfill.commands.backfill_start import DEFAULTS
from backfill.commands.mapping_change import BATCH_ROWS, WAYS, estimate_backfill, wait_option, way_options
from backfill.commands.mapping_files import find_file, load
from backfill.commands.options import check_needs_no_answer, every_option, json_option, yes_option
from backfill.deployment.changing import apply_patiently
from backfill.deployment.clients import connect, connect_objects
from backfill.deployment.deployments import choose_deployment, find_deployments
from backfill.kinds import BACKFILL
from backfill.runs.describe import describe_state
from backfill.runs.executions import Execution, find_running
from backfill.runs.find import FoundRun
from backfill.runs.following import follow
from backfill.runs.run_ids import find_run_id
from backfill.runs.screens import choose_screen
from backfill.runs.start import Wanted, now, start_execution
from backfill.terminal.console import WrongUseError, name_command, print_json, print_pairs, say
from backfill.terminal.formatting import format_bytes, format_count
from dynaurora import keys
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.rebuilds import compose_rebuild, find_rebuilt, is_under_way, write_replica
from dynaurora.mappings.registry import Registry
from dynaurora.runs import runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from backfill.deployment.changing import Way
    from backfill.deployment.clients import Clients
    from backfill.deployment.deployments import Deployment
    from dynaurora.mappings.mapping import Mapping

WRITE, FILL, SWITCH = "write both", "fill", "switch"
STEPS: Final = (WRITE, FILL, SWITCH)
STORAGE_USD: Final = 0.10
"""A GB of Aurora Standard a month in us-east-1 (aws.amazon.com/rds/aurora/pricing, as of November 2025)."""
MARGIN: Final = "an export is asked for about four minutes after both tables are written"


@dataclass
class Rebuild:
    """A rebuild, as far as it has come."""

    way: Way
    clients: Clients
    deployment: Deployment
    path: Path
    wanted: Mapping
    """The file's."""
    stack: str | None
    seconds: int
    """For which a table is waited for."""

    @property
    def active(self) -> Mapping:
        """The mapping that is active now, read anew."""
        return Registry(connect_objects(), self.deployment.bucket, self.wanted.name).find_current()

    @cached_property
    def plan(self) -> dict[str, Any]:
        """What the target says of the file, before anything is done."""
        return self.way.plan(self.wanted, drop=False)

    def name_replicas(self) -> None:
        """Have the wanted mapping name a second table for each target that is refused, as its file will.

        One that an earlier mapping writes is none: a row of it that is late would stand for an item that was deleted
        while nobody wrote the table, and nothing of the fill would be against it.
        """
        text = self.wanted.text
        named = {target.table: target.replica for target in find_rebuilt(self.active, self.wanted)}
        for table, replica in self.plan["free_replicas"].items():
            if table not in named or named[table] in self.plan["written_replicas"]:
                text = write_replica(text, table, replica)
        self.wanted = parse(self.wanted.name, text)

    def find_steps(self) -> tuple[str, ...]:
        """Return what is left to do. Raises ClickException where nothing of this is a rebuild's."""
        active, name = self.active, self.wanted.name
        if active.digest == self.wanted.digest:
            return ()
        if is_under_way(active):
            self._check_same(active)
            return (SWITCH,) if all(self.plan["rebuilding"].values()) else (FILL, SWITCH)
        self.name_replicas()
        if not find_rebuilt(active, self.wanted):
            apply = name_command("mapping", "apply", name, stack=self.stack)
            raise click.ClickException(f"Nothing of this needs a rebuild: {apply}")
        if self.deployment.ignores_expiries:
            raise click.ClickException(
                f"Aurora keeps the rows of expired items of {name} (TtlDeletes=ignore), which no export has: a second"
                " table would lack them. Deploy with TtlDeletes=replicate first, or keep the column and add another."
            )
        self.compose()
        return STEPS

    def compose(self) -> Mapping:
        """Return the mapping by which both tables are written. Raises ClickException where there can be none."""
        try:
            return compose_rebuild(self.active, self.wanted)
        except ValueError as error:
            raise click.ClickException(f"Both tables cannot be written by one mapping: {error}.") from error

    def _check_same(self, active: Mapping) -> None:
        try:
            is_same = compose_rebuild(active, self.wanted).digest == active.digest
        except ValueError:
            is_same = False
        if not is_same:
            back = name_command("mapping", "rebuild", self.wanted.name, "--back", stack=self.stack)
            raise click.ClickException(
                f"A rebuild of {self.wanted.name} to another file goes on. Put that file back, or go back: {back}"
            )

    def take(self, step: str, *, every: float, as_json: bool) -> None:
        """Take one step. Safe to repeat. Raises ClickException where it fails."""
        say(f"{self.wanted.name}: {step}.")
        if step == WRITE:
            both = self.compose()
            self.path.write_text(self.wanted.text, "utf-8")
            self.apply(both)
        elif step == FILL:
            self.fill(every, as_json=as_json)
        else:
            self.apply(self.wanted)

    def apply(self, mapping: Mapping) -> None:
        """Make a mapping the active one."""
        apply_patiently(self.way, mapping, self.seconds, say, drop=False)

    def fill(self, every: float, *, as_json: bool) -> None:
        """Have a backfill with a sweep fill what is not filled: the one that runs, then one that is started."""
        machine, name = self.deployment.machine_arn(BACKFILL), self.wanted.name
        running = find_running(self.clients.states, machine, name)
        if running:
            self.follow(running, find_run_id(BACKFILL, running), every, as_json=as_json)
            if self.is_filled():
                return
        wanted = Wanted(BACKFILL, self.deployment, None, {"sweep": True}, DEFAULTS)
        started, arn = start_execution(self.clients.states, wanted)
        say(f"Run {started.run} is started; {MARGIN}.")
        self.follow(Execution(arn, started.name, "RUNNING", now()), started.run, every, as_json=as_json)
        if not self.is_filled():
            again = name_command("mapping", "rebuild", name, stack=self.stack)
            status = name_command("backfill", "status", started.run, stack=self.stack)
            raise click.ClickException(f"Run {started.run} has not filled it; see why: {status}. Then go on: {again}")

    def follow(self, execution: Execution, run: str, every: float, *, as_json: bool) -> None:
        """Show a run until it ends."""
        found = FoundRun(BACKFILL, self.deployment, run, execution)
        with choose_screen(as_json=as_json) as screen:
            view = follow(self.clients, found, screen, every)
        say(f"Run {run}: {describe_state(view)}")
        if view.state != runs.SUCCEEDED and view.failure:
            say(f"{view.failure.error}: {view.failure.reason} {view.failure.remedy}")

    def is_filled(self) -> bool:
        """Tell whether all second tables are filled now."""
        return all(self.way.plan(self.wanted, drop=False)["rebuilding"].values())


def parse(name: str, text: str) -> Mapping:
    """Return the mapping of a file's text."""
    return build_mapping(name, json.loads(text, parse_float=Decimal), text=text)


@click.command(
    "rebuild",
    epilog=f"""\b
Examples:
  dynaurora mapping rebuild orders --dry-run
  dynaurora mapping rebuild orders
  dynaurora mapping rebuild orders --back       go back to the mapping before
  dynaurora mapping rebuild orders --drop       drop the table that was replaced
{WAYS}""",
)
@click.argument("name")
@click.option("--back", is_flag=True, help="Go back to the mapping before, and write that into NAME's file.")
@click.option("--drop", is_flag=True, help="Drop the tables that rebuilds have left, with what is in them.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@yes_option
@wait_option
@every_option
@json_option
@way_options
def rebuild_command(
    find_way: Callable[[str], Way],
    stack: str | None,
    name: str,
    back: bool,
    drop: bool,
    dry_run: bool,
    yes: bool,
    seconds: int,
    every: float,
    as_json: bool,
) -> None:
    """Bring NAME's tables to what its file has, where `mapping plan` refuses to alter them.

    That is another type, a narrower one, another name or another key column. A second table is written by the stream as
    well, and filled by a backfill with a sweep, while the first one serves. Then the view is switched to it, in one
    statement. The file is given the second table's name, as `replica`. The first table stays until --drop.

    What was cut short goes on when the command is given again. Progress goes to standard error; with --json the last
    line of standard output is the result. Deploy the file afterwards, as after `mapping apply`.

    Exit status 0 done or nothing to do, 1 it failed or is refused, 2 for wrong use.
    """
    check_needs_no_answer(as_json=as_json, is_answered=yes or dry_run)
    if back and drop:
        raise WrongUseError("Give --back or --drop, not both.")
    wanted, clients = load(name), connect()
    deployment = choose_deployment(find_deployments(clients.cloudformation, stack), wanted.name)
    rebuild = Rebuild(find_way(wanted.name), clients, deployment, find_file(name), wanted, stack, seconds)
    if drop:
        drop_left_tables(rebuild, dry_run=dry_run, yes=yes, as_json=as_json)
        return
    if back:
        go_back(rebuild)
    steps = ("go back",) if back and is_under_way(rebuild.active) else rebuild.find_steps()
    plan = describe_rebuild(rebuild, steps)
    if not as_json:
        print_pairs(tell_rebuild(rebuild, plan))
    if steps and not dry_run:
        if not yes:
            click.confirm("Do it?", abort=True)
        carry_out(rebuild, steps, every, as_json=as_json)
    if as_json:
        print_json(plan | {"done": [] if dry_run else list(steps)})


def carry_out(rebuild: Rebuild, steps: tuple[str, ...], every: float, *, as_json: bool) -> None:
    """Take the steps that are left."""
    if steps == ("go back",):
        rebuild.path.write_text(rebuild.wanted.text, "utf-8")
        rebuild.apply(rebuild.wanted)
    else:
        for step in steps:
            rebuild.take(step, every=every, as_json=as_json)
    drop = name_command("mapping", "rebuild", rebuild.wanted.name, "--drop", stack=rebuild.stack)
    say(f"Done. Deploy {rebuild.path.name}; the table that serves no more stays until: {drop}")


def go_back(rebuild: Rebuild) -> None:
    """Have the mapping before be the wanted one. Raises ClickException where it has the same tables."""
    before = rebuild.plan["before"]
    earlier = parse(rebuild.wanted.name, before) if before else None
    active = rebuild.active
    if earlier is None or not (is_under_way(active) or find_rebuilt(active, earlier)):
        raise click.ClickException(f"There is no rebuild of {rebuild.wanted.name} to go back from.")
    if not (find_rebuilt(active, rebuild.wanted) and is_same_but_for_tables(rebuild.wanted, earlier)):
        rebuild.wanted = earlier  # else its table is named in the file already
    rebuild.__dict__.pop("plan", None)


def is_same_but_for_tables(one: Mapping, other: Mapping) -> bool:
    """Tell whether two documents are the same, whichever tables their rows go into."""
    documents = [json.loads(mapping.text) for mapping in (one, other)]
    for document in documents:
        for target in document.get("targets") or [document["target"]]:
            target.pop("replica", None)
    return bool(documents[0] == documents[1])


def describe_rebuild(rebuild: Rebuild, steps: tuple[str, ...]) -> dict[str, Any]:
    """Return what is to be done, for machines, with what filling costs, and a month of the second table's storage."""
    plan, active = rebuild.plan, rebuild.active
    served = rebuild.way.plan(active, drop=False)
    rows, octets = served["rows"], served["bytes"]
    filled = estimate_backfill({"fill": ["all"], "rows": rows, "bytes": octets}) if FILL in steps else None
    return {
        "mapping": rebuild.wanted.name,
        "file": str(rebuild.path),
        "steps": list(steps),
        "targets": [
            {
                "view": f"{target.database}.{target.table}",
                "serves": next(each.replica for each in active.targets if each.table == target.table),
                "rebuilt": target.replica,
                "filled_by": plan["rebuilding"].get(target.table),
            }
            for target in find_rebuilt(active, rebuild.wanted)
        ],
        "why": plan["refuse"],
        "rows": rows,
        "bytes": octets,
        "batches": max(1, rows // BATCH_ROWS),
        "backfill": filled,
        "storage_usd_a_month": round(octets / 1e9 * STORAGE_USD, 2),
    }


def tell_rebuild(rebuild: Rebuild, plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is to be done, for people."""
    yield "mapping", plan["mapping"]
    for target in plan["targets"]:
        yield "view", f"{target['view']}, of {target['serves']} now and of {target['rebuilt']} then"
    if not plan["steps"]:
        yield "steps", "nothing to do"
        return
    for reason in plan["why"]:
        yield "why", reason
    size = f"about {format_count(plan['rows'], 'row')}, {format_bytes(plan['bytes'])}"
    usd = (plan["backfill"] or {"usd": 0})["usd"]
    storage = f"${plan['storage_usd_a_month']:.2f} a month while both tables are there"
    texts = {
        "go back": f"{rebuild.path.name} is what it was, and the second table is written no more",
        WRITE: f"{rebuild.path.name} names the second table, which the stream writes too; the first one serves",
        FILL: f"by a backfill with a sweep: {size}, about ${usd:.2f}, and {storage}",
        SWITCH: "the view shows the second table, in one statement",
    }
    for number, step in enumerate(plan["steps"], 1):
        yield f"{number} {step}", texts[step]


def drop_left_tables(rebuild: Rebuild, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Drop what rebuilds have left, once nothing that is on its way, or failed, is for it."""
    name = rebuild.wanted.name
    left = rebuild.way.list_replicas(rebuild.wanted, drop=False)
    if not as_json:
        sizes = [f"{each['replica']}, about {format_count(each['rows'], 'row')}" for each in left["left"]]
        sizes = sizes or ["nothing: no rebuild has left a table"]
        print_pairs([("mapping", name), *(("drop", text) for text in sizes)])
    if left["left"] and not dry_run:
        refuse_drop(rebuild, left)
        if not yes:
            click.confirm("Drop it, with what is in it?", abort=True)
        rebuild.way.list_replicas(rebuild.wanted, drop=True)
        say("Dropped.")
    if as_json:
        print_json(left | {"dropped": bool(left["left"]) and not dry_run})


def refuse_drop(rebuild: Rebuild, left: dict[str, Any]) -> None:
    """Raise ClickException where rows for these tables may still come."""
    if is_under_way(rebuild.active):
        raise click.ClickException("A rebuild goes on. Let it end, or go back; then drop what it left.")
    if left["wait_seconds"]:
        minutes = -(-left["wait_seconds"] // 60)
        raise click.ClickException(f"Batches of the mapping before may be on their way: drop it in {minutes} minutes.")
    prefix = keys.failed_batches_prefix(rebuild.wanted.name)
    if next(iter(connect_objects().list(rebuild.deployment.bucket, prefix)), None):
        failures = name_command("failures", "list", stack=rebuild.stack)
        raise click.ClickException(f"Failed batches may have rows for these tables. Look at them first: {failures}")

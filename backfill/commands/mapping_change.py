"""`dynaurora mapping plan|apply|register`: what a mapping asks of its tables, seen, done, and made known."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from backfill.commands.mapping_files import load
from backfill.commands.options import json_option, stack_option
from backfill.commands.tombstones import estimate_tombstones, tell_tombstones
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.changing import ByConnection, ByFunction, apply_patiently
from backfill.deployment.clients import connect
from backfill.deployment.deployments import find_platform
from backfill.terminal.console import WrongUseError, name_command, print_json, print_line, print_lines, print_pairs, say
from backfill.terminal.formatting import format_bytes
from dynaurora.aurora.connection import Endpoint
from dynaurora.aurora.secrets import read_credentials
from dynaurora.errors import ColumnsRefusedError
from dynaurora.runs.costs import Usage, estimate_cost

if TYPE_CHECKING:
    from collections.abc import Callable

    from backfill.deployment.changing import Way

BATCH_ROWS: Final = 50_000
ROWS_A_SECOND: Final = 10_000
"""Converted and imported by one place of a backfill, roughly, with this memory (docs/scale.md)."""
MEMORY_MB: Final = 1024

WAYS: Final = """
The stack's function change-mapping does it, from within its network: lambda:InvokeFunction of it, and
cloudformation:DescribeStacks, are needed. A stack without DatabaseAdminSecretArn has none: give --host, --secret-arn
and --ca-file then, from where the database can be reached.
"""


wait_option: Final = click.option(
    "--wait",
    "seconds",
    type=click.IntRange(0, 86_400),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="For a table that somebody keeps by a long query.",
)


def way_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say how its target is reached."""
    options = [
        stack_option,
        click.option("--host", help="The cluster's writer endpoint, to go without the stack's function."),
        click.option("--port", default=3306, show_default=True, type=click.IntRange(1, 65535), help="Its port."),
        click.option("--secret-arn", help="With --host: the secret of a user who may alter tables."),
        click.option(
            "--ca-file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="With --host: the certificate authorities to believe that the database is the one, PEM.",
        ),
        click.option("--bucket", help="With --host: the landing bucket; the stack's unless given."),
    ]

    @functools.wraps(command)
    def wrapped(**given: Any) -> Any:
        names = ("stack", "host", "port", "secret_arn", "ca_file", "bucket")
        place = {name: given.pop(name) for name in names}
        with explained_errors():
            return command(find_way=functools.partial(find_way, **place), stack=place["stack"], **given)

    return functools.reduce(lambda decorated, option: option(decorated), reversed(options), wrapped)


def find_way(
    mapping: str,
    *,
    stack: str | None,
    host: str | None,
    port: int,
    secret_arn: str | None,
    ca_file: Path | None,
    bucket: str | None,
) -> Way:
    """Return the way to a mapping's target. Raises WrongUseError."""
    if not host:
        if secret_arn or ca_file or bucket:
            raise WrongUseError("--secret-arn, --ca-file and --bucket go with --host.")
        platform = find_platform(connect().cloudformation, stack, mapping)
        if platform.change_mapping:
            return ByFunction(platform.change_mapping)
        raise WrongUseError(
            f"The stack {platform.stack} has no function change-mapping: it was deployed without"
            " DatabaseAdminSecretArn. Give --host, --secret-arn and --ca-file, where the database can be reached."
        )
    if not (secret_arn and ca_file):
        raise WrongUseError("--host goes with --secret-arn and --ca-file.")
    if not bucket:
        bucket = find_platform(connect().cloudformation, stack, mapping).bucket
    return ByConnection(Endpoint(host, port, ca_file.read_text("ascii")), read_credentials(secret_arn), bucket)


@click.command(
    "plan",
    epilog=f"""\b
Examples:
  dynaurora mapping plan web_analytics
  dynaurora mapping plan web_analytics --drop
  dynaurora mapping plan web_analytics --json
  dynaurora mapping plan web_analytics --host HOST --secret-arn ARN --ca-file CA
{WAYS}""",
)
@click.argument("name")
@click.option("--drop", is_flag=True, help="Plan that columns go which no mapping writes any more.")
@json_option
@way_options
def plan_command(find_way: Callable[[str], Way], stack: str | None, name: str, drop: bool, as_json: bool) -> None:
    """Show what a deployment of NAME's file would do to its tables. Nothing is changed.

    Columns that are missing are added and longer ones widened, while imports go on. Columns that the mapping has no
    more are kept. Whatever could lose something, or keep imports waiting, is refused, and named here. NAME is a mapping
    of the project, mappings/NAME.json, or the path of a file.

    Exit status 0 where it can be applied or nothing is to do, 1 where it is refused, 2 for wrong use.
    """
    mapping = load(name)
    plan = find_way(mapping.name).plan(mapping, drop=drop)
    plan["backfill"] = estimate_backfill(plan)
    plan["tombstones"] = estimate_tombstones(plan, mapping)
    if as_json:
        print_json(plan)
    else:
        print_plan(plan, stack)
    if plan["refuse"]:
        raise click.ClickException(f"What is refused keeps the rest from being applied. {ColumnsRefusedError.remedy}")


@click.command(
    "apply",
    epilog=f"""\b
Examples:
  dynaurora mapping apply web_analytics
  dynaurora mapping apply web_analytics --yes --json
  dynaurora mapping apply web_analytics --drop
{WAYS}""",
)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--drop", is_flag=True, help="Have columns go that no mapping writes any more, with what is in them.")
@wait_option
@json_option
@way_options
def apply_command(
    find_way: Callable[[str], Way], stack: str | None, name: str, yes: bool, drop: bool, seconds: int, as_json: bool
) -> None:
    """Do to NAME's tables what `mapping plan` shows, and make NAME's file the active mapping.

    Functions take it up within a minute. Deploy the file afterwards: a deployment of an older one goes back to that.
    Safe to repeat: what was cut short is found done as far as it came.

    Exit status 0 done, 1 refused, or the table was kept for too long, 2 for wrong use.
    """
    mapping = load(name)
    if as_json and not yes:
        raise WrongUseError("--json asks nothing: give --yes too.")
    way = find_way(mapping.name)
    plan = way.plan(mapping, drop=drop)
    plan["backfill"] = estimate_backfill(plan)
    plan["tombstones"] = estimate_tombstones(plan, mapping)
    if plan["refuse"]:
        raise click.ClickException(f"Refused: {'; '.join(plan['refuse'])}. {ColumnsRefusedError.remedy}")
    if not as_json:
        print_plan(plan, stack)
    if not yes:
        print_line()
        click.confirm("Apply it?", abort=True)
    done = apply_patiently(way, mapping, seconds, say, drop=drop)
    if as_json:
        print_json(done | {"plan": plan})
        return
    print_line(f"Applied: {done['mapping']} is at generation {done['generation']}, digest {done['digest'][:16]}.")
    if plan["fill"]:
        start = name_command("backfill", "start", done["mapping"], stack=stack)
        print_line(f"Fill {', '.join(plan['fill'])} of the rows that are there, in five minutes: {start}")


@click.command(
    "register",
    epilog=f"""\b
Examples:
  dynaurora mapping register ./orders.json
  git show v1.2.0:mappings/orders.json > /tmp/orders.json && dynaurora mapping register /tmp/orders.json
{WAYS}""",
)
@click.argument("file")
@json_option
@way_options
def register_command(find_way: Callable[[str], Way], stack: str | None, file: str, as_json: bool) -> None:  # noqa: ARG001
    """Make the mapping in FILE known, by which rows were written that wait to be imported.

    Needed where an import fails with UnregisteredMappingError. The active mapping stays what it is. The name of FILE is
    the mapping's, with .json behind it.

    Exit status 0 done, 1 it failed, 2 for wrong use.
    """
    mapping = load(file)
    done = find_way(mapping.name).register(mapping)
    if as_json:
        print_json(done)
    else:
        print_line(f"Registered: {done['mapping']}, digest {done['digest']}.")


def estimate_backfill(plan: dict[str, Any]) -> dict[str, Any] | None:
    """Return what filling the rows costs, roughly: the table is taken to be as large as the replica."""
    if not plan["fill"]:
        return None
    rows, octets = plan["rows"], plan["bytes"]
    seconds = rows / ROWS_A_SECOND
    usage = Usage(octets, max(1, rows // BATCH_ROWS), 0, seconds, 1, MEMORY_MB, MEMORY_MB)
    return {"rows": rows, "usd": round(estimate_cost(None, usage)["total_usd"], 2)}


def print_plan(plan: dict[str, Any], stack: str | None) -> None:
    """Print a plan for people."""
    size = "none yet" if plan["creates"] else f"about {plan['rows']:,} rows, {format_bytes(plan['bytes'])}"
    print_pairs([("mapping", f"{plan['mapping']} {plan['digest'][:16]}"), ("view", plan["view"]), ("replica", size)])
    print_pairs(list(describe_steps(plan, stack)))
    print_line()
    for statement in plan["statements"]:
        print_lines(f"{statement};")


def describe_steps(plan: dict[str, Any], stack: str | None) -> list[tuple[str, str]]:
    """Return what is done, kept and refused, each with what kind of thing it is."""
    steps = [("add", f"{each['column']} {each['type']}, while imports go on") for each in plan["add"]]
    steps += [("widen", f"{each['column']} {each['from']} to {each['to']}, at once") for each in plan["widen"]]
    steps += [("drop", f"{name}, with what is in it") for name in plan["drop"]]
    steps += [
        ("index", f"{each['index']} of {', '.join(each['columns'])}, while imports go on")
        for each in plan.get("index", ())
    ]
    steps += [("comment", f"{name}, at once") for name in plan.get("comment", ())]
    steps += [("drop", f"index {name}") for name in plan.get("drop_index", ())]
    steps += [
        ("keep", f"index {name}: the mapping has it no more; --drop lets it go") for name in plan.get("keep_index", ())
    ]
    steps += [("keep", f"{name}: the mapping does not write it; --drop lets it go") for name in plan["keep"]]
    steps += [("keep", f"{name} as wide as it is") for name in plan["wider"]]
    steps += [("leave", f"{name}: no mapping ever wrote it") for name in plan["others"]]
    steps += [("refuse", reason) for reason in plan["refuse"]]
    if plan["fill"]:
        start = name_command("backfill", "start", plan["mapping"], stack=stack)
        cost = plan["backfill"]["usd"]
        steps.append(("backfill", f"{', '.join(plan['fill'])} of rows that are there: {start}, about ${cost:.2f}"))
    start = name_command("backfill", "start", plan["mapping"], "--sweep", stack=stack)
    for table in plan.get("sweep", ()):
        is_hidden = table in plan.get("hidden", ())
        until = "its view appears then" if is_hidden else "until then it may have rows that left it"
        steps.append(("complete", f"{table} once a backfill with a sweep has run, {until}: {start}"))
    if plan.get("tombstones"):
        steps.append(("tombstones", tell_tombstones(plan["tombstones"])))
    if plan["rebuild"]:
        used = f"{plan['row_versions']} of {plan['row_versions_limit']} changes at once are used up"
        steps.append(("rebuild", f"{used}; when it suits: {plan['rebuild']};"))
    if not (plan["creates"] or plan["alters"] or plan["refuse"]):
        steps.append(("columns", "nothing to do"))
    if plan["active"] == plan["digest"]:
        steps.append(("active", "it is the active mapping already"))
    return steps


mapping_change_commands: Final = (plan_command, apply_command, register_command)

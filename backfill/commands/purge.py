"""`dynaurora purge`: deletes what no import needs any more, a step at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from backfill.commands.options import check_needs_no_answer, json_option, stack_option, yes_option
from backfill.deployment.asking import ask_function
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect, connect_functions
from backfill.deployment.deployments import choose_deployment, find_deployments, require_any
from backfill.terminal.console import WrongUseError, print_json, print_line, say
from backfill.terminal.formatting import format_count, format_iso, format_seconds, format_time

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

    from backfill.deployment.deployments import Deployment

ANSWER_SECONDS: Final = 180.0
"""How long a step is waited for: it takes half a minute, and the first one reads all that is kept as failed."""
COUNTED_IMPORTS: Final = 1_000_000
"""With so many rows of the ledger, there may be more."""
HOLDS_SHOWN: Final = 5
EPILOG: Final = """\b
Examples:
  dynaurora purge --dry-run
  dynaurora purge web_analytics
  dynaurora purge --yes --json

It needs cloudformation:DescribeStacks, and lambda:InvokeFunction of purge-replicas.
"""


@dataclass(frozen=True)
class Asked:
    """The function that purges, asked for one mapping."""

    functions: LambdaClient
    deployment: Deployment

    def ask(self, step: str, **more: Any) -> dict[str, Any]:
        """Return what it answers to a step."""
        document = {"mapping": self.deployment.mapping, "step": step, **more}
        return ask_function(self.functions, self.deployment.purge_replicas, document)

    def plan(self) -> dict[str, Any]:
        """Return what would be purged; counting the tombstones takes as long as looking through the tables."""
        plan = self.ask("plan")
        rows = 0
        for table in plan["tables"]:
            after = None
            while True:
                answer = self.ask("count_tombstones", floor=plan["floor"], table=table, after=after)
                rows, after = rows + answer["rows"], answer["after"]
                if after is None:
                    break
                say(f"{self.deployment.mapping}: {format_count(rows, 'tombstone')} counted so far, in {table}")
        return {"mapping": self.deployment.mapping, **plan, "tombstones": rows}

    def purge(self) -> dict[str, Any]:
        """Purge, and tell now and then how far that is; return what was purged."""
        began = time.monotonic()
        begun = self.ask("begin")
        while not (purged := self.ask("purge"))["done"]:
            say(f"{self.deployment.mapping}: {describe_counts(purged)} so far")
        seconds = round(time.monotonic() - began, 1)
        return {"mapping": self.deployment.mapping, **begun, **purged, "seconds": seconds}


@click.command(epilog=EPILOG)
@click.argument("mapping", required=False)
@click.option("--dry-run", is_flag=True, help="Only tell what would be deleted, and what holds more of it.")
@yes_option
@stack_option
@json_option
def purge(mapping: str | None, dry_run: bool, yes: bool, stack: str | None, as_json: bool) -> None:
    """Delete what no import needs any more, of MAPPING or of all replications.

    These are tombstones that are older than whatever may still be imported, rows of the ledger whose batches are gone
    from the bucket, what verifications have left, and failures that were archived. Whatever is younger than the
    platform's PurgeAfterDays stays. From then on nothing older than what was deleted is imported: a backfill from an
    older export is refused.

    It deletes some hundred rows at a time, and imports go on beside it. One that was ended half-way is gone on with.
    With --json each replication is one object on a line.
    """
    check_needs_no_answer(as_json=as_json, is_answered=yes or dry_run)
    with explained_errors():
        deployments = find_deployments(connect().cloudformation, stack)
        require_any(deployments)
        chosen = deployments if mapping is None else [choose_deployment(deployments, mapping)]
        for deployment in chosen:
            if not deployment.purge_replicas:
                raise WrongUseError(
                    f"The platform {deployment.platform} is of a release that cannot purge. Deploy it: dynaurora deploy"
                )
        functions = connect_functions(ANSWER_SECONDS)
        asked = [Asked(functions, deployment) for deployment in chosen]
        if dry_run or not yes:
            plans = [each.plan() for each in asked]
            for plan in plans:
                report_plan(plan, as_json=as_json)
            if dry_run:
                return
            click.confirm("Delete it?", abort=True)
        for each in asked:
            report_purged(each.purge(), as_json=as_json)


def report_plan(plan: dict[str, Any], *, as_json: bool) -> None:
    """Print what would be purged, and what holds more of it."""
    if as_json:
        print_json(
            {**plan, "floor": format_iso(_time(plan["floor"])), "floor_now": format_iso(_time(plan["floor_now"]))}
        )
        return
    more = "at least " if plan["imports"] >= COUNTED_IMPORTS else ""
    imports_before = format_time(datetime.fromisoformat(plan["imports_before"]))
    tombstones = f"{format_count(plan['tombstones'], 'tombstone')} of before {format_time(_time(plan['floor']))}"
    imports = f"{more}{format_count(plan['imports'], 'row')} of the ledger of before {imports_before}"
    print_line(f"{plan['mapping']}: {tombstones}, {imports}")
    if plan["archived"]:
        print_line(f"  and {format_count(plan['archived'], 'object')} of archived failures")
    for hold in plan["holds"][:HOLDS_SHOWN]:
        since = format_time(_time(hold["second"])) if hold["second"] else "a time that nobody knows yet"
        print_line(f"  held by a {hold['cause']} of {since}: {hold['name']}")
    if plan["held"] > HOLDS_SHOWN:
        print_line(f"  and by {plan['held'] - HOLDS_SHOWN} more")


def report_purged(purged: dict[str, Any], *, as_json: bool) -> None:
    """Print what was purged."""
    if as_json:
        print_json({**purged, "floor": format_iso(_time(purged["floor"]))})
        return
    print_line(f"{purged['mapping']}: {describe_counts(purged)} deleted, in {format_seconds(purged['seconds'])}")


def describe_counts(purged: dict[str, Any]) -> str:
    """Return how much was purged, in words."""
    return (
        f"{format_count(purged['tombstones'], 'tombstone')}, {format_count(purged['imports'], 'row')} of the ledger and"
        f" {purged['verifications']:,} of verifications"
    )


def _time(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)

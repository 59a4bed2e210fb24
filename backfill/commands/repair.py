"""`dynaurora repair`: make equal what a verification found different."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from backfill.commands.filling import fill_gap, read_gap
from backfill.commands.mending import EXPORT, KEYS, Options, Plan, Repair, make_suffix
from backfill.commands.options import check_needs_no_answer, json_option, stack_option, yes_option
from backfill.commands.verification_options import patience_option, read_units_option, settle_option
from backfill.commands.verify import EXPLAINED
from backfill.deployment.aws_errors import explained_errors
from backfill.deployment.clients import connect, connect_objects
from backfill.deployment.deployments import choose_deployment, find_deployments
from backfill.repairing import describe_impossible, find_verification
from backfill.reporting import describe_found, leave_report
from backfill.rereading import check_clock
from backfill.samples import READ_UNIT_USD
from backfill.terminal.console import WrongUseError, name_command, print_json, print_line, print_pairs
from backfill.terminal.formatting import format_count, format_seconds, format_usd
from dynaurora.verification.verdicts import RowVerdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backfill.deployment.deployments import Deployment
    from backfill.verifying import Verification
    from dynaurora.aurora.differences import EndedVerification

NAMED: Final = 20
"""Keys that are printed."""
EPILOG: Final = """\b
Examples:
  dynaurora repair web_analytics --dry-run
  dynaurora repair web_analytics
  dynaurora repair web_analytics --run verify-20261123T081500Z-1a2b --yes
  dynaurora repair web_analytics --via export      by a backfill with a sweep
  dynaurora repair web_analytics --from 2026-11-23T08:15:00Z --to 2026-11-24T09:30:00Z
  dynaurora repair web_analytics --yes --json | tail -1 | jq .agrees

It needs what verifying does; dynamodb:BatchGetItem of the table; states:ListExecutions, StartExecution and
DescribeExecution of import-batch, reprocess-failures and backfill-table; and of the landing bucket s3:PutObject below
batches/run=, transformation_failed_data_backup/ and reports/. infra/repair-policy.json allows it.
"""


@click.command(epilog=EPILOG)
@click.argument("mapping")
@click.option("--run", metavar="RUN", help="The verification whose differences are mended; by default the last one.")
@click.option(
    "--via",
    type=click.Choice([KEYS, EXPORT]),
    help="How: by reading the items of the keys that were found again, or by a backfill of the whole table with a "
    "sweep; by default keys, unless the verification found more than it could record.",
)
@click.option(
    "--from",
    "first",
    metavar="T",
    help="Fill a gap in the stream instead: when it began, such as 2026-11-23T08:15:00Z. `dynaurora doctor` names it.",
)
@click.option("--to", "last", metavar="T", help="When the gap ended: the stream was read again.")
@click.option("--whole", is_flag=True, help="Verify all items afterwards, and not only the keys that were mended.")
@click.option("--dry-run", is_flag=True, help="Say what would be mended, and what not; change nothing.")
@yes_option
@read_units_option
@settle_option
@patience_option
@stack_option
@json_option
def repair(
    mapping: str,
    run: str | None,
    via: str | None,
    first: str | None,
    last: str | None,
    whole: bool,
    dry_run: bool,
    yes: bool,
    read_units: float,
    settle: float,
    patience: float,
    stack: str | None,
    as_json: bool,
) -> None:
    """Make the rows of MAPPING's table in Aurora equal to its items, where a verification found them different.

    The differences of the last verification of all items are taken, or of the one that is named; where there is none,
    one comes first. Each key is looked at as it is now. What is kept as failed is taken up first, and what waits is
    imported. Then the items of the keys that are still different are read again and imported as a view of their table:
    rows without an item become tombstones, and so do keys of failures that stay and whose item is gone. A row changed
    within the last two minutes is waited for, and whatever is newer wins. In the end the keys are verified again.

    With --from and --to a gap in the stream is filled, whatever a verification found: DynamoDB exports what was changed
    in that time, which is imported, and then the items that were written meanwhile are read by their keys.

    It says what it will do, and asks. Killed anywhere, it is given again.

    Exit status 0 where all of it is equal; 1 where something is not, or, with --dry-run, where something is to be done.
    """
    check_needs_no_answer(as_json=as_json, is_answered=yes or dry_run)
    is_gap = first is not None or last is not None
    if is_gap and (run or via or whole):
        raise WrongUseError("--from and --to fill a gap, whatever was found: leave out --run, --via and --whole.")
    times = read_gap(first, last, datetime.now(UTC)) if is_gap else None
    with explained_errors():
        clients = connect()
        deployment = choose_deployment(find_deployments(clients.cloudformation, stack), mapping)
        check_repairable(deployment)
        options = Options(run, via, read_units, settle, patience, whole)
        work = Repair(clients, deployment, connect_objects(), options, f"repair-{make_suffix()}")
        if times:
            fill_gap(work, times, dry_run, yes, as_json)
        else:
            mend(work, dry_run, yes, as_json)


def check_repairable(deployment: Deployment) -> None:
    """Raise WrongUseError where the platform is too old, and ClickException where this machine's clock is off."""
    if not deployment.compare_rows:
        raise WrongUseError(
            f"The platform {deployment.platform} is of a release that cannot verify."
            f" Deploy it: {name_command('deploy')}"
        )
    check_clock(deployment.table)


def mend(work: Repair, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Plan, ask, mend and report. Raises SystemExit with status 1 where something is left."""
    began, started_at, verification, kept = time.monotonic(), datetime.now(UTC), None, None
    found = work.find_differences()
    work.begin()
    try:
        plan = work.plan(found)
        if not as_json:
            print_pairs(tell_plan(work, plan))
        if plan.does_anything and not dry_run:
            if not yes:
                click.confirm("Mend it?", abort=True)
            verification = work.carry_out(plan)
    except BaseException:
        work.give_up()
        raise
    if dry_run:
        work.discard()
    else:
        work.end(plan, verification)
    whole = verify_afterwards(work, plan) if verification else None
    agrees = is_equal(work, plan, verification, whole) if verification else plan.is_equal
    if verification is not None:
        kept = keep_report(work, plan, verification, agrees, started_at)
    result = Result(verification, whole, agrees, time.monotonic() - began, kept)
    report(work, plan, result, dry_run=dry_run, as_json=as_json)
    if not agrees:
        raise SystemExit(1)


def keep_report(work: Repair, plan: Plan, verification: Verification, agrees: bool, started_at: datetime) -> str | None:
    """Leave the report of a repair; return where it is."""
    done = {
        "verification": plan.found.verification.run,
        "found": len(plan.found.candidates),
        "left_out": plan.found.left_out,
        "keys": work.reread.keys,
        "changed": work.reread.changed,
        "refused": work.reread.refused,
        "agrees": agrees,
        "gap": None,
    }
    found = describe_found(verification, whole=False) | {"repair": done}
    return leave_report(work.store, work.deployment, work.mapping, work.run, plan.via, started_at, found)


def is_of_all(work: Repair, plan: Plan) -> bool:
    """Tell whether all items are verified in the end: they are mended, or that is wanted."""
    return plan.via == EXPORT or work.options.whole


def verify_afterwards(work: Repair, plan: Plan) -> EndedVerification | None:
    """Verify all items where they are to be; return what was found, or None where that is not known."""
    return find_verification(work.lookup, work.verify_whole()) if is_of_all(work, plan) else None


def is_equal(work: Repair, plan: Plan, verification: Verification, whole: EndedVerification | None) -> bool:
    """Tell whether all is equal after a repair, as far as is known."""
    if is_of_all(work, plan):
        return whole is not None and not whole.unexplained
    return verification.tally.agrees and not plan.found.left_out


def tell_plan(work: Repair, plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield what is about to be done, for people."""
    found, survey = plan.found, plan.survey
    yield "verification", f"{found.verification.run}, ended {found.verification.ended_at}"
    yield "found", f"{format_count(len(found.candidates), 'difference')} by key"
    if found.left_out:
        yield "", f"{found.left_out:,} more that were only counted"
    for name, count in survey.counts.items():
        explained = "the item of a kept failure is gone: a tombstone" if name == "kept" else EXPLAINED[name]
        yield f"  {name}", f"{count:,}  {explained}"
    for verdict, count in sorted(survey.others.items()):
        text = "equal by now" if verdict is RowVerdict.IDENTICAL else EXPLAINED[verdict.value]
        yield "not mended", f"{count:,}  {text}"
    if survey.expired:
        yield "not mended", f"{survey.expired:,}  rows without an item: deletes by Time to Live are not replicated"
    replicas = {each.table: f"{each.database}.{each.replica}" for each in work.mapping.targets}
    for text in describe_impossible(survey, replicas):
        yield "not mended", text
    if plan.failed and plan.does_anything:
        yield "first", f"{format_count(plan.failed.total(), 'object')} kept as failed are taken up"
    if plan.unknown:
        yield "", f"{format_count(plan.unknown, 'failure')} whose keys nobody can tell: they are not looked at"
    yield "how", describe_way(plan)


def describe_way(plan: Plan) -> str:
    """Return how it is to be mended, and what that costs."""
    if not plan.does_anything:
        return "nothing to mend"
    if plan.via == EXPORT:
        sweep = f"a backfill with a sweep, about {format_usd(plan.export_usd)} for the export"
        return f"{sweep}; then all items are verified, by another"
    keys = format_count(len(plan.survey.list_wanted()), "item")
    cost = f"about {plan.units:,.0f} read units, {format_usd(plan.units * READ_UNIT_USD)} on demand"
    wait = f", after {plan.wait_seconds:.0f} s, until that beats their rows" if plan.wait_seconds else ""
    return f"{keys} read again by their keys, {cost}{wait}; then the keys are verified"


@dataclass(frozen=True)
class Result:
    """What became of a repair."""

    verification: Verification | None
    """Of the keys; None where nothing was mended."""
    whole: EndedVerification | None
    """Of all items, where they were verified afterwards."""
    agrees: bool
    seconds: float
    kept: str | None
    """Where its report is."""

    @property
    def refused(self) -> int:
        """How many of all items the mapping refuses, as far as they were verified."""
        return self.whole.counts.get(RowVerdict.FAILED.value, 0) if self.whole else 0


def report(work: Repair, plan: Plan, result: Result, *, dry_run: bool, as_json: bool) -> None:
    """Print what became of it, and where its report is kept."""
    verification = result.verification
    if as_json:
        done = {"run": work.run, "mapping": work.deployment.mapping, "dry_run": dry_run, **plan.as_dict()}
        more = {
            "reread": work.reread.as_dict(),
            "verified": verification.tally.as_dict() if verification else None,
            "whole": asdict(result.whole) if result.whole else None,
            "agrees": result.agrees,
            "seconds": round(result.seconds, 1),
            "report": result.kept,
        }
        print_json(done | more)
        return
    if verification is None:
        return
    print_pairs(tell_result(work, plan, verification, result))
    if result.kept:
        print_pairs([("report", result.kept), ("", name_command("report", work.run, "--open"))])
    for suspect in verification.proved[:NAMED]:
        print_line(f"{suspect.table} {json.dumps(suspect.key)}: {suspect.finding}")


def describe_end(work: Repair, plan: Plan, verification: Verification, result: Result) -> str:
    """Return whether all is equal now, and what to do where it is not."""
    name = work.deployment.mapping
    verify, again = name_command("verify", name), name_command("repair", name)
    if result.agrees and result.refused:
        listed = name_command("failures", "list", name)
        return f"equal, but for {format_count(result.refused, 'item')} kept as failed: {listed}"
    if result.agrees:
        return "equal"
    if verification.tally.agrees and plan.via == KEYS and not work.options.whole:
        return f"these keys are equal; {plan.found.left_out:,} others were only counted: {verify}, then {again}"
    return f"not all is equal; mend the cause, then: {again}"


def tell_result(work: Repair, plan: Plan, verification: Verification, result: Result) -> Iterator[tuple[str, str]]:
    """Yield what became of it, for people."""
    reread = work.reread
    if plan.via == KEYS:
        yield (
            "mended",
            f"{format_count(reread.changed, 'row')} changed by {format_count(reread.keys, 'key')} read again",
        )
        if reread.refused:
            yield "refused", f"{reread.refused:,} by the mapping, and kept as failed"
    for verdict in RowVerdict:
        if count := getattr(verification.tally, verdict):
            yield f"  {verdict.value}", f"{count:,}  {EXPLAINED[verdict.value]}"
    yield "verified", describe_end(work, plan, verification, result)
    yield "time", format_seconds(result.seconds)

"""What `dynaurora repair --from --to` does: it fills a gap in a table's stream."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from backfill.commands import backfill_start
from backfill.deployment.clients import connect_to
from backfill.failures.reader import name_record
from backfill.gaps import bound_versions, list_keys, name_run, plan_windows
from backfill.kinds import BACKFILL
from backfill.reporting import leave_report
from backfill.rereading import Rereader, WantedKey
from backfill.runs import start as starts
from backfill.samples import READ_UNIT_USD, describe_table
from backfill.terminal.console import WrongUseError, name_command, print_json, print_pairs, say
from backfill.terminal.formatting import format_bytes, format_count, format_seconds, format_usd
from dynaurora.dynamodb.scans import Pace
from dynaurora.failures.lost_records import find_lost_records
from dynaurora.mappings.readers import is_covered, read_filled, write_filled
from dynaurora.runs.costs import PRICES
from dynaurora.runs.ends import NOT_MENDED_BY_REPEATING
from dynaurora.runs.runs import SUCCEEDED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backfill.commands.mending import Repair
    from backfill.gaps import Window
    from backfill.rereading import Reread
    from backfill.runs.executions import Execution

UNIT_BYTES: Final = 4096
"""Of an item that one strongly consistent read unit reads."""
BROUGHT_NAMED: Final = 20
"""Ids of failures that are told to people."""
SUFFIXES: Final = ("", *"bcdefghij")
"""Of the ids of the runs that import one window, one after another."""


@dataclass(frozen=True)
class Gap:
    """A gap, and how it is to be filled."""

    first: datetime
    last: datetime
    windows: list[Window]
    runs: list[str]
    """One for each window."""
    rows: int
    """That are of the windows by now, in all targets: their items are read at least."""
    usd: float
    """For reading them."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines."""
        exports = [
            {"run": run, "from": window.times[0], "to": window.times[1]}
            for run, window in zip(self.runs, self.windows, strict=True)
        ]
        return {
            "from": f"{self.first:%Y-%m-%dT%H:%M:%SZ}",
            "to": f"{self.last:%Y-%m-%dT%H:%M:%SZ}",
            "exports": exports,
            "rows": self.rows,
            "usd": self.usd,
        }


def read_time(option: str, text: str) -> datetime:
    """Return a time of the command line, in UTC unless it says otherwise, cut to its second. Raises WrongUseError."""
    try:
        time_of_option = datetime.fromisoformat(text)
        known = time_of_option if time_of_option.tzinfo else time_of_option.replace(tzinfo=UTC)
        return known.astimezone(UTC).replace(microsecond=0)
    except (OverflowError, ValueError):
        raise WrongUseError(f"{option} {text!r} is no time. One is written so: 2026-11-23T08:15:00Z.") from None


def read_gap(first: str | None, last: str | None, now: datetime) -> tuple[datetime, datetime]:
    """Return both ends of a gap. Raises WrongUseError where one is missing, or they are none of a gap that is over."""
    if first is None or last is None:
        raise WrongUseError("A gap has two ends: give --from and --to.")
    begin, end = read_time("--from", first), read_time("--to", last)
    if end < begin:
        raise WrongUseError(f"--to {last} is before --from {first}.")
    if end > now:
        raise WrongUseError(f"--to {last} is yet to come. A gap is over once the stream is read again.")
    return begin, end


def fill_gap(work: Repair, times: tuple[datetime, datetime], dry_run: bool, yes: bool, as_json: bool) -> None:
    """Plan, ask, export, read and report. Raises SystemExit with status 1 for a dry run: something is to be done."""
    began, started_at = time.monotonic(), datetime.now(UTC)
    check_fillable(work)
    gap = plan_gap(work, *times)
    if not as_json:
        print_pairs(tell_gap(work, gap))
    reread = kept = None
    brought = list[str]()
    if not dry_run:
        if not yes:
            click.confirm("Fill it?", abort=True)
        reread = carry_out(work, gap)
        brought = list_brought(work)
        kept = keep_gap_report(work, gap, reread, started_at)
    seconds = time.monotonic() - began
    if as_json:
        told = {"brought_failures": brought, "seconds": round(seconds, 1), "report": kept}
        ends = {"reread": reread and reread.as_dict(), **told}
        print_json({"run": work.run, "mapping": work.deployment.mapping, "dry_run": dry_run, **gap.as_dict(), **ends})
    elif reread:
        print_pairs(tell_end(work, reread, brought, seconds))
        if kept:
            print_pairs([("report", kept), ("", name_command("report", work.run, "--open"))])
    if dry_run:
        raise SystemExit(1)


def keep_gap_report(work: Repair, gap: Gap, reread: Reread, started_at: datetime) -> str | None:
    """Leave the report of a gap that was filled; return where it is."""
    times = {name: gap.as_dict()[name] for name in ("from", "to")}
    counts = {"keys": reread.keys, "changed": reread.changed, "refused": reread.refused, "agrees": None, "gap": times}
    repair = {"verification": None, "found": None, "left_out": None, **counts}
    found = {"repair": repair, "reasons": dict(reread.reasons)}
    return leave_report(work.store, work.deployment, work.mapping, work.run, "export", started_at, found)


def check_fillable(work: Repair) -> None:
    """Raise WrongUseError where incremental exports cannot be imported."""
    backfill_start.check_takes_windows(work.deployment)
    if work.deployment.ignores_expiries:
        start = name_command("backfill", "start", work.deployment.mapping)
        raise WrongUseError(
            "This replication keeps the rows of expired items (TtlDeletes=ignore), and incremental exports have the"
            f" deletes of those like any others. Puts that were lost are brought back by a backfill: {start}"
        )


def plan_gap(work: Repair, first: datetime, last: datetime) -> Gap:
    """Return how a gap is filled. Raises ClickException where point-in-time recovery does not reach so far."""
    windows = plan_windows(int(first.timestamp()), int(last.timestamp()))
    check_recovery(work, windows[0])
    runs = [name_run(windows, number, work.mapping.digest) for number in range(len(windows))]
    rows = sum(1 for _ in list_keys(work.lookup, work.mapping, work.items.read_key_types(), bound_versions(windows)))
    facts = describe_table(work.deployment.table)
    item_units = max(1, -(-(facts.size_bytes // max(1, facts.items)) // UNIT_BYTES))
    return Gap(first, last, windows, runs, rows, rows * item_units * READ_UNIT_USD)


def check_recovery(work: Repair, window: Window) -> None:
    """Raise ClickException where the table's point-in-time recovery cannot show a window."""
    table = work.deployment.table
    described = connect_to("dynamodb").describe_continuous_backups(TableName=table)
    recovery = described["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    earliest = recovery.get("EarliestRestorableDateTime")
    if recovery.get("PointInTimeRecoveryStatus") == "ENABLED" and earliest and earliest.timestamp() <= window.start:
        return
    state = f"shows nothing before {earliest:%Y-%m-%dT%H:%M:%SZ}" if earliest else "is off"
    sweep = name_command("backfill", "start", work.deployment.mapping, "--sweep")
    raise click.ClickException(
        f"The point-in-time recovery of {table} {state}, and the changes since {window.times[0]} are needed. A backfill"
        f" with a sweep brings all that there is now, and needs recovery from now on alone: {sweep}"
    )


def carry_out(work: Repair, gap: Gap) -> Reread:
    """Export and import the windows, then what is kept and waits, then read the items of what was written in them."""
    for run, window in zip(gap.runs, gap.windows, strict=True):
        import_window(work, run, window)
    work.take_up_failures()
    work.drain()
    rereader = Rereader(
        *(work.deployment, work.registry, work.mapper, work.store, work.clients.states, work.run),
        *(Pace(work.options.units), work.items),
        tell=say,
    )
    reread = rereader.reread(list_wanted(work, gap))
    filled = int(gap.first.timestamp()), int(gap.last.timestamp())
    write_filled(work.store, work.deployment.bucket, work.deployment.mapping, filled)
    return reread


def import_window(work: Repair, run: str, window: Window) -> None:
    """Have a window exported and imported, unless that is done; follow the run that is under way."""
    wanted, earlier = find_run_to_start(work, run, window)
    name = str(wanted.run)
    if earlier and earlier.status == SUCCEEDED:
        say(f"The changes from {window.times[0]} to {window.times[1]} were imported before, by {name}.")
    elif earlier and earlier.is_running:
        work.follow(BACKFILL, name, earlier.arn)
    else:
        _, arn = starts.start_execution(work.clients.states, wanted)
        work.follow(BACKFILL, name, arn)


def find_run_to_start(work: Repair, run: str, window: Window) -> tuple[starts.Wanted, Execution | None]:
    """Return the run that imports a window, and the execution that stands for it so far.

    Where that has failed for good, as of an export that DynamoDB gave up, it is another run. Raises ClickException
    where there were too many.
    """
    window_times = dict(zip(("window_from", "window_to"), window.times, strict=True))
    options = window_times | {"tolerated_rejected_percentage": 100}  # of few changes one is many; they are kept
    for suffix in SUFFIXES:
        wanted = starts.Wanted(BACKFILL, work.deployment, run + suffix, options, backfill_start.DEFAULTS)
        earlier = starts.plan_named_start(work.clients.states, wanted, run + suffix).earlier
        if earlier is None or earlier.status != "FAILED" or earlier.error not in NOT_MENDED_BY_REPEATING:
            return wanted, earlier
    status = name_command("backfill", "status", run + SUFFIXES[-1])
    raise click.ClickException(f"The changes of {run} could not be imported {len(SUFFIXES)} times. See: {status}")


def list_wanted(work: Repair, gap: Gap) -> Iterator[WantedKey]:
    """Yield the keys whose items are read: of rows of the windows, and of what stays kept as failed.

    A change from before the gap that is mended later would bring an item back whose delete was lost.
    """
    yield from list_keys(work.lookup, work.mapping, work.items.read_key_types(), bound_versions(gap.windows))
    for kept in work.read_kept().read_newest():
        yield WantedKey(kept.key, kept.version)


def tell_gap(work: Repair, gap: Gap) -> Iterator[tuple[str, str]]:
    """Yield what is about to be done, for people."""
    yield "gap", f"{gap.as_dict()['from']} to {gap.as_dict()['to']}"
    exports = format_count(len(gap.windows), "incremental export")
    price, unit = PRICES["DynamoDB export"]
    size = format_bytes(describe_table(work.deployment.table).size_bytes)
    yield "first", f"{exports}, {format_usd(price)} for each {unit} that was changed; the whole table has {size}"
    for run, window in zip(gap.runs, gap.windows, strict=True):
        yield "", f"{window.times[0]} to {window.times[1]}, by the backfill {run}"
    yield "then", "what is kept as failed is taken up, and what waits is imported"
    rows = format_count(gap.rows, "row")
    yield (
        "last",
        f"items are read by their keys: of {rows} by now, about {format_usd(gap.usd)}, and of what is imported",
    )


def list_brought(work: Repair) -> list[str]:
    """Return the ids of failures that only name records, which were lost and are brought by what was filled."""
    filled = read_filled(work.store, work.deployment.bucket, work.deployment.mapping)
    lost = find_lost_records(work.place, work.store)
    return sorted({name_record(each.data) for each in lost if is_covered(each.stretch, filled)})


def tell_end(work: Repair, reread: Reread, brought: list[str], seconds: float) -> Iterator[tuple[str, str]]:
    """Yield what became of it, for people."""
    keys = format_count(reread.keys, "key")
    yield (
        "read",
        f"{keys}: {reread.items:,} items, {reread.gone:,} that are gone; {reread.changed:,} rows changed by it",
    )
    if reread.refused:
        yield "refused", f"{reread.refused:,} by the mapping, and kept as failed"
    if brought:
        discard = name_command("failures", "discard", work.deployment.mapping, *brought[:BROUGHT_NAMED])
        yield "kept", f"{format_count(len(brought), 'failure')}, of records that this has brought: {discard}"
    yield "time", format_seconds(seconds)
    yield "next", name_command("verify", work.deployment.mapping)

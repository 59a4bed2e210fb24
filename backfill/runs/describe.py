"""A view of a run as people read it: names and values, or one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backfill.kinds import BACKFILL, DONE, EXPORTING, name_phase
from backfill.runs.executions import REFUSED
from backfill.runs.reports import describe_report, describe_reprocess_report
from backfill.terminal.formatting import format_count, format_rate, format_seconds, format_time
from dynaurora import keys
from dynaurora.runs import runs
from dynaurora.runs.ends import format_percentage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backfill.kinds import Kind
    from backfill.runs.progress import Batches, Rows
    from backfill.runs.reports import Pair
    from backfill.runs.run_view import RunView


def describe_view(view: RunView) -> Iterator[Pair]:
    """Yield what is known of a run as names and values: its report, where there is one, else its progress."""
    yield "run", f"{view.run} of {view.mapping} (stack {view.stack})"
    yield "state", describe_state(view)
    if view.execution:
        yield "execution", view.execution
    yield "started", format_time(view.started_at)
    if view.report is None:
        yield from describe_progress(view)
    else:
        yield from describe_report(view.report) if view.kind is BACKFILL else describe_reprocess_report(view.report)
    yield from (("note", note) for note in view.notes)
    if view.report:
        if view.rows_per_second is not None:
            yield "speed", format_rate(view.rows_per_second)
        yield "report", f"s3://{view.bucket}/{keys.report(view.mapping, view.run)}"


def describe_progress(view: RunView) -> Iterator[Pair]:
    """Yield what a run has done so far, as names and values."""
    if view.is_running and view.phases:
        yield "phases", ", ".join(f"{name} {format_seconds(seconds)}" for name, seconds in view.phases.items())
    if view.is_running and view.phase == EXPORTING and view.export:
        asked = format_seconds((view.seen_at - view.export.asked_at).total_seconds())
        yield "export", f"{view.export.status}, as DynamoDB said {asked} ago; how much it is, it says in the end"
    if view.plan and view.kind is not BACKFILL:
        objects = format_count(view.plan["objects"], "object")
        yield "taken up", f"{objects} in {format_count(view.plan['entries'], 'entry', 'entries')}"
    elif view.plan:
        files = f"{format_count(view.plan['files'], 'file')} ({format_count(view.plan['files_empty'])} empty)"
        yield "exported", f"{format_count(view.plan['items'], 'item')} in {files}"
    if view.batches:
        yield view.kind.units, describe_batches(view.kind, view.batches)
    if view.rows:
        yield "rows", describe_rows(view.rows)
    if view.is_running or view.rows_per_second is not None:
        yield "speed", format_rate(view.rows_per_second)
    if view.is_running:
        yield "time left", format_seconds(view.seconds_left)
    if view.sweep:
        yield "swept", describe_batches(view.kind, view.sweep)
    if view.retries is not None:
        yield "retries", format_count(view.retries)
    for retrying in view.retrying:
        batches = format_count(retrying.batches, "batch", "batches")
        yield "retrying now", f"{batches} after {retrying.error}, {format_count(retrying.times, 'time')}"
    if view.failure:
        yield "failure", f"{view.failure.error}: {view.failure.reason}"
        yield "", view.failure.remedy


def describe_state(view: RunView) -> str:
    """Return the state of a run with how long it took: `importing, running for 20 s`, `FAILED after 3 s`."""
    took = format_seconds(view.seconds)
    if view.is_running:
        return f"{view.phase}, running for {took}"
    during = "" if view.state in {runs.SUCCEEDED, REFUSED} or view.phase == DONE else f" while {view.phase}"
    return f"{view.state} after {took}{during}"


def describe_batches(kind: Kind, batches: Batches) -> str:
    """Return what a run goes through by what became of them, in words."""
    of = "" if batches.planned is None else f" of {batches.planned:,}"
    stopped = f", {batches.stopped:,} stopped" if batches.stopped else ""
    return f"{batches.imported:,}{of} {kind.done}, {batches.running:,} running, {batches.failed:,} failed{stopped}"


def describe_rows(rows: Rows) -> str:
    """Return rows by what became of them, in words."""
    rejected = describe_rejected(rows.rejected, rows.all)
    return f"{rows.imported:,} imported, {rows.already_newer:,} already newer, {rejected}"


def describe_rejected(rejected: int, items: int) -> str:
    """Return how many items were refused, and how many of all that is."""
    share = f" ({format_percentage(rejected, items)})" if rejected else ""
    return f"{rejected:,} rejected{share}"


def describe_phase(view: RunView) -> str:
    """Return what a run is at; of an export, which shows nothing else, for how long and what DynamoDB says of it."""
    if view.phase != EXPORTING or EXPORTING not in view.phases:
        return view.phase
    said = f", {view.export.status}" if view.export else ""
    return f"{view.phase} for {format_seconds(view.phases[EXPORTING])}{said}"


def count_steps(view: RunView) -> float:
    """Return how many of the steps of its kind a run has behind it; batches count as parts of theirs."""
    steps = view.kind.steps
    if not view.is_running:
        return float(len(steps))
    reached = [steps.index(name) for name in (*view.phases, view.phase) if name in steps]
    batches = view.batches
    if view.phase not in steps:  # as sweeping is none: it comes after the step before it
        return max(reached, default=0) + 0.5
    if batches and batches.planned and view.phase == name_phase(view.kind, view.kind.map_state):
        return max(reached) + batches.ended / batches.planned
    return float(max(reached))


def summarize_view(view: RunView) -> str:
    """Return a run's progress as one line."""
    parts = [describe_phase(view) if view.is_running else describe_state(view)]
    if view.batches:
        parts.append(f"{view.kind.units} {describe_batches(view.kind, view.batches)}")
    if view.rows and (view.rows.all or not view.is_running):
        parts.append(f"rows {describe_rows(view.rows)}")
    if view.is_running and view.rows_per_second is not None:
        parts.append(format_rate(view.rows_per_second))
    if view.is_running and view.seconds_left is not None:
        parts.append(f"{format_seconds(view.seconds_left)} left")
    parts += [f"retrying after {retrying.error} ({retrying.times})" for retrying in view.retrying]
    parts += view.notes
    return "; ".join(parts)

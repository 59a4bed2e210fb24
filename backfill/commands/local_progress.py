"""How far the demo of the local AWS is, for who watches it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from backfill.commands.local_shared import say
from backfill.terminal.console import errors, is_seen
from backfill.terminal.formatting import format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.backfills import BackfillView

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


class DemoProgress:
    """Shows the demo's steps and counts on standard error."""

    def __init__(self, changes: int, seeded: int, bars: Progress) -> None:
        self._bars = bars
        self._seeded = bars.add_task("seeded in DynamoDB", total=seeded, visible=False, start=False)
        self._written = bars.add_task("written to DynamoDB", total=changes, visible=False, start=False)
        self._accounted = bars.add_task("arrived in Aurora", total=changes, visible=False, start=False)
        self._backfilled = bars.add_task("backfilled", total=None, visible=False, start=False)
        self._told: set[str] = set()

    def say(self, line: str) -> None:
        """Tell of a step."""
        say(line)

    def seed(self, written: int) -> None:
        """Show how many items are seeded."""
        self._show(self._seeded, completed=written)

    def count(self, written: int, accounted: int, of: int) -> None:
        """Show how many changes are written, and how many have arrived or are kept with a reason, of how many."""
        self._bars.update(self._seeded, visible=False)
        self._show(self._written, completed=written, total=of)
        self._show(self._accounted, completed=accounted, total=of)

    def backfill(self, view: BackfillView) -> None:
        """Show how far the backfill is."""
        for phase in view.phases:
            if phase in PHASES and phase not in self._told:
                say(f"  backfill: {PHASES[phase]}")
                self._told.add(phase)
        items, done = view.plan["items"] if view.plan else None, view.rows.all if view.rows else 0
        phase = f"{view.phase} {format_seconds(view.phases.get(view.phase, 0.0))}" if view.is_running else "backfilled"
        self._show(self._backfilled, description=phase, completed=done, total=items)

    def _show(self, task: TaskID, **changed: Any) -> None:
        """Show a bar as it is now; its time begins when it is first shown."""
        self._bars.start_task(task)
        self._bars.update(task, visible=True, **changed)


@contextmanager
def watched_progress(changes: int, seeded: int) -> Iterator[DemoProgress]:
    """Show progress bars while the demo runs, where a person is watching."""
    columns = (TextColumn("  {task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=not is_seen(errors), disable=not is_seen(errors)) as bars:
        yield DemoProgress(changes, seeded, bars)

"""Where a watch shows a run: a view that changes in place on a terminal, lines elsewhere, JSON Lines for scripts."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from backfill.kinds import EXPORTING
from backfill.runs.describe import count_steps, describe_progress, describe_state, summarize_view
from backfill.terminal.console import errors, is_seen, print_json, say
from dynaurora.escaping import escape_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from backfill.runs.run_view import RunView

QUIET_SECONDS: Final = 5.0
"""Between lines of the same phase."""
LONGEST_PAUSE: Final = 60.0
BAR_WIDTH: Final = 50
CHANGING: Final = ("seen_at", "seconds", "seconds_left", "rows_per_second", "phases")
"""What is different in every look, though nothing has happened."""


class Screen(Protocol):
    """Shows a run that goes on."""

    def show(self, view: RunView) -> None:
        """Show the run as it is now."""
        ...

    def tell(self, message: str) -> None:
        """Tell why there is nothing new to show."""
        ...


@contextmanager
def choose_screen(*, as_json: bool) -> Iterator[Screen]:
    """Yield the screen that fits: standard error's terminal, plain lines there, or JSON on standard output."""
    if as_json:
        yield JsonScreen()
    elif is_seen(errors):
        with Live(console=errors, transient=True, auto_refresh=True, refresh_per_second=4) as live:
            yield LiveScreen(live)
    else:
        yield LineScreen()


class JsonScreen:
    """Prints an object for each change, on a line of its own."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}

    def show(self, view: RunView) -> None:
        """Print the run, if it is not as it was."""
        document = view.as_dict()
        lasting = {name: value for name, value in document.items() if name not in CHANGING}
        if lasting != self._last:
            self._last = lasting
            print_json(document)

    def tell(self, message: str) -> None:
        """Tell it on standard error."""
        say(message)


class LineScreen:
    """Prints a line for each change: at once for a phase or a note, else every few seconds."""

    def __init__(self) -> None:
        self._line = ""
        self._subject: tuple[str, ...] = ()
        self._printed_at = -QUIET_SECONDS

    def show(self, view: RunView) -> None:
        """Print the run's line, if it is time to."""
        subject = (view.phase, *view.notes)
        is_due = time.monotonic() - self._printed_at >= choose_pause(view)
        if subject != self._subject or is_due:
            self._subject = subject
            self.tell(summarize_view(view))

    def tell(self, message: str) -> None:
        """Print a line, unless it was the last one too."""
        if message != self._line:
            self._line = message
            self._printed_at = time.monotonic()
            say(message)


def choose_pause(view: RunView) -> float:
    """Return the seconds between two lines: of an export, which takes hours and tells little, more and more."""
    exported = view.phases.get(EXPORTING, 0.0) if view.phase == EXPORTING else 0.0
    return min(LONGEST_PAUSE, max(QUIET_SECONDS, exported / 10))


class LiveScreen:
    """Shows names, values and a bar that change in place."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._view: RunView | None = None

    def show(self, view: RunView) -> None:
        """Show the run in place of what was shown."""
        self._view = view
        self._live.update(render_view(view))

    def tell(self, message: str) -> None:
        """Show a message below the run as it was last seen."""
        shown = [render_view(self._view)] if self._view else []
        self._live.update(Group(*shown, show_text(message, style="yellow")))


def render_view(view: RunView) -> RenderableType:
    """Return a run as a terminal shows it."""
    grid = Table.grid(padding=(0, 2))
    grid.add_row(show_text("run", style="dim"), show_text(f"{view.run} of {view.mapping}"))
    grid.add_row(show_text("state", style="dim"), show_text(describe_state(view), style="bold"))
    for name, value in describe_progress(view):
        grid.add_row(show_text(name, style="dim"), show_text(value))
    steps, done = len(view.kind.steps), count_steps(view)
    grid.add_row(show_text(f"{int(done)}/{steps} steps", style="dim"), ProgressBar(steps, done, width=BAR_WIDTH))
    notes = [show_text(note, style="yellow") for note in view.notes]
    return Group(grid, *notes, show_text("Ctrl-C leaves; the run goes on.", style="dim"))


def show_text(text: str, style: str = "") -> Text:
    """Return a text as one line that commands no terminal."""
    return Text(escape_text(text), style=style)

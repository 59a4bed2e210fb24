"""What the demo needs of a backfill: the command line's own fits, which this package does not import."""

from __future__ import annotations

from typing import Any, Protocol


class Failure(Protocol):
    """What a backfill ended with, and what to do about it."""

    @property
    def error(self) -> str:
        """Its name."""

    @property
    def reason(self) -> str:
        """What happened."""

    @property
    def remedy(self) -> str:
        """What to do."""


class Rows(Protocol):
    """Rows of a backfill, by what became of them."""

    @property
    def all(self) -> int:
        """All that were handled."""


class BackfillView(Protocol):
    """A backfill as it is at one time, in what the demo needs of it."""

    @property
    def run(self) -> str:
        """Its id."""

    @property
    def state(self) -> str:
        """RUNNING, SUCCEEDED, FAILED or STOPPED."""

    @property
    def phase(self) -> str:
        """What it is at."""

    @property
    def phases(self) -> dict[str, float]:
        """Seconds in each phase so far, in the order in which it came to them."""

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""

    @property
    def plan(self) -> dict[str, Any] | None:
        """What planning answered, once the export is there."""

    @property
    def rows(self) -> Rows | None:
        """Its rows so far."""

    @property
    def failure(self) -> Failure | None:
        """What it failed with."""

    @property
    def report(self) -> dict[str, Any] | None:
        """Its report, once it has ended."""


class Backfill(Protocol):
    """The command line's way to backfill, which this package does not know."""

    def start(self) -> str:
        """Start a run and return its id."""

    def look(self) -> BackfillView | None:
        """Return the run as it is now; None where it cannot be seen yet."""

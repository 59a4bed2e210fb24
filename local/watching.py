"""Watching a pipeline: what has happened in it since the watch was made, and whether it has come to rest.

It has when every change that was written is accounted for (as a row of an imported batch, or kept with its reason) and
no import runs. Deliveries may be repeated, so a comparison that finds a difference is made again for as long as changes
still arrive.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from dynaurora.errors import RetryableError
from dynaurora.verification.compare_items import compare_table
from local.pipeline import ENDED_BADLY, Failures, Imports, Pipeline
from local.running import connect_administrator

if TYPE_CHECKING:
    from dynaurora.verification.verdicts import Tally
    from local.state import State

POLL_SECONDS: Final = 0.25
SETTLE_SECONDS: Final = 8.0
"""How long a difference may stay while nothing more arrives: several times what Firehose and an import take here."""

STARTING: Final = 4
"""So many times longer where nothing has ever arrived: functions start for the first time."""


class Watch:
    """Counts what has happened in a pipeline since the watch was made."""

    def __init__(self, state: State, pipeline: Pipeline) -> None:
        self.failures = Failures()
        self.failed_imports = 0
        """Executions that ended badly."""
        self._state = state
        self._pipeline = pipeline
        before = Failures()
        pipeline.read_failures(before)
        self.failures.seen |= before.seen
        self._imports_before = self._imports = self._read_imports()
        self._failed_imports_before = pipeline.count_executions(*ENDED_BADLY)

    @property
    def accounted(self) -> int:
        """How many changes are rows of imported batches, or kept with their reason."""
        return self._imports.rows_staged - self._imports_before.rows_staged + self.failures.accounted

    def look(self) -> None:
        """Count again. A database that is away for a while has no news."""
        with suppress(RetryableError):
            self._imports = self._read_imports()
        self._pipeline.read_failures(self.failures)

    def is_at_rest(self, changes: int) -> bool:
        """Count again, and tell whether so many changes are accounted for and no import runs."""
        self.look()
        return self.accounted >= changes and not self._pipeline.is_importing()

    def compare(self, deadline: float, settle_seconds: float = SETTLE_SECONDS) -> Tally:
        """Compare both sides; again for as long as they differ and something still arrives, until the deadline."""
        while True:
            accounted = self.accounted
            comparison = self._compare(deadline)
            if comparison.agrees or not self._sees_more_than(accounted, deadline, settle_seconds):
                self.failed_imports = self._pipeline.count_executions(*ENDED_BADLY) - self._failed_imports_before
                return comparison

    def seconds_since(self, last_written_at: datetime) -> float:
        """Return how long after a time, in UTC, the last row was imported; 0 where it was there before."""
        last = self._imports.last_finished_at
        return max(0.0, (last.replace(tzinfo=UTC) - last_written_at).total_seconds()) if last else 0.0

    def _compare(self, deadline: float) -> Tally:
        """Compare once; a database that goes away meanwhile is waited for, until the deadline."""
        while True:
            try:
                with connect_administrator(self._state) as aurora:
                    return compare_table(self._pipeline.mapping, self._pipeline.scan_items(), aurora)
            except RetryableError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(POLL_SECONDS)

    def _sees_more_than(self, accounted: int, deadline: float, settle_seconds: float) -> bool:
        """Tell whether changes arrive within the time that one takes, and before the deadline."""
        seconds = settle_seconds if self._imports.rows_staged or self.failures.seen else settle_seconds * STARTING
        settled = min(time.monotonic() + seconds, deadline)
        while time.monotonic() < settled:
            time.sleep(POLL_SECONDS)
            if self.is_at_rest(accounted + 1):
                return True
        return False

    def _read_imports(self) -> Imports:
        with connect_administrator(self._state) as aurora:
            return self._pipeline.read_imports(aurora)

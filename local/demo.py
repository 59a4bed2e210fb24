"""The demo: clicks written to DynamoDB, watched on their way to Aurora, and the two compared key by key.

The pipeline has come to rest when every change that was written is accounted for (as a row of an imported batch, or
kept with its reason) and no import runs. Deliveries may be repeated, so a comparison that finds a difference is made
again for as long as changes still arrive.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final, Protocol

from dynaurora.errors import RetryableError
from dynaurora.verification import compare
from local.clicks import Written, tell_stories, write_stories
from local.deployment import deploy
from local.pipeline import ENDED_BADLY, Failures, Imports, Pipeline
from local.running import connect_administrator, find_api, find_database

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from dynaurora.verification import Comparison
    from local.state import State

POLL_SECONDS: Final = 0.25
SETTLE_SECONDS: Final = 8.0
"""How long a difference may stay while nothing more arrives: several times what Firehose and an import take here."""


class Progress(Protocol):
    """What the demo tells whoever watches it."""

    def say(self, line: str) -> None:
        """Tell of a step."""

    def count(self, written: int, accounted: int) -> None:
        """Tell how many changes are written, and how many have arrived or are kept with a reason."""


@dataclass(frozen=True)
class Options:
    """What to demonstrate."""

    changes: int
    seed: int
    timeout: float
    """Seconds that the pipeline has, after the last change was written, to come to rest."""


@dataclass(frozen=True)
class Result:
    """What the demo found."""

    changes: int
    comparison: Comparison
    rejected: int
    """Changes that the mapping refused, each kept with its reason."""
    reasons: Counter[str]
    seconds: float
    """From the last change written to the last row imported."""
    problems: list[str]
    """What is not as it should be; empty where every key agrees or is accounted for by a rejection."""

    def as_dict(self) -> dict[str, Any]:
        """Return the result for machines."""
        return {
            "changes": self.changes,
            "items": self.comparison.items,
            "rows": self.comparison.rows,
            "identical": self.comparison.identical,
            "differing": self.comparison.differing,
            "missing": self.comparison.missing,
            "rejected": self.rejected,
            "seconds": round(self.seconds, 2),
            "reasons": dict(self.reasons.most_common()),
            "problems": self.problems,
        }


def run_demo(state: State, options: Options, progress: Progress) -> Result:
    """Deploy to a running local AWS, write the changes, wait until they have arrived, and compare.

    Raises DeploymentError where the deployment fails, and whatever the AWS API or the database answers.
    """
    api = find_api(state)
    pipeline = Pipeline(api, deploy(api, find_database(state), report=progress.say))
    watch = Watch(state, pipeline)
    progress.say(f"Writing {options.changes:,} changes to the table {pipeline.deployment.table}")
    written = _write(pipeline, options, watch, progress)
    last_written_at = datetime.now(UTC)
    progress.say("Waiting until each of them is in Aurora, or kept with the reason why not")
    deadline = time.monotonic() + options.timeout
    while not watch.is_at_rest(written.changes) and time.monotonic() < deadline:
        progress.count(written.changes, watch.accounted)
        time.sleep(POLL_SECONDS)
    progress.count(written.changes, watch.accounted)
    progress.say("Comparing DynamoDB and Aurora key by key")
    comparison = watch.compare(deadline)
    return Result(
        changes=written.changes,
        comparison=comparison,
        rejected=len(watch.failures.rejected),
        reasons=watch.failures.reasons,
        seconds=watch.seconds_since(last_written_at),
        problems=list(find_problems(watch, written, comparison)),
    )


def _write(pipeline: Pipeline, options: Options, watch: Watch, progress: Progress) -> Written:
    """Write all changes, watching those that arrive meanwhile."""
    writing = Writing(pipeline, options)
    writing.start()
    try:
        while writing.is_alive():
            watch.look()
            progress.count(writing.written.changes, watch.accounted)
            writing.join(POLL_SECONDS)
    finally:
        writing.stop()
    if writing.failure is not None:
        raise writing.failure
    return writing.written


def find_problems(watch: Watch, written: Written, comparison: Comparison) -> Iterator[str]:
    """Yield what is not as it should be, each with where to look."""
    if watch.accounted < written.changes:
        yield f"{written.changes - watch.accounted} changes had not arrived in time: see `dynaurora local status`"
    rejected = len(watch.failures.rejected)
    if rejected != written.bad:
        yield f"{rejected} changes were rejected, and {written.bad} were written to be"
    if watch.failures.unforwarded:
        yield f"{watch.failures.unforwarded} changes were not forwarded: see aws/lambda/ in the landing bucket"
    for record in watch.failures.parked_batches:
        yield f"batch {record['batch_id']} failed: {record['error']}: {record['reason']}"
    if watch.failed_imports:
        yield f"{watch.failed_imports} executions of import_batch failed"
    if not comparison.agrees:
        yield f"Aurora differs from DynamoDB: {'; '.join(comparison.examples)}"


class Writing(Thread):
    """Writes the changes, while the main thread watches them arrive."""

    def __init__(self, pipeline: Pipeline, options: Options) -> None:
        super().__init__(name="writing")
        self.written = Written()
        self.failure: Exception | None = None
        """What ended the writing early."""
        self._pipeline = pipeline
        self._options = options
        self._stopping = Event()

    def run(self) -> None:
        """Write all stories, or those that were begun when it was stopped."""
        run = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        stories = tell_stories(self._options.changes, self._options.seed, run)
        going_on = takewhile(lambda _: not self._stopping.is_set(), stories)
        try:
            write_stories(self._pipeline.api.dynamodb, self._pipeline.deployment.table, going_on, self.written)
        except Exception as error:  # noqa: BLE001  # raised again by the main thread
            self.failure = error

    def stop(self) -> None:
        """Write no more."""
        self._stopping.set()


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

    def compare(self, deadline: float) -> Comparison:
        """Compare both sides; again for as long as they differ and something still arrives, until the deadline."""
        while True:
            accounted = self.accounted
            comparison = self._compare(deadline)
            if comparison.agrees or not self._sees_more_than(accounted, deadline):
                self.failed_imports = self._pipeline.count_executions(*ENDED_BADLY) - self._failed_imports_before
                return comparison

    def seconds_since(self, last_written_at: datetime) -> float:
        """Return how long after a time, in UTC, the last row was imported; 0 where it was there before."""
        last = self._imports.last_finished_at
        return max(0.0, (last.replace(tzinfo=UTC) - last_written_at).total_seconds()) if last else 0.0

    def _compare(self, deadline: float) -> Comparison:
        """Compare once; a database that goes away meanwhile is waited for, until the deadline."""
        while True:
            try:
                with connect_administrator(self._state) as aurora:
                    return compare(self._pipeline.mapping, self._pipeline.scan_items(), aurora)
            except RetryableError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(POLL_SECONDS)

    def _sees_more_than(self, accounted: int, deadline: float) -> bool:
        """Tell whether changes arrive within the time that one takes, and before the deadline."""
        settled = min(time.monotonic() + SETTLE_SECONDS, deadline)
        while time.monotonic() < settled:
            time.sleep(POLL_SECONDS)
            if self.is_at_rest(accounted + 1):
                return True
        return False

    def _read_imports(self) -> Imports:
        with connect_administrator(self._state) as aurora:
            return self._pipeline.read_imports(aurora)

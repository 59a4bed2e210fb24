"""The demo: a table that is replicated and backfilled while it is written to, compared with Aurora key by key.

    seed the table → switch its stream on, deploy → write changes, of seeded items too ┐
                                                    └ backfill meanwhile ──────────────┴→ compare

Where a stack runs already its stream is on, and the seeded items go through it too. The writing is paced so that the
time of the backfill's export falls into it: some changes of seeded items are in the export and in the stream, others in
the stream only, and rows of the export meet newer ones in Aurora.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from local.clicks import tell_seeded, tell_stories
from local.deployment import deploy, find_deployment
from local.findings import Result, Stage, find_problems
from local.pipeline import Pipeline
from local.running import find_api, find_database
from local.source import create_table, switch_on_stream
from local.watching import POLL_SECONDS, Watch
from local.writing import Pace, Writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynaurora.mappings.mapping import Mapping
    from local.api import Api
    from local.backfills import Backfill, BackfillView
    from local.clicks import Written
    from local.state import State

BACKFILL_AFTER_SECONDS: Final = 1.5
"""How long is written before the backfill starts; an export's time is a whole second, and may be rounded down to it."""
LOOK_SECONDS: Final = 1.0
"""Between two looks at the backfill."""


class Progress(Protocol):
    """What the demo tells whoever watches it."""

    def say(self, line: str) -> None:
        """Tell of a step."""

    def seed(self, written: int) -> None:
        """Tell how many items are seeded."""

    def count(self, written: int, accounted: int, of: int) -> None:
        """Tell how many changes are written, and how many have arrived or are kept with a reason, of how many."""

    def backfill(self, view: BackfillView) -> None:
        """Tell how far the backfill is."""


@dataclass(frozen=True)
class Options:
    """What to demonstrate."""

    changes: int
    seeded: int
    seed: int
    """Of the random numbers."""
    timeout: float
    """Seconds that the pipeline has, after the last change was written, to come to rest."""
    mapping: Mapping
    """The example's."""


def run_demo(
    state: State, options: Options, prepare_backfill: Callable[[Api, str], Backfill], progress: Progress
) -> Result:
    """Seed a table of a running local AWS, replicate and backfill it while it is written to, and compare.

    `prepare_backfill` makes the backfill of an API and a mapping. Raises DeploymentError where the deployment fails,
    and whatever the AWS API or the database answers.
    """
    api = find_api(state)
    telling = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    stage = set_stage(state, api, options, telling, progress)
    backfill = prepare_backfill(api, options.mapping.name)
    play = Play(stage, options, telling, backfill, progress)
    deadline = play.perform()
    progress.say("Comparing DynamoDB and Aurora key by key")
    began = time.monotonic()
    comparison = stage.watch.compare(deadline)
    compared_seconds = time.monotonic() - began
    return Result(
        stage=stage,
        written=play.written,
        view=play.view,
        comparison=comparison,
        seconds=stage.watch.seconds_since(play.last_written_at),
        compared_seconds=compared_seconds,
        problems=list(find_problems(stage, play.written, play.view, comparison)),
    )


def set_stage(state: State, api: Api, options: Options, telling: str, progress: Progress) -> Stage:
    """Seed the table and deploy; a stack that is there already is deployed again first."""
    database, mapping = find_database(state), options.mapping
    if find_deployment(api, mapping.name):
        pipeline = Pipeline(api, deploy(api, database, mapping, report=progress.say))
        watch = Watch(state, pipeline)
        progress.say(f"Seeding {options.seeded:,} items; the stream of this stack is on already and has them too")
        return Stage(pipeline, watch, seed(api, options, telling, progress), is_streamed=True)
    table = mapping.source_table
    progress.say(f"Creating the table {table} and seeding {options.seeded:,} items, with its stream still off")
    create_table(api.dynamodb, mapping, {})
    seeded = seed(api, options, telling, progress)
    progress.say("Switching its stream on")
    stream_arn = switch_on_stream(api.dynamodb, table)
    deployment = deploy(api, database, mapping, source_stream_arn=stream_arn, report=progress.say)
    pipeline = Pipeline(api, deployment)
    return Stage(pipeline, Watch(state, pipeline), seeded, is_streamed=False)


def seed(api: Api, options: Options, telling: str, progress: Progress) -> Written:
    """Write the seeded items."""
    table = options.mapping.source_table
    seeding = Writing(api.dynamodb, table, tell_seeded(options.seeded, options.seed, telling))
    seeding.start()
    try:
        while seeding.is_alive():
            progress.seed(seeding.written.changes)
            seeding.join(POLL_SECONDS)
    finally:
        seeding.stop()
    seeding.check()
    progress.seed(seeding.written.changes)
    return seeding.written


class Play:
    """Changes are written while a backfill runs, until both are done and everything has arrived."""

    def __init__(self, stage: Stage, options: Options, telling: str, backfill: Backfill, progress: Progress) -> None:
        self.view: BackfillView | None = None
        """The backfill as it was last seen."""
        self.last_written_at = datetime.now(UTC)
        self._stage = stage
        self._options = options
        self._backfill = backfill
        self._progress = progress
        self._pace = Pace(options.changes, options.timeout)
        self._writing = Writing(
            stage.pipeline.api.dynamodb,
            stage.pipeline.deployment.table,
            tell_stories(options.changes, options.seed, telling, options.seeded),
            self._pace,
        )
        self._looked_at = 0.0

    @property
    def written(self) -> Written:
        """What is written so far."""
        return self._writing.written

    def perform(self) -> float:
        """Return when all is done, or took too long: with the deadline that it had, by the monotonic clock."""
        self._progress.say(f"Writing {self._options.changes:,} changes, updates and deletes of seeded items among them")
        self._writing.start()
        try:
            self._write()
        finally:
            self._writing.stop()
        self._writing.check()
        self.last_written_at = datetime.now(UTC)
        deadline = time.monotonic() + self._options.timeout
        self._progress.say("Waiting until each change is in Aurora, or kept with the reason why not")
        while not self._is_over() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return deadline

    def _write(self) -> None:
        """Return when everything is written; the backfill is started meanwhile."""
        self._writing.join(BACKFILL_AFTER_SECONDS)
        self._progress.say(f"Backfilling the table meanwhile, as run {self._backfill.start()}")
        self._progress.say("  (on AWS once its stream was read for 2 minutes; here at once: exports are cut exactly)")
        while self._writing.is_alive():
            self._look()
            self._writing.join(POLL_SECONDS)

    def _is_over(self) -> bool:
        """Look, and tell whether everything has arrived and the backfill has ended."""
        self._look()
        is_backfilled = self.view is not None and not self.view.is_running
        return is_backfilled and self._stage.watch.is_at_rest(self._stage.count_changes(self.written.changes))

    def _look(self) -> None:
        """See, and tell, what has become of the changes and of the backfill."""
        self._stage.watch.look()
        count = self._stage.count_changes
        self._progress.count(count(self.written.changes), self._stage.watch.accounted, count(self._options.changes))
        if time.monotonic() - self._looked_at < LOOK_SECONDS or (self.view and not self.view.is_running):
            return
        self.view = self._backfill.look() or self.view
        self._looked_at = time.monotonic()
        if self.view:
            self._progress.backfill(self.view)
            if self.view.plan or not self.view.is_running:
                self._pace.hurry()

"""Writing in the background: stories told to a table, at a pace, while something else watches what becomes of them."""

from __future__ import annotations

import time
from itertools import takewhile
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from local.clicks import Written, write_stories

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

    from local.clicks import Story

PACED_SHARE: Final = 2 / 3
"""Share of the changes that is written evenly, in PACED_SECONDS. The rest is written once there is an export."""
PACED_SECONDS: Final = 6.0
"""About what a small backfill takes until it has its export."""
PAUSE_SECONDS: Final = 0.05


class Pace:
    """How fast stories are told: evenly, two thirds of them; the rest after `hurry`, as fast as they can be.

    So an export's time falls among them, and some come after the export.
    """

    def __init__(self, changes: int, patience: float) -> None:
        """Pace stories of so many changes in all; without `hurry` they go on after `patience` seconds."""
        self._changes = changes
        self._patience = patience
        self._hurrying = Event()

    def hurry(self) -> None:
        """Hold nothing back any more."""
        self._hurrying.set()

    def keep(self, stories: Iterable[Story]) -> Iterator[Story]:
        """Yield the stories, each when it is time for it."""
        started, told = time.monotonic(), 0
        for story in stories:
            while told > self._allow(time.monotonic() - started) and not self._hurrying.wait(PAUSE_SECONDS):
                pass
            yield story
            told += len(story)

    def _allow(self, elapsed: float) -> float:
        """Return how many changes may be told by now."""
        if elapsed > self._patience:
            return self._changes
        return PACED_SHARE * self._changes * min(1.0, elapsed / PACED_SECONDS)


class Writing(Thread):
    """Writes stories to a table, while the main thread watches."""

    def __init__(
        self, dynamodb: DynamoDBClient, table: str, stories: Iterable[Story], pace: Pace | None = None
    ) -> None:
        super().__init__(name="writing")
        self.written = Written()
        self.pace = pace
        self._failure: Exception | None = None
        self._dynamodb = dynamodb
        self._table = table
        self._stories = stories
        self._stopping = Event()

    def run(self) -> None:
        """Write all stories, or those that were begun when it was stopped."""
        stories = self.pace.keep(self._stories) if self.pace else self._stories
        going_on = takewhile(lambda _: not self._stopping.is_set(), stories)
        try:
            write_stories(self._dynamodb, self._table, going_on, self.written)
        except Exception as error:  # noqa: BLE001  # raised again by `check`
            self._failure = error

    def stop(self) -> None:
        """Write no more."""
        self._stopping.set()
        if self.pace:
            self.pace.hurry()

    def check(self) -> None:
        """Raise what ended the writing early, if something did."""
        if self._failure is not None:
            raise self._failure

"""What was read last of each thing that pages show, and reading it anew beside whoever waits for it.

A page is answered at once with what is on the shelf. What is too old is read again in a thread of its own, once,
however many ask; why that failed stands beside what was read before.
"""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click
from botocore.exceptions import BotoCoreError, ClientError

from backfill.deployment.aws_errors import explain_failure, is_about_credentials
from backfill.terminal.console import hearing
from dynaurora.errors import DynauroraError

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_KEPT: Final = 500
"""Things of which something is kept; what nobody asked about for longest goes first."""
UNEXPECTED: Final = "This was not foreseen: {}. The terminal that `dynaurora ui` runs in says where it happened."

SIGNED_OUT: Final = " Where this stays, start `dynaurora ui` anew: it goes on with the credentials that it found."


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a thing."""

    value: Any = None
    """None until it was read once."""
    seen_at: datetime | None = None
    """When that was read."""
    problem: str | None = None
    """Why it could not be read the last time, and what to do."""
    notes: tuple[str, ...] = ()
    """What was said while it was read."""


@dataclass(slots=True)
class _Place:
    """One thing's place on the shelf."""

    seen: Seen = field(default_factory=Seen)
    read_at: float | None = None
    """When the last reading ended, whatever came of it."""
    asked_at: float = 0.0
    is_reading: bool = False


class Shelf:
    """Keeps what was read."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._places: dict[str, _Place] = {}
        self._changed = threading.Condition()
        self._is_closed = False
        self._context = click.get_current_context(silent=True)

    @property
    def is_reading(self) -> bool:
        """Whether anything is being read."""
        with self._changed:
            return any(place.is_reading for place in self._places.values())

    def close(self) -> None:
        """Have nobody wait any longer."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def look(self, name: str, read: Callable[[], Any], find_wait: Callable[[Seen], float]) -> Seen:
        """Return what is known of a thing, at once; where it is not fresh any more, have it read again.

        `find_wait` says for how many seconds what is known is fresh.
        """
        with self._changed:
            place = self._places.get(name) or self._make_place(name)
            place.asked_at = self._clock()
            is_old = place.read_at is None or place.asked_at - place.read_at >= find_wait(place.seen)
            if is_old and not place.is_reading:
                place.is_reading = True
                threading.Thread(target=self._read, args=(place, read), name=name, daemon=True).start()
            return place.seen

    def wait(
        self, name: str, read: Callable[[], Any], find_wait: Callable[[Seen], float], patience: float
    ) -> Seen | None:
        """Return what is known of a thing, once it was read; None where that takes longer than so many seconds."""
        self.look(name, read, find_wait)
        with self._changed:
            place = self._places[name]
            self._changed.wait_for(lambda: self._is_closed or not place.is_reading, patience)
            return None if place.is_reading else place.seen

    def _make_place(self, name: str) -> _Place:
        if len(self._places) >= MOST_KEPT:
            idle = [other for other, place in self._places.items() if not place.is_reading]
            for other in sorted(idle, key=lambda one: self._places[one].asked_at)[: MOST_KEPT // 2]:
                del self._places[other]
        return self._places.setdefault(name, _Place())

    def _read(self, place: _Place, read: Callable[[], Any]) -> None:
        seen, before = Seen(problem=UNEXPECTED.format("it ended")), place.seen
        try:
            with self._context.scope(cleanup=False) if self._context else nullcontext(), hearing() as heard:
                seen = Seen(read(), datetime.now(UTC), None, tuple(heard))
        except (click.ClickException, DynauroraError, BotoCoreError, ClientError) as error:
            problem = f"{explain_failure(error)}{SIGNED_OUT if is_about_credentials(error) else ''}"
            seen = Seen(before.value, before.seen_at, problem)
        except Exception as error:
            seen = Seen(before.value, before.seen_at, UNEXPECTED.format(type(error).__name__))
            raise
        finally:
            with self._changed:
                place.seen, place.read_at, place.is_reading = seen, self._clock(), False
                self._changed.notify_all()

"""Readers of streams: for how long one has not read, and which stretches of time its stream has lost records of.

    mappings/mapping=<m>/reader.json      {"stream_arn": "arn:…", "unread_since": 1700000000, "losses": [[…, …]]}
    mappings/mapping=<m>/forwarded.json   {"second": 1700000000}, the stamp of what was forwarded last, now and then
    mappings/mapping=<m>/filled.json      [[…, …]], the gaps that were filled; from 0 on, by a copy of all items

A stream keeps records for 24 hours (DynamoDB Developer Guide, "Change data capture for DynamoDB Streams"). The age of
the oldest one that waits does not tell of a loss: what is older is gone. So it is noted since when a reader does not
read, and whether its table has another stream than before, of which nobody reads what was left in the old one. A table
that nobody writes to and whose reader is well has neither.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.aws.objects import read_or_none

if TYPE_CHECKING:
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.dynamodb.source import SourceState

KEPT_SECONDS: Final = 24 * 3600
"""A stream keeps its records for so long."""
LOSS_SECONDS: Final = KEPT_SECONDS - 1800
"""After so long without a reader records are taken for lost: it takes a while until it has caught up."""
WARNED_SECONDS: Final = 20 * 3600
"""After so long people are told, while there is time to act."""
TOLD_SECONDS: Final = 900
"""What was forwarded last is noted once in so many seconds, of each process."""
BEHIND_SECONDS: Final = 3600
"""One part of a stream may be so much further behind than another; more is an alarm of its own."""
MOST_LOSSES: Final = 20

Stretch = tuple[int, int]
"""From one second of Unix time to another."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of the reading of one stream."""

    stream_arn: str | None = None
    unread_since: int | None = None
    """Since when nobody reads it; None where it is read."""
    losses: tuple[Stretch, ...] = ()
    """From when to when it may have lost records."""

    def follow(self, state: SourceState, *, is_read: bool, forwarded: int | None, now: int) -> Reading:
        """Return what is known once its table and reader were looked at again.

        `forwarded` is the stamp of what was forwarded last, where anybody knows.
        """
        since, losses = self.unread_since, list(self.losses)
        if self.stream_arn and state.stream_arn and state.stream_arn != self.stream_arn:
            enabled_at = int(state.stream_enabled_at.timestamp()) if state.stream_enabled_at else now
            losses.append((find_first_lost(min(since or enabled_at, enabled_at), forwarded), enabled_at))
            since = None if since is None else max(since, enabled_at)  # the new one lacks what it may lose from then on
        if is_read:
            if since is not None and now - since >= LOSS_SECONDS:
                losses.append((find_first_lost(since, forwarded), now))
            since = None
        elif since is None:
            changed_at = state.mapping_changed_at if state.mapping_state == "Disabled" else None
            since = min(now, int(changed_at.timestamp())) if changed_at else now
        return replace(
            self,
            stream_arn=state.stream_arn or self.stream_arn,
            unread_since=since,
            losses=tuple(losses[-MOST_LOSSES:]),
        )

    def is_near_loss(self, now: int) -> bool:
        """Tell whether records will be lost within hours, or are being lost."""
        return self.unread_since is not None and now - self.unread_since >= WARNED_SECONDS

    def list_losses(self, filled: list[Stretch], forwarded: int | None, now: int) -> list[Stretch]:
        """Return the stretches that records may have been lost of and no repair has filled, the one under way last."""
        lost = [each for each in self.losses if not is_covered(each, filled)]
        if self.unread_since is not None and now - self.unread_since >= LOSS_SECONDS:
            lost.append((find_first_lost(self.unread_since, forwarded), now))
        return lost


def find_first_lost(since: int, forwarded: int | None) -> int:
    """Return from which second on records may be missing that waited when a reader stopped.

    None was older than what a stream keeps, and none older than what was forwarded last, if that was after all others.
    """
    oldest = since - KEPT_SECONDS
    return oldest if forwarded is None else max(oldest, min(forwarded - BEHIND_SECONDS, since))


def is_covered(stretch: Stretch, filled: list[Stretch]) -> bool:
    """Tell whether a stretch of time lies within others together."""
    reached = stretch[0]
    for start, end in sorted(filled):
        if start <= reached:
            reached = max(reached, end)
    return reached >= stretch[1]


def read_reading(store: ObjectStore, bucket: str, mapping: str) -> Reading:
    """Return what is known of the reading of a mapping's stream."""
    document = _load(store, bucket, keys.reader(mapping), {})
    losses = tuple((int(start), int(end)) for start, end in document.get("losses", ()))
    return Reading(document.get("stream_arn"), document.get("unread_since"), losses)


def write_reading(store: ObjectStore, bucket: str, mapping: str, reading: Reading) -> None:
    """Keep what is known."""
    store.write(bucket, keys.reader(mapping), json.dumps(asdict(reading)).encode())


def read_forwarded(store: ObjectStore, bucket: str, mapping: str) -> int | None:
    """Return the stamp of what was forwarded last, as far as it was noted."""
    second = _load(store, bucket, keys.forwarded(mapping), {}).get("second")
    return None if second is None else int(second)


def write_forwarded(store: ObjectStore, bucket: str, mapping: str, second: int) -> None:
    """Note the stamp of what was forwarded last."""
    store.write(bucket, keys.forwarded(mapping), json.dumps({"second": second}).encode())


def read_filled(store: ObjectStore, bucket: str, mapping: str) -> list[Stretch]:
    """Return the gaps that were filled."""
    return [(int(start), int(end)) for start, end in _load(store, bucket, keys.filled(mapping), [])]


def write_filled(store: ObjectStore, bucket: str, mapping: str, stretch: Stretch) -> None:
    """Note that a gap was filled, in the place of those that lie within it."""
    filled = [*(each for each in read_filled(store, bucket, mapping) if not is_covered(each, [stretch])), stretch]
    store.write(bucket, keys.filled(mapping), json.dumps(filled[-MOST_LOSSES:]).encode())


def _load(store: ObjectStore, bucket: str, key: str, otherwise: Any) -> Any:
    body = read_or_none(store, bucket, key)
    return otherwise if body is None else json.loads(body)

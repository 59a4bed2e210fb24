"""What a table's stream may have lost: as the health function has noted it, with the command that brings it back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from backfill.deployment.diagnosis import make_finding
from backfill.terminal.console import name_command
from dynaurora.mappings.readers import (
    KEPT_SECONDS,
    LOSS_SECONDS,
    read_filled,
    read_forwarded,
    read_reading,
)
from dynaurora.target.check_target import WARNING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backfill.deployment.deployments import Deployment
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.target.check_target import Finding

LOSSES: Final = "what the stream lost"
NEARNESS: Final = "the stream's 24 hours"


def diagnose_losses(store: ObjectStore, deployment: Deployment, now: float) -> Iterator[Finding]:
    """Yield which stretches of time the stream may have lost records of, and whether it is about to."""
    bucket, mapping = deployment.bucket, deployment.mapping

    def look() -> Iterator[tuple[str, str]]:
        reading, forwarded = read_reading(store, bucket, mapping), read_forwarded(store, bucket, mapping)
        for start, end in reading.list_losses(read_filled(store, bucket, mapping), forwarded, int(now)):
            times = show(start), show(end)
            repair = name_command("repair", mapping, "--from", times[0], "--to", times[1])
            yield f"records from {times[0]} to {times[1]} may be lost", f"Have the stream read, then `{repair}`."

    def look_ahead() -> Iterator[tuple[str, str]]:
        reading = read_reading(store, bucket, mapping)
        if reading.is_near_loss(int(now)) and now - (reading.unread_since or 0) < LOSS_SECONDS:
            since = reading.unread_since or 0
            problem = (
                f"it has not been read since {show(since)}, and loses records from {show(since + KEPT_SECONDS)} on"
            )
            yield problem, "Have it read again: the other findings name why it is not."

    yield from make_finding(LOSSES, look)
    yield from (each for each in make_finding(NEARNESS, look_ahead, problem_is=WARNING) if each.detail)


def show(second: int) -> str:
    """Return a second of Unix time in ISO 8601, in UTC."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"

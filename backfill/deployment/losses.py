"""What a table's stream may have lost, with the command that brings it back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from backfill.deployment.diagnosis import make_finding
from backfill.terminal.console import name_command
from dynaurora.failures.lost_records import list_losses
from dynaurora.mappings.readers import KEPT_SECONDS, LOSS_SECONDS, read_reading
from dynaurora.target.check_target import WARNING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backfill.deployment.deployments import Deployment
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.readers import Stretch
    from dynaurora.target.check_target import Finding

LOSSES: Final = "what the stream lost"
NEARNESS: Final = "the stream's 24 hours"


def diagnose_losses(store: ObjectStore, deployment: Deployment, now: float) -> Iterator[Finding]:
    """Yield which stretches of time the stream may have lost records of, and whether it is about to."""
    bucket, mapping = deployment.bucket, deployment.mapping

    def look() -> Iterator[tuple[str, str]]:
        for stretch in list_losses(deployment.own_place, store, int(now)):
            yield describe_loss(stretch), f"Have the stream read, then `{name_mending(deployment, stretch)}`."

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


def describe_loss(stretch: Stretch) -> str:
    """Say what may be lost."""
    return f"records from {show(stretch[0])} to {show(stretch[1])} may be lost"


def name_mending(deployment: Deployment, stretch: Stretch) -> str:
    """Return the command that brings back what a stream has lost.

    Exports of a window have the deletes of expired items too: where those rows are to stay, all items are copied again.
    """
    if deployment.ignores_expiries:
        return name_command("backfill", "start", deployment.mapping, "--watch")
    return name_command("repair", deployment.mapping, "--from", show(stretch[0]), "--to", show(stretch[1]))


def show(second: int) -> str:
    """Return a second of Unix time in ISO 8601, in UTC."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"

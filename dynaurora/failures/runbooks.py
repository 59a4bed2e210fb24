"""Runbooks: the page of docs/runbooks/ that every message to people ends with."""

from __future__ import annotations

from typing import Final

from dynaurora.errors import (
    ConnectionLostError,
    DatabaseUnavailableError,
    ReadOnlyError,
    SecretRotatedError,
    TooManyConnectionsError,
)

FAILED_RECORDS_RUNBOOK: Final = "docs/runbooks/failed-records.md"
FAILED_BATCHES_RUNBOOK: Final = "docs/runbooks/failed-batches.md"
AURORA_DOWN_RUNBOOK: Final = "docs/runbooks/aurora-down.md"
BACKFILL_RUNBOOK: Final = "docs/runbooks/backfill.md"
DIFFERENCES_RUNBOOK: Final = "docs/runbooks/differences.md"
UNAVAILABLE: Final = frozenset(
    error.__name__
    for error in (
        ConnectionLostError,
        DatabaseUnavailableError,
        ReadOnlyError,
        SecretRotatedError,
        TooManyConnectionsError,
    )
)
"""Errors of a batch that say that Aurora was away for longer than the retries last."""


def runbook_for(error_name: str) -> str:
    """Return the page for a batch that failed with an error, by its name."""
    return AURORA_DOWN_RUNBOOK if error_name in UNAVAILABLE else FAILED_BATCHES_RUNBOOK

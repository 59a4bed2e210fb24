"""Runbooks: the page of docs/runbooks/ that every message to people ends with."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dynaurora.errors import (
    ConnectionLostError,
    DatabaseUnavailableError,
    ReadOnlyError,
    SecretRotatedError,
    TooManyConnectionsError,
)

BESIDE: Final = Path(__file__).resolve().parents[2]
"""What has the packages, and docs/ beside them."""
FOLDER: Final = "docs/runbooks/"
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


def read_runbook(path: str) -> str | None:
    """Return the text of a page of docs/runbooks/ by its path; None where it is not beside the packages.

    It is in a clone, in an installation and in the functions' package.
    """
    place = BESIDE / path
    if not path.startswith(FOLDER) or place.resolve().parent != (BESIDE / FOLDER).resolve() or not place.is_file():
        return None
    return place.read_text("utf-8")


def runbook_for(error_name: str) -> str:
    """Return the page for a batch that failed with an error, by its name."""
    return AURORA_DOWN_RUNBOOK if error_name in UNAVAILABLE else FAILED_BATCHES_RUNBOOK

"""Ends of runs: what a run failed for, and what people are told."""

from __future__ import annotations

from typing import Any, Final

from dynaurora.errors import (
    AccessDeniedError,
    BatchesFailedError,
    InvalidRunError,
    RejectedItemsError,
    RunConflictError,
    remedy_for,
)
from dynaurora.failures.failed_batches import MAX_SUBJECT, read_error
from dynaurora.failures.runbooks import BACKFILL_RUNBOOK
from dynaurora.runs.requests import is_mapping_name, is_run_id

NAMES: Final = {"States.ExceedToleratedFailureThreshold": BatchesFailedError.__name__}
"""Names for errors of Step Functions' own: an execution may not fail with a name that begins with `States.` (Amazon
States Language specification, "Errors")."""
LEAST_SHARE: Final = 0.01
"""In percent; what is less is not told to the digit."""
MOST_FREQUENT: Final = 3
"""Why items were refused, as an error tells it; the report has all."""
NOT_MENDED_BY_REPEATING: Final = frozenset(
    {
        *("ExportFailedError", "InvalidRunError", "ReconciliationError", "RejectedItemsError"),
        *("RunConflictError", "SweepRefusedError"),
        *("DynamoDb.ExportConflictException", "DynamoDb.InvalidExportTimeException"),
    }
)
"""Errors that the same run would only have again: DynamoDB, for one, answers its token with the export that failed."""


def find_failure(state: dict[str, Any], execution: str) -> dict[str, str] | None:
    """Return what a run failed for, with the message for people; None where it did not fail.

    What came first counts: an error that stopped the run, then one of the accounting after it, then more refused items
    than are tolerated.
    """
    caught = state.get("error") or state.get("unreconciled") or judge_rejected(state)
    if caught is None:
        return None
    run = name_run(state, "unnamed")  # what else an input may have is no part of a subject, which takes no newline
    error, reason = read_error(caught)
    error = NAMES.get(error, error.replace("States.", "StepFunctions.", 1))
    remedy = find_remedy(error, state)
    is_verification = (state.get("options") or state).get("compare")
    command = f"{'verify' if is_verification else 'backfill start'} {state.get('mapping')} --run {run}"
    again = [f"Start it again with: dynaurora {command}", "What it has done is not repeated."]
    lines = [
        f"Run {run} of {state.get('mapping')} failed.",
        f"Error: {error}",
        f"Reason: {reason}",
        f"Next: {remedy}",
        *([] if error in NOT_MENDED_BY_REPEATING else again),
        f"Execution: {execution}",
        f"Runbook: {BACKFILL_RUNBOOK}",
    ]
    subject = f"dynaurora: run {run} failed: {error}"[:MAX_SUBJECT]
    return {"error": error, "reason": reason, "remedy": remedy, "subject": subject, "message": "\n".join(lines)}


def judge_rejected(state: dict[str, Any]) -> dict[str, str] | None:
    """Return what a backfill fails for whose mapping refused too many items, as Step Functions tells an error.

    A run that was opened by the release before tolerates any number of them, and a verification only counts them; a
    reprocess has no such totals.
    """
    totals, options = state.get("totals") or {}, state.get("options") or {}
    tolerated = 100 if options.get("compare") else options.get("tolerated_rejected_percentage", 100)
    rejected, taken = max(_count_rejected(totals), key=lambda counts: share_in_percent(*counts))
    if share_in_percent(rejected, taken) <= tolerated:
        return None
    reasons = list((totals.get("rejected_reasons") or {}).items())[:MOST_FREQUENT]
    most = "; ".join(f"{count} {reason}" for reason, count in reasons)
    cause = (
        f"{rejected} of {taken} items, {format_percentage(rejected, taken)}, were refused, and {tolerated:g} % are"
        f" tolerated. Most often: {most}."
    )
    return {"Error": RejectedItemsError.__name__, "Cause": cause}


def _count_rejected(totals: dict[str, Any]) -> list[tuple[int, int]]:
    """Return of each target how many items were refused, and of how many; what it skips is none of its items."""
    exported = totals.get("exported", 0)
    of_targets = (totals.get("targets") or {}).values() or [totals]
    return [(each.get("rejected", 0), exported - each.get("skipped", 0)) for each in of_targets]


def share_in_percent(part: int, whole: int) -> float:
    """Return how much of a whole a part is, in percent; of nothing it is nothing."""
    return 100 * part / whole if whole else 0.0


def format_percentage(part: int, whole: int) -> str:
    """Return that in words: a little does not look like nothing, and what is not all does not look like it."""
    share = share_in_percent(part, whole)
    if 0 < share < LEAST_SHARE:
        return f"less than {LEAST_SHARE} %"
    return f"{share if part == whole else min(share, 99.9):.3g} %"


def find_remedy(error: str, state: dict[str, Any]) -> str:
    """Return the next step for an error that a run failed with, by how far it had come.

    What may not be read before there is a plan is a given export: no batch and no function's role of this project has
    to do with it.
    """
    given = (state.get("options") or {}).get("export_summary")
    if error == AccessDeniedError.__name__ and given and not state.get("plan"):
        return (
            f"Nothing was imported. Deploy the platform with the bucket of {given} as ExportsBucketName; where it is"
            " another account's, have its policy let this account read it: docs/backfill.md. Then start the run again."
        )
    return run_remedy(error)


def run_remedy(error: str) -> str:
    """Return the next step for an error that a run failed with: what failed is started again as a run, and no batch."""
    return remedy_for(error).replace("then import the batch again", "then start the run again")


def name_run(state: dict[str, Any], otherwise: str) -> str:
    """Return the run's id, or where its input has none that could be part of a key, another name."""
    run = state.get("run")
    return str(run) if is_run_id(run) else otherwise


def name_mapping(state: dict[str, Any]) -> str | None:
    """Return the run's mapping; None where its input has none that could be part of a key."""
    mapping = state.get("mapping")
    return str(mapping) if is_mapping_name(mapping) else None


def is_own(failure: dict[str, str] | None) -> bool:
    """Tell whether the report is this execution's to write: a run that it was refused has another's."""
    return failure is None or failure["error"] not in {RunConflictError.__name__, InvalidRunError.__name__}

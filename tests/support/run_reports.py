"""Reports of every kind and end, as the functions and commands that write them make them."""

from dataclasses import asdict

from dynaurora.runs.report_backfill import build_backfill_report
from dynaurora.runs.report_reprocess import COUNTS, build_reprocess_report
from tests.support.factories import make_totals
from tests.support.run_states import EXECUTION, MEMORY, OPENED, PLANNED, RECONCILED, caught, steps

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)>\u202e\x1b]0;x\x07\x00\ud800'
ALL_PHASES = ("Open run", "Start export", "Plan backfill", "Backfill batches", "Reconcile run", "Report run")
PACE = {"since": "2026-11-23T08:15:00Z", "step_seconds": 30, "rows": [30_000, 0, 90_000]}


def backfill(state=RECONCILED, failures=(), ignored=None, examples=(), causes=()):
    taken = steps(*ALL_PHASES)
    return build_backfill_report(state, EXECUTION, taken, [*failures], MEMORY, ignored, examples, causes)


def reprocess(totals=None, failure=None):
    state = {"mapping": "web_analytics", "options": {"prefix": None, "include_parked": False, "max_concurrency": 2}}
    taken = steps("Look for failures", "List failures", "Reprocess failures", "Report run")
    return build_reprocess_report(state | {"plan": {"objects": 3}}, "reprocess-r", EXECUTION, taken, totals, failure)


def verification(unexplained=0, **counts):
    found = {"counts": {"items": 10, "rows": 10, "identical": 10} | counts, "unexplained": unexplained, "whole": True}
    return backfill(RECONCILED | {"options": OPENED["options"] | {"compare": True}}) | {"verification": found}


def totals_of(**changed):
    return RECONCILED | {"totals": asdict(make_totals(**changed))}


def repair(unexplained=0, **changed):
    done = {"verification": "verify-1", "found": 3, "left_out": 0, "keys": 3, "changed": 3, "refused": 0, "gap": None}
    found = verification(unexplained)["verification"] | {"whole": False}
    return backfill(OPENED) | {"via": "keys", "verification": found, "repair": done | {"agrees": True} | changed}


GAP = {"gap": {"from": "2026-11-23T08:15:00Z", "to": "2026-11-23T09:15:00Z"}}
NONE_SETTLED = dict.fromkeys((*COUNTS, "rejected", "entries", "entries_failed"), 0) | {"rejected_reasons": {}}
FAILED = {"error": "AccessDeniedError", "reason": "S3 refused it.", "remedy": "Let the role read it."}
KEPT = {"batch": "r1-000002", "error": "RowCountError", "reason": "9 of 10.", "remedy": "Mend it.", "key": "failed/x"}
TOLERANT = {"options": OPENED["options"] | {"tolerated_rejected_percentage": 100}}
CASES = {
    "succeeded": (backfill(), "good", "Succeeded"),
    "nothing to import": (backfill(OPENED), "good", "Succeeded"),
    "refused": (
        backfill(totals_of(imported=6, rejected=4, rejected_reasons={"a (type)": 4}) | TOLERANT),
        *("warn", "Done, and 4 items refused"),
    ),
    "batches failed": (
        backfill(totals_of(imported=4, unaccounted=6, batches_imported=1, batches_failed=1), [KEPT]),
        *("warn", "Done, and batches failed"),
    ),
    "older rows": (backfill(totals_of(complete=False)), "warn", "Done, and rows stay older"),
    "refused too many": (
        backfill(
            totals_of(imported=0, rejected=10, rejected_reasons={"a (type)": 10})
            | {"options": OPENED["options"] | {"tolerated_rejected_percentage": 1}}
        ),
        *("bad", "Failed: RejectedItemsError"),
    ),
    "failed early": (backfill(OPENED | {"error": caught("NotReadyError", "Off.")}), "bad", "Failed: NotReadyError"),
    "failed batches": (
        backfill(PLANNED | {"error": {"Error": "States.ExceedToleratedFailureThreshold", "Cause": "1 of 2"}}, [KEPT]),
        *("bad", "Failed: BatchesFailedError"),
    ),
    "stopped": (backfill(PLANNED) | {"state": "STOPPED", "failure": FAILED | {"error": "Stopped"}}, "warn", "Stopped"),
    "reprocess": (
        reprocess(NONE_SETTLED | {"entries": 2, "records": 5, "rows": 5, "rows_changed": 4}),
        "good",
        "Succeeded",
    ),
    "idle reprocess": (reprocess(NONE_SETTLED), "good", "Succeeded"),
    "reprocess refused": (
        reprocess(NONE_SETTLED | {"entries": 1, "rejected": 2, "rejected_reasons": {"a (type)": 2}}),
        *("warn", "Done, and 2 records refused"),
    ),
    "reprocess batches": (reprocess(NONE_SETTLED | {"batches_failed": 1}), "warn", "Done, and batches failed"),
    "reprocess parked": (
        reprocess(NONE_SETTLED | {"entries": 3, "batches_failed": 2, "batches_parked": 1, "records_parked": 2}),
        "warn",
        "Done, and 1 batch and 2 records parked",
    ),
    "reprocess parked and refused": (
        reprocess(
            NONE_SETTLED
            | {"entries": 2, "batches_failed": 1, "batches_parked": 1}
            | {"rejected": 500, "rejected_reasons": {"a (type)": 500}}
        ),
        *("warn", "Done, and 1 batch parked, others refused"),
    ),
    "reprocess failed": (reprocess(None, FAILED), "bad", "Failed: AccessDeniedError"),
    "equal": (verification(), "good", "Equal"),
    "different": (verification(3, differing=2, missing=1), "bad", "3 keys differ"),
    "older mapping": (verification(older_mapping=1), "warn", "Equal, but for an older mapping"),
    "kept as failed": (verification(failed=1), "warn", "Equal, but for what is kept as failed"),
    "repaired": (repair(), "good", "Equal"),
    "not repaired": (repair(1, agrees=False), "bad", "1 key differs"),
    "repaired in part": (repair(agrees=False, left_out=7), "warn", "Equal, as far as keys are known"),
    "repaired, and others differ": (repair(agrees=False), "bad", "Mended, and others differ"),
    "gap filled": (repair(**GAP) | {"verification": None}, "good", "Filled"),
    "gap filled in part": (repair(refused=2, **GAP) | {"verification": None}, "warn", "Filled, and 2 rows refused"),
    "not judged": (verification() | {"verification": None}, "warn", "Compared, and not judged"),
    "verification failed": (
        backfill(OPENED | {"options": OPENED["options"] | {"compare": True}, "error": caught("ThrottledError")}),
        *("bad", "Failed: ThrottledError"),
    ),
}


def make_hostile():
    """Return a report in which all that others write would do harm, if it were anything but text."""
    key = {HOSTILE: {"S": HOSTILE}, "long": {"S": "x" * 400_000}, "odd": [HOSTILE]}
    report = backfill(
        totals_of(rejected=1, rejected_reasons={HOSTILE: 1}) | {"error": {"Error": HOSTILE, "Cause": HOSTILE}},
        [dict.fromkeys(KEPT, HOSTILE * 1_000)],
        {"attributes": [{"name": HOSTILE, "items": 1, "type": "TEXT", "values_seen": 1, "keys": []}], "others": 0},
        [{"reason": HOSTILE, "keys": [key, HOSTILE]}],
    )
    report |= dict.fromkeys(("run", "mapping", "execution", "digest"), HOSTILE) | {"warnings": [HOSTILE]}
    report |= {"retry_causes": [{"error": HOSTILE * 1_000, "times": 1, "batches": 1}]}
    report |= {"differences": [{"target": HOSTILE, "key": key, "verdict": HOSTILE, "columns": [HOSTILE]}]}
    return report

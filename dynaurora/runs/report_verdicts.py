"""Verdicts of reports: what a run came to, what that means for who reads it, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dynaurora.errors import RejectedItemsError, remedy_for
from dynaurora.failures.runbooks import (
    BACKFILL_RUNBOOK,
    DIFFERENCES_RUNBOOK,
    FAILED_BATCHES_RUNBOOK,
    FAILED_RECORDS_RUNBOOK,
)
from dynaurora.pages.formatting import format_count
from dynaurora.runs.ends import NOT_MENDED_BY_REPEATING
from dynaurora.runs.requests import is_mapping_name, is_run_id

if TYPE_CHECKING:
    from collections.abc import Mapping

BACKFILL_KIND, REPROCESS_KIND, VERIFICATION_KIND, REPAIR_KIND = "Backfill", "Reprocess", "Verification", "Repair"
GOOD, WARN, BAD = "good", "warn", "bad"


@dataclass(frozen=True, slots=True)
class ReportVerdict:
    """What a run came to, what that means, and what to do next."""

    tone: str
    word: str
    meaning: str
    steps: tuple[tuple[str, str | None], ...] = ()
    """What to do, and the command for it, if there is one."""
    runbook: str | None = None


def name_kind(report: Mapping[str, Any]) -> str:
    """Return what a report is of, by what it has."""
    if report.get("repair") is not None:
        return REPAIR_KIND
    if report.get("verification") is not None or "via" in report or (report.get("options") or {}).get("compare"):
        return VERIFICATION_KIND
    return REPROCESS_KIND if "objects" in report else BACKFILL_KIND


def judge_report(kind: str, report: Mapping[str, Any]) -> ReportVerdict:
    """Return the verdict of a report."""
    if report["state"] != "SUCCEEDED":
        return judge_failure(kind, report)
    if report.get("verification") is not None:
        return judge_verification(kind, report)
    if kind == REPAIR_KIND:
        return judge_filled(report)
    totals, mapping = report.get("totals") or {}, report.get("mapping")
    if kind == VERIFICATION_KIND:
        meaning = "The export was compared with the rows; what does not agree is not judged yet."
        step = ("Go on with it, which looks at what does not agree again:", f"verify {mapping} --run {report['run']}")
        return ReportVerdict(WARN, "Compared, and not judged", meaning, (step,), DIFFERENCES_RUNBOOK)
    if parked := count_parked(totals):
        return judge_parked(mapping, totals, parked)
    failed = totals.get("batches_failed", 0)
    if failed or totals.get("unaccounted"):
        meaning = f"{format_count(failed, 'batch', 'batches')} failed. What Aurora did not take is kept."
        step = ("Mend what their errors name, then take them up again:", f"reprocess start {mapping}")
        return ReportVerdict(WARN, "Done, and batches failed", meaning, (step,), FAILED_BATCHES_RUNBOOK)
    if refused := totals.get("rejected", 0):
        noun = "record" if kind == REPROCESS_KIND else "row" if totals.get("targets") else "item"
        meaning = f"The mapping refuses {format_count(refused, noun)}. All else is in Aurora; they are kept."
        return ReportVerdict(
            *(WARN, f"Done, and {format_count(refused, noun)} refused", meaning),
            (("See why, item by item:", f"failures list {mapping}"),),
            FAILED_RECORDS_RUNBOOK,
        )
    return judge_success(kind, report)


def judge_parked(mapping: Any, totals: Mapping[str, Any], parked: str) -> ReportVerdict:
    """Return the verdict of a reprocess that has parked something, with all else that is kept."""
    steps = [
        ("See what, and why:", f"failures list {mapping} --parked"),
        ("Once that is mended, take it up again:", f"reprocess start {mapping} --include-parked"),
    ]
    meaning = "What has failed too often is kept, and taken up again only where somebody asks for it."
    others = totals.get("batches_failed", 0) - totals.get("batches_parked", 0)
    if others:
        meaning += f" {format_count(others, 'batch', 'batches')} failed; the next reprocess takes up what failed."
    if refused := totals.get("rejected", 0):
        meaning += f" The mapping refuses {format_count(refused, 'record')}, those included that are parked for it."
        steps.append(("See what else is kept, and why:", f"failures list {mapping}"))
    runbook = FAILED_BATCHES_RUNBOOK if totals.get("batches_parked") else FAILED_RECORDS_RUNBOOK
    word = f"Done, and {parked} parked" + (", others refused" if refused > totals.get("records_parked", 0) else "")
    return ReportVerdict(WARN, word, meaning, tuple(steps), runbook)


def count_parked(totals: Mapping[str, Any]) -> str:
    """Return in words what a reprocess has parked; nothing where it has not."""
    batches, records = totals.get("batches_parked", 0), totals.get("records_parked", 0)
    told = [format_count(batches, "batch", "batches")] if batches else []
    return " and ".join([*told, format_count(records, "record")] if records else told)


def judge_success(kind: str, report: Mapping[str, Any]) -> ReportVerdict:
    """Return the verdict of a run of which nothing is left to do."""
    mapping, totals = report.get("mapping"), report.get("totals")
    if kind == REPROCESS_KIND:
        is_idle = not (totals or {}).get("entries")
        meaning = "Nothing was kept as failed." if is_idle else "All that it took up is settled."
        return ReportVerdict(GOOD, "Succeeded", meaning)
    if not totals:
        return ReportVerdict(GOOD, "Succeeded", "There was nothing to import.")
    if not totals.get("complete", True):
        meaning = "Every exported item is accounted for, and some rows stay as an older mapping wrote them."
        step = ("Bring them up to date:", f"backfill start {mapping}")
        return ReportVerdict(WARN, "Done, and rows stay older", meaning, (step,), BACKFILL_RUNBOOK)
    meaning = "Every exported item is accounted for. Nothing was refused, and no batch failed."
    return ReportVerdict(GOOD, "Succeeded", meaning, (("Compare items and rows, if you like:", f"verify {mapping}"),))


def judge_failure(kind: str, report: Mapping[str, Any]) -> ReportVerdict:
    """Return the verdict of a run that failed, or was stopped."""
    failure, mapping, run = report.get("failure") or {}, report.get("mapping"), report.get("run")
    error = failure.get("error") or "unknown"
    stopped = report["state"] == "STOPPED"
    steps: list[tuple[str, str | None]] = [(failure.get("remedy") or remedy_for(""), None)]
    if kind == REPROCESS_KIND:
        steps.append(("Take up again what is kept:", f"reprocess start {mapping}"))
    elif error == RejectedItemsError.__name__:
        steps.append(("See why, item by item:", f"failures list {mapping}"))
    elif error not in NOT_MENDED_BY_REPEATING and is_mapping_name(mapping) and is_run_id(run):
        command = "verify" if kind == VERIFICATION_KIND else "backfill start"
        steps.append(("Start it again with:", f"{command} {mapping} --run {run}"))
    runbook = {
        REPROCESS_KIND: FAILED_RECORDS_RUNBOOK,
        VERIFICATION_KIND: DIFFERENCES_RUNBOOK,
    }.get(kind, BACKFILL_RUNBOOK)
    if stopped and report.get("totals"):
        counts = report["totals"]
        done = "compared" if kind == VERIFICATION_KIND else "imported"
        left = f"{format_count(counts['unaccounted'])} of {format_count(counts['exported'], 'item')} are not {done}."
        return ReportVerdict(WARN, "Stopped", f"{failure['reason']} {left}", tuple(steps), runbook)
    word = "Stopped" if stopped else f"Failed: {error}"
    return ReportVerdict(
        WARN if stopped else BAD, word, failure.get("reason") or "Nobody knows why.", tuple(steps), runbook
    )


def judge_verification(kind: str, report: Mapping[str, Any]) -> ReportVerdict:
    """Return the verdict of what was compared."""
    found, mapping = report["verification"], report.get("mapping")
    counts = found["counts"]
    what = "all items" if found.get("whole") else "some items"
    scope = f"{format_count(counts.get('items'), 'item')} compared, which are {what}."
    older, refused = counts.get("older_mapping", 0), counts.get("failed", 0)
    if unexplained := found["unexplained"]:
        meaning = f"{scope} Nothing says why these differ. Their keys are in _dynaurora_differences."
        of = "" if kind == REPAIR_KIND else f" --run {report['run']}"
        command = f"repair {mapping}{of} --dry-run"
        word = f"{format_count(unexplained, 'key')} {'differs' if unexplained == 1 else 'differ'}"
        step = ("See what a repair would do:", command)
        return ReportVerdict(BAD, word, meaning, (step,), DIFFERENCES_RUNBOOK)
    if (repair := report.get("repair")) and not repair["agrees"]:
        if report.get("via") == "export" or not repair["left_out"]:  # all items were verified after it
            meaning = f"{scope} They are equal; the verification of all items that followed found others that differ."
            step = ("See what a repair of those would do:", f"repair {mapping} --dry-run")
            return ReportVerdict(BAD, "Mended, and others differ", meaning, (step,), DIFFERENCES_RUNBOOK)
        meaning = f"{scope} They are equal; {format_count(repair['left_out'], 'other')} were only counted."
        step = ("Look at all of them:", f"verify {mapping}")
        return ReportVerdict(WARN, "Equal, as far as keys are known", meaning, (step,), DIFFERENCES_RUNBOOK)
    if older:
        step = ("Bring them up to date:", f"backfill start {mapping}")
        meaning = f"{scope} {format_count(older, 'row')} stay as an older mapping wrote them."
        return ReportVerdict(WARN, "Equal, but for an older mapping", meaning, (step,), DIFFERENCES_RUNBOOK)
    if refused:
        step = ("See why, item by item:", f"failures list {mapping}")
        meaning = f"{scope} {format_count(refused, 'item')} are refused, or kept as failed; all others are equal."
        return ReportVerdict(WARN, "Equal, but for what is kept as failed", meaning, (step,), FAILED_RECORDS_RUNBOOK)
    return ReportVerdict(GOOD, "Equal", f"{scope} Each is equal to its row, or still on its way.")


def judge_filled(report: Mapping[str, Any]) -> ReportVerdict:
    """Return the verdict of a gap in the stream that was filled."""
    repair, mapping = report["repair"], report.get("mapping")
    gap, refused = repair["gap"], repair["refused"]
    meaning = f"What was changed from {gap['from']} to {gap['to']} is in Aurora."
    if refused:
        step = ("See why, item by item:", f"failures list {mapping}")
        word = f"Filled, and {format_count(refused, 'row')} refused"
        return ReportVerdict(WARN, word, f"{meaning} What was refused is kept.", (step,), FAILED_RECORDS_RUNBOOK)
    return ReportVerdict(GOOD, "Filled", meaning, (("Compare items and rows:", f"verify {mapping}"),))

"""The report of a run, for good and bad ends alike: `reports/run=<mapping>-<run>/report.json`.

report.schema.json describes it.

What the report says comes from the run's own state, from the history of its execution, which has the times, and from
the records of the batches that failed.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.aws.objects import read_or_none
from dynaurora.exports.plan import Plan
from dynaurora.runs.costs import Usage, estimate_cost
from dynaurora.runs.ends import find_failure
from dynaurora.runs.phases import measure_phases

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from dynaurora.aws.executions import Step
    from dynaurora.aws.objects import ObjectStore

FIELDS_OF_A_FAILURE: Final = {"batch": "batch_id", "error": "error", "reason": "reason", "remedy": "remedy"}
MAX_FAILURES: Final = 100
"""Failed batches that a report names; the others are only counted."""


@dataclass(frozen=True)
class Memory:
    """The functions' memory in MB, for the estimate of costs."""

    convert_mb: int
    import_mb: int


def build_backfill_report(
    state: dict[str, Any],
    execution: str,
    steps: Iterable[Step],
    failures: list[dict[str, Any]],
    memory: Memory,
    ignored: dict[str, Any] | None = None,
    examples: Iterable[dict[str, Any]] = (),
    causes: Iterable[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Return the report of a run, as its schema describes it.

    `ignored`, `examples` and `causes` are what `read_ignored`, `read_refused_examples` and `read_retry_causes` found.
    """
    taken = list(steps)
    now = datetime.now(UTC)
    started = taken[0].entered_at if taken else now
    done = state if "options" in state else {}  # of a run that was not opened there is only its input
    plan = Plan.from_dict(done["plan"]) if done.get("plan") else None
    failure = find_failure(state, execution)
    phases = measure_phases(taken, now)
    return {
        "run": _text_or_none(state.get("run")),
        "mapping": _text_or_none(state.get("mapping")),
        "execution": execution,
        "state": "FAILED" if failure else "SUCCEEDED",
        "started_at": _iso(started),
        "ended_at": _iso(now),
        "seconds": round((now - started).total_seconds(), 1),
        "digest": done.get("digest"),
        "generation": done.get("generation"),
        "options": done.get("options"),
        "export": describe_export(plan) if plan else None,
        "totals": done.get("totals"),
        "sweep": done.get("sweep"),
        "verification": (done.get("judged") or {}).get("verification"),
        "ignored": ignored,
        "failures": failures,
        "failure": {name: failure[name] for name in ("error", "reason", "remedy")} if failure else None,
        "refused_examples": list(examples),
        "retry_causes": list(causes),
        "phases": [{"name": name, "seconds": round(seconds, 1)} for name, seconds in phases.items()],
        "cost": estimate_cost(plan, _usage(done, plan, phases, memory)),
        "warnings": [*(plan.warnings if plan else []), *describe_incomplete(done)],
    }


def describe_incomplete(done: dict[str, Any]) -> list[str]:
    """Say of a run whose export is of before its mapping was taken up that rows stay older, and how many."""
    totals, since = done.get("totals") or {}, (done.get("readiness") or {}).get("complete_from")
    older = totals.get("older_rows")
    if older is None or since is None or totals.get("complete", True):
        return []
    rows = older["changed_since"] + older["not_imported"]
    problem = (
        f"The export is of before {_iso(datetime.fromtimestamp(since, UTC))}, from when on one brings every row to"
        f" generation {done.get('generation')} of the mapping: {rows} rows stay as an older one wrote them."
    )
    return [f"{problem} A backfill without --export-arn brings them up to date."]


def describe_export(plan: Plan) -> dict[str, Any]:
    """Return what was exported, and how it was planned."""
    return {
        "arn": plan.export_arn,
        "time": _iso(datetime.fromtimestamp(plan.export_second, UTC)),
        "window_from": None if plan.window_from is None else _iso(datetime.fromtimestamp(plan.window_from, UTC)),
        "items": plan.items,
        "billed_bytes": plan.billed_bytes,
        "files": plan.files,
        "files_empty": plan.files_empty,
        "batches": plan.batches,
    }


def list_failed_batches(
    store: ObjectStore, bucket: str, mapping: str, run: str, started: str, taken: Container[str] = ()
) -> list[dict[str, Any]]:
    """Return the batches of a run that have failed since its execution was started, the first hundred of them.

    What failed in an earlier execution of the run was tried again by this one, and may have succeeded. `taken` are keys
    of records of other runs' batches that this one has taken up. Those that are parked are among them, marked so.
    """
    failures = list[dict[str, Any]]()
    since = datetime.fromisoformat(started).replace(microsecond=0)
    failed = keys.failed_batches_prefix(mapping)
    for listed in chain(store.list(bucket, failed), store.list(bucket, keys.parked(mapping, failed))):
        if listed.modified_at < since or len(failures) == MAX_FAILURES:
            continue
        with suppress(
            AttributeError, KeyError, TypeError, ValueError
        ):  # what was dealt with meanwhile, or is no record at all
            record = json.loads(read_or_none(store, bucket, listed.key) or b"{}")
            failed_key = listed.key.removeprefix(keys.parked_prefix(mapping))
            is_own = listed.key in taken or failed_key in taken or run_of_record(record) == run
            if is_own and datetime.fromisoformat(record["last_failed_at"]) >= since:
                told = {name: record[field] for name, field in FIELDS_OF_A_FAILURE.items()} | {"key": listed.key}
                failures.append(told | ({"parked": True} if failed_key != listed.key else {}))
    return failures


def run_of_record(record: dict[str, Any]) -> Any:
    """Return the run of a failed batch; None where it is of none, or what is kept is no descriptor."""
    descriptor = record.get("batch") or record.get("conversion")
    return descriptor.get("run") if isinstance(descriptor, dict) else None


def _usage(done: dict[str, Any], plan: Plan | None, phases: dict[str, float], memory: Memory) -> Usage:
    options, totals, sweep = done.get("options") or {}, done.get("totals") or {}, done.get("sweep") or {}
    most_batches = max(plan.batches if plan else 1, int(sweep.get("batches") or 0))
    was_there = (
        options.get("export_arn") or options.get("export_summary") or (done.get("readiness") or {}).get("planned")
    )
    return Usage(
        exported_bytes=plan.billed_bytes if plan and not was_there else 0,
        batches=int(totals.get("batches_imported") or 0) + int(sweep.get("batches") or 0),
        retries=int(totals.get("retries") or 0),
        importing_seconds=phases.get("importing", 0.0) + (phases.get("sweeping", 0.0) if sweep else 0.0),
        concurrency=min(int(options.get("max_concurrency") or 1), most_batches),
        convert_memory_mb=memory.convert_mb,
        import_memory_mb=memory.import_mb,
        judging_seconds=phases.get("judging", 0.0),
    )


def _text_or_none(value: Any) -> str | None:
    """Return what an input says, which may be refused for not being text."""
    return value if isinstance(value, str) else None


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

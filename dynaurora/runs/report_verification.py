"""The report of a verification or a repair by the command line: `reports/run=<mapping>-<run>/report.json`, too.

verification_report.schema.json describes it. One by an export goes on from the report of the run that compared it,
which stays what it was: who goes on with it finds its totals there.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from dynaurora import keys
from dynaurora.aws.objects import read_or_none

if TYPE_CHECKING:
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.mapping import Mapping

NAMED_DIFFERENCES: Final = 100
"""That a report names; _dynaurora_differences has them all."""
OF_THE_RUN: Final = (
    *("execution", "generation", "options", "export", "totals"),
    *("ignored", "retry_causes", "phases", "cost"),
)
"""What the report of a run that compared an export has besides; null of what had no such run."""


def build_verification_report(
    mapping: Mapping,
    run: str,
    via: str,
    started_at: datetime,
    found: dict[str, Any],
    before: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the report of what has just ended, as its schema describes it.

    `found` has `verification`, `reasons`, `differences` and `repair`, as far as there are any; `before` is the report
    of the run that compared an export.
    """
    now = datetime.now(UTC)
    return {
        "run": run,
        "mapping": mapping.name,
        "state": "SUCCEEDED",
        "started_at": write_time(started_at),
        "ended_at": write_time(now),
        "seconds": round((now - started_at).total_seconds(), 1),
        "digest": mapping.digest,
        "via": via,
        "verification": found.get("verification"),
        "reasons": found.get("reasons") or {},
        "differences": list(found.get("differences") or ())[:NAMED_DIFFERENCES],
        "repair": found.get("repair"),
        **{name: (before or {}).get(name) for name in OF_THE_RUN},
    }


def read_report_before(store: ObjectStore, bucket: str, mapping: str, run: str) -> dict[str, Any] | None:
    """Return the report that a run has left so far; None where there is none."""
    document = json.loads(read_or_none(store, bucket, keys.report(mapping, run)) or b"null")
    return document if isinstance(document, dict) else None


def write_time(time: datetime) -> str:
    """Return a time as reports have it, to the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""Phases: what a run is doing in each state of its machine, and for how long."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from dynaurora.aws.executions import Step

PHASES: Final = {
    "Open run": "checking",
    "Check readiness": "checking",
    "Ready to export?": "checking",
    "Wait for margin": "waiting for margin",
    "Export given?": "exporting",
    "Take given export": "exporting",
    "Start export": "exporting",
    "Start incremental export": "exporting",
    "Wait for export": "exporting",
    "Describe export": "exporting",
    "Export finished?": "exporting",
    "Describe failed export": "exporting",
    "Plan backfill": "planning",
    "Anything to import?": "planning",
    "Backfill batches": "importing",
    "Reconcile run": "reconciling",
    "Sweep wanted?": "reconciling",
    "Plan sweep": "sweeping",
    "Anything to sweep?": "sweeping",
    "Sweep batches": "sweeping",
    "Judge differences": "judging",
    "Differences judged?": "judging",
    "Look first?": "listing",
    "Look for failures": "listing",
    "Anything failed?": "listing",
    "List failures": "listing",
    "Anything to reprocess?": "listing",
    "Reprocess failures": "reprocessing",
}
"""What a run, of either kind, is doing in each state; in those that are not here it is being reported and closed."""
LAST_PHASE: Final = "reporting"


def measure_phases(steps: list[Step], now: datetime) -> dict[str, float]:
    """Return how many seconds a run spent in each phase, in the order in which it came to them."""
    phases: dict[str, float] = {}
    times = pairwise([*(step.entered_at for step in steps), now])
    for step, (entered_at, left_at) in zip(steps, times, strict=True):
        phase = PHASES.get(step.state, LAST_PHASE)
        phases[phase] = phases.get(phase, 0.0) + (left_at - entered_at).total_seconds()
    return phases

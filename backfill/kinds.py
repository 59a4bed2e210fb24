"""Kinds of runs: a backfill, and a reprocess of what failed. The commands that look at runs are the same for both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dynaurora.batches import batch
from dynaurora.runs.phases import LAST_PHASE, PHASES

CHECKING: Final = "checking"
EXPORTING: Final = "exporting"
REPORTING: Final = LAST_PHASE
DONE: Final = "done"


@dataclass(frozen=True, slots=True)
class Kind:
    """What tells the runs of one kind from those of another."""

    name: str
    """Of the group of commands, and of the kind in the database."""
    run_prefix: str
    """What the ids of its runs begin with, before their time."""
    plan_state: str
    """The state whose answer, `$.plan`, says what there is to do."""
    map_state: str
    """The Distributed Map that does it."""
    map_label: str
    """Of that map, as it is part of the ARNs of its Map Runs."""
    unit: str
    """An item of that map."""
    units: str
    done: str
    """What becomes of one, in the good case."""
    ends: frozenset[str]
    """The states that executions end with."""
    steps: tuple[str, ...]
    """The phases that every run goes through, in their order; what others there are goes with the one before."""

    def start_words(self, mapping: str, run: str) -> tuple[str, ...]:
        """Return the command, by its words, that takes up what a run has left undone."""
        again = ("--run", run) if self is BACKFILL else ()
        return (self.name, "start", mapping, *again)


BACKFILL: Final = Kind(
    name=batch.BACKFILL,
    run_prefix="",
    plan_state="Plan backfill",
    map_state="Backfill batches",
    map_label="BackfillBatches",
    unit="batch",
    units="batches",
    done="imported",
    ends=frozenset({"Backfill succeeded", "Backfill failed"}),
    steps=(CHECKING, EXPORTING, "planning", "importing", "reconciling", REPORTING),
)
REPROCESS: Final = Kind(
    name=batch.REPROCESS,
    run_prefix="reprocess-",
    plan_state="List failures",
    map_state="Reprocess failures",
    map_label="ReprocessFailures",
    unit="entry",
    units="entries",
    done="settled",
    ends=frozenset({"Failures reprocessed", "Reprocess failed", "Reprocess skipped", "Nothing reprocessed"}),
    steps=("listing", "reprocessing", REPORTING),
)


def name_phase(kind: Kind, state: str | None) -> str:
    """Return the phase that a state belongs to, in the words of the report; before the first it is checking."""
    if state is None:
        return CHECKING
    return DONE if state in kind.ends else PHASES.get(state, REPORTING)

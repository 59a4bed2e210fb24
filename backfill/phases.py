"""Phases of a run: what its execution is at, by the state that it entered last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dynaurora.runs.phases import LAST_PHASE, PHASES

if TYPE_CHECKING:
    from backfill.kinds import Kind

CHECKING: Final = "checking"
REPORTING: Final = LAST_PHASE
DONE: Final = "done"


def name_phase(kind: Kind, state: str | None) -> str:
    """Return the phase that a state belongs to, in the words of the report; before the first it is checking."""
    if state is None:
        return CHECKING
    return DONE if state in kind.ends else PHASES.get(state, REPORTING)

"""Listing rows by when they were written: those that exist and have versions within bounds, in the order of the keys.

There is no index on versions, which every import would have to keep: rows are looked through in steps.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aurora import comparing
from dynaurora.batches.compare_staged import server_text
from dynaurora.verification.unseen_rows import STEP_ROWS, STEP_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.verification.unseen_rows import Key

MOST_WRITTEN: Final = 5_000
"""Rows of one answer; a step may add its own to them."""


@dataclass(slots=True)
class Written:
    """Rows of a stretch of a replica that were written within bounds."""

    rows: list[tuple[str, ...]] = field(default_factory=list)
    """The version of each, then the fields of its key."""
    after: Key | None = None
    """Where the next stretch begins; None where this was the last one."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as the function answers it."""
        return {"rows": self.rows, "after": self.after}


def list_written(
    aurora: Aurora,
    target: Mapping,
    after: Key | None,
    versions: tuple[int, int],
    clock: Callable[[], float] = time.time,
) -> Written:
    """Return rows of the next stretch whose versions are no less than the first one and below the second."""
    written, until = Written(after=after), clock() + STEP_SECONDS
    while True:
        _look_on(aurora, target, written, versions)
        if written.after is None or len(written.rows) >= MOST_WRITTEN or clock() >= until:
            return written


def _look_on(aurora: Aurora, target: Mapping, written: Written, versions: tuple[int, int]) -> None:
    """Look at the next step's rows."""
    first = written.after
    ends = comparing.select_boundary(target, is_first=first is None)
    boundary = aurora.query(ends, (*comparing.range_parameters(target, first, None), STEP_ROWS - 1))
    upto = tuple(map(server_text, boundary[0])) if boundary else None
    statement = comparing.select_written(target, is_first=first is None, is_last=upto is None)
    listed = aurora.query(statement, (*versions, *comparing.range_parameters(target, first, upto)))
    written.rows += [(str(int(version)), *map(server_text, key)) for version, *key in listed]
    written.after = upto

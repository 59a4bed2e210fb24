"""Verdicts: what a verification says of an item, or of a row without one, and how often it said each.

identical           the row is what the mapping makes of the item; and neither, where a target does not take it
differing           the row has other values, in the columns that are named
missing             the mapping takes the item, and no row exists
extra               a row exists, and no item that the target takes
behind              not equal, and not proved different: the item changes, or a change may still be on its way
newer               the row was changed since the item was read; judged the next time
older_mapping       not equal, and an older mapping wrote the row: a backfill brings it up to date
impossible          the row's version lies in the future, so that changes do not arrive: equal only by chance
failed              the mapping refuses the item as it is now, or its change is kept as failed
skipped             the target does not take the item, or is being filled and not seen yet
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

MAX_EXAMPLES: Final = 10


class RowVerdict(StrEnum):
    """What is said of one key in one target."""

    IDENTICAL = "identical"
    DIFFERING = "differing"
    MISSING = "missing"
    EXTRA = "extra"
    BEHIND = "behind"
    NEWER = "newer"
    OLDER_MAPPING = "older_mapping"
    IMPOSSIBLE = "impossible"
    FAILED = "failed"
    SKIPPED = "skipped"


UNEXPLAINED: Final = (RowVerdict.DIFFERING, RowVerdict.MISSING, RowVerdict.EXTRA, RowVerdict.IMPOSSIBLE)
"""What is wrong, and nothing says why."""
SUSPICIOUS: Final = (*UNEXPLAINED, RowVerdict.OLDER_MAPPING)
"""What is looked at again before it is said."""


@dataclass(frozen=True, slots=True)
class Found:
    """What looking at one row found."""

    verdict: RowVerdict
    columns: tuple[str, ...] = ()
    """Those that differ."""
    age: int | None = field(default=None, compare=False)
    """Seconds since the change that the row, or its tombstone, is of; None where there is none, or nobody knows."""

    def __str__(self) -> str:
        """Say it to people, without values."""
        return DESCRIPTIONS[self.verdict] + (f" in {', '.join(self.columns)}" if self.columns else "")


DESCRIPTIONS: Final = {
    RowVerdict.IDENTICAL: "a row equals its item",
    RowVerdict.DIFFERING: "a row differs from its item",
    RowVerdict.MISSING: "an item has no row",
    RowVerdict.EXTRA: "a row has no item",
    RowVerdict.BEHIND: "a change may be on its way",
    RowVerdict.NEWER: "a row was changed since",
    RowVerdict.OLDER_MAPPING: "a row is as an older mapping wrote it",
    RowVerdict.IMPOSSIBLE: "a row's version lies in the future",
    RowVerdict.FAILED: "an item is refused",
    RowVerdict.SKIPPED: "a target does not take an item",
}


@dataclass(slots=True)
class Tally:
    """What a verification found; each item is counted once in each target, and each row without one."""

    items: int = 0
    rows: int = 0
    """Rows that exist, of all targets."""
    identical: int = 0
    differing: int = 0
    missing: int = 0
    extra: int = 0
    behind: int = 0
    newer: int = 0
    older_mapping: int = 0
    impossible: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Why the mapping refuses items as they are now."""
    examples: list[str] = field(default_factory=list)
    """Of keys that are unexplained, up to ten: the columns' names, no values."""

    @property
    def agrees(self) -> bool:
        """Whether every key is equal, or something says why it is not."""
        return not any(getattr(self, verdict) for verdict in UNEXPLAINED)

    def count(self, finding: Found) -> None:
        """Count what was found of one key."""
        self._add(finding.verdict, 1)
        if finding.verdict in UNEXPLAINED and len(self.examples) < MAX_EXAMPLES:
            self.examples.append(str(finding))

    def add(self, other: Tally) -> None:
        """Take in what was found elsewhere: of other items, or of other rows."""
        for name in TALLIED:
            self._add(name, getattr(other, name))
        self.reasons.update(other.reasons)
        self.examples = (self.examples + other.examples)[:MAX_EXAMPLES]

    def as_dict(self) -> dict[str, int]:
        """Return the counts for machines."""
        return {name: getattr(self, name) for name in TALLIED}

    def _add(self, name: str, count: int) -> None:
        setattr(self, name, getattr(self, name) + count)


TALLIED: Final = ("items", "rows", *(verdict.value for verdict in RowVerdict))
"""The counts of a tally."""

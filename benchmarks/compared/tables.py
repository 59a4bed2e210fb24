"""What was found, as tables of docs/compared.md and as a document for machines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from benchmarks.compared.judging import Judgement, Verdict
from benchmarks.documents import to_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.compared.running import Usage

REASON_CHARACTERS: Final = 240
"""Of a reason in the table; the document has all of it."""


@dataclass
class Found:
    """What was found of one contestant."""

    title: str
    version: str
    values: list[Judgement] = field(default_factory=list)
    """Of each kind, in the order of the set."""
    changes: list[Judgement] = field(default_factory=list)
    usage: dict[str, Usage] = field(default_factory=dict)
    """By what was measured: deploying, loading."""
    server_seconds: float = 0.0
    """Of processor, that the database took for the load."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "version": self.version,
            "values": {one.name: {"verdict": str(one), "reason": one.reason} for one in self.values},
            "changes": {one.name: {"verdict": str(one), "reason": one.reason} for one in self.changes},
            "usage": {
                name: {"cpu_seconds": round(used.cpu_seconds, 2), "peak_mb": round(used.peak_mb)}
                for name, used in self.usage.items()
            },
            "database_cpu_seconds": round(self.server_seconds, 2),
        }


def make_tables(all_found: Sequence[Found], items: int, machine: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the page's tables by their marks. The first that was found is what others are held against."""
    return {
        "compared": to_table(("what", "version"), [*((one.title, one.version) for one in all_found), *machine]),
        "totals": to_table(("", *(verdict.value for verdict in Verdict)), map(_total, all_found)),
        "values": _judged(all_found, lambda found: found.values, "kind of value"),
        "changes": _judged(all_found, lambda found: found.changes, "after the first load, an item is"),
        "reasons": to_table(("what", "kind of value", "reason"), _reasons(all_found)),
        "resources": _resources(all_found, items),
    }


def _total(found: Found) -> tuple[str, ...]:
    counts = Counter(verdict for judgement in found.values for verdict in judgement.verdicts)
    counts += Counter(verdict for judgement in found.changes for verdict in judgement.verdicts)
    return found.title, *(str(counts[verdict]) for verdict in Verdict)


def _judged(all_found: Sequence[Found], choose: Callable[[Found], list[Judgement]], what: str) -> str:
    names = [judgement.name for judgement in choose(all_found[0])]
    by_name = [{judgement.name: str(judgement) for judgement in choose(found)} for found in all_found]
    rows = [(name, *(told[name] for told in by_name)) for name in names]
    return to_table((what, *(found.title for found in all_found)), rows)


def _reasons(all_found: Sequence[Found]) -> list[tuple[str, str, str]]:
    """Return why items were refused and loads stopped, as the tools say it."""
    return [
        (found.title, judgement.name, shorten(judgement.reason))
        for found in all_found
        for judgement in (*found.values, *found.changes)
        if judgement.reason
    ]


def shorten(reason: str) -> str:
    """Return a reason on one line, as a cell of a table has room for it."""
    line = " ".join(reason.split()).replace("|", "\\|").replace("`", "'")
    return f"`{line}`" if len(line) <= REASON_CHARACTERS else f"`{line[:REASON_CHARACTERS]}…`"


def _resources(all_found: Sequence[Found], items: int) -> str:
    """Return processor and memory of a load, as ratios to the first that was compared."""
    first = all_found[0]
    rows = []
    for found in all_found:
        used, other = found.usage["load"], first.usage["load"]
        rows.append(
            (
                found.title,
                f"{used.cpu_seconds / other.cpu_seconds:.1f} ×",
                f"{used.peak_mb / other.peak_mb:.1f} ×",
                f"{found.server_seconds / first.server_seconds:.1f} ×",
                f"{found.usage['prepare'].cpu_seconds / other.cpu_seconds:.1f} ×",
            )
        )
    head = (f"{items:,} plain items", "processor", "memory of the largest process", "database's processor", "set-up")
    return to_table(head, rows)

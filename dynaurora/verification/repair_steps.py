"""Steps of a repair that need the database: what a verification left, and the versions of rows that have to be beaten.

They are asked of the function compare_rows, as those of a verification are, and change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aurora.differences import LeftDifferences, read_versions
from dynaurora.errors import InvalidBatchError
from dynaurora.verification.expectations import Expectation
from dynaurora.verification.list_written import list_written

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.verification.compare_rows import RowComparer

RepairStep = Callable[[dict[str, Any], "RowComparer", "Aurora"], dict[str, Any]]
"""Takes what is asked, and returns the answer."""


def find_verification(event: dict[str, Any], comparer: RowComparer, aurora: Aurora) -> dict[str, Any]:
    """Find a verification that ended: the one that is named, or the newest of all items."""
    found = LeftDifferences(aurora, comparer.mapping).find_verification(event.get("verification"))
    return {"found": found and asdict(found)}


def read_differences(event: dict[str, Any], comparer: RowComparer, aurora: Aurora) -> dict[str, Any]:
    """Read some of what a verification left, after a number."""
    listed = LeftDifferences(aurora, comparer.mapping).list_after(event["verification"], int(event["after"]))
    return {"differences": [asdict(one) for one in listed]}


def tell_versions(event: dict[str, Any], comparer: RowComparer, aurora: Aurora) -> dict[str, Any]:
    """Tell the versions of the rows of some keys, as text: 0 where there is no row. Raises InvalidBatchError."""
    target = comparer.mapping.find_target(event["table"])
    if target is None:
        raise InvalidBatchError(f"The mapping {comparer.mapping.name} has no target {event['table']}.")
    fields = [Expectation.decode(row).fields for row in event["rows"]]
    return {"versions": [str(version) for version in read_versions(aurora, target, fields)]}


def list_written_rows(event: dict[str, Any], comparer: RowComparer, aurora: Aurora) -> dict[str, Any]:
    """List rows of a stretch that were written within bounds, `versions`. Raises InvalidBatchError."""
    target, after = comparer.mapping.find_target(event["table"]), event.get("after")
    if target is None:
        raise InvalidBatchError(f"The mapping {comparer.mapping.name} has no target {event['table']}.")
    low, high = map(int, event["versions"])
    return list_written(aurora, target, tuple(after) if after else None, (low, high)).as_dict()


REPAIR_STEPS: Final[dict[str, RepairStep]] = {
    each.__name__: each for each in (find_verification, read_differences, tell_versions, list_written_rows)
}

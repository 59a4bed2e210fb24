"""Recording differences: what was proved different, in `_dynaurora_differences`, for people and for a repair.

Values stay where they are: a difference has digests of both, which tell whether it is the same as before. Only who asks
for it has the values themselves recorded.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dynaurora.aurora.verifications import RecordedDifference
from dynaurora.errors import InvalidBatchError
from dynaurora.verification.expectations import Expectation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dynaurora.verification.compare_rows import RowComparer


@dataclass(frozen=True, slots=True)
class Proved:
    """A key that was proved different in a target."""

    table: str
    key: dict[str, Any]
    verdict: str
    columns: tuple[str, ...]
    expectation: Expectation | None
    """What there should be, where columns differ."""

    @classmethod
    def decode(cls, document: Any) -> Proved:
        """Return what an entry says. Raises InvalidBatchError."""
        try:
            wanted = document.get("expectation")
            return cls(
                table=str(document["target"]),
                key=dict(document["key"]),
                verdict=str(document["verdict"]),
                columns=tuple(map(str, document.get("columns") or ())),
                expectation=None if wanted is None else Expectation.decode(wanted),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidBatchError(f"A difference lacks a field, or has a wrong one: {error}.") from error


def list_differences(comparer: RowComparer, proved: Sequence[Proved], *, reveal: bool) -> Iterator[RecordedDifference]:
    """Yield the rows of what was proved: one for each key, or for each of its columns that differ."""
    for one in proved:
        if one.expectation is None or not one.columns:
            yield RecordedDifference(one.table, one.key, one.verdict)
            continue
        for column, wanted, found in comparer.read_columns(one.table, one.expectation, one.columns):
            values = (_show(wanted), _show(found)) if reveal else (None, None)
            yield RecordedDifference(one.table, one.key, one.verdict, column, _digest(wanted), _digest(found), *values)


def _digest(value: Any) -> str | None:
    shown = _show(value)
    return None if shown is None else hashlib.sha256(shown.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _show(value: Any) -> str | None:
    """Return a comparable value as text."""
    if value is None:
        return None
    return value.hex() if isinstance(value, bytes) else str(value)

"""Code that counts what no column takes, in variables of its own, once the row of a record is made.

What is inside of values that are decoded as anything is looked for by a call; its paths go into a list.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from dynaurora.mappings.unmapped import Untaken

if TYPE_CHECKING:
    from dynaurora.mappings.compiled.code_names import Names
    from dynaurora.mappings.compiled.shapes import Shape
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.unmapped import NamePath


class Finds:
    """The code of one function that counts, and what its counts are of."""

    def __init__(self, mapping: Mapping, names: Names) -> None:
        self._untaken = Untaken(mapping) if mapping.unmapped == "ignore" else None
        self._names = names
        self.paths: list[NamePath] = []
        """What each count is of."""
        self.lines: list[str] = []
        """What counts, after a record has become a row."""

    @property
    def start(self) -> str:
        """What stands before the first record."""
        counts = "".join(f"u{number} = " for number in range(len(self.paths)))
        return f"seen = []; {counts}0" if counts else "seen = []"

    @property
    def counts(self) -> str:
        """The expression of the counts."""
        return f"[{', '.join(f'u{number}' for number in range(len(self.paths)))}]"

    def add_attribute(self, name: str, value: str, *, required: bool) -> None:
        """Count an attribute that is a plain value, UNSET where it is not there."""
        if self._untaken:
            self.lines += self._count((name,), value, "" if required else f"if {value} is not UNSET: ")

    def add_shape(self, shape: Shape, place: str, path: NamePath, *, certain: bool) -> None:
        """Count in an object of embedded JSON, which is None where it is not there."""
        below = self._shape_lines(shape, place, path) if self._untaken else []
        self.lines += _unless_none(place, below, certain=certain)

    def _shape_lines(self, shape: Shape, place: str, path: NamePath) -> list[str]:
        lines = list[str]()
        for name, member in shape.members.items():
            found, inner = f"{place}.{member.name}", (*path, name)
            if member.shape.kind == "object":
                variable = f"{place}_{member.name}_"
                below = self._shape_lines(member.shape, variable, inner)
                if below:
                    certain = member.required and not member.shape.nullable
                    lines += [f"{variable} = {found}", *_unless_none(variable, below, certain=certain)]
            elif member.shape.kind == "any":
                lines += self._count(inner, found, f"if {found} is not UNSET: ")
        return lines

    def _count(self, path: NamePath, value: str, condition: str) -> list[str]:
        assert self._untaken is not None  # noqa: S101 (its callers have asked)
        if self._untaken.is_left(path):
            self.paths.append(path)
            return [f"{condition}u{len(self.paths) - 1} += 1"]
        if self._untaken.is_looked_into(path):
            look = self._names.give(partial(self._untaken.walk_part, path))
            return [f"{condition}seen += {look}({value})"]
        return []


def _unless_none(place: str, lines: list[str], *, certain: bool) -> list[str]:
    """Return the lines for where something is there."""
    return lines if certain or not lines else [f"if {place} is not None:", *(f"    {line}" for line in lines)]


def add_up(paths: list[NamePath], counts: list[int], seen: list[NamePath]) -> dict[NamePath, int]:
    """Return how often each path was found, where it was found at all."""
    found = Counter(seen)
    found.update({path: count for path, count in zip(paths, counts, strict=True) if count})
    return found

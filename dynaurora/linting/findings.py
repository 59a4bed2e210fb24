"""Findings: what is wrong with a mapping's file, where in it, and what to do."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

ERROR: Final = "error"
"""The mapping does not hold, or every item with the attribute is refused, or a column can only be NULL."""
DOUBTFUL: Final = "warning"
"""Some items may be refused, or it may be meant otherwise."""
STEP: Final = re.compile(r"\.([^.\[]+)|\[([0-9]+)\]|\['([^']*)'\]")


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One thing that is wrong or doubtful."""

    severity: str
    rule: str
    """A short, stable word to count and to filter by."""
    place: str
    """Where in the file, as a JSON pointer (RFC 6901)."""
    message: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the finding for machines."""
        return asdict(self)


def point(*steps: str | int) -> str:
    """Return the JSON pointer that steps from the file's beginning make."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def point_to(json_path: str) -> str:
    """Return the JSON pointer for a path as `$.target.columns[3].type`."""
    return point(*(first or second or third for first, second, third in STEP.findall(json_path)))


def sort_findings(findings: Iterable[LintFinding]) -> list[LintFinding]:
    """Return findings without repeats, errors first, in the order of the file as far as pointers have one."""
    return sorted(dict.fromkeys(findings), key=lambda each: (each.severity != ERROR, natural(each.place)))


def natural(place: str) -> list[tuple[bool, int, str]]:
    """Return what a pointer is sorted by: numbers as numbers."""
    return [(step.isdigit(), int(step) if step.isdigit() else 0, step) for step in place.split("/")]


def read_problem(error: Any) -> tuple[str, str]:
    """Return the place and the problem that an InvalidMappingError tells of."""
    found = re.match(r"\S+ at (\$\S*): (.*)\Z", error.problem, re.DOTALL)
    place, problem = (point_to(found[1]), found[2]) if found else ("", error.problem)
    return place, problem.splitlines()[0].rstrip(":")

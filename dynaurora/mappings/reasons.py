"""Reasons why records are refused, counted by what a person would mend: where in the item, and the rule."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from dynaurora.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_PATH = 120
"""Characters of a path to count by: an attribute's name may have 64 KB."""


def count_reasons(reasons: Iterable[Reason]) -> dict[str, int]:
    """Return how often each reason was given, most frequent first, as `path (rule)`."""
    return dict(Counter(map(name_reason, reasons)).most_common())


def name_reason(reason: Reason) -> str:
    """Return what a reason is counted by."""
    return f"{reason.path[:MAX_PATH] or 'record'} ({reason.rule})"


def unforeseen(error: Exception) -> Reason:
    """Return the reason of an error that nobody foresaw, named by its type."""
    return Reason("unforeseen", "", f"raised {type(error).__name__}, which is a fault of this program")

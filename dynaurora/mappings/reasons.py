"""Reasons why records are refused: how they are worded, without the value, which may be personal, and how counted.

They are counted by what a person would mend: where in the item, and the rule.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from dynaurora.dynamodb.attributes import describe
from dynaurora.errors import MAX_PATH, Reason
from dynaurora.escaping import escape_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_COUNTED_REASONS = 50
"""Most reasons that a batch's descriptor counts apart; a path may have an index in it, so there can be very many."""
OTHER_REASONS = "other reasons"
NOT_ALLOWED = "is there, and the schema does not allow it"
"""Of anything where the schema is `false`."""
DISCRIMINATORS = frozenset({"const", "enum"})
"""Keywords by which the branches of a `oneOf` are told apart."""
Told = tuple[str, tuple[str | int, ...], str]
"""A reason before its path is text: rule, path and message."""
SHOWN_LIMIT = 80
"""Characters that a reason shows of what a keyword allows."""


def count_reasons(reasons: Iterable[Reason]) -> dict[str, int]:
    """Return how often each reason was given, most frequent first, as `path (rule)`."""
    return dict(Counter(map(name_reason, reasons)).most_common())


def name_reason(reason: Reason) -> str:
    """Return what a reason is counted by."""
    return f"{escape_text(reason.path, MAX_PATH) or 'record'} ({reason.rule})"


def unforeseen(error: Exception) -> Reason:
    """Return the reason of an error that nobody foresaw, named by its type."""
    return Reason("unforeseen", "", f"raised {type(error).__name__}, which is a fault of this program")


def count_apart(reasons: Counter[str]) -> dict[str, int]:
    """Return counts by reason that fit into a descriptor: the most frequent ones, and all others as one."""
    counted = dict(reasons.most_common(MAX_COUNTED_REASONS))
    counted.pop(OTHER_REASONS, None)  # where counts that have others already are counted together
    others = reasons.total() - sum(counted.values())
    return {**counted, OTHER_REASONS: others} if others else counted


def name_types(expected: str | list[str]) -> str:
    """Return the types that a `type` keyword allows."""
    return expected if isinstance(expected, str) else " or ".join(expected)


def wrong_type(value: Any, allowed: str) -> str:
    """Return the message for a value of another type than `name_types` names."""
    return f"is {describe(value)}, and the schema takes {allowed}"


def wrong_format(expected: str) -> str:
    """Return the message for a text that is not of a format."""
    return f"is not of the format {expected}"


def breaks(keyword: str, expected: Any) -> str:
    """Return the message for a value that breaks any other keyword."""
    limit = json.dumps(expected, default=str)
    return f"breaks {keyword}: {limit if len(limit) <= SHOWN_LIMIT else limit[: SHOWN_LIMIT - 1] + '…'}"


def choose_branch(branches: list[list[Told]], place: Sequence[str | int]) -> list[Told]:
    """Return what is wrong by the one branch of a `oneOf` that a value is meant for; nothing where that is not told.

    `branches` has what is wrong by each. A value is meant for the one of which it breaks no `const` and `enum` of its
    own members, where it breaks one of every other: `{"type": {"const": "ORDER"}}` tells orders from users.
    """
    fitting = [
        number
        for number, told in enumerate(branches)
        if not any(rule in DISCRIMINATORS and len(path) == len(place) + 1 for rule, path, _ in told)
    ]
    if len(fitting) != 1 or len(branches) == 1:
        return []
    (number,) = fitting
    return [(rule, path, f"{message} (oneOf/{number})") for rule, path, message in branches[number]]

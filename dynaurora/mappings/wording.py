"""The wording of the reasons why a schema refuses a value, without the value: it may be personal."""

from __future__ import annotations

import json
from typing import Any

from dynaurora.dynamodb.attributes import describe

NOT_ALLOWED = "is there, and the schema does not allow it"
"""Of anything where the schema is `false`."""
SHOWN_LIMIT = 80
"""Characters that a reason shows of what a keyword allows."""


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

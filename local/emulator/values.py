"""Read settings that may come from an API call (typed) or from a template (where everything may be a string)."""

from typing import Any


def read_int(value: Any, default: int) -> int:
    """Return a whole number; ``default`` when it is absent."""
    return default if value in (None, "") else int(value)


def read_float(value: Any, default: float) -> float:
    """Return a number; ``default`` when it is absent."""
    return default if value in (None, "") else float(value)


def read_bool(value: Any, default: bool) -> bool:
    """Return a truth value, which a template may spell ``"true"`` or ``"false"``; ``default`` when it is absent."""
    if value in (None, ""):
        return default
    return value.lower() == "true" if isinstance(value, str) else bool(value)

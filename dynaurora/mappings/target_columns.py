"""Columns and indexes of a target, as a mapping's file has them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jmespath

from dynaurora.mappings.times import REFUSE

if TYPE_CHECKING:
    from dynaurora.mappings.columns import ColumnType, Field

CHANGED_AT_MS = "@changed_at_ms"
"""The `from` of a column that takes the change's own time, in milliseconds of Unix time."""
UNMAPPED = "@unmapped"
"""The `from` of the column of unmapped attributes, which no mapping file can write."""
PLAIN_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


@dataclass(frozen=True)
class Column:
    """One column of the target: its name, its type and where in the plain item its value is."""

    name: str
    type: ColumnType
    source: str
    """A JMESPath expression, or `@changed_at_ms`."""
    default: Field = None
    """The field of a value that is not there; None is NULL."""
    description: str = ""

    @property
    def definition(self) -> tuple[Any, ...]:
        """All that decides what its field is: type, source, and those options that it has."""
        options = {"default": self.default, "epoch": self.type.epoch}
        given = {name: value for name, value in options.items() if value is not None}
        given |= {"digits": self.type.digits} if self.type.digits != REFUSE else {}
        return (self.type.sql, self.source, given) if given else (self.type.sql, self.source)

    @cached_property
    def path(self) -> tuple[str, ...] | None:
        """The names that lead to the value, where the expression is nothing more than that."""
        return tuple(self.source.split(".")) if PLAIN_PATH.fullmatch(self.source) else None

    @cached_property
    def attribute(self) -> str | None:
        """The one attribute that the column takes as it is; None where the expression is more than its name.

        A name that JMESPath cannot write plainly is quoted in it: `"user-id"`.
        """
        if self.source == CHANGED_AT_MS or self.source == UNMAPPED:
            return None
        parsed = jmespath.compile(self.source).parsed
        return str(parsed["value"]) if parsed["type"] == "field" else None


@dataclass(frozen=True)
class Index:
    """An index of the replica that is no key, for queries of the view."""

    name: str
    columns: tuple[str, ...]

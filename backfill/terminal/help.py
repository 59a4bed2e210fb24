"""Help that fits the terminal: click wraps what is prose, and here examples are folded, which it leaves as they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import click

from backfill.terminal.console import NAME
from backfill.terminal.tables import fold

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE: Final = re.compile(r"(?P<indent> *)(?P<command>\S+(?: \S+)*)(?: {2,}(?P<does>\S.*))?")
"""A command as it is typed, and what it does."""
FURTHER: Final = "    "
GOES_ON: Final = " \\"
"""How a shell is told that a command goes on below."""


class FoldedHelp(click.HelpFormatter):
    """Writes lines that are no wider than the terminal: what a command does stands below it where it does not fit."""

    def write(self, string: str) -> None:
        """Write a part of the help."""
        super().write("\n".join(line for each in string.split("\n") for line in self._fold(each)))

    def _fold(self, line: str) -> Iterator[str]:
        found = EXAMPLE.fullmatch(line)
        if len(line) <= self.width or found is None:
            yield line
            return
        indent, further = found["indent"], found["indent"] + FURTHER
        goes_on = GOES_ON if NAME in found["command"].split() else ""
        *begun, last = fold(found["command"], self.width - len(further) - len(goes_on))
        places = [indent, *[further] * len(begun)]
        yield from (f"{place}{part}{goes_on}" for place, part in zip(places, begun, strict=False))
        yield f"{places[-1]}{last}"
        yield from (f"{further}{part}" for part in fold(found["does"] or "", self.width - len(further)) if part)

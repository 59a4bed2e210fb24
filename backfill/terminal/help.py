"""Help that fits the terminal: click wraps what is prose, and here examples are folded, which it leaves as they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import click

from backfill.terminal.console import NAME
from backfill.terminal.tables import fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EXAMPLE: Final = re.compile(r"(?P<indent> *)(?P<command>\S+(?: \S+)*)(?: {2,}(?P<does>\S.*))?")
"""A command as it is typed, and what it does."""
FURTHER: Final = "    "
GOES_ON: Final = " \\"
"""How a shell is told that a command goes on below."""
IS_TYPED: Final = re.compile(rf"\b{NAME}\b")
WORD: Final = re.compile(r"""(?:'[^']*'|"[^"]*"|\S)+""")
"""Of a command, as a shell reads it: what is quoted is a part of it."""
HYPHEN: Final = "\N{NON-BREAKING HYPHEN}"
"""Stands for hyphens while click wraps, which would break names and options at them."""


class FoldedHelp(click.HelpFormatter):
    """Writes lines that are no wider than the terminal, but for words of a command that are.

    What a command does stands below it where it does not fit.
    """

    def write(self, string: str) -> None:
        """Write a part of the help."""
        lines = string.replace(HYPHEN, "-").split("\n")
        super().write("\n".join(part for line in lines for part in self._fold(line)))

    def write_text(self, text: str) -> None:
        """Write prose, wrapped between words."""
        super().write_text(text.replace("-", HYPHEN))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write names, each with what it means, which is wrapped between words."""
        super().write_dl([(name, text.replace("-", HYPHEN)) for name, text in rows], col_max, col_spacing)

    def _fold(self, line: str) -> Iterator[str]:
        found = EXAMPLE.fullmatch(line)
        if len(line) <= self.width or found is None:
            yield line
            return
        indent, further = found["indent"], found["indent"] + FURTHER
        goes_on = GOES_ON if IS_TYPED.search(found["command"]) else ""
        *begun, last = _fold_command(found["command"], self.width - len(further) - len(goes_on))
        places = [indent, *[further] * len(begun)]
        yield from (f"{place}{part}{goes_on}" for place, part in zip(places, begun, strict=False))
        yield f"{places[-1]}{last}"
        yield from (f"{further}{part}" for part in fold(found["does"] or "", self.width - len(further)) if part)


def _fold_command(command: str, width: int) -> list[str]:
    """Return a command in lines, broken between words alone: one that is longer than a line is left whole."""
    lines: list[str] = []
    for word in WORD.findall(command):
        if lines and len(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines

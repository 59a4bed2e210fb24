"""The notes of a release: its section of CHANGELOG.md, for the tag that it is released under.

    python -m tools.release_notes v0.1.0     prints the section of 0.1.0, without its heading

Exit status 0; 1 where the tag, the version of the package and the newest dated section are not of one release, or where
the section says nothing.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dynaurora import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

CHANGELOG: Final = Path(__file__).resolve().parents[1] / "CHANGELOG.md"
HEADING: Final = re.compile(r"^## \[(?P<version>[^\]]+)\](?: - (?P<date>\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)
"""Of a section (Keep a Changelog 1.1.0): `## [0.1.0] - 2026-11-28`, and `## [Unreleased]`, which has no date."""


class NotesError(Exception):
    """There are no notes for a tag; the message says why, and what to do."""


@dataclass(frozen=True)
class Section:
    """What changed in one release."""

    version: str
    date: str | None
    """The day of the release, as 2026-11-28; None for what is not released."""
    text: str
    """Everything below its heading."""


def read_sections(changelog: str) -> list[Section]:
    """Return the sections of a changelog's text, the newest first, as it has them."""
    headings = [*HEADING.finditer(changelog)]
    ends = [*(heading.start() for heading in headings[1:]), len(changelog)]
    return [
        Section(heading["version"], heading["date"], changelog[heading.end() : end].strip())
        for heading, end in zip(headings, ends, strict=True)
    ]


def find_newest(changelog: str) -> Section:
    """Return the section of the newest release. Raises NotesError where nothing was released."""
    for section in read_sections(changelog):
        if section.date:
            return section
    raise NotesError("CHANGELOG.md has no dated section. Give the release one: ## [0.1.0] - 2026-11-28.")


def extract_notes(changelog: str, tag: str, version: str) -> str:
    """Return the notes for a tag, `v` and the version.

    Raises NotesError where tag, the package's version and the newest section disagree, or the section is empty.
    """
    newest = find_newest(changelog)
    if tag != f"v{version}":
        raise NotesError(f"The tag is {tag}, and dynaurora.__version__ is {version}: tag v{version}, or change it.")
    if newest.version != version:
        raise NotesError(
            f"The newest release of CHANGELOG.md is {newest.version}, and dynaurora.__version__ is {version}:"
            f" put what is [Unreleased] under ## [{version}] and the date."
        )
    if not newest.text:
        raise NotesError(f"CHANGELOG.md says nothing of {version}: write what changed.")
    return f"{newest.text}\n"


def run(arguments: Sequence[str]) -> int:
    """Print the notes for the tag that is given; return the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("Usage: python -m tools.release_notes TAG\n")
        return 2
    try:
        sys.stdout.write(extract_notes(CHANGELOG.read_text("utf-8"), arguments[0], __version__))
    except NotesError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))

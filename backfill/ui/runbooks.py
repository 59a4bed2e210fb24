"""Runbooks as pages: those of the repository, where this is a clone of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from markdown_it import MarkdownIt
from markupsafe import Markup

from backfill.project import CLONE

RUNBOOKS: Final = CLONE / "docs" / "runbooks"
FOLDER: Final = "docs/runbooks/"


@dataclass(frozen=True, slots=True)
class Runbook:
    """A page of docs/runbooks/."""

    name: str
    html: Markup


def has_runbook(path: str) -> bool:
    """Tell whether a path, `docs/runbooks/….md`, is one of a runbook that is here."""
    return path.startswith(FOLDER) and (RUNBOOKS / path.removeprefix(FOLDER)).name in list_names()


def list_names() -> list[str]:
    """Return the files of all runbooks; none where there is no clone."""
    return sorted(path.name for path in RUNBOOKS.glob("*.md"))


def read_runbook(name: str) -> Runbook | None:
    """Return a runbook by its file's name; None where there is none. HTML in it is shown as text."""
    if name not in list_names():
        return None
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    text = (RUNBOOKS / name).read_text("utf-8")
    return Runbook(name, Markup(reader.render(text)))  # noqa: S704 (it is ours, and the reader escapes what is in it)

"""The documentation as pages, runbooks first of all: that of the repository, which installations have, too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from markdown_it import MarkdownIt
from markupsafe import Markup

from backfill.project import CLONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token

    from backfill.overview.standing import Todo

FOLDER: Final = "docs/"
DOCUMENTS: Final = CLONE / FOLDER
ABOUT: Final = {
    "reader": "docs/runbooks/late-rows.md",
    "lag": "docs/runbooks/late-rows.md",
    "rows": "docs/runbooks/aurora-down.md",
    "failed": "docs/runbooks/failed-records.md",
    "parked": "docs/runbooks/failed-records.md",
    "backfill": "docs/runbooks/backfill.md",
    "verified": "docs/runbooks/differences.md",
}
"""The runbook for what is to be done about each part of a standing."""
UNLINKED: Final = re.compile(r"[^\w\- ]")
"""What is left out of a heading where it is linked to."""


@dataclass(frozen=True, slots=True)
class Document:
    """A page of docs/."""

    title: str
    html: Markup


def has_document(path: str) -> bool:
    """Tell whether a path, `docs/….md`, is that of a page that is here."""
    return path.startswith(FOLDER) and path.removeprefix(FOLDER) in list_documents()


def find_runbook(todo: Todo) -> str | None:
    """Return the path of the runbook for something to be done; None where it is not here, or what is to be done."""
    path = ABOUT.get(todo.about, "")
    return path if has_document(path) and path != todo.remedy else None


def list_documents() -> frozenset[str]:
    """Return the paths of all pages below docs/; none where that is another's folder."""
    is_ours = all((CLONE / path).is_file() for path in ABOUT.values())
    return frozenset(path.relative_to(DOCUMENTS).as_posix() for path in DOCUMENTS.rglob("*.md") if is_ours)


def read_document(path: str) -> Document | None:
    """Return a page by its path below docs/; None where there is none. HTML in it is shown as text."""
    if path not in list_documents():
        return None
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = reader.parse((DOCUMENTS / path).read_text("utf-8"))
    titles = name_headings(tokens)
    html = reader.renderer.render(tokens, reader.options, {})
    return Document(titles[0] if titles else path, Markup(html))  # noqa: S704 (ours; what is in it was escaped)


def name_headings(tokens: Sequence[Token]) -> list[str]:
    """Give headings the names that they are linked to by, and return their texts."""
    titles = []
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            title = tokens[number + 1].content
            token.attrSet("id", UNLINKED.sub("", title.lower()).replace(" ", "-"))
            titles.append(title.replace("`", ""))
    return titles

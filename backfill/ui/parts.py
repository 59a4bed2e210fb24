"""Parts of pages: each is read by itself, in its own time, and shown as HTML or told as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from backfill.kinds import BACKFILL, REPROCESS
from backfill.ui.looks import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from backfill.kinds import Kind
    from backfill.ui.looks import Looks
    from backfill.ui.shelf import Seen

    Asked = Mapping[str, str]
    """What a page is about: the names in its path, and what its query has."""

LIVE_SECONDS: Final = 2.0
"""Between looks at a run that is under way."""
OVERVIEW_SECONDS: Final = 15.0
SLOW_SECONDS: Final = 60.0
"""Between looks at what changes seldom, or costs more to ask."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a page."""

    name: str
    """Of its template in `parts/`, and of its JSON."""
    title: str
    read: Callable[[Looks, Asked], Any]
    tell: Callable[[Any, Asked], Any]
    """Returns what was read for machines."""
    wait: Callable[[Any], float]
    """Returns for how many seconds something that was read is fresh."""
    is_headed: bool = True
    """Whether its title is shown as a heading; else it is its label alone."""
    asks: tuple[str, ...] = ()
    """What of the query it cannot be read without."""
    beside: tuple[Part, ...] = ()
    """Parts of which the template shows something, too."""

    def name_place(self, asked: Asked) -> str:
        """Return what tells what was read of it from anything else."""
        about = [f"{name}={value}" for name, value in sorted(asked.items()) if name not in SHOWN]
        return "\n".join([self.name, *about])

    def find_wait(self, seen: Seen) -> float:
        """Return for how many seconds what is known is fresh."""
        return OVERVIEW_SECONDS if seen.value is None else self.wait(seen.value)


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and its parts."""

    path: str
    """Below the place; the names of it in braces."""
    template: str
    parts: tuple[Part, ...]

    @property
    def told(self) -> tuple[Part, ...]:
        """What is told as JSON: its parts, and what is beside them."""
        return (*self.parts, *(beside for part in self.parts for beside in part.beside))

    def find_part(self, name: str) -> Part | None:
        """Return the part of a name."""
        return next((part for part in self.parts if part.name == name), None)


REVEAL: Final = "reveal"
"""Asks for what a record holds."""
REVEALED: Final = "yes"
PAGE: Final = "page"
"""Asks for a page of a list, from 1 on."""
SHOWN: Final = frozenset({REVEAL, PAGE})
"""What says how something is shown, and nothing of what is read."""


def is_revealed(asked: Asked) -> bool:
    """Tell whether somebody asks to see what a record holds."""
    return asked.get(REVEAL) == REVEALED


def find_page(asked: Asked) -> int:
    """Return which page of a list is asked for; the first where none is, or it is no number."""
    number = asked.get(PAGE, "")
    return max(1, int(number)) if number.isascii() and number.isdigit() and len(number) < 10 else 1


def tell_page(found: Any, asked: Asked) -> Any:
    """Return a page of what was read, which knows how it is told."""
    return found.as_dict(find_page(asked))


def always(seconds: float) -> Callable[[Any], float]:
    """Return what finds the same freshness for everything."""
    return lambda _: seconds


def tell_one(found: Any, _: Asked) -> Any:
    """Return what was read, which knows how it is told."""
    return found.as_dict()


def tell_list(found: Any, _: Asked) -> Any:
    """Return the same of each of a list."""
    return [one.as_dict() for one in found]


def tell_by_name(found: Any, _: Asked) -> Any:
    """Return the same of each, by its name."""
    return {name: one.as_dict() for name, one in found.items()}


def make_runs_part(kind: Kind, title: str) -> Part:
    """Return the part that lists the runs of a kind."""
    return Part(
        kind.name,
        title,
        lambda looks, asked: looks.list_runs(asked["mapping"], kind),
        tell_list,
        lambda found: 5.0 if any(run.ended_at is None for run in found) else SLOW_SECONDS,
    )


LAGS: Final = Part("lags", "Lag", lambda looks, _: looks.read_lags(), tell_by_name, always(SLOW_SECONDS))
OVERVIEW: Final = Page(
    "/",
    "overview.html",
    (
        Part(
            "tables",
            "Tables",
            lambda looks, _: looks.look_at_all(),
            tell_list,
            always(OVERVIEW_SECONDS),
            is_headed=False,
            beside=(LAGS,),
        ),
        Part("running", "Runs under way", lambda looks, _: looks.list_running(), tell_list, always(5.0)),
    ),
)
TABLE: Final = Page(
    "/tables/{mapping}",
    "table.html",
    (
        Part(
            "status",
            "How it stands",
            lambda looks, asked: looks.look_at(asked["mapping"]),
            tell_one,
            always(OVERVIEW_SECONDS),
            is_headed=False,
        ),
        Part(
            "lag",
            "Lag of the last three hours",
            lambda looks, asked: looks.read_lags(asked["mapping"])[asked["mapping"]],
            tell_one,
            always(SLOW_SECONDS),
        ),
        Part(
            "failures",
            "Failures by reason",
            lambda looks, asked: looks.read_failures(asked["mapping"]),
            tell_page,
            always(SLOW_SECONDS),
        ),
        make_runs_part(BACKFILL, "Backfills"),
        make_runs_part(REPROCESS, "Reprocesses"),
        Part(
            "imports",
            "Batches that came last",
            lambda looks, asked: looks.list_imports(asked["mapping"]),
            tell_list,
            always(OVERVIEW_SECONDS),
        ),
        Part(
            "mapping",
            "Mapping",
            lambda looks, asked: looks.read_mapping(asked["mapping"]),
            tell_one,
            always(SLOW_SECONDS),
        ),
    ),
)
RUN: Final = Page(
    "/runs/{mapping}/{kind}/{run}",
    "run.html",
    (
        Part(
            "run",
            "The run",
            lambda looks, asked: looks.look_at_run(asked["mapping"], KINDS[asked["kind"]], asked["run"]),
            tell_one,
            lambda view: LIVE_SECONDS if view.is_running else SLOW_SECONDS,
            is_headed=False,
        ),
    ),
)
FAILURES: Final = Page(
    "/failures/{mapping}",
    "failures.html",
    (
        Part(
            "failures",
            "Failures",
            lambda looks, asked: looks.read_failures(asked["mapping"]),
            tell_page,
            always(SLOW_SECONDS),
            is_headed=False,
        ),
    ),
)
FAILURE: Final = Page(
    "/failure/{mapping}",
    "failure.html",
    (
        Part(
            "failure",
            "The failure",
            lambda looks, asked: looks.find_failure(asked["mapping"], asked["id"]),
            lambda found, asked: found.as_dict(reveal=is_revealed(asked)),
            always(SLOW_SECONDS),
            is_headed=False,
            asks=("id",),
        ),
    ),
)
PAGES: Final = (OVERVIEW, TABLE, RUN, FAILURES, FAILURE)
QUERY: Final = ("id", REVEAL, PAGE)
"""What a page's query may have."""

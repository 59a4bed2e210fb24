"""Compare: `make compare`. Takes some minutes, and writes docs/compared.md's tables and build/compare.json.

    python -m benchmarks.compared [NAME …] [--engine mysql] [--items 20000] [--json FILE] [--no-document]

Each contestant copies a table with all kinds of values. Where it stops at that, each half of the kinds is copied alone,
beside plain items, down to the kind that it stops at. Then changes are made to a second table, and followed; a third
one, of plain items, shows what a load takes.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.compared.hand_written import HandWritten
from benchmarks.compared.items import Draw, make_changes, make_kinds, make_plain
from benchmarks.compared.judging import Judgement, Verdict, judge_change, judge_kind
from benchmarks.compared.running import StoppedError, measure_server, start_world
from benchmarks.compared.tables import Found, make_tables, shorten
from benchmarks.compared.with_dlt import Dlt
from benchmarks.compared.with_dynaurora import Dynaurora
from benchmarks.compared.with_ingestr import Ingestr
from benchmarks.documents import write_marked
from benchmarks.results import describe_machine
from local.aurora.engines import ENGINES, find_engine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.compared.contestant import Contestant
    from benchmarks.compared.items import Change, Kind
    from benchmarks.compared.running import World

CONTESTANTS: Final[tuple[Contestant, ...]] = (HandWritten(), Ingestr(), Dlt(), Dynaurora())
DOCUMENT: Final = Path("docs/compared.md")
JSON_FILE: Final = Path("build/compare.json")
SET: Final = "compared_set"
CHANGING: Final = "compared_changes"
PLAIN: Final = "compared_plain"
ITEMS: Final = 20_000


class Comparison:
    """The tables that all of them copy, and how one is judged."""

    def __init__(self, world: World, items: int) -> None:
        self.world = world
        self.kinds = make_kinds()
        self.changes = make_changes()
        self._made: set[str] = set()
        world.create_table(PLAIN, make_plain(items, Draw(3)))

    def judge(self, contestant: Contestant) -> Found:
        """Return what becomes of values and changes."""
        if contestant.database != Dynaurora.database:
            self.world.empty_database(contestant.database)
        found = Found(contestant.title, contestant.describe())
        say(f"{contestant.title}: {found.version}")
        found.values = self._judge_values(contestant, 0, len(self.kinds))
        found.changes = self._judge_changes(contestant)
        return found

    def _judge_values(self, contestant: Contestant, first: int, end: int) -> list[Judgement]:
        """Judge kinds by a table of theirs; where that stops, by a table of each half, down to one kind."""
        kinds = self.kinds[first:end]
        try:
            return self._copy(contestant, f"{SET}_{first}_{end}", kinds)
        except StoppedError as error:
            say(f"  stops at one of {len(kinds)} kinds: {shorten(str(error))}")
            if len(kinds) == 1:
                (kind,) = kinds
                return [Judgement(kind.name, (Verdict.STOPPED,) * len(list(kind.values())), str(error))]
        middle = (first + end) // 2
        return self._judge_values(contestant, first, middle) + self._judge_values(contestant, middle, end)

    def _copy(self, contestant: Contestant, table: str, kinds: Sequence[Kind]) -> list[Judgement]:
        """Copy a table of plain items and kinds, and judge these. Raises StoppedError."""
        if table not in self._made:
            beside = kinds if self.kinds[0] in kinds else [self.kinds[0], *kinds]
            self.world.create_table(table, [item for kind in beside for item in kind.items])
            self._made.add(table)
        contestant.prepare(self.world, table)
        contestant.load(self.world, table)
        rows, refused = contestant.find_rows(self.world, table), contestant.find_refused(self.world, table)
        return [judge_kind(kind, rows, refused) for kind in kinds]

    def _judge_changes(self, contestant: Contestant) -> list[Judgement]:
        """Judge what becomes of changes, in a table of the contestant's own."""
        table = f"{CHANGING}_{contestant.database.removeprefix('compared_')}"
        self.world.create_table(table, [change.before for change in self.changes if change.before])
        try:
            contestant.prepare(self.world, table)
            contestant.load(self.world, table)
            for change in self.changes:
                self._make(table, change)
            contestant.follow(self.world, table)
        except StoppedError as error:
            return [Judgement(change.name, (Verdict.STOPPED,), str(error)) for change in self.changes]
        rows, refused = contestant.find_rows(self.world, table), contestant.find_refused(self.world, table)
        return [judge_change(change, rows, refused) for change in self.changes]

    def _make(self, table: str, change: Change) -> None:
        for item in change.steps:
            if item is None:
                self.world.delete(table, change.key)
            else:
                self.world.write(table, [item])

    def measure(self, contestant: Contestant, found: Found) -> None:
        """Measure what copying plain items takes."""
        say(f"{contestant.title}: a load is measured")
        found.usage["prepare"] = contestant.prepare(self.world, PLAIN)
        before = measure_server(self.world)
        found.usage["load"] = contestant.load(self.world, PLAIN)
        found.server_seconds = measure_server(self.world) - before


def main() -> int:
    """Compare, and write what was found; return the exit status."""
    options = parse()
    chosen = [one for one in CONTESTANTS if one.title in options.names or not options.names]
    with start_world(options.engine) as world:
        comparison = Comparison(world, options.items)
        all_found = [comparison.judge(contestant) for contestant in chosen]
        for contestant, found in zip(chosen, all_found, strict=True):
            comparison.measure(contestant, found)
        database = read_server_version(world)
    tables = make_tables(all_found, options.items, describe(database))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    document = {"items": options.items, "machine": dict(describe(database))}
    document |= {"found": {found.title: found.as_dict() for found in all_found}}
    options.json.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print("\n\n".join(tables.values()))
    if len(chosen) == len(CONTESTANTS) and not options.no_document:
        write_marked(DOCUMENT, tables)
    return 0


def describe(database: str) -> list[tuple[str, str]]:
    """Return what was compared on, and when."""
    machine = describe_machine()
    return [
        ("database", database),
        ("machine", f"{machine['processor']}, {machine['system'].partition(',')[0]}, Python {machine['python']}"),
        ("date", datetime.now(UTC).strftime("%Y-%m-%d")),
    ]


def read_server_version(world: World) -> str:
    """Return the database server's name and version."""
    ((version,),) = world.query("SELECT VERSION()")
    return f"{ENGINES[world.state.engine].title} {version}"


def say(line: str) -> None:
    """Tell how far it is."""
    print(line, file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    """Return the command line's options."""
    titles = [contestant.title for contestant in CONTESTANTS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compared", description="Compare with other ways.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(titles)}; else all")
    parser.add_argument("--engine", choices=sorted(ENGINES), default=find_engine().name, help="the database server")
    parser.add_argument("--items", type=int, default=ITEMS, help="plain items of the load that is measured")
    parser.add_argument("--json", type=Path, metavar="FILE", default=JSON_FILE, help=f"default: {JSON_FILE}")
    parser.add_argument("--no-document", action="store_true", help=f"leave {DOCUMENT} as it is")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(titles)):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(titles)}")
    return options


if __name__ == "__main__":
    sys.exit(main())

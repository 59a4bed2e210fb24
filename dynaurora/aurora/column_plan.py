"""Column plans: what a mapping asks of its replica that is there already, found before anything is changed.

add     the mapping has a column that the replica lacks: nullable, at once, while imports go on
widen   a longer VARCHAR or VARBINARY, where the server does it without a copy of the table
keep    an earlier mapping wrote it and this one does not: it stays, and is no longer written, until it is asked to go
refuse  what could lose something, or keep imports waiting: another type, a shorter one, another name, another key

Columns of people's own are left alone. Going back to a mapping that was active before leaves what was widened since.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aurora import sql
from dynaurora.aurora.connection import is_mariadb
from dynaurora.aurora.ddl import (
    INSTANT,
    add_indexes,
    add_to_replica,
    comment_in_replica,
    drop_from_replica,
    drop_indexes,
    rebuild_replica,
    widen_in_replica,
)
from dynaurora.aurora.replica_columns import (
    COPIED,
    GENERATION_COLUMN,
    NARROWER,
    SAME,
    WIDER,
    Difference,
    Differences,
    compare_replica,
    read_columns,
    unfilled_of,
)
from dynaurora.aurora.replica_indexes import NO_INDEXES, IndexPlan, plan_indexes, read_indexes
from dynaurora.errors import ColumnsRefusedError, DynauroraError
from dynaurora.mappings.columns import parse_type
from dynaurora.mappings.page_sizes import check_page
from dynaurora.mappings.target_columns import Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dynaurora.aurora.connection import Aurora
    from dynaurora.aurora.replica_columns import FoundColumn
    from dynaurora.mappings.mapping import Mapping

CHARACTER_BYTES: Final = {"latin1": 1, "ascii": 1, "utf8": 3, "utf8mb3": 3}
INTEGER_WIDTH = re.compile(r"\(\d+\)")
DROP_SECONDS: Final = 1800
"""From the last activation until columns may go that it does not write: Firehose keeps changes for up to 15 minutes,
and imports are retried."""
ROW_VERSIONS: Final = 64
"""Instant changes of a table before it has to be written anew (MySQL 8.0 Reference Manual, "Online DDL Operations")."""
ROW_VERSIONS_SINCE_9_1: Final = 255
ROW_VERSIONS_LEFT: Final = 8
"""With no more than so many left, a plan says that a rebuild is due."""


@dataclass(frozen=True)
class ColumnPlan:
    """What would be done to a replica, and why not where it is refused."""

    mapping: Mapping
    creates: bool = False
    """Whether there is no replica yet."""
    shows: bool = True
    """Whether there is to be a view: not of a target that is not filled yet."""
    lacks_generation: bool = False
    """Whether an earlier release made it, without the column of generations."""
    adds: tuple[Column, ...] = ()
    widens: tuple[Difference, ...] = ()
    drops: tuple[str, ...] = ()
    """Kept columns that are to go now."""
    keeps: tuple[str, ...] = ()
    """Columns that an earlier mapping wrote and this one does not."""
    others: tuple[str, ...] = ()
    """Columns of people's own."""
    wider: tuple[str, ...] = ()
    """Columns that hold more than the mapping has, since it came back after they were widened."""
    fills: tuple[str, ...] = ()
    """Columns that rows which are there lack until a backfill."""
    indexes: IndexPlan = NO_INDEXES
    refusals: tuple[str, ...] = ()
    rows: int = 0
    """Of the replica, roughly."""
    octets: int = 0
    row_versions: int | None = None
    """Instant changes so far; None where the server does not count them, or does not tell."""
    row_versions_limit: int = ROW_VERSIONS
    collation: str = ""
    """The keys'."""

    @property
    def alters(self) -> bool:
        """Whether the replica changes."""
        return bool(self.lacks_generation or self.adds or self.widens or self.drops or self.indexes.alters)

    @property
    def is_rebuild_due(self) -> bool:
        """Whether few instant changes are left."""
        return self.row_versions is not None and self.row_versions + ROW_VERSIONS_LEFT >= self.row_versions_limit

    @property
    def statements(self) -> list[str]:
        """What is executed, in order: columns come before the view that shows them, and go after it."""
        view = [sql.create_view(self.mapping)] if self.shows else []
        if self.creates:
            return [sql.create_replica(self.mapping, self.collation), *view]
        return [*self.before_view, *view, *self.after_view]

    @property
    def before_view(self) -> list[str]:
        """The statements that bring columns, comments and indexes."""
        adding = self.lacks_generation or self.adds
        added = [add_to_replica(self.mapping, self.adds, INSTANT, generation=self.lacks_generation)] if adding else []
        return [*added, *(self._widen(each) for each in self.widens), *self._index_statements]

    @property
    def _index_statements(self) -> list[str]:
        plan = self.indexes
        statements = [comment_in_replica(self.mapping, *each) for each in plan.comments]
        statements += [drop_indexes(self.mapping, plan.drops)] if plan.drops else []
        return statements + ([add_indexes(self.mapping, plan.adds, plan.replaces)] if plan.adds else [])

    @property
    def after_view(self) -> list[str]:
        """The statement that takes columns away."""
        return [drop_from_replica(self.mapping, self.drops, INSTANT)] if self.drops else []

    def _widen(self, widening: Difference) -> str:
        column = next(each for each in self.mapping.columns if each.name.lower() == widening.expected.name.lower())
        return widen_in_replica(
            self.mapping, column, widening.found.collation, sql.comment_of(column) or widening.found.comment
        )

    def require_allowed(self) -> None:
        """Raise ColumnsRefusedError with everything that is refused."""
        if self.refusals:
            replica = f"{self.mapping.database}.{self.mapping.replica}"
            listed = "; ".join(self.refusals)
            raise ColumnsRefusedError(f"{replica} cannot become what mapping {self.mapping.name} has: {listed}.")

    def as_document(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "mapping": self.mapping.name,
            "digest": self.mapping.digest,
            "view": f"{self.mapping.database}.{self.mapping.table}",
            "creates": self.creates,
            "add": [{"column": column.name, "type": column.type.sql} for column in self.adds],
            "widen": [{"column": e.found.name, "from": e.found.kind, "to": e.expected.kind} for e in self.widens],
            "drop": list(self.drops),
            "index": [{"index": index.name, "columns": list(index.columns)} for index in self.indexes.adds],
            "drop_index": list(self.indexes.drops),
            "keep_index": list(self.indexes.keeps),
            "comment": [column.name for column, _ in self.indexes.comments],
            "keep": list(self.keeps),
            "others": list(self.others),
            "wider": list(self.wider),
            "fill": list(self.fills),
            "refuse": list(self.refusals),
            "rows": self.rows,
            "bytes": self.octets,
            "row_versions": self.row_versions,
            "row_versions_limit": self.row_versions_limit,
            "rebuild": rebuild_replica(self.mapping) if self.is_rebuild_due else None,
            "statements": self.statements,
        }


def plan_columns(
    aurora: Aurora, mapping: Mapping, earlier: Sequence[Mapping] = (), age_seconds: float = inf, *, drop: bool = False
) -> ColumnPlan:
    """Return what a mapping asks of its replica. Nothing is changed.

    `earlier` are the mappings that were active before, the newest last, for so long by now; `drop` asks for kept
    columns to go. Raises InvalidMappingError where InnoDB could not hold the rows.
    """
    collation = sql.key_collation(aurora.server_version)
    if not has_table(aurora, mapping.database, mapping.replica):
        check_page(mapping)
        return ColumnPlan(mapping, creates=True, collation=collation)
    differences = compare_replica(aurora, mapping)
    missing = {column.name.lower() for column in differences.missing}
    adds = tuple(column for column in mapping.columns if column.name.lower() in missing)
    kept = find_kept(differences, earlier)
    if adds:
        check_page(mapping, read_as_columns(differences.surplus))
    keeps = tuple(column.name for column in kept)
    returns = any(each.digest == mapping.digest for each in earlier)
    narrower = [each for each in differences.different if each.change == NARROWER and not each.is_unfit]
    rows, octets = read_size(aurora, mapping)
    own = {column.name.lower(): column for column in mapping.columns}
    comments = tuple((own[found.name.lower()], found) for found in differences.comments)
    indexes = plan_indexes(mapping, read_indexes(aurora, mapping), comments, drop=drop)
    return ColumnPlan(
        mapping,
        lacks_generation=GENERATION_COLUMN in missing,
        adds=adds,
        widens=tuple(each for each in differences.different if each.change == WIDER and not each.is_unfit),
        drops=keeps if drop else (),
        keeps=() if drop else keeps,
        others=tuple(column.name for column in differences.surplus if column.name not in keeps),
        wider=tuple(each.found.name for each in narrower) if returns else (),
        fills=find_unfilled(mapping, adds, earlier) if rows else (),
        indexes=indexes,
        refusals=(
            *indexes.refusals,
            *list_refusals(mapping, differences, earlier, adds),
            *([] if returns else map(refuse_narrower, narrower)),
            *(refuse_upgrade(aurora, mapping, differences) if GENERATION_COLUMN in missing else []),
            *(refuse_drops(mapping, keeps, earlier, age_seconds) if drop else []),
        ),
        rows=rows,
        octets=octets,
        row_versions=count_row_versions(aurora, mapping),
        row_versions_limit=limit_row_versions(aurora.server_version),
        collation=collation,
    )


ALLOWED: Final = frozenset({SAME, WIDER, NARROWER})
"""Changes of a type that are not refused for what they are; a narrower one may be all the same."""


def list_refusals(
    mapping: Mapping, differences: Differences, earlier: Sequence[Mapping], adds: Sequence[Column]
) -> list[str]:
    """Return what is refused, each by name and with its reason."""
    own = {column.name.lower() for column in mapping.columns} | {GENERATION_COLUMN}
    key = {column.name.lower() for column in mapping.key_columns}
    refusals = [
        f"{column.name} is missing, which is of the key or of what every replica has"
        for column in differences.missing
        if column.name.lower() in key or column.name.lower() not in own
    ]
    refusals += [refuse_change(each) for each in differences.different if each.is_unfit or each.change not in ALLOWED]
    refusals += [
        f"{column.name} has no default, so no row could be written: give it one, or let it be NULL"
        for column in unfilled_of(differences.surplus)
    ]
    refusals += differences.keys
    if earlier and earlier[-1].key_attributes != mapping.key_attributes:
        refusals.append("its key is of other attributes")
    return refusals + refuse_renames(mapping, earlier, adds)


def refuse_change(difference: Difference) -> str:
    """Return why a column cannot become what the mapping has."""
    if difference.is_unfit or difference.change != COPIED:
        return f"{difference}, which is another column"
    return f"{difference}, for which the server copies the table while imports wait"


def refuse_upgrade(aurora: Aurora, mapping: Mapping, differences: Differences) -> list[str]:
    """Return why a replica that an earlier release made cannot have another mapping in the same deployment.

    Rows of that release say nothing of their columns, and are on their way: they are read by the first mapping that is
    activated, column by column.
    """
    system = {"_deleted", "_version"}
    found = [
        column.name for name, column in read_columns(aurora, mapping, mapping.replica).items() if name not in system
    ]
    wanted = [column.name for column in mapping.columns]
    if found == wanted and not differences.different:
        return []
    made = (
        f"an earlier release made it, of {', '.join(found)}, in this order, and its batches do not say by which columns"
    )
    return [f"{made} they were written: upgrade with the mapping as it was, then deploy the change"]


def refuse_narrower(difference: Difference) -> str:
    """Return why a column does not become shorter."""
    return f"{difference}, which is narrower: what is there may not fit"


def refuse_renames(mapping: Mapping, earlier: Sequence[Mapping], adds: Sequence[Column]) -> list[str]:
    """Return the new columns that take what a column of the active mapping took, which is gone: other names for it."""
    if not earlier:
        return []
    present = {column.name.lower() for column in mapping.columns}
    gone = {column.source: column.name for column in earlier[-1].columns if column.name.lower() not in present}
    return [
        f"{column.name} is another name for {gone[column.source]}, whose rows it would lack: have both columns, run a"
        f" backfill, then take {gone[column.source]} out"
        for column in adds
        if column.source in gone
    ]


def refuse_drops(mapping: Mapping, keeps: Sequence[str], earlier: Sequence[Mapping], age_seconds: float) -> list[str]:
    """Return the kept columns that cannot go yet: batches that write them may be on their way."""
    if not keeps or not earlier:
        return []
    if earlier[-1].digest != mapping.digest:
        return [f"{', '.join(keeps)} can go once a mapping without is the active one for {DROP_SECONDS // 60} minutes"]
    if age_seconds < DROP_SECONDS:
        left = (DROP_SECONDS - age_seconds) / 60
        return [
            f"{', '.join(keeps)} can go in {left:.0f} minutes: batches that write what is there may be on their way"
        ]
    return []


def find_kept(differences: Differences, earlier: Sequence[Mapping]) -> list[Column]:
    """Return the columns that an earlier mapping wrote, of those that this one does not."""
    written = {column.name.lower(): column for each in earlier for column in each.columns}
    return [written[each.name.lower()] for each in differences.surplus if each.name.lower() in written]


def find_unfilled(mapping: Mapping, adds: Sequence[Column], earlier: Sequence[Mapping]) -> tuple[str, ...]:
    """Return the columns that rows have otherwise, or not at all, than the mapping would write them."""
    if not earlier:
        return tuple(column.name for column in adds)
    before = earlier[-1]
    if before.json_attributes != mapping.json_attributes:
        return tuple(column.name for column in mapping.columns if column not in mapping.key_columns)
    before_it = {column.name.lower(): column.definition[1:] for column in before.columns}
    changed = [column for column in mapping.columns if before_it.get(column.name.lower()) != column.definition[1:]]
    return tuple(column.name for column in mapping.columns if column in changed or column in adds)


def read_as_columns(found: Sequence[FoundColumn]) -> list[Column]:
    """Return columns of the replica as a mapping would write them, for what they take; of other types, none."""
    columns = []
    for each in found:
        kind = each.kind.upper().replace(",", ", ")
        if each.kind.startswith("varchar"):
            charset = (each.collation or "").partition("_")[0]
            kind = f"VARBINARY({int(each.kind[8:-1]) * CHARACTER_BYTES.get(charset, 4)})"
        elif "int" in each.kind:
            kind = INTEGER_WIDTH.sub("", kind)
        with suppress(ValueError):
            columns.append(Column(each.name, parse_type(kind), ""))
    return columns


def has_table(aurora: Aurora, database: str, table: str) -> bool:
    """Tell whether a table is there."""
    statement = "SELECT 1 FROM information_schema.tables WHERE table_schema = %s AND table_name = %s"
    return bool(aurora.query(statement, (database, table)))


def read_size(aurora: Aurora, mapping: Mapping) -> tuple[int, int]:
    """Return how many rows and bytes the replica has, as the server estimates them."""
    statement = (
        "SELECT table_rows, data_length + index_length FROM information_schema.tables"
        " WHERE table_schema = %s AND table_name = %s"
    )
    rows = aurora.query(statement, (mapping.database, mapping.replica))
    found, octets = rows[0] if rows else (0, 0)
    if not found and aurora.query(f"SELECT 1 FROM {sql.quote(mapping.database)}.{sql.quote(mapping.replica)} LIMIT 1"):
        return 1, int(octets or 0)  # the estimate is older than the rows
    return int(found or 0), int(octets or 0)


def count_row_versions(aurora: Aurora, mapping: Mapping) -> int | None:
    """Return how many instant changes the replica has had since it was written anew; None where nobody tells."""
    if is_mariadb(aurora.server_version):
        return None
    statement = "SELECT total_row_versions FROM information_schema.innodb_tables WHERE LOWER(name) = LOWER(%s)"
    try:
        rows = aurora.query(statement, (f"{mapping.database}/{mapping.replica}",))
    except DynauroraError:  # of a user without PROCESS, or a server that does not count
        return None
    return int(rows[0][0]) if rows else None


def limit_row_versions(server_version: str) -> int:
    """Return how many there may be."""
    major, minor = (int(part) for part in re.findall("[0-9]+", server_version)[:2])
    return ROW_VERSIONS_SINCE_9_1 if (major, minor) >= (9, 1) else ROW_VERSIONS

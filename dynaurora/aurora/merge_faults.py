"""What the merge relies on besides its own statement: that each staged row becomes its own key's row, as it is.

Somebody may alter the replica while imports go on: a UNIQUE index makes one key's change overwrite another key's row, a
trigger may put other values into columns, a foreign key may take rows away. None of it is an error of any statement. So
the replica is looked at in the import's own transaction after the merge, whose lock on the table's definition lasts
until the commit (MySQL 8.0 Reference Manual, "Metadata Locking"): what is seen there is what the merge was done with.

What merely refuses a row, a CHECK or a smaller column, is told by its own error, and no fault.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dynaurora.aurora import sql
from dynaurora.aurora.connection import find_number
from dynaurora.aurora.replica_columns import OTHER, SPELLED, compare_replica, unfilled_of
from dynaurora.aurora.triggers import find_triggers
from dynaurora.errors import DatabaseError, MalformedBatchError, TargetMismatchError
from dynaurora.escaping import escape_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.aurora.connection import Aurora
    from dynaurora.aurora.replica_columns import Difference
    from dynaurora.mappings.mapping import Mapping

ENGINE: Final = "InnoDB"
ROUNDED: Final = frozenset({"decimal", "datetime", "timestamp"})
"""Types that take more digits than they hold, rounded, with a note at most."""
CASCADES: Final = ("CASCADE", "SET NULL", "SET DEFAULT")
COUNTER = re.compile(r" AUTO_INCREMENT=\d+")
MAX_FAULTLESS: Final = 64
NO_TABLE: Final = 1146
MAX_TOLD: Final = 2000
"""Characters of faults that are told."""

_faultless: set[tuple[str, ...]] = set()
"""Definitions that were compared and found without fault, each with what it was compared to. The server tells the same
definition in the same words: so it is compared once in a process, and read in each import."""


def check_engines(aurora: Aurora, mapping: Mapping, ledger: str) -> None:
    """Raise TargetMismatchError where a merge that fails would not be undone: to be looked at before it."""
    refuse_target(mapping, [*find_foreign_engines(aurora, mapping, ledger)])


def check_merging(aurora: Aurora, mapping: Mapping, *, staged: str, ledger: str) -> None:
    """Raise TargetMismatchError where a merge would write, without an error, something else than what was staged.

    `staged` and `ledger` are the names of the other two tables that an import writes to. Two statements that read no
    row; more where the replica's definition is another one than before.
    """
    refuse_target(mapping, [*find_merge_faults(aurora, mapping, staged=staged, ledger=ledger)])


def refuse_target(mapping: Mapping, faults: list[str]) -> None:
    """Raise TargetMismatchError where there are faults."""
    if faults:
        told = escape_text("; ".join(faults), MAX_TOLD)  # names of indexes and triggers may have any character in them
        raise TargetMismatchError(f"{mapping.database}.{mapping.replica} does not fit mapping {mapping.name}: {told}.")


def explain_failure(error: Exception, aurora: Aurora, mapping: Mapping, *, staged: str, ledger: str) -> None:
    """Raise TargetMismatchError where what a merge failed with comes of the replica and not of its rows."""
    if isinstance(error, (DatabaseError, MalformedBatchError, TargetMismatchError)) and find_number(error) != NO_TABLE:
        check_merging(aurora, mapping, staged=staged, ledger=ledger)


def find_merge_faults(aurora: Aurora, mapping: Mapping, *, staged: str, ledger: str) -> Iterator[str]:
    """Yield what is wrong with the tables of a merge, each in words that name it."""
    ((_, definition, *_),) = aurora.query(sql.show_create(mapping, mapping.replica))
    seen = (mapping.database, mapping.digest, aurora.server_version, COUNTER.sub("", str(definition)))
    if seen not in _faultless:
        faults = [
            *find_foreign_engines(aurora, mapping, ledger),
            *find_column_faults(aurora, mapping),
            *find_cascades(aurora, mapping),
        ]
        yield from faults
        if not faults:
            remember_faultless(seen)
    for trigger in find_triggers(aurora, mapping.database, mapping.replica, staged).triggers:
        if trigger.may_set_columns:
            yield f"the trigger {trigger.name} may set columns of {trigger.table} before each {trigger.event}"


def remember_faultless(seen: tuple[str, ...]) -> None:
    """Remember a definition, of few."""
    if len(_faultless) >= MAX_FAULTLESS:
        _faultless.clear()
    _faultless.add(seen)


def find_foreign_engines(aurora: Aurora, mapping: Mapping, ledger: str) -> Iterator[str]:
    """Yield the tables that no transaction holds together: what fails half-way would stay."""
    statement = (
        "SELECT TABLE_NAME, COALESCE(ENGINE, TABLE_TYPE) FROM information_schema.TABLES"
        " WHERE TABLE_SCHEMA = %s AND TABLE_NAME IN (%s, %s)"
    )
    for table, engine in aurora.query(statement, (mapping.database, mapping.replica, ledger)):
        if engine != ENGINE:
            yield f"{table} is of {engine}, and only {ENGINE} undoes what fails"


def find_column_faults(aurora: Aurora, mapping: Mapping) -> Iterator[str]:
    """Yield columns and keys with which a row would be another one, or another row."""
    differences = compare_replica(aurora, mapping)
    yield from (f"{column.name} {column.describe()} is missing" for column in differences.missing)
    yield from (str(each) for each in differences.different if changes_values(each))
    yield from (f"{column.name} has no default" for column in unfilled_of(differences.surplus))
    yield from differences.keys


def changes_values(difference: Difference) -> bool:
    """Tell whether a column takes a value of the mapping's without an error, and may have another one then."""
    found, expected = difference.found, difference.expected
    if (
        found.is_generated
        or found.name_traits(with_collation=difference.is_key)[0]
        != (expected.name_traits(with_collation=difference.is_key)[0])
    ):
        return True
    spelled = SPELLED.fullmatch(found.kind)
    return difference.change == OTHER or (difference.holds_less and spelled is not None and spelled["kind"] in ROUNDED)


def find_cascades(aurora: Aurora, mapping: Mapping) -> Iterator[str]:
    """Yield foreign keys by which somebody's change of another table changes or deletes rows of the replica."""
    for name, table, on_delete, on_update in find_foreign_keys(aurora, mapping):
        rules = [
            f"ON {event} {rule}" for event, rule in (("DELETE", on_delete), ("UPDATE", on_update)) if rule in CASCADES
        ]
        if rules:
            yield f"the foreign key {name} changes rows with those of {table}: {', '.join(rules)}"


def find_foreign_keys(aurora: Aurora, mapping: Mapping) -> list[tuple[str, str, str, str]]:
    """Return the replica's foreign keys: name, the table that they refer to, and what becomes of rows with its rows."""
    statement = (
        "SELECT CONSTRAINT_NAME, REFERENCED_TABLE_NAME, DELETE_RULE, UPDATE_RULE"
        " FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = %s AND TABLE_NAME = %s"
    )
    rows = aurora.query(statement, (mapping.database, mapping.replica))
    return [(str(name), str(table), str(delete), str(update)) for name, table, delete, update in rows]

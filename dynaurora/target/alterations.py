"""Alterations: what somebody has made of a target besides its mapping, and imports do not fail of by themselves."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dynaurora.aurora import sql
from dynaurora.aurora.fills import is_hidden
from dynaurora.aurora.merge_faults import find_foreign_keys, find_merge_faults
from dynaurora.aurora.system_tables import IMPORTS
from dynaurora.aurora.triggers import find_triggers
from dynaurora.errors import DynauroraError, TargetMismatchError, ViewInvalidError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping

SHOWN: Final = "SELECT VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
"""What a view is made of, in the server's words; empty to who may not see it."""
LIVING: Final = r"\(?(?:0 = {0}|{0} = 0|not\(?{0}\)?)\)?"
"""How servers spell `NOT _deleted`: MySQL, MariaDB, and MySQL before it made a comparison of it."""
LOOK_SECONDS: Final = 60.0
"""From one look of an importer at a target to its next."""


@dataclass
class Lookout:
    """When the targets were looked at, in one process."""

    looked: dict[str, float] = field(default_factory=dict)

    def look(self, aurora: Aurora, mapping: Mapping) -> list[str] | None:
        """Return what is altered of a target; None where it was looked at before, or cannot be looked at now."""
        now = time.monotonic()
        if now - self.looked.get(mapping.name, -LOOK_SECONDS) < LOOK_SECONDS:
            return None
        self.looked[mapping.name] = now
        try:
            return [problem for target in mapping.targets for problem in find_alterations(aurora, target)]
        except DynauroraError:  # the rows are committed, whatever this is; the next import meets it too
            return None


def find_alterations(aurora: Aurora, mapping: Mapping) -> Iterator[str]:
    """Yield what keeps people from seeing what was imported, and what may refuse or change rows; each in words."""
    yield from find_view_faults(aurora, mapping)
    yield from find_faults(aurora, mapping)
    for name, table, *_ in find_foreign_keys(aurora, mapping):
        yield f"the foreign key {name} refuses rows that {table} has not"


def find_faults(aurora: Aurora, mapping: Mapping) -> Iterator[str]:
    """Yield what imports would fail of."""
    return find_merge_faults(aurora, mapping, staged=sql.STAGED, ledger=IMPORTS)


def find_view_faults(aurora: Aurora, mapping: Mapping) -> Iterator[str]:
    """Yield that the view is missing, unreadable, none, or another; of a target that is to have none yet, nothing."""
    try:
        aurora.query(sql.select_nothing(mapping))
    except (TargetMismatchError, ViewInvalidError) as error:
        if not is_hidden(aurora, mapping):
            yield error.problem
        return
    kind = "SELECT TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
    if aurora.query(kind, (mapping.database, mapping.table)) != [("VIEW",)]:
        yield f"{mapping.database}.{mapping.table} is a table of its own, and no view of {mapping.replica}"
        return
    shown = read_view(aurora, mapping)
    if shown and not is_view_of(shown, mapping):
        yield f"the view {mapping.database}.{mapping.table} shows something else than the rows of {mapping.replica}"


def read_view(aurora: Aurora, mapping: Mapping) -> str:
    """Return what the view is made of; nothing where it is not there, or may not be seen."""
    rows = aurora.query(SHOWN, (mapping.database, mapping.table))
    return str(rows[0][0] or "") if rows else ""


def is_view_of(shown: str, mapping: Mapping) -> bool:
    """Tell whether a view is made of columns of the replica as they are, and all its rows that exist.

    Which columns, another statement tells: while a mapping changes, it may have those of the next one.
    """
    table = ".".join(f"`{re.escape(name)}`" for name in (mapping.database, mapping.replica))
    column = rf"{table}\.`([^`]+)` AS `([^`]+)`"
    living = LIVING.format(rf"{table}\.`_deleted`")
    definition = " ".join(["select", f"{column}(?:,{column})*", "from", table, "where", living])
    if not re.fullmatch(definition, shown, re.IGNORECASE):
        return False
    return all(name == alias for name, alias in re.findall(column, shown, re.IGNORECASE))


def find_other_rules(aurora: Aurora, mapping: Mapping) -> Iterator[str]:
    """Yield what may refuse rows or runs with each, and what cannot be seen: none of it changes what is written."""
    found = find_triggers(aurora, mapping.database, mapping.replica, sql.STAGED)
    if not found.are_all:
        yield "the loader cannot see whether the replica has triggers"
    if not read_view(aurora, mapping) and not is_hidden(aurora, mapping):
        yield "the loader cannot see what the view shows"
    for trigger in found.triggers:
        if not trigger.may_set_columns:
            yield f"the trigger {trigger.name} runs {trigger.timing} each {trigger.event}"
    for name, table, *_ in find_foreign_keys(aurora, mapping):
        yield f"the foreign key {name} refuses rows that {table} has not"

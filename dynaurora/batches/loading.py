"""Loading: the rows of a part of a batch from S3 into the table that they are staged in, counted, without warnings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from dynaurora import keys
from dynaurora.aurora import memory_tables, sql
from dynaurora.aurora.connection import DuplicateRow, find_number, is_of_s3
from dynaurora.aurora.memory_tables import Widths, memory_rows
from dynaurora.aurora.messages import ERRORS, describe_message
from dynaurora.errors import DatabaseError, DatabaseUnavailableError, MalformedBatchError, RowCountError
from dynaurora.observability import logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dynaurora.aurora.connection import Aurora
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.batches.batch import BatchObject
    from dynaurora.mappings.mapping import Mapping

CHANGED_VALUES: Final = ERRORS[MalformedBatchError]
"""Numbers of what a server may merely note of a value that it changes: MySQL notes digits cut off a DECIMAL (1265)."""
TABLE_FULL: Final = 1114
"""What a server says of a table in memory that has no room for a row."""
KEY_REQUIRED: Final = 3750
"""What MySQL says of a table without a primary key where `sql_require_primary_key` is on."""
_without_memory: set[str] = set()
"""Servers, by their versions, that have refused to load into their memory."""


def write_manifest(
    mapping: str, ledger_id: str, objects: Iterable[BatchObject], store: ObjectStore, landing_bucket: str
) -> str:
    """Write the manifest that names the objects of a part of a batch and return its URI.

    Every entry is mandatory: by default Aurora would pass over a missing object in silence.
    """
    document = {"entries": [{"url": item.uri, "mandatory": True} for item in objects]}
    key = keys.manifest(mapping, ledger_id)
    store.write(landing_bucket, key, json.dumps(document).encode())
    return f"s3://{landing_bucket}/{key}"


@dataclass(frozen=True, slots=True)
class PartSource:
    """What a load is told of a part of a batch."""

    ledger_id: str
    manifest_uri: str
    label: str
    """Of its lines; empty where they have none."""
    rows: int | None
    """How many it should have; None where nobody knows."""
    widths: Widths = ()
    """The most bytes of a field of each column, where the writer has told."""

    def check_rows(self, rows: int) -> None:
        """Raise RowCountError where a load gave another number of rows."""
        if self.rows is not None and rows != self.rows:
            raise RowCountError(f"Batch {self.ledger_id} loaded {rows} rows, and was written with {self.rows}.")


@dataclass(frozen=True, slots=True)
class Staged:
    """What was loaded, and where it is."""

    table: str
    rows: int
    """As many as there are lines that can be."""


def stage(
    mapping: Mapping, aurora: Aurora, source: PartSource, table: str = sql.STAGED, memory_bytes: int = 0
) -> Staged:
    """Load a part into an empty table and count its rows.

    They are counted, and not taken from the server's answer. Where lines have the same key and version, fewer are left
    than the load has affected: the part is then loaded once more, each line a row. A temporary table is in the server's
    memory where that has room in so many bytes, by the widths of its fields where they are told. Raises RowCountError
    where it has another number of rows than it should.
    """
    counts = None
    if table == sql.STAGED and source.rows and source.rows <= memory_rows(aurora, mapping, memory_bytes, source.widths):
        counts = load_into_memory(mapping, aurora, source, memory_bytes)
    if counts is None:
        with aurora.transaction():
            counts = load(mapping, aurora, source, table)
            if counts[0] != counts[1] and table == sql.STAGED:
                counts = load(mapping, aurora, source, table, numbered=True)
    loaded, rows = counts
    if loaded != rows:
        raise RowCountError(f"Batch {source.ledger_id} loaded {loaded} rows, and {rows} are there.")
    source.check_rows(rows)
    return Staged(table, rows)


def load_into_memory(mapping: Mapping, aurora: Aurora, source: PartSource, memory_bytes: int) -> tuple[int, int] | None:
    """Load a part into a table in the server's memory; return as `load` does, or None where the server does not.

    That is so where it is full after all, where a field is wider than its writer told, or where the server refuses it
    for a reason that nobody knows: then for as long as this process lasts.
    """
    if aurora.server_version in _without_memory:
        return None
    try:
        with aurora.transaction():
            aurora.execute(memory_tables.bound_memory(memory_bytes))
            return load(mapping, aurora, source, sql.STAGED, in_memory=True)
    except MalformedBatchError:
        if not source.widths:
            raise
        return None  # by its types, a table on disk says what is wrong, if anything is
    except DatabaseError as error:
        if is_of_s3(error):
            raise
        _without_memory.add(aurora.server_version)
        logger.warning("Batches are not staged in memory", extra={"why": str(error)})
        return None
    except DatabaseUnavailableError as error:
        if find_number(error) != TABLE_FULL:
            raise
        return None


def load(
    mapping: Mapping,
    aurora: Aurora,
    source: PartSource,
    table: str,
    *,
    numbered: bool = False,
    in_memory: bool = False,
) -> tuple[int, int]:
    """Load a part into a table made or emptied for it; return the rows affected, and those that are there."""
    if table == sql.STAGED:
        aurora.execute(sql.drop_staged(mapping))
        if in_memory:
            make_in_memory(mapping, aurora, source.widths)
        else:
            collation = sql.key_collation(aurora.server_version)
            aurora.execute(sql.create_staged(mapping, collation, numbered=numbered))
    else:
        aurora.execute(sql.empty_staged(mapping, table))
    try:
        affected = aurora.execute(sql.load_staged(mapping, table, source.label), (source.manifest_uri,))
    except DuplicateRow as error:  # it replaces what it has twice: only a server that we do not know says so
        raise MalformedBatchError(str(error)) from error
    check_warnings(source.ledger_id, aurora)
    return affected, count_staged(mapping, aurora, table)


def make_in_memory(mapping: Mapping, aurora: Aurora, widths: Widths) -> None:
    """Create the table in the server's memory, numbered where the server has none without a primary key."""
    create = partial(memory_tables.create_in_memory, mapping, sql.key_collation(aurora.server_version), widths=widths)
    try:
        aurora.execute(create())
    except DatabaseError as error:
        if find_number(error) != KEY_REQUIRED:
            raise
        aurora.execute(create(numbered=True))


def check_warnings(ledger_id: str, aurora: Aurora) -> None:
    """Refuse a batch whose load warned, or noted that a value is another one now (a fraction that was cut off).

    Other notes say nothing of the rows.
    """
    ((count,),) = aurora.query("SHOW COUNT(*) WARNINGS")  # a server tells `max_error_count` of them, and counts all
    if not int(count):
        return
    found = aurora.query("SHOW WARNINGS")
    minded = [
        describe_message(int(number), str(message))
        for level, number, message in found
        if level != "Note" or number in CHANGED_VALUES
    ]
    if minded:
        raise MalformedBatchError(f"Loading batch {ledger_id} warned: {'; '.join(minded[:3])}.")
    if int(count) > len(found):
        raise MalformedBatchError(f"Loading batch {ledger_id} gave {count} warnings, and {len(found)} can be read.")


def count_staged(mapping: Mapping, aurora: Aurora, table: str) -> int:
    """Return how many rows are staged."""
    ((rows,),) = aurora.query(sql.select_row_count(mapping, table))
    return int(rows)

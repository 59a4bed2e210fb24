"""Loading: the rows of a part of a batch from S3 into the table that they are staged in, counted, without warnings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dynaurora import keys
from dynaurora.aurora import sql
from dynaurora.aurora.connection import ERRORS, DuplicateRow, describe_message
from dynaurora.errors import MalformedBatchError, RowCountError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dynaurora.aurora.connection import Aurora
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.batches.batch import BatchObject
    from dynaurora.mappings.mapping import Mapping

CHANGED_VALUES: Final = ERRORS[MalformedBatchError]
"""Numbers of what a server may merely note of a value that it changes: MySQL notes digits cut off a DECIMAL (1265)."""


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


def stage(mapping: Mapping, aurora: Aurora, source: PartSource, table: str = sql.STAGED) -> Staged:
    """Load a part into an empty table and count its rows.

    They are counted, and not taken from the server's answer. Where lines have the same key and version, fewer are left
    than the load has affected: the part is then loaded once more, each line a row. Raises RowCountError where it has
    another number of rows than it should.
    """
    with aurora.transaction():
        loaded, rows = load(mapping, aurora, source, table)
        if loaded != rows and table == sql.STAGED:
            loaded, rows = load(mapping, aurora, source, table, numbered=True)
    if loaded != rows:
        raise RowCountError(f"Batch {source.ledger_id} loaded {loaded} rows, and {rows} are there.")
    source.check_rows(rows)
    return Staged(table, rows)


def load(
    mapping: Mapping, aurora: Aurora, source: PartSource, table: str, *, numbered: bool = False
) -> tuple[int, int]:
    """Load a part into a table made or emptied for it; return the rows affected, and those that are there."""
    if table == sql.STAGED:
        aurora.execute(sql.drop_staged(mapping))
        aurora.execute(sql.create_staged(mapping, sql.key_collation(aurora.server_version), numbered=numbered))
    else:
        aurora.execute(sql.empty_staged(mapping, table))
    try:
        affected = aurora.execute(sql.load_staged(mapping, table, source.label), (source.manifest_uri,))
    except DuplicateRow as error:  # it replaces what it has twice: only a server that we do not know says so
        raise MalformedBatchError(str(error)) from error
    check_warnings(source.ledger_id, aurora)
    return affected, count_staged(mapping, aurora, table)


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

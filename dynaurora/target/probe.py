"""The probe: one line loaded from S3, to see into which kind of table the server loads.

`LOAD DATA FROM S3` into a temporary table is documented nowhere. So it is tried when a target is prepared, by the
loader itself, and what works is recorded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dynaurora import keys
from dynaurora.aurora import raw_rows, sql
from dynaurora.aurora.connection import is_of_s3
from dynaurora.aurora.locks import holding, name_lock
from dynaurora.aurora.memory_tables import memory_rows, room_in_memory
from dynaurora.aurora.staging import (
    UNBOUNDED_TABLES,
    Staging,
    make_tables,
    record_staging,
)
from dynaurora.errors import DynauroraError, RetryableError, RowCountError, StagingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from dynaurora.aurora.connection import Aurora
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.mapping import Mapping

PROBE_WAIT_SECONDS: Final = 60
"""How long a probe waits for another one of the same database."""


@dataclass(frozen=True)
class Landing:
    """Where the line is written for the server to load it."""

    store: ObjectStore
    bucket: str


def choose_staging(
    aurora: Aurora,
    administrate: Callable[[], AbstractContextManager[Aurora]],
    mapping: Mapping,
    landing: Landing,
    slots: int,
) -> Staging | None:
    """Try how batches of a target can be staged, record it, and return it.

    `aurora` is the loader's connection, with the load role; `administrate` opens one of a user who may create tables.
    Return None, and record nothing, where the line cannot be had from S3 at all: that says nothing of tables, and may
    be granted later. Raises StagingError where the server loads into neither kind of table.
    """
    uri = write_line(mapping, landing)
    try:
        return try_staging(aurora, administrate, mapping, uri, slots)
    finally:
        erase_line(mapping, landing)  # a deployment that is rolled back deletes its bucket, which has to be empty


def try_staging(
    aurora: Aurora,
    administrate: Callable[[], AbstractContextManager[Aurora]],
    mapping: Mapping,
    uri: str,
    slots: int,
) -> Staging | None:
    """Try a load into either kind of table, record which is taken, and return it. Raises what `choose_staging` does."""
    try:
        load_into_temporary(aurora, mapping, uri)
        staging = Staging()
    except DynauroraError as error:
        if is_of_s3(error):
            return None
        if isinstance(error, RetryableError):
            raise
        with administrate() as administrator:
            staging = make_tables(administrator, mapping, slots or UNBOUNDED_TABLES)
        try_permanent(aurora, mapping, uri, error)
    record_staging(aurora, mapping, staging)
    return staging


def try_permanent(aurora: Aurora, mapping: Mapping, uri: str, refusal: DynauroraError) -> None:
    """Load the line into a permanent table. Raises StagingError, with both refusals, where the server does not."""
    try:
        load_into_permanent(aurora, mapping, uri)
    except RetryableError:
        raise
    except DynauroraError as error:
        both = f"into a temporary table: {refusal.problem} Into a permanent one: {error.problem}"
        raise StagingError(f"{mapping.database} cannot load from S3 {both}") from error


def write_line(mapping: Mapping, landing: Landing) -> str:
    """Write a line and its manifest, and return the manifest's URI."""
    bucket, line, manifest = landing.bucket, keys.probe(mapping.name), keys.probe_manifest(mapping.name)
    landing.store.write(bucket, line, b"1\n")
    entries = [{"url": f"s3://{bucket}/{line}", "mandatory": True}]
    landing.store.write(bucket, manifest, json.dumps({"entries": entries}).encode())
    return f"s3://{bucket}/{manifest}"


def erase_line(mapping: Mapping, landing: Landing) -> None:
    """Leave nothing of the line and its manifest."""
    for key in (keys.probe(mapping.name), keys.probe_manifest(mapping.name)):
        landing.store.erase(landing.bucket, key)


def load_into_temporary(aurora: Aurora, mapping: Mapping, uri: str) -> None:
    """Load the line into a temporary table of the connection. Raises what Aurora says of it, or RowCountError."""
    aurora.execute(sql.create_probe(mapping))
    load_line(aurora, mapping, uri, sql.PROBE)


def loads_into_memory(aurora: Aurora, mapping: Mapping, uri: str) -> bool:
    """Tell whether small batches of any target are staged in the server's memory, where the line is loaded to see it.

    Raises a RetryableError, or what S3 answered.
    """
    narrow = [(target, (0,) * len(target.columns)) for target in mapping.targets]
    if not any(memory_rows(aurora, target, room_in_memory(1), widths) for target, widths in narrow):
        return False
    aurora.execute(raw_rows.drop_temporary(mapping, sql.PROBE))
    try:
        aurora.execute(sql.create_probe(mapping, "MEMORY"))
        load_line(aurora, mapping, uri, sql.PROBE)
    except DynauroraError as error:
        if isinstance(error, RetryableError) or is_of_s3(error):
            raise
        return False
    return True


def load_into_permanent(aurora: Aurora, mapping: Mapping, uri: str) -> None:
    """Load the line into the permanent table for it, and leave it empty. Raises as `load_into_temporary` does."""
    with holding(aurora, name_lock(mapping.database, "probe"), PROBE_WAIT_SECONDS):
        empty_probe(aurora, mapping)  # one that was cut off may have left its line
        load_line(aurora, mapping, uri, sql.PERMANENT_PROBE)
        empty_probe(aurora, mapping)


def empty_probe(aurora: Aurora, mapping: Mapping) -> None:
    """Empty the permanent table for the line."""
    with aurora.transaction():
        aurora.execute(sql.empty_staged(mapping, sql.PERMANENT_PROBE))


def load_line(aurora: Aurora, mapping: Mapping, uri: str, table: str) -> None:
    """Load the line into an empty table, look, roll back, and look again.

    Afterwards it may be there or not: imports load outside a transaction. The table has to be.
    """
    aurora.execute("BEGIN")
    aurora.execute(sql.load_probe(mapping, table), (uri,))
    loaded = count_probed(aurora, mapping, table)
    aurora.execute("ROLLBACK")
    left = count_probed(aurora, mapping, table)
    if loaded != 1 or left > 1:
        raise RowCountError(f"A load of one line gave {loaded} rows, of which a rollback left {left}.")


def count_probed(aurora: Aurora, mapping: Mapping, table: str) -> int:
    """Return how many lines a table has."""
    ((lines,),) = aurora.query(sql.select_row_count(mapping, table))
    return int(lines)

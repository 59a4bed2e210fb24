"""Comparing what is staged: a batch of a verification against the replica, in the transaction of whoever calls.

Nothing of the replica changes. One statement tells of all rows what they are, in ten bytes each, since nearly all are
equal. Digests of the keys that were seen are kept, and what is not equal is told by its key; no value is.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aurora import comparing
from dynaurora.aurora.connection import is_mariadb
from dynaurora.aurora.fills import is_hidden
from dynaurora.aurora.seen_keys import DigestKind, SeenKeys, decode
from dynaurora.dynamodb.versions import make_version
from dynaurora.errors import RowCountError

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.aurora.origins import Origin
    from dynaurora.batches.loading import Staged

FUTURE_SECONDS: Final = 300
"""By so much a version may be ahead of the clock: stamps are of another one."""
MOST_TOLD: Final = 1_000
"""Keys of a part of a batch that are told; the others are counted."""
VERDICTS: Final = ("identical", "newer", "skipped", "differing", "missing", "extra", "impossible", "older_mapping")
CODES: Final = {verdict[: comparing.CODE_BYTES].encode(): verdict for verdict in VERDICTS}


def compare_staged(origin: Origin, aurora: Aurora, staged: Staged, run: str) -> dict[str, Any]:
    """Return what staged rows are: `{"target", "counts": {verdict: rows}, "suspects": […]}`.

    A suspect is `{"fields": […], "verdict", "columns": […]}`, the fields of its key.
    """
    mapping, mariadb = origin.mapping, is_mariadb(aurora.server_version)
    if is_hidden(aurora, mapping):  # a backfill fills it, and nobody sees it yet
        return {"target": mapping.table, "counts": {"skipped": staged.rows}, "suspects": []}
    future, table = make_version(int(time.time()) + FUTURE_SECONDS, 0), staged.table
    aurora.execute(comparing.ALLOW_LONG_VALUES)
    ((codes, digests),) = aurora.query(comparing.tell_verdicts(origin, table, mariadb=mariadb, future=future))
    seen = decode(as_bytes(digests))
    if len(seen) != staged.rows:
        raise RowCountError(f"Of {staged.rows} rows in {staged.table}, {len(seen)} have a digest.")
    counts = _count(as_bytes(codes), staged)
    suspects = list[dict[str, Any]]()
    if counts.keys() - {"identical", "newer", "skipped"}:
        found = aurora.query(comparing.select_suspects(origin, table, mariadb=mariadb, future=future), (MOST_TOLD,))
        suspects = [_describe(*row) for row in found]
    SeenKeys(aurora, mapping, run).add(DigestKind.SEEN, filter(None, seen))
    return {"target": mapping.table, "counts": counts, "suspects": suspects}


def _count(codes: bytes, staged: Staged) -> dict[str, int]:
    """Return how many rows are what. Raises RowCountError where not all of them were compared."""
    if len(codes) != comparing.CODE_BYTES * staged.rows:
        raise RowCountError(
            f"Of {staged.rows} rows in {staged.table}, {len(codes) // comparing.CODE_BYTES} were compared."
        )
    counted = Counter(zip(codes[::2], codes[1::2], strict=True))
    return {CODES[bytes(code)]: count for code, count in counted.items()}


def as_bytes(value: bytes | str | None) -> bytes:
    """Return a value that the server puts together of bytes."""
    return value.encode("ascii") if isinstance(value, str) else value or b""


def _describe(verdict: Any, columns: Any, *fields: Any) -> dict[str, Any]:
    told = server_text(verdict)
    names = [*filter(None, server_text(columns).split(","))] if told in {"differing", "older_mapping"} else []
    return {"fields": [*map(server_text, fields)], "verdict": told, "columns": names}


def server_text(value: Any) -> str:
    """Return text of the server's, which gives some of it as bytes."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)

"""Comparing what is staged: a batch of a verification against the replica, in the transaction of whoever calls.

Nothing of the replica changes. The keys of the rows that were seen are kept, and what is not equal is told by its key;
no value is.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aurora import comparing, sql
from dynaurora.aurora.connection import is_mariadb
from dynaurora.aurora.fills import is_hidden
from dynaurora.dynamodb.versions import make_version

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.aurora.origins import Origin

FUTURE_SECONDS: Final = 300
"""By so much a version may be ahead of the clock: stamps are of another one."""
MOST_TOLD: Final = 1_000
"""Keys of a part of a batch that are told; the others are counted."""


def compare_staged(origin: Origin, aurora: Aurora, staged: str, run: str) -> dict[str, Any]:
    """Return what staged rows are: `{"target", "counts": {verdict: rows}, "suspects": […]}`.

    A suspect is `{"fields": […], "verdict", "columns": […]}`, the fields of its key.
    """
    mapping, mariadb = origin.mapping, is_mariadb(aurora.server_version)
    if is_hidden(aurora, mapping):  # a backfill fills it, and nobody sees it yet
        ((rows,),) = aurora.query(sql.select_row_count(mapping, staged))
        return {"target": mapping.table, "counts": {"skipped": int(rows)}, "suspects": []}
    future = make_version(int(time.time()) + FUTURE_SECONDS, 0)
    counted = aurora.query(comparing.count_verdicts(origin, staged, mariadb=mariadb, future=future))
    counts = {server_text(verdict): int(count) for verdict, count in counted}
    suspects = list[dict[str, Any]]()
    if counts.keys() - {"identical", "newer", "skipped"}:
        found = aurora.query(comparing.select_suspects(origin, staged, mariadb=mariadb, future=future), (MOST_TOLD,))
        suspects = [_describe(*row) for row in found]
    aurora.execute(comparing.mark_staged_seen(mapping, staged), (run, mapping.table))
    return {"target": mapping.table, "counts": counts, "suspects": suspects}


def _describe(verdict: Any, columns: Any, *fields: Any) -> dict[str, Any]:
    told = server_text(verdict)
    names = [*filter(None, server_text(columns).split(","))] if told in {"differing", "older_mapping"} else []
    return {"fields": [*map(server_text, fields)], "verdict": told, "columns": names}


def server_text(value: Any) -> str:
    """Return text of the server's, which gives some of it as bytes."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)

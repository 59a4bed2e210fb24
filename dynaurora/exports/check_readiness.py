"""Readiness: whether the source table can be backfilled now, later, or not before someone does something.

It is ready once the mapping takes keys of its types, its point-in-time recovery is on, its stream carries new images,
and the event source mapping of that stream has been enabled for longer than a snapshot's rows are dated back: then
every change that the export might lack is on its way through the stream, with a version that beats the export's.

After a change of the mapping it is ready once no row of an older one can beat the export's: whatever was mapped with
the older one is then older than the snapshot, so the run brings every row up to date. An export that is given may be of
before that. It is imported, and its run is never called complete.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from dynaurora import keys
from dynaurora.aws.objects import read_or_none
from dynaurora.dynamodb.source import Source, SourceState, find_problems, seconds_to_wait
from dynaurora.dynamodb.versions import SNAPSHOT_MARGIN_SECONDS
from dynaurora.errors import NotReadyError, RunConflictError
from dynaurora.exports.plan import read_whole_plan
from dynaurora.mappings.key_types import find_key_conflicts
from dynaurora.mappings.registry import TAKE_UP_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.registry import Registry

TOKEN_LIFETIME: Final = timedelta(hours=8)
"""For so long DynamoDB answers a client token with the export that it started (DynamoDB API,
`ExportTableToPointInTime`)."""
STAMPS_SECONDS: Final = 60
"""By so much the stamp of a change may be ahead of the clock that it was mapped by."""
SETTLED_SECONDS: Final = TAKE_UP_SECONDS + SNAPSHOT_MARGIN_SECONDS + STAMPS_SECONDS
"""For so long after a mapping was switched, changes may have rows of an older one that are not older than an export's:
they were mapped until it was taken up, stamped ahead by as much as clocks differ, and its rows are dated back."""


@dataclass(frozen=True)
class WantedExport:
    """What a run imports where it is not a full export of its own that has no ARN yet."""

    summary: str | None = None
    """Where the summary of a given export is."""
    window_from: str | None = None
    window_to: str | None = None
    """The window of an incremental export, in ISO 8601."""

    @property
    def is_whole(self) -> bool:
        """Whether the run makes a full export."""
        return self.summary is None and self.window_from is None

    def seconds_to_end(self, now: datetime) -> int:
        """Return after how many seconds the window is over."""
        return math.ceil((datetime.fromisoformat(self.window_to) - now).total_seconds()) if self.window_to else 0


@dataclass(frozen=True)
class Readiness:
    """What the check found; a table that cannot be backfilled raises NotReadyError instead."""

    ready: bool
    planned: bool = False
    """Whether this run has its plan already: then there is nothing to export."""
    wait_seconds: int = 0
    """After how many seconds to look again, where it is not ready yet."""
    export: dict[str, str] | None = None
    """What to ask of DynamoDB: table_arn, bucket, kms_key, prefix, export_time (ISO 8601) and client_token; of an
    incremental export also window_from and window_to."""
    stream_enabled_at: float | None = None
    mapping_changed_at: float | None = None
    """Seconds of Unix time."""
    complete_from: float | None = None
    """Second of Unix time from which on an export brings every row to the current mapping; None where there was no
    other mapping."""


def check_readiness(
    source: Source,
    store: ObjectStore,
    bucket: str,
    mapping: str,
    run: str,
    *,
    export_arn: str | None,
    now: datetime,
    complete_from: datetime | None = None,
    is_current: bool = True,
    current: Mapping | None = None,
    wanted: WantedExport | None = None,
) -> Readiness:
    """Return whether a run may start, and with which export: a new one, unless one is given.

    A run asks for the same export whenever it is repeated, so that DynamoDB recognises it. `complete_from` is what
    `find_complete_from` found, `is_current` whether the mapping that the run was opened with is still the current one,
    `current` the mapping whose key has to take the table's.
    Raises NotReadyError naming everything that is in the way, and RunConflictError where the run is to do something
    else than it has planned, or would export for a mapping of before.
    """
    wanted = wanted or WantedExport()
    plan = read_whole_plan(store, bucket, mapping, run)
    if plan is not None:
        if export_arn not in {None, plan.export_arn}:
            raise RunConflictError(f"Run {run} is planned already, with the export {plan.export_arn}.")
        return Readiness(ready=True, planned=True, complete_from=_unix(complete_from))
    if not is_current:
        raise RunConflictError(f"The mapping {mapping} was changed since run {run} was opened; nothing was exported.")
    state = source.describe()
    problems = [*find_problems(state, mapping, export_arn, is_given=wanted.summary is not None)]
    problems += find_conflicts(state, current)
    if problems:
        raise NotReadyError(f"{state.table} is not ready: {'; '.join(problems)}.")
    wait_seconds = max(seconds_to_wait(state, now), wanted.seconds_to_end(now))
    if export_arn is None and wanted.is_whole and complete_from is not None:
        wait_seconds = max(wait_seconds, math.ceil((complete_from - now).total_seconds()))
    if wait_seconds:
        return Readiness(ready=False, wait_seconds=wait_seconds, complete_from=_unix(complete_from))
    late_enough = complete_from if wanted.is_whole else None
    request = request_export(state, store, bucket, source.find_key(bucket), mapping, run, now, late_enough, wanted)
    return Readiness(
        ready=True,
        export=request,
        stream_enabled_at=_unix(state.stream_enabled_at),
        mapping_changed_at=_unix(state.mapping_changed_at),
        complete_from=_unix(complete_from),
    )


def find_conflicts(state: SourceState, current: Mapping | None) -> Iterator[str]:
    """Yield where a mapping does not take the keys that a table is known to have: each item would be refused."""
    if current is not None and state.keys and len(state.keys) == len(state.key_types):
        yield from find_key_conflicts(current, dict(zip(state.keys, state.key_types, strict=True)))


def find_complete_from(registry: Registry) -> datetime | None:
    """Return from which second on an export brings every row to the current mapping; None where it is the first one.

    Raises RegistryUnavailableError.
    """
    if registry.find_pointer().generation <= 1:
        return None
    settled = registry.find_switch() + timedelta(seconds=SETTLED_SECONDS)
    return datetime.fromtimestamp(math.ceil(settled.timestamp()), UTC)


def request_export(
    state: SourceState,
    store: ObjectStore,
    bucket: str,
    kms_key: str,
    mapping: str,
    run: str,
    now: datetime,
    complete_from: datetime | None = None,
    wanted: WantedExport | None = None,
) -> dict[str, str]:
    """Return what to ask of DynamoDB: what the run has asked for before, or from now on asks for.

    What was asked for too long ago, or with another key, DynamoDB no longer recognises. What was asked for before the
    stream was on for long enough may lack changes, and before the mapping was changed, rows would stay older. Nothing
    of it was planned, so a newer one is as good.
    """
    key = keys.export_request(mapping, run)
    earlier = read_or_none(store, bucket, key)
    if earlier is not None:
        request: dict[str, str] = json.loads(earlier)
        asked_at = datetime.fromisoformat(request["export_time"])
        is_known = now - asked_at < TOKEN_LIFETIME and request.get("kms_key") == kms_key
        is_late_enough = not seconds_to_wait(state, asked_at) and (complete_from is None or asked_at >= complete_from)
        is_same = request.get("window_from") == (wanted.window_from if wanted else None)
        if is_known and is_late_enough and is_same:
            return request
    export_time = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    # Tokens are the account's: a run of the same id, of another table or bucket, is to have another one.
    window = {}
    if wanted and wanted.window_from and wanted.window_to:
        window = {"window_from": wanted.window_from, "window_to": wanted.window_to}
    named = [state.table_arn or "", bucket, kms_key, run, export_time, *window.values()]
    token = hashlib.sha256("\0".join(named).encode()).hexdigest()
    request = {
        "table_arn": state.table_arn or "",
        "bucket": bucket,
        "kms_key": kms_key,
        "prefix": keys.export_prefix(mapping, run),
        "export_time": export_time,
        "client_token": f"dynaurora-{token[:32]}",
        **window,
    }
    store.write(bucket, key, json.dumps(request).encode())
    return request


def _unix(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()

"""Readiness: whether the source table can be backfilled now, later, or not before someone does something.

It is ready once its point-in-time recovery is on, its stream carries new images, and the event source mapping of that
stream has been enabled for longer than a snapshot's rows are dated back: then every change that the export might lack
is on its way through the stream, with a version that beats the export's.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from dynaurora import keys
from dynaurora.aws.objects import read_or_none
from dynaurora.dynamodb.source import Source, SourceState, find_problems, seconds_to_wait
from dynaurora.errors import NotReadyError, RunConflictError
from dynaurora.exports.plan import read_plan

if TYPE_CHECKING:
    from dynaurora.aws.objects import ObjectStore

TOKEN_LIFETIME: Final = timedelta(hours=8)
"""For so long DynamoDB answers a client token with the export that it started (DynamoDB API,
`ExportTableToPointInTime`)."""


@dataclass(frozen=True)
class Readiness:
    """What the check found; a table that cannot be backfilled raises NotReadyError instead."""

    ready: bool
    planned: bool = False
    """Whether this run has its plan already: then there is nothing to export."""
    wait_seconds: int = 0
    """After how many seconds to look again, where it is not ready yet."""
    export: dict[str, str] | None = None
    """What to ask of DynamoDB: table_arn, bucket, kms_key, prefix, export_time (ISO 8601) and client_token."""
    stream_enabled_at: float | None = None
    mapping_changed_at: float | None = None
    """Seconds of Unix time."""


def check_readiness(
    source: Source, store: ObjectStore, bucket: str, mapping: str, run: str, *, export_arn: str | None, now: datetime
) -> Readiness:
    """Return whether a run may start, and with which export: a new one, unless one is given.

    A run asks for the same export whenever it is repeated, so that DynamoDB recognises it. Raises NotReadyError naming
    everything that is in the way.
    """
    plan = read_plan(store, bucket, mapping, run)
    if plan is not None:
        if export_arn not in {None, plan.export_arn}:
            raise RunConflictError(f"Run {run} is planned already, with the export {plan.export_arn}.")
        return Readiness(ready=True, planned=True)
    state = source.describe()
    problems = list(find_problems(state, export_arn))
    if problems:
        raise NotReadyError(f"{state.table} is not ready: {'; '.join(problems)}.")
    wait_seconds = seconds_to_wait(state, now)
    if wait_seconds:
        return Readiness(ready=False, wait_seconds=wait_seconds)
    request = request_export(state, store, bucket, source.find_key(bucket), mapping, run, now)
    return Readiness(
        ready=True,
        export=request,
        stream_enabled_at=_unix(state.stream_enabled_at),
        mapping_changed_at=_unix(state.mapping_changed_at),
    )


def request_export(
    state: SourceState, store: ObjectStore, bucket: str, kms_key: str, mapping: str, run: str, now: datetime
) -> dict[str, str]:
    """Return what to ask of DynamoDB: what the run has asked for before, or from now on asks for.

    What was asked for too long ago, or with another key, DynamoDB no longer recognises, and what was asked for before
    the stream was on for long enough may lack changes; nothing of it was planned, so a newer one is as good.
    """
    key = keys.export_request(mapping, run)
    earlier = read_or_none(store, bucket, key)
    if earlier is not None:
        request: dict[str, str] = json.loads(earlier)
        asked_at = datetime.fromisoformat(request["export_time"])
        is_known = now - asked_at < TOKEN_LIFETIME and request.get("kms_key") == kms_key
        if is_known and not seconds_to_wait(state, asked_at):
            return request
    export_time = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    # Tokens are the account's: a run of the same id, of another table or bucket, is to have another one.
    named = [state.table_arn or "", bucket, kms_key, run, export_time]
    token = hashlib.sha256("\0".join(named).encode()).hexdigest()
    request = {
        "table_arn": state.table_arn or "",
        "bucket": bucket,
        "kms_key": kms_key,
        "prefix": keys.export_prefix(mapping, run),
        "export_time": export_time,
        "client_token": f"dynaurora-{token[:32]}",
    }
    store.write(bucket, key, json.dumps(request).encode())
    return request


def _unix(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()

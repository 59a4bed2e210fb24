"""Faults on demand: what AWS does now and then, a test can ask for.

``POST /_dynaurora/faults`` with a JSON object sets counters, each of which is used up by what it describes;
``GET /_dynaurora/faults`` answers what is left. Counters apply to all that there is of a kind.
A function's process is killed in the middle of an invocation by other means: see ``deaths``.

========================= ==========================================================================================
counter                   effect
========================= ==========================================================================================
``reject_entries``        so many entries of PutRecordBatch calls are answered with ErrorCode
                          ServiceUnavailableException, "Slow down.": every second entry of a call, or its only one
``throttle_calls``        so many whole PutRecord and PutRecordBatch calls fail with ServiceUnavailableException
                          (HTTP 503)
``duplicate_objects``     so many delivered objects are delivered a second time, under another name
``duplicate_invocations`` so many batches of stream mappings that a function has taken are delivered to it again
``duplicate_events``      so many events of S3 objects reach their rules twice (``repeated_events``)
``fail_gets``             so many GET and HEAD requests for objects are answered with HTTP 503 SlowDown
                          (``object_errors``)
``fail_puts``             so many PUT and POST requests for objects are, and writes of delivery streams
``fail_exports``          so many table exports end as FAILED, with FailureCode InternalServerError
``throttle_exports``      so many ExportTableToPointInTime and DescribeExport calls fail with ThrottlingException
``limit_exports``         so many ExportTableToPointInTime calls fail with LimitExceededException
========================= ==========================================================================================

And settings, which stay until they are set again:

- ``shift_export_cut_seconds``, -60 to 60, moves the instant that a table export shows against the time that was asked
  for. AWS leaves open which side of it a write within a minute is on.
- ``spread_export_cuts_seconds``, 0 to 60, draws for each item of an export an instant of its own, by up to so much to
  either side of that; of an incremental export one for either end of its window.
- ``age_writes_seconds``, 0 or more, dates writes to tables back by so much as they are made: their stream records and
  what exports know of them. It stands for the minutes that pass on AWS before a window over them can be exported.
- ``age_recovery_seconds``, 0 or more, has point-in-time recovery be on for so much longer. What a table has when it is
  switched on is its past: an incremental export's window, of a quarter of an hour at least, can begin before that. It
  starts as DYNAURORA_RECOVERY_AGE_SECONDS, or 0.
- ``age_stream_mappings_seconds``, 0 or more, dates LastModified of DynamoDB event source mappings back by so much. On
  AWS a backfill must wait until the mapping has been reading for some minutes, as an export may miss by a minute what
  was written around its time. Here an export's cut is exact, so a demonstration that pretends to an older mapping
  loses nothing by not waiting. It starts as DYNAURORA_STREAM_AGE_SECONDS, or 0.
- ``age_mappings_seconds``, 0 or more, dates LastModified of the registry's objects, below ``mappings/``, back by so
  much where S3 lists them. On AWS a backfill must wait for some minutes after a mapping was changed, until functions
  have taken it up everywhere; who knows that they have need not.
- ``hold_exports``, 0 or 1, keeps table exports IN_PROGRESS for as long as it is 1: what AWS takes minutes for can be
  looked at, and interrupted, without waiting for minutes.
"""

import json
import os
import threading
from typing import Any

from ministack import app

from local.emulator.replacements import Replacements

PATH = "/_dynaurora/faults"
COUNTERS = (
    "reject_entries",
    "throttle_calls",
    "duplicate_objects",
    "duplicate_invocations",
    "duplicate_events",
    "fail_gets",
    "fail_puts",
    "fail_exports",
    "throttle_exports",
    "limit_exports",
)
EXPORT_SHIFT = "shift_export_cut_seconds"
EXPORT_SPREAD = "spread_export_cuts_seconds"
EXPORT_SHIFT_LIMIT = 60
MAPPING_AGE = "age_stream_mappings_seconds"
MAPPING_AGE_VARIABLE = "DYNAURORA_STREAM_AGE_SECONDS"
REGISTRY_AGE = "age_mappings_seconds"
EXPORT_HOLD = "hold_exports"
WRITES_AGE = "age_writes_seconds"
RECOVERY_AGE = "age_recovery_seconds"
RECOVERY_AGE_VARIABLE = "DYNAURORA_RECOVERY_AGE_SECONDS"
AGES = (MAPPING_AGE, REGISTRY_AGE, WRITES_AGE, RECOVERY_AGE)

_lock = threading.Lock()
_left = dict.fromkeys((*COUNTERS, EXPORT_SHIFT, EXPORT_SPREAD, EXPORT_HOLD, *AGES), 0)


def take(counter: str, wanted: int = 1) -> int:
    """Use up to ``wanted`` of a counter; how many there were."""
    with _lock:
        taken = min(wanted, _left[counter])
        _left[counter] -= taken
        return taken


def read_export_shift() -> int:
    """Return the seconds by which exports miss their time."""
    with _lock:
        return _left[EXPORT_SHIFT]


def read_export_spread() -> int:
    """Return the seconds by which an item's own instant may differ from the export's."""
    with _lock:
        return _left[EXPORT_SPREAD]


def read_mapping_age() -> int:
    """Return the seconds by which stream mappings are said to be older than they are."""
    with _lock:
        return _left[MAPPING_AGE]


def read_registry_age() -> int:
    """Return the seconds by which the registry's objects are said to be older than they are."""
    with _lock:
        return _left[REGISTRY_AGE]


def read_writes_age() -> int:
    """Return the seconds by which writes are dated back."""
    with _lock:
        return _left[WRITES_AGE]


def read_recovery_age() -> int:
    """Return the seconds by which recovery passes for having been on for longer."""
    with _lock:
        return _left[RECOVERY_AGE]


def holds_exports() -> bool:
    """Tell whether no export is to end now."""
    with _lock:
        return bool(_left[EXPORT_HOLD])


def install(emulator: Replacements) -> None:
    """Plan the replacement that adds the endpoint. Raises ValueError for an age that is none."""
    variables = {MAPPING_AGE: MAPPING_AGE_VARIABLE, RECOVERY_AGE: RECOVERY_AGE_VARIABLE}
    _set({age: os.environ.get(variable) or 0 for age, variable in variables.items()})
    emulator.wrap(app.__name__, "_handle_admin_config_request", "(path: str, method: str, body: bytes)", _add_endpoint)


def _add_endpoint(original: Any) -> Any:
    async def handle(path: str, method: str, body: bytes) -> Any:
        if path != PATH:
            return await original(path, method, body)
        if method == "POST":
            try:
                _set(json.loads(body or b"{}"))
            except (ValueError, TypeError, AttributeError) as error:
                return 400, {"Content-Type": "application/json"}, json.dumps({"message": str(error)}).encode()
        with _lock:
            return 200, {"Content-Type": "application/json"}, json.dumps(_left).encode()

    return handle


def _set(counters: dict[str, Any]) -> None:
    unknown = sorted(set(counters) - set(_left))
    if unknown:
        raise ValueError(f"Unknown: {', '.join(unknown)}. Known: {', '.join(_left)}")
    values = {name: int(count) for name, count in counters.items()}
    if abs(values.get(EXPORT_SHIFT, 0)) > EXPORT_SHIFT_LIMIT:
        raise ValueError(f"{EXPORT_SHIFT} is at most {EXPORT_SHIFT_LIMIT}, to either side")
    if not 0 <= values.get(EXPORT_SPREAD, 0) <= EXPORT_SHIFT_LIMIT:
        raise ValueError(f"{EXPORT_SPREAD} is 0 to {EXPORT_SHIFT_LIMIT}")
    for age in AGES:
        if values.get(age, 0) < 0:
            raise ValueError(f"{age} is at least 0")
    with _lock:
        _left.update(values)

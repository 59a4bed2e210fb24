"""Faults on demand: what AWS does now and then, a test can ask for.

``POST /_dynaurora/faults`` with a JSON object sets counters, each of which is used up by what it describes;
``GET /_dynaurora/faults`` answers what is left. Counters apply to all delivery streams and all table exports.

==================== =============================================================================================
counter              effect
==================== =============================================================================================
``reject_entries``   so many entries of PutRecordBatch calls are answered with ErrorCode ServiceUnavailableException,
                     "Slow down.": every second entry of a call, or its only one
``throttle_calls``   so many whole PutRecord and PutRecordBatch calls fail with ServiceUnavailableException (HTTP 503)
``duplicate_objects`` so many delivered objects are delivered a second time, under another name
``fail_exports``     so many table exports end as FAILED, with FailureCode InternalServerError
==================== =============================================================================================

And one setting, which stays until it is set again: ``shift_export_cut_seconds``, -60 to 60, moves the instant that a
table export shows against the time that was asked for. AWS leaves open which side of it a write within a minute is on.
"""

import json
import threading
from typing import Any

from ministack import app

from local.emulator.replacements import Replacements

PATH = "/_dynaurora/faults"
COUNTERS = ("reject_entries", "throttle_calls", "duplicate_objects", "fail_exports")
EXPORT_SHIFT = "shift_export_cut_seconds"
EXPORT_SHIFT_LIMIT = 60

_lock = threading.Lock()
_left = dict.fromkeys((*COUNTERS, EXPORT_SHIFT), 0)


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


def install(emulator: Replacements) -> None:
    """Plan the replacement that adds the endpoint."""
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
    with _lock:
        _left.update(values)

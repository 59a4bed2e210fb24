"""Faults on demand: what AWS does now and then, a test can ask for.

``POST /_dynaurora/faults`` with a JSON object sets counters, each of which is used up by what it describes;
``GET /_dynaurora/faults`` answers what is left. Counters apply to all delivery streams.

==================== =============================================================================================
counter              effect
==================== =============================================================================================
``reject_entries``   so many entries of PutRecordBatch calls are answered with ErrorCode ServiceUnavailableException,
                     "Slow down.": every second entry of a call, or its only one
``throttle_calls``   so many whole PutRecord and PutRecordBatch calls fail with ServiceUnavailableException (HTTP 503)
``duplicate_objects`` so many delivered objects are delivered a second time, under another name
==================== =============================================================================================
"""

import json
import threading
from typing import Any

from ministack import app

from local.emulator.replacements import Replacements

PATH = "/_dynaurora/faults"
COUNTERS = ("reject_entries", "throttle_calls", "duplicate_objects")

_lock = threading.Lock()
_left = dict.fromkeys(COUNTERS, 0)


def take(counter: str, wanted: int = 1) -> int:
    """Use up to ``wanted`` of a counter; how many there were."""
    with _lock:
        taken = min(wanted, _left[counter])
        _left[counter] -= taken
        return taken


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
    unknown = sorted(set(counters) - set(COUNTERS))
    if unknown:
        raise ValueError(f"Unknown: {', '.join(unknown)}. Known: {', '.join(COUNTERS)}")
    with _lock:
        _left.update({name: int(count) for name, count in counters.items()})

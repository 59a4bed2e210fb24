"""EventBridge: events of objects that come twice, on demand (``faults``).

S3 sends its events at least once (Amazon S3 User Guide, "Amazon S3 Event Notifications"). ``duplicate_events`` counts
the events of S3's that all their rules get a second time.
"""

from typing import Any

from ministack.services import eventbridge

from local.emulator import faults
from local.emulator.replacements import Replacements


def install(emulator: Replacements) -> None:
    """Plan the replacement that repeats events."""
    emulator.wrap(eventbridge.__name__, "_dispatch_event", "(event, view=None)", _repeat)


def _repeat(original: Any) -> Any:
    def dispatch(event: dict[str, Any], view: Any = None) -> None:
        original(event, view)
        if event.get("Source") == "aws.s3" and faults.take("duplicate_events"):
            original(event, view)

    return dispatch

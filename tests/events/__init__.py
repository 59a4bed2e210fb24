"""Recorded events, as AWS hands them to the functions, loaded by name."""

import json
from pathlib import Path
from typing import Any


def load_event(name: str) -> dict[str, Any]:
    """Return a new copy of the event in `<name>.json`."""
    event: dict[str, Any] = json.loads((Path(__file__).parent / f"{name}.json").read_text("utf-8"))
    return event

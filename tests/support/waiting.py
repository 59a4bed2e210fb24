"""Waiting for a state, of what goes on in other processes and threads."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.02


def wait_until(check: Callable[[], T], seconds: float = PATIENCE_SECONDS, pause: float = POLL_SECONDS) -> T:
    """Call `check` until it returns something; return that."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(pause)
    return found

"""Taking the database away from a running local AWS, and giving it back: for tests and demonstrations of faults.

The supervisor does it, on a signal: it alone may start the database, and would restart it otherwise.
"""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from local.state import State, read_state

KILL_DATABASE: Final = signal.SIGUSR1
"""Has the supervisor end the database server with SIGKILL and leave it down."""
RESTART_DATABASE: Final = signal.SIGUSR2
"""Has the supervisor start it again."""

_POLL_SECONDS = 0.05


class FaultError(Exception):
    """The fault could not be caused."""


def kill_database(directory: Path, *, timeout: float = 30) -> None:
    """End the database of the local AWS in `directory` as a power failure would; return once it is down.

    Raises FaultError when no local AWS runs there, or the database is not down after `timeout` seconds.
    """
    _ask_supervisor(directory, KILL_DATABASE, lambda state: state.server is None, timeout)


def restart_database(directory: Path, *, timeout: float = 60) -> None:
    """Start the database that `kill_database` ended; return once it accepts connections.

    Raises FaultError when no local AWS runs there, or the database is not up after `timeout` seconds.
    """
    _ask_supervisor(directory, RESTART_DATABASE, lambda state: state.server is not None, timeout)


def _ask_supervisor(
    directory: Path, request: signal.Signals, is_granted: Callable[[State], bool], timeout: float
) -> None:
    """Send the supervisor a request and wait until the state it writes shows that it was granted."""
    state = read_state(directory)
    if state is None or not state.supervisor.send_signal(request):
        raise FaultError(f"no local AWS runs in {directory}: start it with `dynaurora local up`")
    deadline = time.monotonic() + timeout
    while not ((state := read_state(directory)) and is_granted(state)):
        if state is None or time.monotonic() > deadline:
            raise FaultError(f"the supervisor did not answer {request.name}: see {directory / 'log/supervisor.log'}")
        time.sleep(_POLL_SECONDS)

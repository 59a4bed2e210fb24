"""The supervisor: one process for each project that runs the local AWS until it is told to stop.

`python -m local.supervisor` starts everything, writes `.local/state.json` once all of it answers, and waits:

SIGTERM, SIGINT   stops everything in order and removes the state
SIGUSR1, SIGUSR2  take the database away and give it back (`local.aurora.faults`)
a child's end     the database is started again, as Aurora recovers by itself; without the emulator there is nothing
                  left to supervise, and the supervisor ends with status 1

Nothing survives it, however it ends, and it starts over whatever a killed one left.
"""

import argparse
import contextlib
import fcntl
import logging
import os
import queue
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from local import tether
from local.aurora.clients import write_client_settings
from local.aurora.engine import DatabaseServerError, Engine
from local.aurora.engines import ENGINES, find_engine
from local.aurora.faults import KILL_DATABASE, RESTART_DATABASE
from local.processes import ProcessError, identify_process, kill_process, quote_log
from local.stack import REGION, Stack
from local.state import AuroraAddress, State, read_last_state, remove_state, write_state
from local.venvs import EnvironmentCreationError

_STOPPING = (signal.SIGTERM, signal.SIGINT)
_HANDLED = (*_STOPPING, KILL_DATABASE, RESTART_DATABASE, signal.SIGCHLD)

logger = logging.getLogger("local.supervisor")  # also when run as __main__


class AlreadyRunningError(Exception):
    """Another supervisor runs in the same directory."""


class _StopRequestedError(BaseException):
    """Told to stop while starting."""


class Supervisor:
    """Starts a local AWS and keeps it as it should be."""

    def __init__(self, directory: Path, database: str, engine: Engine) -> None:
        """Supervise a local AWS that keeps its files in `directory`; nothing happens before `run`.

        `database` is the one that is created, and that clients use unless they say otherwise.
        """
        self._directory = directory.absolute()
        self._stack = Stack(self._directory, database=database, engine=engine)
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._is_starting = False
        self._database_is_wanted = True

    def run(self) -> None:
        """Run the local AWS until a signal asks to stop.

        Raises AlreadyRunningError, or ProcessError, DatabaseServerError or EnvironmentCreationError when something
        could not be started or did not stay.
        """
        with _hold_lock(self._directory / "supervisor.lock"):
            _end_leftovers(self._directory)
            for number in _HANDLED:
                signal.signal(number, self._receive_signal)
            with contextlib.suppress(_StopRequestedError), contextlib.ExitStack() as cleanup:
                cleanup.callback(remove_state, self._directory)
                cleanup.callback(self._stack.stop)
                self._start()
                self._announce()
                self._supervise()
                logger.info("stopping")

    def _start(self) -> None:
        """Start the stack; a signal to stop interrupts it."""
        self._is_starting = True
        try:
            self._stack.start()
        finally:
            self._is_starting = False

    def _receive_signal(self, number: int, _frame: FrameType | None) -> None:
        """Have the main loop act on a signal, or give up starting."""
        if self._is_starting and number in _STOPPING:
            self._is_starting = False
            raise _StopRequestedError
        self._signals.put(number)

    def _announce(self) -> None:
        """Make known that all of it answers, and how to reach it."""
        state = self._describe()
        write_client_settings(self._stack.server.directory / "my.cnf", state.aurora)
        write_state(self._directory, state)
        logger.info("ready: %s, Aurora at %s:%d", state.endpoint_url, state.aurora.host, state.aurora.port)

    def _describe(self) -> State:
        """Return the state as it is now."""
        stack, users = self._stack, self._stack.server.users
        return State(
            supervisor=identify_process(os.getpid()),
            emulator=stack.emulator.identity,
            engine=stack.server.engine.name,
            server=stack.server.identity,
            endpoint_url=stack.endpoint_url,
            region=REGION,
            aurora=AuroraAddress(
                stack.gateway.host,
                stack.gateway.port,
                users.administrator.username,
                users.administrator.password,
                stack.server.database,
                str(stack.certificates.ca_file),
            ),
        )

    def _supervise(self) -> None:
        """Act on signals until one asks to stop."""
        while (number := self._signals.get()) not in _STOPPING:
            if number == KILL_DATABASE:
                self._kill_database()
            elif number == RESTART_DATABASE:
                self._database_is_wanted = True
            self._check_children()

    def _kill_database(self) -> None:
        """Take the database away until it is wanted again."""
        self._database_is_wanted = False
        self._stack.server.kill()
        logger.info("the database was killed, as asked; it stays down")
        write_state(self._directory, self._describe())

    def _check_children(self) -> None:
        """Start the database if it is down and wanted; raise ProcessError if the emulator has ended."""
        emulator = self._stack.emulator
        if not emulator.is_alive():
            status = emulator.process.returncode
            raise ProcessError(f"{emulator.name} ended with status {status}{quote_log(emulator.log)}")
        if self._database_is_wanted and not self._stack.server.is_running():
            logger.warning("the database is down: starting it")
            self._stack.server.start()
            write_state(self._directory, self._describe())
            logger.info("the database is up")


@contextlib.contextmanager
def _hold_lock(path: Path) -> Iterator[None]:
    """Be the one supervisor of a directory; raises AlreadyRunningError, which names it, when there is another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise AlreadyRunningError(
                f"process {file.read().strip() or '(starting)'} already runs the local AWS in {path.parent}:"
                " stop it with `dynaurora local down`"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _end_leftovers(directory: Path) -> None:
    """End what a killed supervisor's children may still be doing, and forget its state."""
    state = read_last_state(directory)
    for identity in (state.emulator, state.server) if state else ():
        if identity is not None and identity.is_alive():
            logger.warning("ending process %d of a supervisor that was killed", identity.pid)
            kill_process(identity)
    remove_state(directory)


def _log_to(path: Path) -> None:
    """Log to a file and, for whoever started this in a terminal, to standard error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.FileHandler(path, encoding="utf-8"), logging.StreamHandler()]
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", handlers=handlers)
    logging.getLogger("local").setLevel(logging.INFO)


def main(arguments: list[str] | None = None) -> int:
    """Run the supervisor; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m local.supervisor", description="Run the local AWS.")
    parser.add_argument("--directory", type=Path, required=True, help="where its files are kept")
    parser.add_argument("--database", default="Demo", help="name of the database to create")
    parser.add_argument("--engine", choices=tuple(ENGINES), help="which database server (default: DYNAURORA_ENGINE)")
    parser.add_argument("--lifeline", action="store_true", help="stop when the process that started this ends")
    options = parser.parse_args(arguments)
    if options.lifeline:
        tether.die_with_parent(signal.SIGTERM)
    _log_to(options.directory.absolute() / "log" / "supervisor.log")
    try:
        Supervisor(options.directory, options.database, find_engine(options.engine)).run()
    except (AlreadyRunningError, DatabaseServerError, EnvironmentCreationError, ProcessError) as error:
        logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

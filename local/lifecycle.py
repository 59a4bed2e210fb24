"""Starting and stopping the local AWS of a project, from a command that does something else too.

The supervisor is started in the background; its state file says when everything answers.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from infra.places import ROOT
from local.aurora.engines import ENGINE_VARIABLE, EngineError, find_engine, refuse_foreign_data
from local.aurora.server import DATA, place_socket
from local.files import make_private
from local.processes import ProcessError, ProcessIdentity, identify_process, kill_process, quote_log, start_child
from local.stack import DATABASE, KEPT
from local.state import State, read_state, remove_state
from local.venvs import ensure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 90.0
"""The emulator delivers what it has accepted, and the server writes its pages, before they end."""
POLL_SECONDS: Final = 0.05
LOCK: Final = "supervisor.lock"


class LifecycleError(Exception):
    """The local AWS did not start, or did not stop; the message says why."""


def start(
    directory: Path,
    *,
    database: str,
    engine: str | None = None,
    lifeline: bool = False,
    report: Callable[[str], None] = print,
) -> State:
    """Return the state of the running local AWS, starting it first where none runs.

    `database` is what clients use unless they say otherwise; `engine` names the database server, where it matters. With
    `lifeline`, what is started stops when this process ends, however it ends; this must then be the main thread.

    Raises LifecycleError, with the end of the supervisor's log, EnvironmentCreationError, or DatabaseServerError where
    the server cannot be had, or another one runs than the one that is asked for.
    """
    if state := read_state(directory):
        _check_engine(state, engine)
        return state
    for name in ("emulator", "runtime"):
        ensure(name)
    make_private(directory)
    chosen = find_engine(engine)
    refuse_foreign_data(directory / DATABASE / DATA, chosen)
    chosen.find_programs()
    report(f"Starting {chosen.title} and the emulator")
    supervisor = _spawn_supervisor(directory, database, chosen.name, lifeline=lifeline)
    return _wait_for_state(directory, supervisor)


def stop(directory: Path) -> bool:
    """Stop the local AWS and return once all of it is gone; False where none ran.

    Raises LifecycleError where it does not end.
    """
    supervisor = find_supervisor(directory)
    if supervisor is None:
        return False
    supervisor.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while supervisor.is_alive():
        if time.monotonic() > deadline:
            kill_process(supervisor)
            raise LifecycleError(f"The local AWS did not stop in time and was killed{quote_log(_log(directory))}")
        time.sleep(POLL_SECONDS)
    return True


def clear(directory: Path) -> None:
    """Remove what a local AWS that was stopped has left in its directory; of one that runs, nothing.

    The directory goes too, unless it has something of another's.
    """
    lock = directory / LOCK
    if not directory.is_dir():
        return
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        for name in KEPT:
            shutil.rmtree(directory / name, ignore_errors=True)
        socket = place_socket(directory / DATABASE)  # elsewhere, where the path is long
        shutil.rmtree(socket.parent, ignore_errors=True)
        remove_state(directory)
        lock.unlink(missing_ok=True)
    with suppress(OSError):
        directory.rmdir()


@contextmanager
def start_for_good(
    directory: Path,
    *,
    database: str,
    engine: str | None = None,
    report: Callable[[str], None] = print,
) -> Iterator[State]:
    """Yield a local AWS to set up. It stays running, unless this started it and setting up failed."""
    was_running = find_supervisor(directory) is not None
    try:
        yield start(directory, database=database, engine=engine, report=report)
    except BaseException:
        if not was_running:
            stop(directory)
        raise


@contextmanager
def borrow(
    directory: Path,
    *,
    database: str,
    engine: str | None = None,
    report: Callable[[str], None] = print,
) -> Iterator[tuple[State, bool]]:
    """Yield a local AWS and whether it was running: that one is left running, any other is stopped at the end."""
    state = read_state(directory)
    if state is not None:
        _check_engine(state, engine)
        yield state, True
        return
    try:
        yield start(directory, database=database, engine=engine, lifeline=True, report=report), False
    finally:
        report("Stopping the local AWS")
        stop(directory)


def find_supervisor(directory: Path) -> ProcessIdentity | None:
    """Return the supervisor's process, also while it is still starting or already stopping; None where none runs."""
    if state := read_state(directory):
        return state.supervisor
    try:
        with (directory / LOCK).open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        try:
            return identify_process(int((directory / LOCK).read_text(encoding="utf-8")))
        except (ValueError, ProcessError):  # it is just about to write its id, or has just ended
            return None
    return None


def _check_engine(state: State, wanted: str | None) -> None:
    """Raise EngineError where the running local AWS has another database server than the one asked for, if any is."""
    wanted = wanted or os.environ.get(ENGINE_VARIABLE)
    if wanted and find_engine(wanted).name != state.engine:
        has, asked = find_engine(state.engine).title, find_engine(wanted).title
        raise EngineError(
            f"The local AWS that runs has {has}, and {asked} is asked for: run `dynaurora local down` first."
        )


def _spawn_supervisor(directory: Path, database: str, engine: str, *, lifeline: bool) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "local.supervisor", "--directory", str(directory), "--database", database]
    command += ["--engine", engine]
    log = _log(directory)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    if lifeline:
        death_signal = signal.SIGTERM
        return start_child("the supervisor", command, log=log, directory=ROOT, death_signal=death_signal).process
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            start_new_session=True,
        )


def _wait_for_state(directory: Path, supervisor: subprocess.Popen[bytes]) -> State:
    """Return the state once it is written, by this supervisor or by another that was a moment faster."""
    deadline = time.monotonic() + START_SECONDS
    try:
        while not (state := read_state(directory)):
            if supervisor.poll() is not None and find_supervisor(directory) is None:
                raise LifecycleError(f"The local AWS did not start{quote_log(_log(directory))}")
            if time.monotonic() > deadline:
                problem = f"The local AWS was not ready after {START_SECONDS:g} s"
                raise LifecycleError(f"{problem}{quote_log(_log(directory))}")
            time.sleep(POLL_SECONDS)
    except BaseException:
        supervisor.terminate()
        raise
    return state


def _log(directory: Path) -> Path:
    """Return the file that has what the supervisor wrote since it was last started."""
    return directory / "log" / "start.log"

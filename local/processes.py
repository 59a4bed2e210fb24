"""Child processes that cannot outlive their parent: started, waited for, stopped.

Children run in a session of their own, so that Ctrl-C in a terminal reaches only the parent, which then stops them in
the right order; and they are tied to the parent (`local.tether`), so that nothing survives even its SIGKILL.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local import tether

_POLL_SECONDS = 0.02
_LOG_TAIL_LINES = 20


class ProcessError(Exception):
    """A child process ended, or did not become ready, when it should have been running."""


@dataclass(frozen=True)
class ProcessIdentity:
    """A process for as long as it lives: its id may be given to another one later, its start time may not."""

    pid: int
    started: int
    """Start time in clock ticks since boot, as in `/proc/<pid>/stat`."""

    def is_alive(self) -> bool:
        """Tell whether this very process (not a later one of the same id) still runs."""
        return read_start_time(self.pid) == self.started

    def send_signal(self, number: int) -> bool:
        """Send a signal if the process still runs; tell whether it was sent."""
        if not self.is_alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


@dataclass(frozen=True)
class Child:
    """A running (or ended) child process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def identity(self) -> ProcessIdentity:
        """The child's process id and start time; raises ProcessError when it has ended."""
        return identify_process(self.process.pid)

    def is_alive(self) -> bool:
        """Tell whether the child still runs; collects its exit status when it does not."""
        return self.process.poll() is None


def read_start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot, or None when no such process runs."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the command's name in parentheses, may itself hold spaces and parentheses.
    fields = status.rpartition(")")[2].split()
    state, started = fields[0], fields[19]
    return None if state in "ZX" else int(started)


def identify_process(pid: int) -> ProcessIdentity:
    """Return the identity of a running process; raises ProcessError when there is none."""
    started = read_start_time(pid)
    if started is None:
        raise ProcessError(f"process {pid} does not run")
    return ProcessIdentity(pid, started)


def find_free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_child(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> Child:
    """Start a child, called `name` in messages, its output appended to `log`.

    `environment` is its whole environment, `directory` its working directory; this process's own when None. It gets
    `death_signal` when this process dies without having stopped it.

    Raises RuntimeError when not called from the main thread: Linux sends the signal when the *thread* that started the
    child ends, which for any other thread is sooner than meant.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(f"start {name} from the main thread: a child is tied to the thread that starts it")
    log.parent.mkdir(parents=True, exist_ok=True)
    tied = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), str(int(death_signal)), *command]
    with log.open("ab") as output:
        process = subprocess.Popen(
            tied,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=directory,
            start_new_session=True,
        )
    return Child(name, process, log)


def wait_until_ready(child: Child, is_ready: Callable[[], bool], *, timeout: float) -> None:
    """Return once `is_ready` says so.

    Raises ProcessError, with the end of the log, when the child ended or was not ready after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not is_ready():
        if not child.is_alive():
            raise ProcessError(f"{child.name} ended with status {child.process.returncode}{quote_log(child.log)}")
        if time.monotonic() > deadline:
            raise ProcessError(f"{child.name} was not ready after {timeout:g} s{quote_log(child.log)}")
        time.sleep(_POLL_SECONDS)


def stop_child(child: Child, *, grace: float) -> None:
    """End a child with SIGTERM and, if it still runs after `grace` seconds, with SIGKILL; return when it is gone."""
    if not child.is_alive():
        return
    child.process.terminate()
    try:
        child.process.wait(grace)
    except subprocess.TimeoutExpired:
        kill_child(child)


def kill_child(child: Child) -> None:
    """End a child with SIGKILL; return when it is gone."""
    child.process.kill()
    child.process.wait()


def kill_process(identity: ProcessIdentity, *, timeout: float = 10) -> None:
    """End a process that is not our child with SIGKILL; return when it is gone.

    Raises ProcessError when it still runs after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while identity.send_signal(signal.SIGKILL):
        if time.monotonic() > deadline:
            raise ProcessError(f"process {identity.pid} survives SIGKILL")
        time.sleep(_POLL_SECONDS)


def quote_log(log: Path) -> str:
    """Return the end of a log as the tail of a message: `; the end of <log>:` and its last lines."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    except FileNotFoundError:
        lines = []
    return f"; the end of {log}:\n" + "\n".join(f"    {line}" for line in lines)

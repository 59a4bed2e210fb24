"""Lambda: function processes by fork, from one process a package that has imported its libraries (``fork_server``).

The first process of a package starts by itself; most packages of tests never have a second one.
"""

import contextlib
import json
import logging
import os
import queue
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

logger = logging.getLogger("dynaurora.lambda")

START_SECONDS = 30.0
"""How long a server may take for its imports and the first fork."""
MOST_SERVERS = 4
"""Packages that have one: those asked for last."""
ALIKE = (
    *("LANG", "PATH", "TZ", "LAMBDA_TASK_ROOT"),
    *("POWERTOOLS_TRACE_DISABLED", "AWS_XRAY_SDK_ENABLED", "AWS_XRAY_DAEMON_ADDRESS", "AWS_XRAY_CONTEXT_MISSING"),
)
"""Variables that all functions of a package have alike, if at all; what traces looks at them when it is imported."""


class ForkServerEndedError(Exception):
    """The server is gone; what it has started ends."""


class ForkedProcess:
    """A process that is a child of the server: as much of ``subprocess.Popen`` as is used of it here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = threading.Event()

    def poll(self) -> int | None:
        """Return the status it ended with; None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the status, once it has ended. Raises subprocess.TimeoutExpired."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired("function_process", timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def note_end(self, status: int) -> None:
        """Take note that it has ended."""
        self.returncode = status
        self._ended.set()


class ForkServer:
    """One package's server."""

    def __init__(self, python: str, paths: Sequence[Path], environment: Mapping[str, str]) -> None:
        self._orders, orders = socket.socketpair()
        self._lock = threading.Lock()
        self._started: queue.Queue[ForkedProcess | None] = queue.Queue()
        self._running: dict[int, ForkedProcess] = {}
        program = str(Path(__file__).with_name("fork_server.py"))
        with orders:
            self._process = subprocess.Popen(
                [python, "-I", program, str(orders.fileno()), *map(str, paths)],
                stdin=subprocess.DEVNULL,
                pass_fds=(orders.fileno(),),
                env=dict(environment),
                process_group=0,
            )
        threading.Thread(target=self._read_answers, name="fork-server", daemon=True).start()

    def start(self, environment: Mapping[str, str], directory: Path, descriptors: Sequence[int]) -> ForkedProcess:
        """Start a process with the ends of its control socket, lifeline and log. Raises ForkServerEndedError."""
        order = json.dumps({"environment": dict(environment), "directory": str(directory)}).encode()
        with self._lock:
            try:
                socket.send_fds(self._orders, [len(order).to_bytes(8, "big")], descriptors)
                self._orders.sendall(order)
                process = self._started.get(timeout=START_SECONDS)
            except (OSError, queue.Empty) as error:
                raise ForkServerEndedError from error
        if process is None:
            raise ForkServerEndedError
        return process

    @property
    def is_idle(self) -> bool:
        """Whether nothing that it has started still runs."""
        return not self._running

    def end(self) -> None:
        """End the server, and what it has started: nobody would hear of their ends."""
        self._process.kill()

    def _read_answers(self) -> None:
        """Take note of what the server tells; once it is gone, end what it has started."""
        with self._orders.makefile("rb") as answers, contextlib.suppress(ConnectionResetError):
            while header := answers.read(8):
                answer = json.loads(answers.read(int.from_bytes(header, "big")))
                if "started" in answer:
                    process = self._running[answer["started"]] = ForkedProcess(answer["started"])
                    self._started.put(process)
                else:
                    self._running.pop(answer["ended"]).note_end(answer["status"])
        self._process.wait()
        self._started.put(None)
        for process in self._running.values():
            _kill_group(process.pid)
            process.note_end(-signal.SIGKILL)


_lock = threading.Lock()
_servers: dict[tuple[Path, ...], ForkServer | None] = {}
"""By what is on the path. None: a process has started by itself."""


def start_process(
    python: str, paths: Sequence[Path], directory: Path, environment: Mapping[str, str], descriptors: Sequence[int]
) -> ForkedProcess | None:
    """Start a function's process with its ends of the control socket, the lifeline and the log.

    None where it has to start by itself: the package's first one, and where its server has failed.
    """
    key = tuple(paths)
    with _lock:
        if key not in _servers:
            _servers[key] = None
            return None
        server = _servers.pop(key) or ForkServer(
            python, paths, {name: environment[name] for name in ALIKE if name in environment}
        )
        _servers[key] = server  # the last of them now
        _end_idle()
    try:
        return server.start(environment, directory, descriptors)
    except ForkServerEndedError:
        logger.warning("A fork server has ended; functions start by themselves until there is another")
        server.end()
        with _lock:
            if _servers.get(key) is server:
                _servers[key] = None
        return None


def _end_idle() -> None:
    """End the servers asked least lately, of those that have nothing running, where there are more than so many."""
    servers = [(key, server) for key, server in _servers.items() if server]
    for key, server in servers[: len(servers) - MOST_SERVERS]:
        if server.is_idle:
            server.end()
            _servers[key] = None


def _kill_group(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)

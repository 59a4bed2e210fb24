"""A process that function processes are forked from: the libraries that they need are imported once, here.

Starting one by itself takes most of a processor's second, for the imports; a fork takes some milliseconds, and shares
the memory of what was imported. Started by ``forks`` with the functions' own interpreter, in isolated mode. Standard
library only, and no import from this project.

Nothing of a function's is imported here, for it may look at its environment variables: each has its own. What is
imported are LIBRARIES, where they are in reach; they look at nothing that differs among the functions of a package.

Arguments: the file descriptor of the socket that orders come by, then the directories to put on ``sys.path``. Frames
are those of ``function_process``.

=========  ==========================================================================================
direction  frame
=========  ==========================================================================================
to here    JSON: ``environment``, ``directory``; with its first byte the descriptors of the control socket,
           the lifeline, and the log's writing end
to parent  per order: JSON ``{"started": <process id>}``
to parent  per process: JSON ``{"ended": <process id>, "status": <as subprocess has it>}``
=========  ==========================================================================================

It ends when the orders' socket does. The processes go on until their lifelines end.
"""

import contextlib
import gc
import importlib
import importlib.machinery
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

LIBRARIES = (
    "aws_lambda_powertools",
    "aws_lambda_powertools.metrics",
    "aws_xray_sdk.core",
    "boto3",
    "botocore.client",
    "isal.igzip",
    "jsonschema",
    "msgspec",
    "pymysql",
    "re2",
)
DESCRIPTORS = 3


def main() -> None:
    """Fork a process for each order; returns in each of them, when its work is done, and never here."""
    orders = socket.socket(fileno=int(sys.argv[1]))
    orders.set_inheritable(False)
    sys.path[:0] = sys.argv[2:]
    sys.argv = sys.argv[:1]
    function_process = _load_function_process()
    for library in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    gc.freeze()  # what is never collected is not written to, and stays shared
    ended = _watch_ends()
    while (header := _wait_for_order(orders, ended, function_process)) is not None:
        length, (control, lifeline, log) = header
        order = json.loads(function_process.receive_exactly(orders, length))
        process = os.fork()
        if not process:
            orders.close()
            ended.close()
            _become(order, log)
            function_process.serve(socket.socket(fileno=control), lifeline)
            return
        with contextlib.suppress(OSError):  # the process does it too: whoever is first
            os.setpgid(process, process)
        for descriptor in (control, lifeline, log):
            os.close(descriptor)
        function_process.send_frame(orders, json.dumps({"started": process}).encode())


def _load_function_process() -> ModuleType:
    """Return the module beside this one; no function can import it."""
    file = str(Path(__file__).with_name("function_process.py"))
    loader = importlib.machinery.SourceFileLoader("function_process", file)
    module = ModuleType(loader.name)
    module.__file__ = file
    loader.exec_module(module)
    return module


def _watch_ends() -> socket.socket:
    """Return a socket that can be read from once a process has ended."""
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
    return reading


def _wait_for_order(
    orders: socket.socket, ended: socket.socket, function_process: ModuleType
) -> tuple[int, list[int]] | None:
    """Return an order's length and descriptors, None once the parent is gone; tell meanwhile of what has ended."""
    while True:
        ready, _, _ = select.select((orders, ended), (), ())
        if ended in ready:
            ended.recv(1024)
            _tell_ends(orders, function_process)
        if orders in ready:
            header, descriptors, *_ = socket.recv_fds(orders, 8, DESCRIPTORS)
            return (int.from_bytes(header, "big"), descriptors) if header else None


def _tell_ends(orders: socket.socket, function_process: ModuleType) -> None:
    """Tell of each process that has ended."""
    with contextlib.suppress(ChildProcessError):
        while True:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            answer = {"ended": process, "status": os.waitstatus_to_exitcode(status)}
            function_process.send_frame(orders, json.dumps(answer).encode())


def _become(order: dict[str, Any], log: int) -> None:
    """Make this process a function's: its group, environment, directory, output, and signals as they are at first."""
    os.setpgid(0, 0)
    os.close(signal.set_wakeup_fd(-1))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for name in ("stdout", "stderr"):
        descriptor = getattr(sys, name).fileno()
        os.dup2(log, descriptor)
        setattr(sys, name, os.fdopen(descriptor, "w", closefd=False))  # a stream of a file cannot be one of a pipe
    os.close(log)
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    os.chdir(order["directory"])


if __name__ == "__main__":
    main()

"""Functions whose process is killed in the middle of their work, on demand; part of ``function_process``.

The emulator's variable DYNAURORA_DEATHS names a directory. A file in it, called as a function, has a line for each
invocation that is to die: the number of a message, counted from 1 in each invocation, before which the process ends as
by SIGKILL; or ``answer``, for the end of its work, when only its answer is missing. An invocation takes the first line.
One that sends fewer messages lives, and so does one that finds no line. Who died of a line notes it in
``<function>.died``.

A message is whatever is sent at once: a request to an AWS service (its body counts by itself), or a statement to the
database, those of logging in included. What happens between two of them nobody but the function can see.

Standard library only: it is loaded by path, from beside ``function_process``.
"""

import fcntl
import os
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

ANSWER = "answer"


class Deaths:
    """What is to become of the invocations of this process's function."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._line = ""
        self._sent = 0
        for kind in (socket.socket, ssl.SSLSocket):
            kind.sendall = self._count(kind.sendall)  # type: ignore[method-assign]

    def begin(self) -> None:
        """Take a line for the invocation that begins."""
        self._line, self._sent = self._take_line(), 0

    def end(self) -> None:
        """End the invocation's work: nothing but its answer is left to send."""
        if self._line == ANSWER:
            self._die()
        self._line = ""

    def _count(self, send: Any) -> Any:
        def count_and_send(connection: socket.socket, data: Any, *flags: int) -> Any:
            self._sent += 1
            if self._line == str(self._sent):
                self._die()
            return send(connection, data, *flags)

        return count_and_send

    def _take_line(self) -> str:
        """Remove the first line of the file and return it; processes of one function do so one after the other."""
        try:
            file = self._file.open("r+")
        except FileNotFoundError:
            return ""
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            first, *others = file.read().splitlines() or [""]
            file.seek(0)
            file.write("".join(f"{line}\n" for line in others))
            file.truncate()
        return first

    def _die(self) -> None:
        with self._file.with_name(f"{self._file.name}.died").open("a") as died:
            died.write(f"{self._line}\n")
        os.kill(os.getpid(), signal.SIGKILL)

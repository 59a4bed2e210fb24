"""Become a command that dies with its parent: `python tether.py PARENT SIGNAL COMMAND…`.

Linux sends a process the signal it asked for when the thread that started it ends (`PR_SET_PDEATHSIG`), however that
thread ended: SIGKILL included. The setting outlives `exec`, so this program asks for it and turns into the command,
keeping its process id. A program of its own, and not a `preexec_fn`, because Python code between fork and exec can
deadlock in a process that has threads.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
"""From `<linux/prctl.h>`."""


def die_with_parent(death_signal: int) -> None:
    """Ask Linux to send this process `death_signal` as soon as its parent is gone; raise OSError when it refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, death_signal) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def main(parent: str, death_signal: str, *command: str) -> None:
    """Tie this process to `parent` (its process id), then turn into `command`."""
    die_with_parent(int(death_signal))
    if os.getppid() != int(parent):  # it died before the tie was made
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606  # the arguments come from start_child


if __name__ == "__main__":
    main(*sys.argv[1:])

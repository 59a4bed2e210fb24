"""What pip does, for who waits for it: the package it is at on a terminal, and in the end each complaint once.

``python -m local.installing NAME ARGUMENT ...`` has pip install what the arguments say, into the environment of this
interpreter, and tells of it by a name. Only the standard library is used: nothing is installed yet.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Self, TextIO

OPTIONS = ("--progress-bar", "off", "--no-input", "--disable-pip-version-check")
"""Of each pip: what it shows, and asks, is here."""
LINES_OF_FAILURE = 20
"""How much of pip's output a failure shows: its reason is at the end."""
STEP = re.compile(r"\s*(Collecting|Downloading|Using cached|Processing|Building wheel for|Installing collected) (\S+)")
"""Lines of pip's output that tell what it is at."""
COLLECTED = "Collecting"
INSTALLED = "Successfully installed "
CHANGING = re.compile(r"0x[0-9a-f]+|\d+")
"""What is different each time that pip says the same: addresses, and how often it still tries."""


class InstallationError(Exception):
    """pip failed; the message is the end of what it said."""


class Line:
    """One line that changes in place on a terminal; nothing elsewhere, where each would be a line of its own."""

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self._name = name
        self._stream = stream or sys.stderr
        self._is_seen = self._stream.isatty()
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has been shown."""
        return time.monotonic() - self._began

    def show(self, text: str) -> None:
        """Show a text in place of the one before."""
        if self._is_seen:
            room = shutil.get_terminal_size().columns - 1
            line = f"{self._name}: {text}, {self.seconds:.0f} s"
            self._stream.write(f"\r\x1b[K{line if len(line) <= room else f'{line[: room - 1]}…'}")
            self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing of it, also where what it tells of failed."""
        if self._is_seen:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def run_pip(command: Sequence[str], environment: dict[str, str], line: Line) -> int:
    """Run a pip that installs, show what it is at, and return how many packages it has installed.

    Raises InstallationError where it fails.
    """
    said: list[str] = []
    collected = 0
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    )
    with line, process:
        for text in process.stdout or ():
            said.append(text.rstrip())
            if found := STEP.match(text):
                collected += found[1] == COLLECTED
                line.show(f"{collected} packages, {found[1].lower()} {found[2].rstrip(':').rpartition('/')[2]}")
    if process.returncode != 0:
        raise InstallationError("\n".join(tell_once(said)[-LINES_OF_FAILURE:]))
    return sum(len(text.removeprefix(INSTALLED).split()) for text in said if text.startswith(INSTALLED))


def tell_once(lines: Sequence[str]) -> list[str]:
    """Return what was said, each line once, with how often it was where that is more; progress is left out."""
    kept = [line for line in lines if line and not STEP.match(line)]
    same = Counter(CHANGING.sub("0", line) for line in kept)
    first = {CHANGING.sub("0", line): line for line in reversed(kept)}
    order = dict.fromkeys(CHANGING.sub("0", line) for line in kept)
    return [first[line] + (f" ({same[line]} times)" if same[line] > 1 else "") for line in order]


def main() -> int:
    """Install what the command line says, and return the exit status."""
    name, *arguments = sys.argv[1:]
    command = [sys.executable, "-m", "pip", "install", *OPTIONS, *arguments]
    print(f"{name}: installing", file=sys.stderr, flush=True)  # noqa: T201 - nothing nicer is installed
    line = Line(name)
    try:
        packages = run_pip(command, dict(os.environ), line)
    except InstallationError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    print(f"{name}: ready, {packages} packages in {line.seconds:.0f} s", file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())

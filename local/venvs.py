"""Virtual environments of the local AWS, one for each thing that must not share packages with the others.

    .venvs/aws        the AWS command line, which pins its SDK (tests of runbooks only)
    .venvs/dlt        what the product is compared with (`make compare` only)
    .venvs/emulator   the emulator and the versions it pins
    .venvs/ingestr    the same
    .venvs/moto       a second, independent interpreter of state machines (tests only)
    .venvs/runtime    what AWS's Python runtime has, for the functions
    .venvs/sam        AWS's tool that builds and deploys the templates (`make sam` only)
    .venvs/security   scanners of templates and of the functions' lock (`make security` only)

An environment is made from ``requirements/<name>.txt`` and finished by writing its *stamp* last: a hash of that file
and the interpreter's version. Without a fitting stamp an environment is made anew, so an interrupted creation repairs
itself; with one, nothing is read from the network. Two processes may ask at once: the second waits for the first.

``python -m local.venvs [NAME ...]`` creates the named environments, or all of them. Only the standard library is used,
so that any interpreter with pip can run it.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.places import ENVIRONMENTS, ROOT
from local.installing import OPTIONS, InstallationError, Line, count_packages, run_pip

REQUIREMENTS = ROOT / "requirements"
NAMES = ("aws", "dlt", "emulator", "ingestr", "moto", "runtime", "sam", "security")

STAMP = ".stamp"


class EnvironmentCreationError(Exception):
    """An environment could not be created; the message ends with what to do."""


def ensure(name: str) -> Path:
    """Return the Python of environment ``name``, creating the environment first when it is missing or outdated.

    Raises EnvironmentCreationError where there is no such environment, or its packages could not be installed.
    """
    requirements = _find_requirements(name)
    home = ENVIRONMENTS / name
    stamp = _compute_stamp(requirements)
    if not _is_finished(home, stamp):
        with hold_lock(home.with_suffix(".lock")):
            if not _is_finished(home, stamp):  # another process may have made it while this one waited
                _create(home, requirements, stamp)
    return _python_of(home)


def _find_requirements(name: str) -> Path:
    requirements = REQUIREMENTS / f"{name}.txt"
    if name not in NAMES:
        raise EnvironmentCreationError(f"There is no environment {name!r}; choose from: {', '.join(NAMES)}.")
    if not requirements.is_file():
        raise EnvironmentCreationError(
            f"{requirements} is not there: the environment {name} is for who works on dynaurora, in a clone of its"
            " repository."
        )
    return requirements


def _compute_stamp(requirements: Path) -> str:
    """Return what the environment's content depends on, as one line of text."""
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    return f"python{sys.version_info.major}.{sys.version_info.minor} {digest}"


def _is_finished(home: Path, stamp: str) -> bool:
    try:
        return (home / STAMP).read_text() == stamp and _python_of(home).exists()
    except FileNotFoundError:
        return False


def _python_of(home: Path) -> Path:
    return home / "bin" / "python"


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold ``path`` locked against other processes; the system releases it when its holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _create(home: Path, requirements: Path, stamp: str) -> None:
    _say(f"{home.name}: installing {_describe(requirements)} and what they need")
    line = Line(home.name)
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, symlinks=True, with_pip=False)
    packages = _install(_python_of(home), requirements, line)
    unfinished = home / f"{STAMP}.new"
    unfinished.write_text(stamp)
    unfinished.rename(home / STAMP)
    _say(f"{home.name}: ready, {count_packages(packages)} in {line.seconds:.0f} s")


def _describe(requirements: Path) -> str:
    """Return the requirements without their comments, on one line."""
    lines = (line.partition("#")[0].strip() for line in requirements.read_text().splitlines())
    return ", ".join(line for line in lines if line)


def _install(python: Path, requirements: Path, line: Line) -> int:
    """Install ``requirements`` with the pip of this interpreter: the environment holds what it is for, and no pip."""
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", *OPTIONS]
    command += ["--requirement", str(requirements)]
    try:
        return run_pip(command, _clean_environment(), line)
    except InstallationError as error:
        raise EnvironmentCreationError(
            f"{error}\nThe packages of {requirements.relative_to(REQUIREMENTS.parent)} could not be installed."
            " Creating an environment needs the package index once; check the network and run the same command again."
        ) from error


def _clean_environment() -> dict[str, str]:
    """Return this process's environment without what would make pip look at other packages than the environment's."""
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME", "PIP_TARGET"}}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress, while nothing nicer is installed


def main() -> int:
    """Create the environments named on the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local.venvs", description="Create the local AWS's environments.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(NAMES)} (default: all)")
    try:
        for name in parser.parse_args().names or NAMES:
            ensure(name)
    except EnvironmentCreationError as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

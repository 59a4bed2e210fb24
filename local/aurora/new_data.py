"""What a database server begins with: its own tables, made once on a machine and copied for each new directory.

    .venvs/<engine>-data/      the data that the server's own command made, and the stamp of what it was made by

Nothing in it belongs to anybody: users and passwords are declared at each start of a server. Two processes may ask at
once: the second waits for the first, and what was interrupted is done again.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from infra.places import ENVIRONMENTS
from local.aurora.engine import Engine, Programs, ServerSetupError
from local.processes import quote_log
from local.venvs import STAMP, hold_lock

_DATA: Final = "data"


def create_data(engine: Engine, programs: Programs, data: Path, log: Path) -> None:
    """Create a server's own tables in a new directory, completely or not at all; `log` gets what its command says.

    Raises ServerSetupError where they cannot be made.
    """
    template = _ensure_template(engine, programs, log)
    unfinished = data.with_name(f"{data.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    # Most of it is zeros, which take no room where they are left out.
    _run(["cp", "--recursive", "--sparse=always", str(template), str(unfinished)], log)
    unfinished.rename(data)


def _ensure_template(engine: Engine, programs: Programs, log: Path) -> Path:
    """Return the data that are copied, made first where they are missing, or were made by other programs."""
    home = ENVIRONMENTS / f"{engine.name}-data"
    command = engine.initialize(programs, home / _DATA)
    stamp = _compute_stamp(programs, command)
    if not _is_finished(home, stamp):
        with hold_lock(home.with_suffix(".lock")):
            if not _is_finished(home, stamp):  # another process may have made them while this one waited
                shutil.rmtree(home, ignore_errors=True)
                (home / "tmp").mkdir(parents=True)
                # Not in the system's: servers that start remove from there what looks like their own.
                _run([*command, f"--tmpdir={home / 'tmp'}"], log)
                (home / STAMP).write_text(stamp)
    return home / _DATA


def _compute_stamp(programs: Programs, command: Sequence[str]) -> str:
    """Return what the data depend on: the program, and how it is told to make them."""
    program = programs.server.resolve().stat()
    known = [*command, str(programs.server), str(program.st_mtime_ns), str(program.st_size)]
    return hashlib.sha256("\0".join(known).encode()).hexdigest()


def _is_finished(home: Path, stamp: str) -> bool:
    try:
        return (home / STAMP).read_text() == stamp
    except FileNotFoundError:
        return False


def _run(command: list[str], log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        status = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    if status != 0:
        raise ServerSetupError(f"{Path(command[0]).name} ended with status {status}{quote_log(log)}")

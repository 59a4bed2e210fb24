"""Files written so that no reader sees half of one, and no other user sees a password."""

import os
import tempfile
from pathlib import Path


def make_private(directory: Path) -> None:
    """Make a directory, with what is above it, that only its owner can enter; one that is there becomes so."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)


def write_private(path: Path, text: str) -> None:
    """Replace a file, in one step, by one that only its owner can read; its directory is created when missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # with mode 600
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise

"""Where things are: what the programs read of their own, and where they put what they make of it.

    ROOT           packages, templates, state machines, requirements, the example: read only
    ENVIRONMENTS   virtual environments and unpacked servers of the local AWS
    BUILD          functions' packages

In a clone of the repository all of it is in the clone. Where dynaurora is installed, ROOT is the folder of its
packages, and what is made goes into a folder of the user's cache, one for each installation; DYNAURORA_CACHE names
another. Only the standard library is used.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from dynaurora import __version__

ROOT: Final = Path(__file__).resolve().parent.parent
IS_CLONE: Final = (ROOT / "setup.cfg").is_file()
EXAMPLE: Final = ROOT / "examples" / "web_analytics"
"""The project of the example: the click-stream that the demo, the tests and the benchmarks replicate."""

_PACKAGES = ("backfill", "dynaurora", "infra", "lambdas", "local")


def find_home(root: Path = ROOT, *, is_clone: bool = IS_CLONE) -> Path:
    """Return the folder for what is made, which may not be there yet."""
    if is_clone:
        return root
    if given := os.environ.get("DYNAURORA_CACHE"):
        return Path(given).absolute()
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "dynaurora" / f"{__version__}-{hashlib.sha256(str(root).encode()).hexdigest()[:8]}"


HOME: Final = find_home()
ENVIRONMENTS: Final = (HOME / ".venvs").resolve()
BUILD: Final = HOME / "build"


def find_code(root: Path = ROOT, home: Path = HOME) -> Path:
    """Return a folder from which these packages can be imported, and no others, by another environment's Python.

    Beside the packages of an installation stand all those that it depends on: they are linked to from a folder of
    their own.
    """
    if root == home:
        return root
    code = home / "code"
    code.mkdir(parents=True, exist_ok=True)
    for name in _PACKAGES:
        link = code / name
        if link.is_symlink() and link.readlink() == root / name:
            continue
        unfinished = code / f".{name}.{os.getpid()}"
        unfinished.symlink_to(root / name)
        unfinished.replace(link)
    return code

"""The engines there are, and which one is wanted.

`python -m local.aurora.engines [ENGINE]` makes sure that this machine has an engine's programs.
"""

import os
import sys
from pathlib import Path
from typing import Final

from local.aurora.engine import DatabaseServerError, Engine
from local.aurora.mariadb import MariaDB
from local.aurora.mysql import MySQL

ENGINES: Final[dict[str, Engine]] = {engine.name: engine for engine in (MariaDB(), MySQL())}
ENGINE_VARIABLE: Final = "DYNAURORA_ENGINE"
DEFAULT: Final = MariaDB.name


class EngineError(DatabaseServerError):
    """There is no engine of a name, or another one than wanted is in use; the message says what to do."""


def find_engine(name: str | None = None) -> Engine:
    """Return the engine of a name; without one, what DYNAURORA_ENGINE says, else MariaDB.

    Raises EngineError where there is no such engine.
    """
    name = name or os.environ.get(ENGINE_VARIABLE) or DEFAULT
    if name not in ENGINES:
        raise EngineError(
            f"There is no engine {name!r}; choose from: {', '.join(ENGINES)} (--engine, {ENGINE_VARIABLE})"
        )
    return ENGINES[name]


def refuse_foreign_data(data: Path, engine: Engine) -> None:
    """Raise EngineError where a server's data directory was made by another engine."""
    for other in ENGINES.values():
        if other.name != engine.name and (data / other.data_mark).exists():
            raise EngineError(
                f"{data} holds data of {other.title}, which {engine.title} cannot read. Go on with {other.title}"
                f" (--engine {other.name}), or remove the directory: rm -r {data.parent}"
            )


def main() -> int:
    """Return the exit status: 0 where the programs are there now."""
    try:
        find_engine(*sys.argv[1:2]).find_programs()
    except DatabaseServerError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

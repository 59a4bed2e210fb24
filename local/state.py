"""What runs, and how to reach it: `state.json`, written by the supervisor for everyone else in the project.

It holds passwords, so only its owner can read it. It names processes by id *and* start time: a file that a killed
supervisor left behind is recognised as stale even when its process ids have been given to others since.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from local.files import write_private
from local.processes import ProcessIdentity

_FILE_NAME = "state.json"


@dataclass(frozen=True)
class AuroraAddress:
    """Where the local Aurora is, and who a person is there."""

    host: str
    port: int
    user: str
    password: str
    database: str
    ca_file: str
    """Certificate of the authority that vouches for the server (PEM)."""


@dataclass(frozen=True)
class State:
    """A running local AWS."""

    supervisor: ProcessIdentity
    emulator: ProcessIdentity
    engine: str
    """Which kind of database server it has."""
    server: ProcessIdentity | None
    """None while the database is down."""
    endpoint_url: str
    """Where the AWS API answers."""
    region: str
    aurora: AuroraAddress

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a state; raises ValueError when the text holds none."""
        try:
            fields: dict[str, Any] = json.loads(text)
            return cls(
                supervisor=ProcessIdentity(**fields["supervisor"]),
                emulator=ProcessIdentity(**fields["emulator"]),
                engine=fields["engine"],
                server=ProcessIdentity(**fields["server"]) if fields["server"] else None,
                endpoint_url=fields["endpoint_url"],
                region=fields["region"],
                aurora=AuroraAddress(**fields["aurora"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a state: {error!r}") from error

    def to_json(self) -> str:
        """Return the state as text, for `from_json`."""
        return json.dumps(asdict(self), indent=2) + "\n"


def write_state(directory: Path, state: State) -> None:
    """Make a state known to all who look into `directory`."""
    write_private(directory / _FILE_NAME, state.to_json())


def read_state(directory: Path) -> State | None:
    """Return the state of the local AWS that runs in `directory`, or None when none runs."""
    state = read_last_state(directory)
    return state if state is not None and state.supervisor.is_alive() else None


def read_last_state(directory: Path) -> State | None:
    """Return the state last written in `directory`, whether or not it still holds; None when there is none."""
    try:
        return State.from_json((directory / _FILE_NAME).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def remove_state(directory: Path) -> None:
    """Make known that nothing runs in `directory`."""
    (directory / _FILE_NAME).unlink(missing_ok=True)

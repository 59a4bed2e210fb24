"""The local AWS as one thing to start and stop: certificates, database server, its gateway, emulator.

.local/certificates/   the database's identity
.local/mysql/          the database
.local/emulator/       what the emulator writes; emptied at each start, as the emulator itself starts empty
.local/log/            one log for each process
"""

import json
import os
import shutil
import signal
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from dynaurora.dynamodb.versions import SNAPSHOT_MARGIN_SECONDS
from infra.places import find_code
from local import venvs
from local.aurora.engine import Engine
from local.aurora.gateway import Gateway
from local.aurora.server import DatabaseServer
from local.certificates import Certificates, ensure_certificates
from local.files import write_private
from local.processes import Child, find_free_port, start_child, stop_child, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Callable

REGION: Final = "us-east-1"
"""The one region of the local AWS."""

DATABASE: Final = "mysql"
"""In the local AWS's directory, where the database is."""

REPORTS: Final = "reports"
"""Where the demo's reports are."""
KEPT: Final = ("certificates", DATABASE, "emulator", "log", REPORTS)
"""What it keeps in its directory."""

AURORA: Final = "aurora.json"
"""In the emulator's directory, where clusters are."""

_EMULATOR_START_SECONDS = 60.0
_EMULATOR_STOP_SECONDS = 60.0
"""Delivery streams deliver what they have accepted before the emulator ends."""
_HEALTH_TIMEOUT_SECONDS = 2.0

_EMULATOR_DEFAULTS: Final = {
    "DYNAURORA_WAIT_SCALE": "0.02",
    "DYNAURORA_STREAM_AGE_SECONDS": str(SNAPSHOT_MARGIN_SECONDS),
    "DYNAURORA_RECOVERY_AGE_SECONDS": str(24 * 3600),
}
"""Settings of the emulator, unless this process's environment has others. Wait states that look every minute for the
end of an export, which takes half a second here, look every 1.2 s. A stream passes for old enough to be backfilled
beside at once: exports are cut here at exactly their time, so that no change is in neither of the two. A table's
recovery passes for a day older than it is, so that a gap in its stream can be filled by exports of windows."""


class Stack:
    """The processes of one local AWS, children of this process, and the gateway, a thread of it."""

    def __init__(self, directory: Path, *, database: str = "Demo", engine: Engine | None = None) -> None:
        """Describe a local AWS that keeps its files in `directory`; nothing happens before `start`.

        Its database server's engine is the one by default unless told (`find_engine`).
        """
        self.directory = directory.absolute()
        self.logs = self.directory / "log"
        self.certificates: Certificates
        self.server = DatabaseServer(
            self.directory / DATABASE, log=self.logs / "database.log", database=database, engine=engine
        )
        self.gateway: Gateway
        self.emulator: Child
        self.endpoint_url: str
        """Where the emulator answers."""
        self._undo: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything; return when all of it answers. What was started is stopped again when something fails.

        Raises ProcessError, DatabaseServerError or EnvironmentCreationError with what to do about it.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything, in an order that loses nothing: the emulator first, while it can still deliver."""
        while self._undo:
            self._undo.pop()()

    def _start(self) -> None:
        """Start both processes, then wait for both."""
        self.certificates = ensure_certificates(self.directory / "certificates")
        self._undo.append(self.server.stop)
        wait_for_server = self.server.launch()
        port = find_free_port()
        self.endpoint_url = f"http://127.0.0.1:{port}"
        self.gateway = Gateway(
            server_socket=self.server.socket,
            files=self.server.files,
            certificates=self.certificates,
            s3_endpoint_url=self.endpoint_url,
            region=REGION,
        )
        self.emulator = start_emulator(self.directory / "emulator", port=port, log=self.logs / "emulator.log")
        self._undo.append(lambda: stop_child(self.emulator, grace=_EMULATOR_STOP_SECONDS))
        wait_for_server()
        self.gateway.start()
        self._undo.insert(1, self.gateway.stop)  # stopped after the emulator, before the server
        self._tell_emulator_of_aurora()
        wait_until_ready(self.emulator, lambda: is_healthy(self.endpoint_url), timeout=_EMULATOR_START_SECONDS)

    def _tell_emulator_of_aurora(self) -> None:
        """Write what a cluster that is made by a template leads to."""
        user = self.server.users.administrator
        address = {"host": self.gateway.host, "port": self.gateway.port}
        known = {**address, "username": user.username, "password": user.password}
        write_private(self.directory / "emulator" / AURORA, json.dumps(known))


def start_emulator(directory: Path, *, port: int, log: Path) -> Child:
    """Start the emulator on a port of 127.0.0.1, with an empty directory for its files; do not wait until it answers.

    SIGTERM, which it also gets when this process dies, has it deliver what it has accepted and end its functions.
    """
    shutil.rmtree(directory, ignore_errors=True)
    places = {"TMPDIR": directory / "tmp", "STATE_DIR": directory / "state", "S3_DATA_DIR": directory / "s3"}
    for place in places.values():
        place.mkdir(parents=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
    environment = {**_EMULATOR_DEFAULTS, **inherited}
    environment |= {name: str(place) for name, place in places.items()}
    environment |= {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "DYNAURORA_AURORA": str(directory / AURORA),
        "DYNAURORA_RUNTIME_PYTHON": str(venvs.ensure("runtime")),
    }
    command = [str(venvs.ensure("emulator")), "-m", "local.emulator"]
    return start_child(
        "the emulator",
        command,
        log=log,
        environment=environment,
        directory=find_code(),
        death_signal=signal.SIGTERM,
    )


def is_healthy(endpoint_url: str) -> bool:
    """Tell whether an emulator answers."""
    try:
        with urllib.request.urlopen(  # noqa: S310  # an address of this machine
            f"{endpoint_url}/_ministack/health", timeout=_HEALTH_TIMEOUT_SECONDS
        ) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False

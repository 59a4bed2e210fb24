"""Dynalite beside the local DynamoDB."""

import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.node import find_node
from tests.integration.emulator.dynalite.asking import TABLES, Asked, Both

PROGRAM = Path(__file__).resolve().parents[4] / ".venvs/dynalite/node_modules/dynalite/cli.js"


@pytest.fixture(scope="session")
def dynalite_port() -> Iterator[int]:
    if not PROGRAM.exists():
        pytest.fail("dynalite is not installed: run `make test-dynalite`")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    options = ["--host", "127.0.0.1", "--port", str(port), "--createTableMs", "0", "--deleteTableMs", "0"]
    process = subprocess.Popen([*find_node(), PROGRAM, *options], stdout=subprocess.DEVNULL)
    try:
        while not _listens(port):
            assert process.poll() is None
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def both(emulator, dynalite_port: int) -> Iterator[Both]:
    """The two with tables that nobody has written to."""
    names = {kind: f"{kind}-{uuid.uuid4().hex[:12]}" for kind in TABLES}
    asked = Both(Asked(int(emulator.endpoint.rpartition(":")[2])), Asked(dynalite_port), names)
    for kind, keys in TABLES.items():
        for one in (asked.local, asked.dynalite):
            one.create_table(names[kind], keys)
    yield asked
    asked.local.close()
    asked.dynalite.close()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0

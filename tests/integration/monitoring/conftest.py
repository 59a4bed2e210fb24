"""A deployed stack whose functions send their traces to this process.

deployed, flowing, run    as for tests of backfills
traces                    the `Traces` of its functions, as the daemon of X-Ray gets them
"""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.integration.backfill.conftest import deployed, deployed_stack, flowing, flowing_stream, run, sessions
from tests.integration.backfill.deployed import Deployed

__all__ = ["deployed", "flowing", "flowing_stream", "run", "sessions"]


@dataclass
class Traces:
    """What a daemon of X-Ray would have sent on."""

    listener: socket.socket
    segments: list[dict[str, Any]] = field(default_factory=list)

    def listen(self) -> None:
        """Take segments until the socket is closed."""
        while datagram := self.listener.recv(1 << 16):
            _, _, document = datagram.partition(b"\n")
            self.segments.append(json.loads(document))

    def functions(self, **annotations: str) -> set[str]:
        """Return which functions have worked on something, by the annotations of their traces."""
        handled = [segment["annotations"] for segment in list(self.segments) if segment["name"] == "## lambda_handler"]
        return {found["Service"] for found in handled if annotations.items() <= found.items()}


@pytest.fixture(scope="session")
def traces() -> Iterator[Traces]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        found = Traces(listener)
        thread = threading.Thread(target=found.listen)
        thread.start()
        yield found
        listener.sendto(b"", listener.getsockname())
        thread.join()


@pytest.fixture(scope="session")
def deployment_of_session(tmp_path_factory: pytest.TempPathFactory, traces: Traces) -> Iterator[Deployed]:
    host, port = traces.listener.getsockname()
    with deployed_stack(tmp_path_factory.mktemp("monitoring"), DYNAURORA_XRAY_DAEMON=f"{host}:{port}") as found:
        yield found

"""The stream's functions as Lambda runs them: their handlers, the SDK's call of Firehose and what they log included.

A handler runs in a process of its own, whose output is its log. Another one stands for Firehose, and takes everything.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from benchmarks.cold_start import ENVIRONMENT
from benchmarks.items import CLICKS
from benchmarks.sink import RegistryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CALLS: Final = 12
"""Of a minute, where changes are collected for five seconds: what is told once a minute is told once."""
WARMING: Final = 3
LOG_EVENT_BYTES: Final = 26
"""That CloudWatch Logs counts for each line besides its own (CloudWatch Logs API Reference, PutLogEvents)."""
SECRET: Final = "arn:aws:secretsmanager:us-east-1:123456789012:secret:loader"  # noqa: S105 (an ARN)


@dataclass(frozen=True)
class Called:
    """What a call of a handler takes."""

    cpu_seconds: float
    log_bytes: float


@dataclass(frozen=True)
class Context:
    """What Lambda tells a function about its invocation."""

    function_name: str
    memory_limit_in_mb: int = 256
    aws_request_id: str = "8f507cfc-0001-4d1a-9d0c-000000000000"

    @property
    def invoked_function_arn(self) -> str:
        """Return the function's own."""
        return f"arn:aws:lambda:us-east-1:123456789012:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left of a minute."""
        return 60_000


class TakingStore(RegistryStore):
    """Objects with the registry, which takes everything else and forgets it."""

    def write(self, _bucket: str, _key: str, _body: bytes) -> str:
        """Take an object."""
        return "etag"


class _Firehose(BaseHTTPRequestHandler):
    """Answers PutRecordBatch: each record is taken."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer (Amazon Data Firehose API Reference, PutRecordBatch)."""
        count = self.rfile.read(int(self.headers["Content-Length"])).count(b'"Data":')
        taken = [{"RecordId": "4960"}] * count
        body = json.dumps({"FailedPutCount": 0, "Encrypted": False, "RequestResponses": taken}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serve_firehose() -> Iterator[str]:
    """Serve a Firehose; gives its endpoint."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Firehose) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def call(function: str, event: Any, endpoint: str = "") -> Called:
    """Call a function's handler with an event, as often as in a minute, in a process of its own."""
    environment = {**ENVIRONMENT, "POWERTOOLS_SERVICE_NAME": function, "PATH": os.environ["PATH"]}
    environment |= {"LANDING_BUCKET": "dynaurora-landing", "POWERTOOLS_TRACE_DISABLED": "true"}
    environment |= {"AWS_ENDPOINT_URL_FIREHOSE": endpoint, "DATABASE_SECRET_ARN": SECRET} if endpoint else {}
    with tempfile.TemporaryDirectory(prefix="dynaurora-bench-") as directory:
        given, told = Path(directory) / "event.json", Path(directory) / "told"
        given.write_text(json.dumps(event), "utf-8")
        command = [sys.executable, "-m", "benchmarks.handlers", function, str(given), str(told)]
        logged = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout  # noqa: S603
        lines = logged.splitlines(keepends=True)
        log_bytes = sum(len(line) - 1 + LOG_EVENT_BYTES for line in lines) / CALLS
        return Called(float(told.read_text("utf-8")), log_bytes)


def prepare(module: Any) -> None:
    """Put what answers at once in the place of S3 and Aurora."""
    from dynaurora.batches.import_batch import ImportResult
    from dynaurora.mappings.registry import Registry
    from dynaurora.mappings.row_mappers import RowMappers

    store: Any = TakingStore(CLICKS)
    module.S3Objects = lambda: store
    registry = Registry(store, "dynaurora-landing", CLICKS.name)
    if hasattr(module, "registry"):
        module.registry = registry
    if hasattr(module, "mappers"):
        module.mappers = RowMappers(registry)
    if hasattr(module, "connect_loader"):
        result = ImportResult("applied", "0f1e2d3c" * 5, 500, 498, int(time.time()) - 60)
        module.registries.find = lambda _: registry
        module.connect_loader = lambda *_, **__: nullcontext()
        module.import_batch, module.let_expire = lambda *_: result, lambda *_: None
        module.lookout.look = lambda *_: []


def measure(function: str, event: Any) -> float:
    """Return the CPU time of a call of this process, in seconds."""
    module: Any = importlib.import_module(f"lambdas.{function}")
    prepare(module)
    context = Context(f"dynaurora-{CLICKS.name.replace('_', '-')}-{function.replace('_', '-')}")
    output, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115, PTH123 (until this process ends)
    _times(lambda: module.lambda_handler(event, context), WARMING)
    sys.stdout = output
    return median(_times(lambda: module.lambda_handler(event, context), CALLS))


def _times(work: Callable[[], object], count: int) -> list[float]:
    taken = []
    for _ in range(count):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return taken


def main() -> None:
    """Measure a handler, whose log is this process's output."""
    function, given, told = sys.argv[1:]
    seconds = measure(function, json.loads(Path(given).read_text("utf-8")))
    Path(told).write_text(str(seconds), "utf-8")


if __name__ == "__main__":
    main()

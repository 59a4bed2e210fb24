"""The gateway: a TCP server in front of MariaDB or MySQL that makes it look like Aurora MySQL.

It ends TLS with the local certificate, refuses connections without it, as a cluster that requires TLS does, and
makes `LOAD DATA FROM S3` work; `local.aurora.connection` says how. It serves from a thread of its own.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from local.aurora.connection import Surroundings, serve_client
from local.aurora.objects import CONCURRENT_FETCHES, ObjectFetcher
from local.aurora.variant import Variant
from local.certificates import Certificates

logger = logging.getLogger(__name__)

_BACKLOG: Final = 256
_STOP_TIMEOUT_SECONDS: Final = 10.0
_ACCEPT_PAUSE_SECONDS: Final = 0.1


class Gateway:
    """The server, between `start` and `stop`. It can be started again after it was stopped, on the same port."""

    def __init__(
        self,
        *,
        server_socket: Path,
        files: Path,
        certificates: Certificates,
        s3_endpoint_url: str,
        region: str = "us-east-1",
        port: int = 0,
        variant: Variant | None = None,
    ) -> None:
        """Describe a gateway to the server at a Unix socket; nothing happens before `start`.

        `files` is the directory that the server may read files to load from, `s3_endpoint_url` the S3 they come from;
        `certificates` is who the gateway is to clients that use TLS. It listens on 127.0.0.1, on any free port when
        `port` is 0. `variant` has it differ from what it does else.
        """
        self.host = "127.0.0.1"
        self.port = port
        self._server_socket = server_socket
        self._files = files
        self._tls = _create_tls_context(certificates)
        self._fetcher = ObjectFetcher(s3_endpoint_url, region=region)
        self._variant = variant or Variant()
        self._running: _Running | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen and serve from now on; raises OSError when the port is taken."""
        listener = socket.create_server((self.host, self.port), backlog=_BACKLOG)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        executor = ThreadPoolExecutor(CONCURRENT_FETCHES, thread_name_prefix="fetch")
        surroundings = Surroundings(self._server_socket, self._files, self._tls, self._fetcher, executor, self._variant)
        self._running = _Running(listener, surroundings, executor)
        self._running.start()

    def stop(self) -> None:
        """Stop listening and cut all connections; the server rolls back what was under way."""
        if self._running is not None:
            self._running.stop()
            self._running = None


class _Running:
    """What a gateway has while it serves: a thread with an event loop, the listening socket, the connections."""

    def __init__(self, listener: socket.socket, surroundings: Surroundings, executor: ThreadPoolExecutor) -> None:
        self._listener = listener
        self._surroundings = surroundings
        self._executor = executor
        self._serving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()
        self._serving.wait()

    def stop(self) -> None:
        """End the thread and all it does."""
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(_STOP_TIMEOUT_SECONDS)
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        """Serve until told to stop; the thread's main function."""
        with contextlib.suppress(asyncio.CancelledError), self._listener:
            asyncio.run(self._serve())

    async def _serve(self) -> None:
        """Accept clients and serve each in a task of its own."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._accept_clients())
        self._serving.set()
        await self._task

    async def _accept_clients(self) -> None:
        """Accept clients for ever; when cancelled, cut their connections.

        Not `sock_accept`: the client that it has accepted when it is cancelled is nobody's.
        """
        async with asyncio.TaskGroup() as connections:
            self._loop.add_reader(self._listener, self._accept_client, connections)
            try:
                await self._loop.create_future()
            finally:
                self._loop.remove_reader(self._listener)

    def _accept_client(self, connections: asyncio.TaskGroup) -> None:
        """Accept a client, whose socket is closed in the end even if it was never served."""
        try:
            client_socket, _ = self._listener.accept()
        except OSError as error:  # a client gone already, or no file descriptor left
            logger.warning("could not accept a connection: %s", error)
            self._loop.remove_reader(self._listener)
            self._loop.call_later(
                _ACCEPT_PAUSE_SECONDS, self._loop.add_reader, self._listener, self._accept_client, connections
            )
            return
        client_socket.setblocking(False)
        client_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        serving = connections.create_task(self._serve_client(client_socket))
        serving.add_done_callback(lambda _: client_socket.close())

    async def _serve_client(self, client_socket: socket.socket) -> None:
        """Serve one client; whatever goes wrong with it concerns no other."""
        try:
            await serve_client(client_socket, self._surroundings)
        except Exception:
            logger.exception("a connection failed")


def _create_tls_context(certificates: Certificates) -> ssl.SSLContext:
    """Return the settings of a TLS server that asks clients for no certificate; TLS 1.2 or later, as Aurora."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.certificate_file, certificates.key_file)
    return context

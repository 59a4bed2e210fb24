"""A line between a function and S3 that stalls, or breaks, in the middle of an object."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

READ_BYTES = 16384
GRACE_SECONDS = 60


class SlowLine:
    """Forwards connections. The first one over which more than `after` bytes have come stalls until it is released."""

    def __init__(self, endpoint_url: str, after: int) -> None:
        address = urlsplit(endpoint_url)
        self._target = (address.hostname, address.port)
        self._after = after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._stalls = True
        self._breaks = False
        self.stalled = threading.Event()
        """Set once a connection has stalled."""
        self._released = threading.Event()
        self.endpoint_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def release(self) -> None:
        """Let the rest through."""
        self._released.set()

    def cut(self) -> None:
        """Close the connection that stalls."""
        self._breaks = True
        self._released.set()

    def close(self) -> None:
        self._listener.close()
        self._released.set()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
                threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(READ_BYTES):
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        received = 0
        with client, server, suppress(OSError):
            while data := server.recv(READ_BYTES):
                received += len(data)
                if received > self._after and self._take_stall():
                    self.stalled.set()
                    self._released.wait(GRACE_SECONDS)
                    if self._breaks:
                        client.shutdown(socket.SHUT_RDWR)
                        return
                client.sendall(data)

    def _take_stall(self) -> bool:
        with self._lock:
            stalls, self._stalls = self._stalls, False
        return stalls


@contextmanager
def slow_line(endpoint_url: str, after: int) -> Iterator[SlowLine]:
    """Open a line, and close it in the end."""
    line = SlowLine(endpoint_url, after)
    try:
        yield line
    finally:
        line.close()

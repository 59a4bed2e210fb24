"""Streams of the gateway: to the server and to a client, in TLS from some point on, and closed whatever happens.

asyncio lets go of a connection in TLS when the other side has agreed to end it, which takes a side that is there, or
half a minute; of one whose TLS never came about it tells nobody. So a stream keeps the transport beneath its TLS, and
what is left open of that when the stream is closed is cut.
"""

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local.aurora.protocol import Packet, read_packet

CHUNK_BYTES: Final = 1 << 18
CLOSE_TIMEOUT_SECONDS: Final = 1.0


class _WatchedProtocol(asyncio.StreamReaderProtocol):
    """A stream's protocol that also tells when the other side is gone while nobody reads."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self.ended = asyncio.Event()

    def eof_received(self) -> bool | None:
        self.ended.set()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()
        super().connection_lost(exc)


class _WaitingProtocol(asyncio.Protocol):
    """A connection whose first byte belongs to TLS, which has yet to begin."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.pause_reading()


@dataclass(frozen=True)
class Stream:
    """One side of the gateway."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ended: asyncio.Event
    beneath: asyncio.Transport
    """The connection itself, whatever is in it."""

    async def send(self, data: bytes) -> None:
        """Write, waiting while the other side is slow to read."""
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self) -> Packet:
        """Read one packet; raises IncompleteReadError when the stream ends."""
        return await read_packet(self.reader)

    async def begin_tls(self, context: ssl.SSLContext) -> None:
        """Go on in TLS, as its client; raises OSError or EOFError where the server does not, or is gone."""
        if self.ended.is_set():
            raise EOFError("the server closed the connection before TLS began")
        await self.writer.start_tls(context, server_hostname="localhost")

    async def close(self) -> None:
        """Close the stream in order if the other side cooperates, else at once; nothing is left of it in any case."""
        try:
            if not self.beneath.is_closing():
                self.writer.close()
                with contextlib.suppress(OSError, TimeoutError):
                    await asyncio.wait_for(self.writer.wait_closed(), CLOSE_TIMEOUT_SECONDS)
        finally:
            self.beneath.abort()
        await asyncio.sleep(0)  # for what the transport beneath has put off, since the loop may end now


async def connect_to_server(path: Path) -> Stream:
    """Connect to a server's socket; raises OSError while it is down."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=CHUNK_BYTES)
    protocol = _WatchedProtocol(reader)
    transport, _ = await loop.create_unix_connection(lambda: protocol, str(path))
    return Stream(reader, asyncio.StreamWriter(transport, protocol, reader, loop), protocol.ended, transport)


async def open_client(client_socket: socket.socket, tls: ssl.SSLContext) -> Stream:
    """Make a stream of an accepted socket, as TLS server; raises OSError where the client does not begin TLS."""
    loop = asyncio.get_running_loop()
    beneath, _ = await loop.connect_accepted_socket(_WaitingProtocol, client_socket)
    try:
        reader = asyncio.StreamReader(limit=CHUNK_BYTES)
        protocol = _WatchedProtocol(reader)
        transport = await loop.start_tls(beneath, protocol, tls, server_side=True)
        if transport is None:
            raise ConnectionAbortedError("the client closed the connection while TLS began")
        protocol.connection_made(transport)
    except BaseException:
        beneath.abort()
        raise
    return Stream(reader, asyncio.StreamWriter(transport, protocol, reader, loop), protocol.ended, beneath)

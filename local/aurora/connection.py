"""One client's connection through the gateway: its handshake, its commands, its loads from S3.

Everything is forwarded unchanged but the handshake, where the gateway takes TLS upon itself, and `LOAD DATA FROM S3`,
which it executes. Commands are read no further than needed to recognise a load; results are not read at all.

A connection's two directions are two tasks. While a load is executed, the one that forwards results is stopped, so
that the gateway can read the server's answers itself: the protocol has one command under way at a time.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
import uuid
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from local.aurora.engine import LOAD_ROLE
from local.aurora.objects import ObjectFetcher
from local.aurora.protocol import (
    COM_QUERY,
    ERROR,
    FAST_LOGIN,
    HEADER_BYTES,
    MAX_PAYLOAD,
    OK,
    Packet,
    ServerError,
    ask_for_tls,
    asks_for_tls,
    decode_header,
    keep_tls,
    offer_tls,
    offers_tls,
    split_query,
    strip_info,
    withdraw_tls,
)
from local.aurora.statements import LOOKAHEAD_BYTES, LoadStatement, is_load_from_s3, parse_load
from local.aurora.streams import CHUNK_BYTES, Stream, connect_to_server, open_client
from local.aurora.variant import Variant, find_created_temporary, find_loaded

logger = logging.getLogger(__name__)

_TLS_PACKETS: Final = 1
"""How much higher a client's sequence numbers are than the server's, which has not seen the request for TLS."""
_INSECURE: Final = ServerError(
    3159, "HY000", "Connections using insecure transport are prohibited while --require_secure_transport=ON."
)

_CHECK_ROLE: Final = (
    "SET @dynaurora_may_load = (SELECT 1 FROM (SELECT 1 UNION ALL SELECT 2) AS two WHERE NOT EXISTS"  # noqa: S608
    f" (SELECT 1 FROM information_schema.ENABLED_ROLES WHERE ROLE_NAME = '{LOAD_ROLE}'))"
).encode()
"""Succeeds in a session that may load from S3, and fails in any other, whether the role is not granted or only not set:
there, the subquery has two rows. Any server knows it, answers with one packet, and leaves the transaction alone. (DO
would leave no variable behind, but MariaDB tells nobody of an error in it.)"""
_TWO_ROWS: Final = 1242
"""ER_SUBQUERY_NO_1_ROW."""
_NO_ROLE: Final = ServerError(
    1227, "42000", "Access denied; you need (at least one of) the LOAD FROM S3 privilege(s) for this operation"
)
"""What Aurora MySQL refuses such a session with."""


@dataclass(frozen=True)
class Surroundings:
    """What the connections of a gateway share."""

    server_socket: Path
    """The server's Unix socket."""
    files: Path
    """The directory that the server reads files from."""
    tls: ssl.SSLContext
    fetcher: ObjectFetcher
    executor: Executor
    """Where objects are fetched: boto3 blocks."""
    variant: Variant
    """How this gateway differs."""


async def serve_client(client_socket: socket.socket, surroundings: Surroundings) -> None:
    """Serve one client until either side ends the connection; then close both."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            server = await connect_to_server(surroundings.server_socket)
            stack.push_async_callback(server.close)
            greeting = await server.receive()
            client, login = await _greet(client_socket, greeting, surroundings.tls)
            stack.push_async_callback(client.close)
            if await _log_in(client, server, login, in_tls=offers_tls(greeting)):
                await Connection(client, server, surroundings).forward()
        except (OSError, EOFError) as error:  # one side is gone, or never was there; TLS failures are OSErrors as well
            logger.debug("connection ended: %r", error)


async def _greet(client_socket: socket.socket, greeting: Packet, tls: ssl.SSLContext) -> tuple[Stream, Packet]:
    """Forward the server's greeting, go on in TLS, and read the client's login; refuse one that does not want TLS.

    The socket is read to the byte until then: a client sends its first TLS message right behind its request for TLS,
    and a stream's buffer would swallow it. Return the stream to the client, and its login.
    """
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client_socket, offer_tls(greeting).encode())
    if greeting.payload[0] == ERROR:  # such as: too many connections
        raise ConnectionAbortedError("the server refuses connections")
    login = await _receive_packet(client_socket)
    if not asks_for_tls(login):
        await loop.sock_sendall(client_socket, _INSECURE.to_packet(login.sequence + 1).encode())
        raise ConnectionAbortedError("the client does not use TLS")
    stream = await open_client(client_socket, tls)
    try:
        return stream, await stream.receive()
    except BaseException:
        await stream.close()
        raise


async def _receive_packet(client_socket: socket.socket) -> Packet:
    """Read one packet from a socket and not a byte more."""
    length, sequence = decode_header(await _receive_exactly(client_socket, HEADER_BYTES))
    return Packet(sequence, await _receive_exactly(client_socket, length))


async def _receive_exactly(client_socket: socket.socket, count: int) -> bytes:
    """Read `count` bytes from a socket; raises EOFError when it ends before."""
    received = b""
    while len(received) < count:
        piece = await asyncio.get_running_loop().sock_recv(client_socket, count - len(received))
        if not piece:
            raise EOFError("the client closed the connection")
        received += piece
    return received


async def _log_in(client: Stream, server: Stream, login: Packet, *, in_tls: bool) -> bool:
    """Forward the exchange that authenticates a client; tell whether the server let it in.

    In TLS too, where the server has it: it lets users in who may not come without. Else what a client sends is one
    packet ahead of what the server has seen. Where MySQL wants the password itself (caching_sha2_password, at a user's
    first login), a client sends it, since it uses TLS; and the server takes it, since its socket is as secure.
    """
    ahead = 0 if in_tls else _TLS_PACKETS
    if in_tls:
        await server.send(ask_for_tls(login).encode())
        await server.begin_tls(_create_client_context())
        await server.send(keep_tls(login).encode())
    else:
        await server.send(withdraw_tls(login).renumber(-ahead).encode())
    while True:
        answer = await server.receive()
        await client.send(answer.renumber(ahead).encode())
        if answer.payload[0] in (OK, ERROR):
            return answer.payload[0] == OK
        if answer.payload == FAST_LOGIN:
            continue
        reply = await client.receive()
        await server.send(reply.renumber(-ahead).encode())


@cache
def _create_client_context() -> ssl.SSLContext:
    """Return the settings of TLS to the server, who is known by its socket, which is in a directory of the user's."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Connection:
    """A client that has logged in."""

    def __init__(self, client: Stream, server: Stream, surroundings: Surroundings) -> None:
        """Join a client and the server it has logged in to."""
        self._client = client
        self._server = server
        self._surroundings = surroundings
        self._variant = surroundings.variant
        self._temporary: set[bytes] = set()
        """Temporary tables that the client has created."""

    async def forward(self) -> None:
        """Forward commands and results until one side closes; raises OSError or EOFError then."""
        self._results = asyncio.create_task(self._forward_results())
        try:
            while True:
                await self._forward_command()
        finally:
            await self._stop_results()

    async def _forward_results(self) -> None:
        """Forward what the server sends, as it comes; close the client when the server is gone."""
        try:
            while data := await self._server.reader.read(CHUNK_BYTES):
                await self._client.send(data)
        except OSError as error:
            logger.debug("results ended: %r", error)
        self._client.writer.close()

    async def _stop_results(self) -> None:
        """Stop forwarding results; what the server sends from now on stays in its stream."""
        self._results.cancel()
        await asyncio.wait({self._results})

    async def _forward_command(self) -> None:
        """Forward one packet of a client, unless it starts a load from S3."""
        header = await self._client.reader.readexactly(HEADER_BYTES)
        length, sequence = decode_header(header)
        head = await self._client.reader.readexactly(min(length, LOOKAHEAD_BYTES))
        if sequence == 0 and head[:1] == bytes([COM_QUERY]):
            self._note_temporary(head[1:])
            if is_load_from_s3(head[1:]) or self._variant.answers_itself(head[1:]):
                rest = await self._client.reader.readexactly(length - len(head))
                await self._answer(Packet(sequence, head + rest), is_load_from_s3(head[1:]))
                return
        await self._server.send(header + head)
        await self._forward_bytes(length - len(head))

    async def _forward_bytes(self, count: int) -> None:
        """Forward the rest of a packet."""
        while count:
            piece = await self._client.reader.read(min(count, CHUNK_BYTES))
            if not piece:
                raise EOFError("the client closed the connection within a packet")
            await self._server.send(piece)
            count -= len(piece)

    def _note_temporary(self, statement: bytes) -> None:
        """Remember the temporary table that a statement creates."""
        if name := find_created_temporary(statement):
            self._temporary.add(name)

    async def _answer(self, packet: Packet, loads: bool) -> None:
        """Execute a load, or what else is answered here, while watching the client: when it goes, so does the load."""
        message = packet.payload[1:]
        while len(packet.payload) == MAX_PAYLOAD:
            packet = await self._client.receive()
            message += packet.payload
        await self._stop_results()
        work = self._execute_load(message, packet.sequence) if loads else self._forward_answer(message, packet.sequence)
        load: asyncio.Task[object] = asyncio.create_task(work)
        gone = asyncio.create_task(self._client.ended.wait())
        try:
            await asyncio.wait({load, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not load.done():
                raise EOFError("the client went away during a load")
            load.result()
        finally:
            load.cancel()
            gone.cancel()
            await asyncio.wait({load, gone})
        self._results = asyncio.create_task(self._forward_results())

    async def _execute_load(self, message: bytes, asked: int) -> None:
        """Fetch and load what a statement names; send the client what the server answers.

        `asked` is the sequence number of the statement's last packet, from which its answers count on.
        """
        try:
            statement = _parse(message)
            self._refuse(statement)
            await self._check_role()
            path = self._surroundings.files / f"{uuid.uuid4().hex}.load"
            try:
                await self._fetch(statement, path)
                if self._variant.adds_to_loads:
                    await self._load(statement.read_from(path), asked)
                else:
                    await self._forward_answer(statement.read_from(path), asked)
            finally:
                path.unlink(missing_ok=True)
        except ServerError as error:
            logger.info("load refused: %s", error.message)
            await self._client.send(error.to_packet(asked + 1).encode())

    def _refuse(self, statement: LoadStatement) -> None:
        """Raise ServerError where this variant does not load into such a table."""
        is_temporary = find_loaded(statement.clauses) in self._temporary
        refused = self._variant.refuses_temporary_tables if is_temporary else self._variant.refuses_permanent_tables
        if refused:
            kind = "temporary" if is_temporary else "permanent"
            raise ServerError(1235, "42000", f"This version of MySQL doesn't yet support 'LOAD FROM S3 into {kind}'")

    async def _load(self, statement: bytes, asked: int) -> None:
        """Have the server load; before the client has its answer, do what a variant adds."""
        for added in self._variant.before_load:
            await self._hear_server(added, asked)
        answer = await self._hear_server(statement, asked)
        for added in self._variant.after_load:
            await self._hear_server(added, asked)
        await self._client.send(answer.encode())

    async def _hear_server(self, statement: bytes, asked: int) -> Packet:
        """Have the server execute a statement; return its answer, as it is to be sent to the client."""
        question = split_query(statement)
        await self._server.send(b"".join(packet.encode() for packet in question))
        while (answer := await self._server.receive()).is_progress_report:
            continue
        answer = answer.renumber(asked - question[-1].sequence)
        return strip_info(answer) if self._variant.omits_info else answer

    async def _check_role(self) -> None:
        """Raise ServerError, as Aurora words it, in a session that may not load from S3."""
        await self._server.send(b"".join(packet.encode() for packet in split_query(_CHECK_ROLE)))
        answer = await self._server.receive()
        if answer.error_number == _TWO_ROWS:
            raise _NO_ROLE
        if answer.error_number is not None:
            raise ServerError.from_packet(answer)

    async def _forward_answer(self, statement: bytes, asked: int) -> None:
        """Have the server execute a statement, and forward its answer."""
        question = split_query(statement)
        await self._server.send(b"".join(packet.encode() for packet in question))
        offset = asked - question[-1].sequence
        while True:
            answer = await self._server.receive()
            told = strip_info(answer) if self._variant.omits_info else answer
            await self._client.send(told.renumber(offset).encode())
            if not answer.is_progress_report:
                return

    async def _fetch(self, statement: LoadStatement, path: Path) -> None:
        """Fetch what a statement names into a file, which is gone in the end if the client is."""
        abandoned = threading.Event()
        work = self._surroundings.executor.submit(self._surroundings.fetcher.fetch, statement, path, abandoned)
        try:
            await asyncio.wrap_future(work)
        except asyncio.CancelledError:
            abandoned.set()
            work.add_done_callback(lambda _: path.unlink(missing_ok=True))
            raise


def _parse(message: bytes) -> LoadStatement:
    """Take a load apart; raises ServerError, worded as MySQL words it, where it names nothing."""
    try:
        return parse_load(message)
    except ValueError as error:
        text = f"You have an error in your SQL syntax; near '{str(error)[:80]}'"
        raise ServerError(1064, "42000", text) from error

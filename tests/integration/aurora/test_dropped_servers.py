"""Servers that go away, or say no more, at each moment of a client's login: the gateway keeps nothing of them open."""

import gc
import socket
import ssl
import struct
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pymysql
import pytest

from local.aurora.gateway import Gateway
from local.aurora.protocol import HEADER_BYTES, Packet, decode_header
from local.certificates import Certificates, ensure_certificates

CAPABILITIES = 1 | 1 << 9 | 1 << 11 | 1 << 15 | 1 << 19
"""Of a server: long passwords, the protocol of 4.1, TLS, its authentication, and methods of that by name."""
WANTED = b"\x0a8.0.36\0" + b"\x01\0\0\0" + b"scramble" + b"\0" + struct.pack("<H", CAPABILITIES & 0xFFFF)
GREETING = Packet(
    0, WANTED + b"\x2d\x02\0" + struct.pack("<H", CAPABILITIES >> 16) + b"\x15" + bytes(10) + b"12characters\0"
)
MOMENTS = (
    "accepted",
    "half greeted",
    "greeted",
    "asked for TLS",
    "half said hello",
    "said hello",
    "half answered",
    "answered",
    "in TLS",
    "logged in",
    "let in",
)
"""How far a server comes, each further than the one before."""
PATIENCE_SECONDS = 30
"""Of a client that waits for its server."""
STOPS = (0.0, 0.005, 0.02)
"""After how many seconds a gateway is stopped, whatever its clients wait for."""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return ensure_certificates(tmp_path_factory.mktemp("certificates"))


class Server:
    """A server that comes so far with one client, and then goes away or, if it hangs, says no more."""

    def __init__(self, path: Path, certificates: Certificates, moment: str, *, hangs: bool) -> None:
        self._last, self._hangs = moment, hangs
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificates.certificate_file, certificates.key_file)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # closed alone, it would go on waiting
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            client, _ = self._listener.accept()
            with client, suppress(EOFError):
                moments = self._talk(client)
                while next(moments) != self._last:
                    continue
                if self._hangs:
                    self._ending.wait()

    def _talk(self, client: socket.socket) -> Iterator[str]:
        """Talk to a client; yields each moment of it."""
        yield "accepted"
        greeting = GREETING.encode()
        client.sendall(greeting[:20])
        yield "half greeted"
        client.sendall(greeting[20:])
        yield "greeted"
        length, _ = decode_header(receive(client, HEADER_BYTES))
        receive(client, length)
        yield "asked for TLS"
        received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = self._tls.wrap_bio(received, sent, server_side=True)
        received.write(receive(client, 20))
        yield "half said hello"
        received.write(client.recv(1 << 16))
        yield "said hello"
        with suppress(ssl.SSLWantReadError):
            session.do_handshake()
        answer = sent.read()
        client.sendall(answer[:100])
        yield "half answered"
        client.sendall(answer[100:])
        yield "answered"
        received.write(receive(client, 1) + client.recv(1 << 16))
        session.do_handshake()
        client.sendall(sent.read())
        yield "in TLS"
        received.write(receive(client, 1) + client.recv(1 << 16))
        yield "logged in"
        session.write(Packet(3, b"\0\0\0\2\0\0\0").encode())
        client.sendall(sent.read())
        yield "let in"


def receive(client: socket.socket, count: int) -> bytes:
    """Read so many bytes; raises EOFError where the gateway is gone before."""
    received = b""
    while len(received) < count:
        piece = client.recv(count - len(received))
        if not piece:
            raise EOFError
        received += piece
    return received


@contextmanager
def left_open() -> Iterator[list[str]]:
    """Yield what is told, in the end, of things that nobody has closed."""
    found = list[str]()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        yield found
        gc.collect()
    # The client has sockets in TLS, which PyMySQL leaves open where it does not get in; the gateway has none.
    found += [text for warning in told if "<ssl.SSLSocket" not in (text := str(warning.message))]


def log_in(gateway: Gateway, certificates: Certificates) -> None:
    with suppress(pymysql.MySQLError):
        pymysql.connect(
            host=gateway.host,
            port=gateway.port,
            user="user",
            password="password",
            ssl_ca=str(certificates.ca_file),
            connect_timeout=PATIENCE_SECONDS,
            read_timeout=PATIENCE_SECONDS,
        ).close()


@pytest.fixture
def gateway(certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.setattr("local.aurora.streams.CLOSE_TIMEOUT_SECONDS", 0.1)
    return Gateway(
        server_socket=tmp_path / "s.sock", files=tmp_path, certificates=certificates, s3_endpoint_url="http://127.0.0.1"
    )


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_server_that_goes_away_leaves_nothing_open(gateway, certificates, tmp_path, moment):
    with left_open() as found, Server(tmp_path / "s.sock", certificates, moment, hangs=False), gateway:
        log_in(gateway, certificates)
    assert found == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_gateway_that_is_stopped_leaves_nothing_open(gateway, certificates, tmp_path, moment):
    for wait in STOPS:
        path = tmp_path / "s.sock"
        path.unlink(missing_ok=True)
        with left_open() as found:
            with Server(path, certificates, moment, hangs=True), gateway:
                client = threading.Thread(target=log_in, args=(gateway, certificates))
                client.start()
                time.sleep(wait)
                started = time.monotonic()
                gateway.stop()
                took = time.monotonic() - started
            client.join()
        assert found == []
        assert took < PATIENCE_SECONDS / 2, "it waits for no client"

"""A server that offers no TLS, as a man in the middle would: nobody's password is sent to it."""

import socket
import struct
import threading

import pytest

from dynaurora.aurora.connection import Credentials, Endpoint, connect
from dynaurora.errors import CertificateError
from local.certificates import ensure_certificates

PASSWORD = "never-in-clear-text"
PROTOCOL_41, SECURE, PLUGINS, LONG_PASSWORD, WITH_DATABASE = 0x200, 0x8000, 0x80000, 0x1, 0x8


def packet(number: int, body: bytes) -> bytes:
    return struct.pack("<I", len(body))[:3] + bytes([number]) + body


def greet(capabilities: int) -> bytes:
    """The first packet of a server (MySQL's client/server protocol, `HandshakeV10`)."""
    low, high = struct.pack("<I", capabilities)[:2], struct.pack("<I", capabilities)[2:]
    salt = b"12345678\0" + low + b"\x2d\x02\0" + high + b"\x15" + bytes(10) + b"123456789012\0"
    return packet(0, b"\x0a8.0.mysql_aurora.3.08.0\0" + struct.pack("<I", 7) + salt + b"mysql_native_password\0")


@pytest.fixture
def server():
    """A server that has no TLS and asks for the password itself; what it hears."""
    heard = bytearray()

    def serve():
        client, _ = listener.accept()
        with client:
            client.settimeout(5)
            client.sendall(greet(PROTOCOL_41 | SECURE | PLUGINS | LONG_PASSWORD | WITH_DATABASE))
            while first := client.recv(65536):
                heard.extend(first)
                client.sendall(packet(first[3] + 1, b"\xfemysql_clear_password\0"))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], heard
        thread.join(5)


def test_a_server_without_tls_hears_nothing(server, tmp_path):
    port, heard = server
    endpoint = Endpoint("127.0.0.1", port, ensure_certificates(tmp_path).ca_file.read_text())
    with (
        pytest.raises(CertificateError, match="offers no TLS; nothing was sent"),
        connect(endpoint, Credentials("admin", PASSWORD)),
    ):
        pass
    assert bytes(heard) == b""

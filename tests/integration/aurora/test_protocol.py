"""Packets of the protocol. Nothing here needs a server."""

import struct

from local.aurora.protocol import Packet, ServerError, offer_tls, withdraw_tls

COMPRESS, TLS, ZSTD, ATTRIBUTES = 1 << 5, 1 << 11, 1 << 26, 1 << 27


def greet(capabilities: int) -> Packet:
    """A server's greeting, as far as its capabilities."""
    lower, upper = struct.pack("<H", capabilities & 0xFFFF), struct.pack("<H", capabilities >> 16)
    head = b"\x0a9.7.4\0" + b"\x01\0\0\0" + b"scramble" + b"\0"
    return Packet(0, head + lower + b"\xff" + b"\x02\0" + upper + b"\x15" + bytes(10))


def test_the_gateway_offers_tls_and_nothing_it_cannot_read() -> None:
    others = 1 | 1 << 9 | 1 << 19 | 1 << 24
    assert offer_tls(greet(others | COMPRESS | ZSTD | ATTRIBUTES)) == greet(others | TLS)


def test_the_server_is_not_told_of_what_was_not_offered() -> None:
    login = Packet(1, struct.pack("<I", 1 | 1 << 9 | COMPRESS | TLS | ZSTD | ATTRIBUTES) + b"rest")
    assert withdraw_tls(login) == Packet(1, struct.pack("<I", 1 | 1 << 9) + b"rest")


def test_a_greeting_that_is_an_error_stays_as_it_is() -> None:
    refused = ServerError(1040, "08004", "Too many connections").to_packet(0)
    assert offer_tls(refused) == refused


def test_an_error_is_read_as_it_was_written() -> None:
    error = ServerError.from_packet(ServerError(1317, "70100", "Query execution was interrupted").to_packet(3))
    assert (error.number, error.sql_state, error.message) == (1317, "70100", "Query execution was interrupted")

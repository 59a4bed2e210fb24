"""The few parts of the MySQL client/server protocol that a gateway has to understand.

A packet is a 3-byte little-endian payload length, a 1-byte sequence number and the payload. A message of 2^24 - 1 bytes
or more continues in further packets. Each command starts again at sequence number 0; answers count on from there.
"""

import asyncio
import struct
from dataclasses import dataclass
from typing import Final, Self

MAX_PAYLOAD: Final = 0xFFFFFF
"""Payload bytes of a packet that is continued by another."""
HEADER_BYTES: Final = 4

COM_QUERY: Final = 0x03
OK: Final = 0x00
ERROR: Final = 0xFF
FAST_LOGIN: Final = b"\x01\x03"
"""What MySQL says when it knows a user's password already (caching_sha2_password): its verdict follows unasked."""
_PROGRESS_REPORT: Final = 0xFFFF
"""MariaDB reports the progress of a load, to clients that asked for it, as errors of this number."""

_CLIENT_COMPRESS: Final = 1 << 5
_CLIENT_SSL: Final = 1 << 11
_CLIENT_ZSTD_COMPRESSION: Final = 1 << 26
_CLIENT_QUERY_ATTRIBUTES: Final = 1 << 27
_WITHDRAWN: Final = _CLIENT_COMPRESS | _CLIENT_ZSTD_COMPRESSION | _CLIENT_QUERY_ATTRIBUTES
"""What the gateway cannot read: compressed packets, and queries whose text is not what they begin with."""
_SSL_REQUEST_BYTES: Final = 32
"""A login packet cut off before the user's name asks for TLS."""


@dataclass(frozen=True)
class Packet:
    """One packet."""

    sequence: int
    payload: bytes

    def encode(self) -> bytes:
        """Return the packet's bytes."""
        return encode_header(len(self.payload), self.sequence) + self.payload

    def renumber(self, by: int) -> Self:
        """Return the packet with its sequence number moved."""
        return type(self)((self.sequence + by) % 256, self.payload)

    @property
    def is_progress_report(self) -> bool:
        """Tell whether this looks like an error but is news of a statement still running."""
        return self.error_number == _PROGRESS_REPORT

    @property
    def error_number(self) -> int | None:
        """The number of the error that an answer is, or None where it is none."""
        return int.from_bytes(self.payload[1:3], "little") if self.payload[0] == ERROR else None


class ServerError(Exception):
    """What a server refuses a statement with."""

    def __init__(self, number: int, sql_state: str, message: str) -> None:
        """Refuse with MySQL's error number, the five characters of the SQL state, and a text for people."""
        super().__init__(number, message)
        self.number = number
        self.sql_state = sql_state
        self.message = message

    @classmethod
    def from_packet(cls, packet: Packet) -> Self:
        """Return the error that an answer is: its number, `#`, the SQL state and the text."""
        state, text = packet.payload[4:9], packet.payload[9:]
        return cls(packet.error_number or 0, state.decode(), text.decode(errors="replace"))

    def to_packet(self, sequence: int) -> Packet:
        """Return the error packet that tells it to a client."""
        head = struct.pack("<BH", ERROR, self.number)
        return Packet(sequence % 256, head + b"#" + self.sql_state.encode() + self.message.encode())


def encode_header(length: int, sequence: int) -> bytes:
    """Return the header of a packet with a payload of `length` bytes."""
    return length.to_bytes(3, "little") + bytes([sequence])


def decode_header(header: bytes) -> tuple[int, int]:
    """Return a packet's payload length and sequence number from its 4-byte header."""
    return int.from_bytes(header[:3], "little"), header[3]


def split_query(statement: bytes) -> list[Packet]:
    """Return the packets that ask a server to execute a statement; its answer's sequence numbers count on from them."""
    message = bytes([COM_QUERY]) + statement
    # A message whose length is a multiple of the maximum is closed by an empty packet.
    starts = range(0, len(message) + 1, MAX_PAYLOAD)
    return [Packet(n % 256, message[start : start + MAX_PAYLOAD]) for n, start in enumerate(starts)]


def strip_info(answer: Packet) -> Packet:
    """Return a server's OK without the text that may be in it; any other answer as it is.

    The text follows the rows affected and the last id, integers of 1 to 9 bytes each, the status and the warnings.
    """
    payload = answer.payload
    if payload[0] != OK:
        return answer
    offset = 1
    for _ in range(2):
        offset += {0xFC: 3, 0xFD: 4, 0xFE: 9}.get(payload[offset], 1)
    return Packet(answer.sequence, payload[: offset + 4])


async def read_packet(reader: asyncio.StreamReader) -> Packet:
    """Read one packet; raises IncompleteReadError when the stream ends."""
    length, sequence = decode_header(await reader.readexactly(HEADER_BYTES))
    return Packet(sequence, await reader.readexactly(length))


def offer_tls(greeting: Packet) -> Packet:
    """Return a server's greeting changed to offer TLS, which the gateway has, and nothing that it cannot read.

    The capabilities' lower half follows the server's version, the thread id (4 bytes), the first part of the
    scramble (8 bytes) and a filler byte; the upper half follows the character set (1 byte) and the status (2 bytes). An
    error, such as too many connections, is returned as it is.
    """
    if greeting.payload[0] == ERROR:
        return greeting
    payload = bytearray(greeting.payload)
    lower = payload.index(0, 1) + 1 + 4 + 8 + 1
    upper = lower + 2 + 1 + 2
    for offset, withdrawn, offered in ((lower, _WITHDRAWN & 0xFFFF, _CLIENT_SSL), (upper, _WITHDRAWN >> 16, 0)):
        (capabilities,) = struct.unpack_from("<H", payload, offset)
        struct.pack_into("<H", payload, offset, capabilities & ~withdrawn | offered)
    return Packet(greeting.sequence, bytes(payload))


def offers_tls(greeting: Packet) -> bool:
    """Tell whether the server itself has TLS."""
    payload = greeting.payload
    if payload[0] == ERROR:
        return False
    (capabilities,) = struct.unpack_from("<H", payload, payload.index(0, 1) + 1 + 4 + 8 + 1)
    return bool(capabilities & _CLIENT_SSL)


def ask_for_tls(login: Packet) -> Packet:
    """Return what a client sends before a login that is to go on in TLS: the login's beginning."""
    return Packet(login.sequence - 1, keep_tls(login).payload[:_SSL_REQUEST_BYTES])


def keep_tls(login: Packet) -> Packet:
    """Return a login as a client sends it that uses TLS, and nothing that the gateway cannot read."""
    (capabilities,) = struct.unpack_from("<I", login.payload)
    return Packet(login.sequence, struct.pack("<I", capabilities & ~_WITHDRAWN | _CLIENT_SSL) + login.payload[4:])


def asks_for_tls(login: Packet) -> bool:
    """Tell whether a client's first packet asks to go on in TLS."""
    (capabilities,) = struct.unpack_from("<I", login.payload)
    return len(login.payload) == _SSL_REQUEST_BYTES and bool(capabilities & _CLIENT_SSL)


def withdraw_tls(login: Packet) -> Packet:
    """Return a login as a client sends it that does not use TLS, for the server behind the gateway.

    MySQL's own client lays claim to what it was not offered, and then does without it.
    """
    (capabilities,) = struct.unpack_from("<I", login.payload)
    return Packet(login.sequence, struct.pack("<I", capabilities & ~(_CLIENT_SSL | _WITHDRAWN)) + login.payload[4:])

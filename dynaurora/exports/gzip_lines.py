"""Reading gzip as lists of lines, with the decompressor of ISA-L: as fast as this machine does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from isal import igzip, isal_zlib

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_BYTES = 256 * 1024
"""Of text that is read at a time: some hundred items, which stay in the processor's cache."""
MAX_LINE_BYTES = 16 * 1024 * 1024
"""Of one line. An item has 400 KB (Amazon DynamoDB Developer Guide, "Quotas"), and its JSON a few times that."""

GzipError = cast("type[Exception]", isal_zlib.error)
"""What damaged data raises, beside gzip's own BadGzipFile and EOFError."""


class LineTooLongError(Exception):
    """A line has more than MAX_LINE_BYTES: the data are not an export's."""


def read_lines(stream: Any) -> Iterator[list[bytes]]:
    """Yield the lines of a gzip stream in order, some hundred at a time, without their newlines.

    A line ends with a newline and nothing else. Raises LineTooLongError once that is known, which bounds what is held,
    EOFError, gzip.BadGzipFile or GzipError.
    """
    file = igzip.IGzipFile(fileobj=stream, mode="rb")  # type: ignore[no-untyped-call]
    pending, size = list[bytes](), 0
    while block := file.read(BLOCK_BYTES):
        end = block.rfind(b"\n") + 1
        if end:
            yield b"".join((*pending, block[: end - 1])).split(b"\n")
            pending, size = [], 0
        pending.append(block[end:])  # joined once, so that a long line is not copied with each block
        size += len(block) - end
        if size > MAX_LINE_BYTES:
            raise LineTooLongError(f"a line has more than {MAX_LINE_BYTES} bytes")
    if size:
        yield [b"".join(pending)]

"""Reading gzip as lists of lines, with the decompressor of ISA-L: as fast as this machine does it."""

from __future__ import annotations

import gzip
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


class TextTooLongError(Exception):
    """A line, or all of them, have more bytes than an export's: the data are none."""


def read_lines(stream: Any, most_bytes: int) -> Iterator[list[bytes]]:
    """Yield the lines of a gzip stream in order, some hundred at a time, without their newlines.

    A line ends with a newline and nothing else. Raises TextTooLongError once a line has more than MAX_LINE_BYTES, or
    all of them more than `most_bytes`, which bounds what is held and done; EOFError, gzip.BadGzipFile or GzipError.
    """
    file = igzip.IGzipFile(fileobj=stream, mode="rb")  # type: ignore[no-untyped-call]
    pending, size, left = list[bytes](), 0, most_bytes
    while block := _read(file):
        left -= len(block)
        if left < 0:
            raise TextTooLongError(f"it has more than {most_bytes} bytes of text")
        end = block.rfind(b"\n") + 1
        if end:
            yield b"".join((*pending, block[: end - 1])).split(b"\n")
            pending, size = [], 0
        pending.append(block[end:])  # joined once, so that a long line is not copied with each block
        size += len(block) - end
        if size > MAX_LINE_BYTES:
            raise TextTooLongError(f"a line has more than {MAX_LINE_BYTES} bytes")
    if size:
        yield [b"".join(pending)]


def _read(file: igzip.IGzipFile) -> bytes:
    """Return the next block of text. Raises what `read_lines` does of what is no gzip."""
    try:
        return file.read(BLOCK_BYTES)
    except OverflowError as error:  # a name or a comment of the member that does not end
        raise gzip.BadGzipFile(str(error)) from error

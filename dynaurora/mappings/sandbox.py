"""Sandboxes: changes mapped in a process of their own, each within bounds of time and memory.

For mappings that have something whose work no length bounds (`dynaurora.mappings.bounds`), and for whatever ended the
process that mapped it before. C code cannot be interrupted, so what takes too long is killed. The change alone is
refused then, by the rule `time` or `size`, and the next one finds the process ready.

A change has time in proportion to its size, of the processor and not of the clock, so that a busy machine refuses
nobody. All changes of an invocation together have a share of the time that it has left.

Records are handed over some at a time, which together have less than one alone may have. Where that does not do, none
of them is judged by it: each is mapped by itself then, within its own bounds.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import time
import weakref
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from dynaurora.errors import Reason, RejectedChange
from dynaurora.mappings.bounds import find_costly
from dynaurora.mappings.compiled.row_writer import RowWriter
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.row_mapper import RowMapper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dynaurora.dynamodb.changes import Change
    from dynaurora.mappings.compiled.row_writer import Exactly
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.rows import Row
    from dynaurora.mappings.unmapped import UnmappedCounter

Snapshot = tuple[int, int] | None
"""The version of an export's items, and when they were changed, in milliseconds; None for changes, which tell that."""

SECONDS_EACH: Final = 0.5
"""Of the processor for a change, whatever its size: a hundred times what a usual one takes."""
SECONDS_PER_BYTE: Final = 5e-6
"""For each byte of it, on top: two seconds for an item of 400 KB, which takes half a second plainly."""
SHARE: Final = 20
"""A change has at most this part of the time that is left, so that slow ones leave some for those behind them."""
LEAST_SECONDS: Final = 0.02
WAITED: Final = 30
"""Seconds of the clock for each second of the processor, and at least: a process that is silent for longer hangs."""
HANDED_SECONDS: Final = 0.1
"""Of the processor for records that are handed over together."""
HANDED_RECORDS: Final = 50
HANDED_BYTES: Final = 256 * 1024
"""Records that are handed over at a time have as many bytes at most, but for one that has more by itself."""
GROWTH: Final = 0.1
"""Records more that are handed over the next time where it went well; where it did not, half as many are."""
USED: Final = 0.6
"""Of an invocation's time, what mapping may take."""
MEMORY_BYTES: Final = 384 * 1024 * 1024
"""On top of what an idle process has. The smallest function that maps has 1,024 MB for both processes."""
MAX_MAPPED_BYTES: Final = 64 * 1024 * 1024
"""Of a row: an item of 400 KB whose every number is written with 400 zeros has half of it."""
START_SECONDS: Final = 60
_LENGTH: Final = 4
UNBOUNDED_SECONDS: Final = 3600.0
"""For callers that have no deadline."""


class SandboxEndedError(Exception):
    """The process is gone, or does not answer."""


class Sandbox:
    """A process that maps changes by one document; started when it is needed, and again where it is gone."""

    def __init__(self, mapping: Mapping, memory_bytes: int = MEMORY_BYTES) -> None:
        self._mapping = mapping
        self._memory_bytes = memory_bytes
        self._left = UNBOUNDED_SECONDS
        self._together: float = HANDED_RECORDS
        self._process: subprocess.Popen[bytes] | None = None

    def allow(self, seconds: float) -> None:
        """Begin work that has so many seconds to its deadline. Raises SandboxEndedError where no process starts."""
        self._left = seconds * USED
        self._process = self._process or self._start()

    def map(self, change: Change, place: str) -> tuple[Row, Any]:
        """Return the row of a change in the target at a place of the document, and what no column took of it.

        Raises RejectedChange, by the rule `time` or `size` where it takes too much.
        """
        data, begun = pickle.dumps((place, None, change)), time.monotonic()
        seconds = self._choose_seconds(len(data))
        try:
            answer = self._ask_again(struct.pack("d", seconds) + data, max(WAITED * seconds, WAITED))
        except SandboxEndedError:
            raise RejectedChange(Reason("size", "", "ended the process that mapped it")) from None
        finally:
            self._left -= time.monotonic() - begun
        kind, body = answer[:1], answer[1:]
        if kind == b"D":
            raise RejectedChange(_describe_death(int(body), seconds))
        told = pickle.loads(body)  # noqa: S301 (from the process that was started here)
        if kind == b"N":
            raise RejectedChange(*told)
        row, unmapped = told
        return row, unmapped

    def write(self, records: Sequence[bytes], place: str, snapshot: Snapshot) -> tuple[list[bytes | None], Any]:
        """Return the rows of the first few of some records, and what no column took of them.

        None stands for a record that is to be mapped by itself: it is refused, has no row, or was in hand when those
        that were handed over together took too much.
        """
        count = self._choose_together(records)
        asked, begun = pickle.dumps((place, snapshot, records[:count])), time.monotonic()
        try:
            seconds = min(HANDED_SECONDS, self._choose_seconds(0))
            answer = self._ask(struct.pack("d", seconds) + asked, WAITED)
        except RejectedChange:
            return [None] * count, None
        except SandboxEndedError:
            self.close()
            answer = b""
        finally:
            self._left -= time.monotonic() - begun
        if answer[:1] != b"R":
            self._together = max(1.0, self._together / 2)
            return [None] * count, None
        self._together = min(HANDED_RECORDS, self._together + GROWTH)
        rows, unmapped = pickle.loads(answer[1:])  # noqa: S301 (from the process that was started here)
        return rows, unmapped

    def _choose_together(self, records: Sequence[bytes]) -> int:
        """Return how many of some records to hand over at once."""
        count = size = 0
        for record in records[: int(self._together)]:
            size += len(record)
            if count and size > HANDED_BYTES:
                break
            count += 1
        return count

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            _end(self._process)
            self._process = None

    def _choose_seconds(self, size: int) -> float:
        if self._left <= 0:
            problem = "was not mapped: changes before it took all the time that mapping may take"
            raise RejectedChange(Reason("time", "", problem))
        return max(LEAST_SECONDS, min(SECONDS_EACH + SECONDS_PER_BYTE * size, self._left / SHARE))

    def _ask_again(self, request: bytes, wait: float) -> bytes:
        """Ask, and once more where the process is gone: it may have been before. Raises SandboxEndedError."""
        try:
            return self._ask(request, wait)
        except SandboxEndedError:
            self.close()
        try:
            return self._ask(request, wait)
        except SandboxEndedError:
            self.close()
            raise

    def _ask(self, request: bytes, wait: float) -> bytes:
        self._process = self._process or self._start()
        _send(self._process, request)
        return _receive(self._process, time.monotonic() + wait)

    def _start(self) -> subprocess.Popen[bytes]:
        serve = f"from dynaurora.mappings.sandboxed import serve; serve({self._memory_bytes}, {MAX_MAPPED_BYTES})"
        process = subprocess.Popen(  # noqa: S603 (this interpreter, and code of ours)
            [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {serve}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        weakref.finalize(self, _end, process)
        _send(process, pickle.dumps((self._mapping.name, self._mapping.text)))
        _receive(process, time.monotonic() + START_SECONDS)
        return process


class SandboxedRowMapper(RowMapper):
    """Maps changes in a sandbox."""

    def __init__(self, mapping: Mapping, sandbox: Sandbox | None = None) -> None:
        super().__init__(mapping)
        self.sandbox = sandbox or Sandbox(mapping)

    @cached_property
    def targets(self) -> tuple[RowMapper, ...]:
        """What maps for each target of the mapping's file, all in one sandbox; asked of the first one's."""
        return (self, *(SandboxedRowMapper(other, self.sandbox) for other in self.mapping.others))

    @cached_property
    def writer(self) -> RowWriter:
        """What writes rows, all of which are mapped in the sandbox."""
        return SandboxedRowWriter(self.mapping, self.unmapped, self.sandbox)

    def row(self, change: Change) -> Row:
        """Return the row of a change. Raises RejectedChange."""
        if change.new_image is None:  # of which there are keys only
            return super().row(change)
        row, unmapped = self.sandbox.map(change, self.mapping.place)
        self.unmapped.add(unmapped)
        return row


class SandboxedRowWriter(RowWriter):
    """Writes the rows of many records, which are handed to a sandbox some at a time."""

    def __init__(self, mapping: Mapping, unmapped: UnmappedCounter, sandbox: Sandbox) -> None:
        super().__init__(mapping, unmapped)
        self.plan, self.why_plain = None, "records are mapped in a process of their own"
        self._place = mapping.place
        self._counter = unmapped
        self._sandbox = sandbox

    def write_items(self, lines: list[bytes], version: int, changed_at_ms: int, exactly: Exactly) -> bytes:
        """Return the CSV of an export's lines, as without a sandbox."""
        return b"".join(row for row in self._hand_over(lines, (version, changed_at_ms), exactly) if row is not None)

    def write_changes(self, changes: list[bytes], exactly: Exactly) -> list[bytes | None]:
        """Return the row of each change, None where it has none."""
        return self._hand_over(changes, None, exactly)

    def _hand_over(self, records: list[bytes], snapshot: Snapshot, exactly: Exactly) -> list[bytes | None]:
        """Return the row of each record; `exactly` is asked of each that has none of those handed over together."""
        rows = list[bytes | None]()
        while len(rows) < len(records):
            first = len(rows)
            written, unmapped = self._sandbox.write(records[first : first + HANDED_RECORDS], self._place, snapshot)
            if unmapped is not None:
                self._counter.add(unmapped)
            for index, row in enumerate(written, first):
                exact = exactly(index) if row is None else None
                rows.append(row if exact is None else encode_row(exact))
        return rows


def choose_row_mapper(mapping: Mapping) -> RowMapper:
    """Return what maps by a mapping: in a sandbox where it has something whose work nothing bounds."""
    is_costly = any(True for target in mapping.targets for _ in find_costly(target))
    return SandboxedRowMapper(mapping) if is_costly else RowMapper(mapping)


def _send(process: subprocess.Popen[bytes], frame: bytes) -> None:
    """Send a frame. Raises SandboxEndedError."""
    assert process.stdin  # noqa: S101 (it is a pipe)
    left = memoryview(len(frame).to_bytes(_LENGTH, "big") + frame)
    try:
        while left:
            left = left[process.stdin.write(left) :]
    except OSError as error:
        raise SandboxEndedError from error


def _receive(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """Return the next frame, if it comes before a time of the monotonic clock. Raises SandboxEndedError."""
    size = int.from_bytes(_receive_exactly(process, _LENGTH, deadline), "big")
    return _receive_exactly(process, size, deadline)


def _receive_exactly(process: subprocess.Popen[bytes], size: int, deadline: float) -> bytes:
    assert process.stdout  # noqa: S101 (it is a pipe)
    pieces, left = list[bytes](), size
    while left:
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(process.stdout.fileno(), left) if ready else b""
        if not piece:
            raise SandboxEndedError
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _describe_death(number: int, seconds: float) -> Reason:
    if number == signal.SIGPROF:
        return Reason("time", "", f"takes more than {seconds:.2f} seconds to map")
    return Reason("size", "", f"ended the process that mapped it, by signal {number}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()  # its worker finds that there is no more to read
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    process.wait()

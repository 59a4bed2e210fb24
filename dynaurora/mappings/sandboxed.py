"""The inside of a sandbox: maps changes in a process that may be killed at any time (`dynaurora.mappings.sandbox`).

One process serves: it loads the mapping with all that it needs, starts a worker by `fork`, and starts another where
that one dies. It has no threads, so that a fork is safe. The worker reads requests from standard input, one at a time,
and answers on what was standard output. The kernel kills it once a change has had its time of the processor (SIGPROF),
in C code too.

Frames begin with four bytes of length. The first one is a pickle of the mapping's name and text. A request is the
seconds of the processor, a double, and a pickle: the target's place in the document, None, and a change, or instead of
the two the version and time of an export's items, None for changes, and the texts of several of them. An answer's first
byte is its kind: `R`, the pickle of a row, or of a list of CSV lines, and of what no column took, `N`, that of reasons,
or `D`, the signal by which the worker ended, as text.
"""

from __future__ import annotations

import json
import mmap
import os
import pickle
import resource
import signal
import struct
from collections import deque
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from dynaurora.dynamodb.attributes import load_json
from dynaurora.dynamodb.changes import Change, decode_change
from dynaurora.errors import Reason, RejectedChange
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.patterns import compile_pattern, list_patterns
from dynaurora.mappings.row_mapper import RowMapper

if TYPE_CHECKING:
    from dynaurora.mappings.rows import Row

_LENGTH: Final = 4
"""Bytes that tell how long a frame is."""
IDLE, MOVING, WORKING = b"\0", b"\1", b"\2"
"""What a worker is at: waiting for a request, reading or answering one, mapping."""
_ROW: Final = b"R"
_REFUSED: Final = b"N"
_DIED: Final = b"D"
_READY: Final = b"S"
_TOO_LARGE: Final = Reason("size", "", "takes more memory to map than a record may have")
NO_MEMORY: Final = _REFUSED + pickle.dumps((_TOO_LARGE,))
_SECONDS: Final = struct.Struct("d")
Mappers = dict[str, RowMapper]
"""By the places of their targets in the document."""
NO_MORE: Final = 3
"""The exit of a worker that was told that there is no more to do."""


def serve(memory_bytes: int, max_answer_bytes: int) -> None:
    """Load the mapping whose document comes first, and map until standard input ends."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what is printed is the function's log, and no answer
    name, text = pickle.loads(_read_frame())  # noqa: S301 (from the process that started this one)
    document = json.loads(text, parse_float=Decimal)
    targets = build_mapping(name, document, is_checked=True, text=text).targets
    mappers = {target.place: RowMapper(target) for target in targets}
    for mapper in mappers.values():
        _warm(mapper)
    state = mmap.mmap(-1, 1)
    _write_frame(answers, _READY)
    while True:
        worker = os.fork()
        if worker == 0:
            _work(mappers, answers, state, memory_bytes, max_answer_bytes)
        _, status = os.waitpid(worker, 0)
        if os.waitstatus_to_exitcode(status) == NO_MORE or state[:1] == MOVING:
            return  # half a frame may be on its way: the other end starts anew
        if state[:1] == WORKING:
            state[:1] = IDLE
            _write_frame(answers, _DIED + str(-os.waitstatus_to_exitcode(status)).encode())


def _warm(mapper: RowMapper) -> None:
    """Import and compile what the first change would, once for all workers: it is no change's time."""
    for _, pattern in list_patterns(mapper.mapping.schema):
        compile_pattern(pattern)
    with suppress(RejectedChange):
        mapper.row(Change(0, 0, {}, {}))
    mapper.writer.prepare(None)
    deque(mapper.mapping.validator.iter_errors({}), 0)


def _work(mappers: Mappers, answers: int, state: mmap.mmap, memory_bytes: int, max_answer_bytes: int) -> NoReturn:
    """Answer requests until there are no more; never returns into what it is a copy of."""
    try:
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        _bound_memory(memory_bytes)
        while True:
            state[:1] = IDLE
            length = os.read(0, _LENGTH)
            if not length:
                os._exit(NO_MORE)
            state[:1] = MOVING
            request = _read_exactly(int.from_bytes(length + _read_exactly(_LENGTH - len(length)), "big"))
            state[:1] = WORKING
            answer = _answer(mappers, request)
            if len(answer) > max_answer_bytes:
                answer = NO_MEMORY
            state[:1] = MOVING
            _write_frame(answers, answer)
            if answer == NO_MEMORY:  # what is left of it may not do for the next change
                state[:1] = IDLE
                os._exit(0)
    finally:
        os._exit(1)


def _answer(mappers: Mappers, request: bytes) -> bytes:
    try:
        place, snapshot, work = pickle.loads(request[_SECONDS.size :])  # noqa: S301 (from who started this one)
        mapper = mappers[place]
        if isinstance(work, list):
            mapper.writer.prepare(snapshot)  # once for all records: it is no record's time
        signal.setitimer(signal.ITIMER_PROF, *_SECONDS.unpack_from(request))
        return _write(mapper, work, snapshot) if isinstance(work, list) else _map(mapper, work)
    except MemoryError:
        return NO_MEMORY
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _map(mapper: RowMapper, change: Change) -> bytes:
    try:
        row = mapper.row(change)
    except RejectedChange as error:
        mapper.unmapped.take()
        if isinstance(error.__cause__, MemoryError):
            raise MemoryError from error
        return _REFUSED + pickle.dumps(error.reasons)
    return _ROW + pickle.dumps((row, mapper.unmapped.take()))


def _write(mapper: RowMapper, records: list[bytes], snapshot: tuple[int, int] | None) -> bytes:
    """Return the lines of records, None for each that is to be mapped by itself: its reasons are asked for there."""
    left_out = set[int]()

    def map_plainly(index: int) -> Row | None:
        try:
            change = decode_change(records[index]) if snapshot is None else _read_item(mapper, records[index], snapshot)
            if change.new_image is not None:
                return mapper.row(change)
        except Exception as error:
            if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
                raise MemoryError from error
        left_out.add(index)
        return None

    if snapshot is None:
        rows = mapper.writer.write_changes(records, map_plainly)
    else:
        rows = [*mapper.writer.write_items(records, *snapshot, map_plainly).splitlines(keepends=True)]
        for index in sorted(left_out):
            rows.insert(index, None)
    return _ROW + pickle.dumps((rows, mapper.unmapped.take()))


def _read_item(mapper: RowMapper, line: bytes, snapshot: tuple[int, int]) -> Change:
    item: dict[str, Any] = load_json(line)["Item"]
    keys = {name: item[name] for name in mapper.mapping.key_attributes if name in item}
    return Change(*snapshot, keys, item)


def _bound_memory(more_bytes: int) -> None:
    """Bound the address space to what it is now and some more; not where the system does not tell what it is."""
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        bound = pages * resource.getpagesize() + more_bytes
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read_frame() -> bytes:
    return _read_exactly(int.from_bytes(_read_exactly(_LENGTH), "big"))


def _read_exactly(size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = os.read(0, size - len(data))
        if not piece:
            os._exit(NO_MORE)
        data += piece
    return bytes(data)


def _write_frame(descriptor: int, frame: bytes) -> None:
    left: Any = memoryview(len(frame).to_bytes(_LENGTH, "big") + frame)
    while left:
        left = left[os.write(descriptor, left) :]

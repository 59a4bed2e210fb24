"""Parts of a batch: the rows that one mapping wrote for one target, which are loaded together by its columns.

A line of a streamed batch begins with the label of its part, `0x1A <target>.<short digest>,`. Data never holds a raw
0x1A, so a load that is told a label loads its lines and no others. The lines of the release before have no label, and
their data may hold anything, a label too: an object that has both kinds is copied out into one object for each.

An object's bytes are counted block by block. As many newlines as labels that are expected, and as many bytes 0x1A: then
every line has that label, and nothing else has to be looked at.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, Final

from dynaurora import keys
from dynaurora.aws.objects import aborting
from dynaurora.errors import MalformedBatchError, ObjectChangedError
from dynaurora.mappings.csv_format import LABEL, LABEL_START

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.batches.batch import Batch, BatchObject

MARK: Final = LABEL_START.encode()
SCAN_BYTES: Final = 1024 * 1024
UNLABELLED: Final = ""
"""The label of lines that have none."""


@dataclass(frozen=True, slots=True)
class Part:
    """The lines of a batch that have one label."""

    label: str
    """`<target>.<short digest>`, or UNLABELLED."""
    rows: int | None
    """As many as there are lines; None where nobody has counted them."""
    objects: tuple[BatchObject, ...]
    """Where the lines are, among lines of other labels or, without a label, alone."""


def read_parts(batch: Batch, expected: str, store: ObjectStore, bucket: str) -> list[Part]:
    """Return the parts of a streamed batch, labelled ones first.

    `expected` is the label that all lines are likely to have, and `bucket` is where objects of several kinds of lines
    are copied apart to. Raises MalformedBatchError where an object is empty, cut off within a line, or has a line
    whose label is none; ObjectChangedError, ObjectMissingError.
    """
    rows: Counter[str] = Counter()
    places: dict[str, list[BatchObject]] = {}
    for number, item in enumerate(batch.objects):
        counts = count_labels(item, expected, store)
        apart = {item: counts}
        if UNLABELLED in counts and len(counts) > 1:
            apart = separate(batch, number, item, counts, store, bucket)
        for place, labels in apart.items():
            rows.update(labels)
            for label in labels:
                places.setdefault(label, []).append(place)
    return [Part(label, rows[label], tuple(places[label])) for label in sorted(places, reverse=True)]


def count_labels(item: BatchObject, expected: str, store: ObjectStore) -> Counter[str]:
    """Return how many lines of an object have each label.

    Raises MalformedBatchError, ObjectChangedError, ObjectMissingError.
    """
    etag, stream = store.fetch(item.bucket, item.key)
    if etag != item.etag:
        raise ObjectChangedError(f"{item.uri} has the ETag {etag}, and the batch names {item.etag}.")
    with stream:
        lines, marks, labels = _count_bytes(item, stream, MARK + f"{expected},".encode())
    if not marks:
        return Counter({UNLABELLED: lines})
    if lines == marks == labels:
        return Counter({expected: lines})
    with store.open(item.bucket, item.key) as stream:
        return Counter(find_label(item, number, line) for number, line in enumerate(stream, 1))


def _count_bytes(item: BatchObject, stream: BinaryIO, label: bytes) -> tuple[int, int, int]:
    """Return how many newlines an object has, how many marks, and how many lines that begin with a label."""
    wanted = b"\n" + label
    lines, marks, labels, last = 0, 0, 0, b"\n"
    while block := stream.read(SCAN_BYTES):
        lines += block.count(b"\n")
        marks += block.count(MARK)
        seen = last + block
        labels += seen.count(wanted)
        last = seen[-(len(wanted) - 1) :]
    if not lines and last == b"\n":
        raise MalformedBatchError(f"{item.uri} is empty.")
    if not last.endswith(b"\n"):
        raise MalformedBatchError(f"{item.uri} ends within a line: it is truncated.")
    return lines, marks, labels


def find_label(item: BatchObject, number: int, line: bytes) -> str:
    """Return the label of a line. Raises MalformedBatchError where it begins as one and is none.

    Nor may a line with a label hold another mark: a load looks for its label anywhere.
    """
    if not line.startswith(MARK):
        return UNLABELLED
    match = LABEL.match(line)
    if not match:
        raise MalformedBatchError(f"Line {number} of {item.uri} begins with a label that is none.")
    if line.count(MARK) > 1:
        raise MalformedBatchError(f"Line {number} of {item.uri} has a label, and a raw 0x1A in its data.")
    return match[1].decode()


def separate(
    batch: Batch, number: int, item: BatchObject, counts: Counter[str], store: ObjectStore, bucket: str
) -> dict[BatchObject, Counter[str]]:
    """Copy the lines of an object apart, those with a label and those without; return what each copy has."""
    with ExitStack() as stack:
        uploads = {
            kind: (key, stack.enter_context(aborting(store.upload(bucket, key))))
            for kind in ("labelled", "unlabelled")
            for key in [keys.separated_lines(batch.mapping, batch.id, number, kind)]
        }
        for line in stack.enter_context(store.open(item.bucket, item.key)):
            uploads["labelled" if line.startswith(MARK) else "unlabelled"][1].write(line)
        copies = {
            kind: replace(item, bucket=bucket, key=key, etag=upload.complete(), size=upload.size)
            for kind, (key, upload) in uploads.items()
        }
    plain = Counter({UNLABELLED: counts[UNLABELLED]})
    return {copies["labelled"]: counts - plain, copies["unlabelled"]: plain}


def total_lines(parts: Iterable[Part]) -> int:
    """Return how many lines parts have together."""
    return sum(part.rows or 0 for part in parts)

"""Packs: many changes as one record of Firehose, stamped with the mapping that they were read under.

    dynaurora/2 <digest of the mapping, 64 hexadecimal digits>
    {"Version": "…", "ChangedAtMs": …, "Keys": {…}, "NewImage": {…}}
    {"Version": "…", …}

The first line names the format and its version, each other one is a change as `encode_change` writes it; every line
ends with a newline, which no change has in it. Firehose bills each record rounded up to 5 KB (Amazon Data Firehose
pricing), and takes up to 1,000 KiB before base64 (Amazon Data Firehose Developer Guide, "Quota").

The release before sent each change as a record of its own, without a stamp. Such records are read for good.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dynaurora.errors import Reason, RejectedChange

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PACK_START: Final = b"dynaurora/"
"""What a pack of any version begins with, and no JSON does."""
PACK_HEADER: Final = re.compile(rb"dynaurora/2 ([0-9a-f]{64})")
HEADER_BYTES: Final = len("dynaurora/2 \n") + 64
BILLED_BYTES: Final = 5 * 1024
"""Firehose bills a record in steps of so many bytes."""
MAX_RECORD_BYTES: Final = 1000 * 1024
"""Of one record of Firehose before base64."""
MAX_CHANGE_BYTES: Final = MAX_RECORD_BYTES - HEADER_BYTES - 1
"""Of a change: alone in its pack, it still has to fit into a record."""
MAX_PACK_BYTES: Final = 10 * BILLED_BYTES
"""Of a pack of several changes.

A whole number of steps, so that little of the last one is left empty: of changes of 700 bytes a hundredth. Larger packs
would save next to nothing, and each is a unit of what is sent again, kept whole, or does not fit into an answer.
"""


@dataclass(frozen=True, slots=True)
class Pack:
    """The changes of one record of Firehose."""

    digest: str | None
    """Of the mapping that they were read under; None for a change of the release before, which has no stamp."""
    changes: tuple[bytes, ...]
    """Each as `encode_change` wrote it, if it is one."""


def encode_pack(digest: str, changes: Iterable[bytes]) -> bytes:
    """Return the record of changes that were read under the mapping of a digest."""
    return b"".join((b"dynaurora/2 ", digest.encode(), b"\n", *(line + b"\n" for line in changes)))


def is_pack(data: bytes) -> bool:
    """Tell whether a record says that it is a pack, of whatever version."""
    return data.startswith(PACK_START)


def decode_pack(data: bytes) -> Pack:
    """Return the changes of a record; one that does not say that it is a pack is one change.

    Raises RejectedChange where the record begins as a pack and is none that is known.
    """
    if not is_pack(data):
        return Pack(None, (data,))
    header, *changes = data.split(b"\n")
    match = PACK_HEADER.fullmatch(header)
    if not match or len(changes) < 2 or changes.pop():  # behind the last newline is nothing
        raise RejectedChange(Reason("record", "", "begins as a pack of changes and is none of a known version"))
    return Pack(match[1].decode(), tuple(changes))


def fill_packs(sizes: Sequence[int]) -> list[int]:
    """Return how many changes each pack takes, in their order, by the changes' sizes in bytes.

    A pack of several changes has at most MAX_PACK_BYTES; a larger change has a pack of its own.
    """
    counts: list[int] = []
    room = -1
    for size in sizes:
        if size + 1 > room:
            counts.append(0)
            room = MAX_PACK_BYTES - HEADER_BYTES
        counts[-1] += 1
        room -= size + 1
    return counts

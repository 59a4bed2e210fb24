"""Versions: one integer per change that says which of two changes to an item is the newer.

    version = second · 10^40 + sequence

A version has at most 50 digits and is stored as `DECIMAL(50,0)`. Its seconds come first so that changes from
streams and from exports can be compared; the sequence number decides within a second, where a stream has an order
and a snapshot has none. On the margin: an export holds every write up to a minute before its time and none
from a minute after it (DynamoDB Developer Guide, "DynamoDB data export to Amazon S3: how it works"); another minute
is for clocks that differ. A change that an export might lack is therefore always newer than the export's row.
"""

from __future__ import annotations

SEQUENCE_RANGE = 10**40
"""Stream sequence numbers have 21 to 40 digits (DynamoDB Streams API, `StreamRecord.SequenceNumber`)."""

SNAPSHOT_MARGIN_SECONDS = 120
"""How far a snapshot's rows are dated back, in seconds."""

MAX_VERSION = 10**50 - 1
"""The largest version that `DECIMAL(50,0)` holds."""


def make_version(second: int, sequence: int) -> int:
    """Return the version of a change made in `second` (Unix time) with `sequence` within it.

    Raises ValueError where either is out of range: such a number would be newer or older than it should.
    """
    if not 0 <= second < 10**10:
        raise ValueError(f"second {second} is not a Unix time of at most 10 digits")
    if not 0 <= sequence < SEQUENCE_RANGE:
        raise ValueError(f"sequence {sequence} is not a number of at most 40 digits")
    return second * SEQUENCE_RANGE + sequence


def second_of(version: int) -> int:
    """Return the second (Unix time) that a version is of: when its change was made."""
    return version // SEQUENCE_RANGE


def stream_version(second: int, sequence_number: int) -> int:
    """Return the version of a stream record written in `second`."""
    return make_version(second, sequence_number)


def snapshot_version(second: int) -> int:
    """Return the version of every item of a full export at `second`, or of a page scanned then."""
    return make_version(second - SNAPSHOT_MARGIN_SECONDS, 0)


def incremental_version(write_timestamp_micros: int, export_to_second: int) -> int:
    """Return the version of an incremental export's record.

    Such a record is the last state of its second, so it beats the stream's records of that second, unless the
    window's end is so near that a later write may be missing.
    """
    second = write_timestamp_micros // 1_000_000
    final = second < export_to_second - SNAPSHOT_MARGIN_SECONDS
    return make_version(second, SEQUENCE_RANGE - 1 if final else 0)

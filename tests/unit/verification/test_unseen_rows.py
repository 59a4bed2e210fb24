"""Passes: each digest is of one of them, whatever the size of the table, and few at a time."""

from array import array
from random import Random

import pytest

from dynaurora.aurora.seen_keys import BUCKETS, decode, digest_of, encode, number_digest
from dynaurora.verification.unseen_rows import MOST_PASS_ROWS, PASS_ROWS, choose_pass

DIGESTS = [Random(1).randbytes(8) for _ in range(2000)]


@pytest.mark.parametrize("rows", [0, 1, PASS_ROWS, 1_000_000, 50_000_000, 300_000_000])
def test_each_digest_is_of_one_pass(rows):
    """Digests are in the bucket of their first byte."""
    stored = {number: array("Q") for number in range(BUCKETS)}
    for digest in DIGESTS:
        stored[digest[0]].append(number_digest(digest))
    passes = choose_pass(0, rows).passes
    chosen = [
        digest
        for some in (choose_pass(number, rows) for number in range(passes))
        for bucket in some.buckets
        for digest in some.choose(encode(stored[bucket]))
    ]
    assert sorted(map(digest_of, chosen)) == sorted(DIGESTS)


@pytest.mark.parametrize("rows", [1, 1_000_000, 50_000_000, 1_000_000_000, 10**11])
def test_a_pass_holds_a_bounded_number_of_digests(rows):
    assert rows / choose_pass(0, rows).passes <= max(PASS_ROWS, min(rows / BUCKETS, MOST_PASS_ROWS)) * 1.01


def test_digests_are_stored_byte_for_byte():
    assert b"".join(DIGESTS[:3]) == encode(decode(b"".join(DIGESTS[:3])))
    assert encode(array("Q", [number_digest(DIGESTS[0])])) == DIGESTS[0]

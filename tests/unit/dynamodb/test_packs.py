import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.dynamodb.changes import encode_change
from dynaurora.dynamodb.packs import (
    BILLED_BYTES,
    HEADER_BYTES,
    MAX_CHANGE_BYTES,
    MAX_PACK_BYTES,
    MAX_RECORD_BYTES,
    decode_pack,
    encode_pack,
    fill_packs,
    is_pack,
)
from dynaurora.errors import RejectedChange
from tests.support.factories import click_change

DIGEST = "0123456789abcdef" * 4
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("\n\r\x0b\x1a\x85\u2028ab"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("\n\r\x1aab"), inner, max_size=3),
    max_leaves=6,
)


def test_a_pack_is_a_header_and_a_line_for_each_change():
    first, second = encode_change(click_change(page_id="a\nb")), encode_change(click_change(page_id="\ud800"))
    data = encode_pack(DIGEST, [first, second])
    assert data == b"dynaurora/2 " + DIGEST.encode() + b"\n" + first + b"\n" + second + b"\n"
    assert data.count(b"\n") == 3
    pack = decode_pack(data)
    assert (pack.digest, pack.changes) == (DIGEST, (first, second))


@given(st.lists(JSON.map(lambda document: json.dumps(document, ensure_ascii=False).encode()), min_size=1, max_size=6))
def test_any_changes_come_out_of_a_pack_as_they_went_in(changes):
    data = encode_pack(DIGEST, changes)
    assert is_pack(data)
    assert decode_pack(data).changes == tuple(changes)
    assert len(data) == HEADER_BYTES + sum(len(change) + 1 for change in changes)


@pytest.mark.parametrize("data", [b"", b"hello", b"{}", encode_change(click_change())])
def test_what_does_not_begin_as_a_pack_is_one_change_without_a_stamp(data):
    assert not is_pack(data)
    assert (decode_pack(data).digest, decode_pack(data).changes) == (None, (data,))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"dynaurora/2 " + DIGEST.encode(), id="no changes"),
        pytest.param(b"dynaurora/2 " + DIGEST.encode() + b"\n", id="an empty rest"),
        pytest.param(b"dynaurora/2 " + DIGEST.encode() + b"\n{}", id="cut off"),
        pytest.param(b"dynaurora/2 " + DIGEST.upper().encode() + b"\n{}\n", id="a digest in capitals"),
        pytest.param(b"dynaurora/2 abc\n{}\n", id="a short digest"),
        pytest.param(b"dynaurora/3 " + DIGEST.encode() + b"\n{}\n", id="a later version"),
        pytest.param(b"dynaurora/", id="nothing more"),
    ],
)
def test_what_begins_as_a_pack_and_is_none_is_refused_whole(data):
    assert is_pack(data)
    with pytest.raises(RejectedChange, match="begins as a pack"):
        decode_pack(data)


@given(st.lists(st.integers(1, 3000) | st.integers(1, MAX_CHANGE_BYTES), max_size=60))
def test_packs_are_filled_in_order_up_to_their_bound_and_no_further(sizes):
    counts, position, packs = fill_packs(sizes), 0, []
    for count in counts:
        packs.append(sizes[position : position + count])
        position += count
    assert [size for pack in packs for size in pack] == sizes
    lengths = [HEADER_BYTES + sum(size + 1 for size in pack) for pack in packs]
    assert all(packs)
    for pack, length in zip(packs, lengths, strict=True):
        assert length <= (MAX_PACK_BYTES if len(pack) > 1 else MAX_RECORD_BYTES)
    for length, following in zip(lengths, packs[1:], strict=False):
        assert length + following[0] + 1 > MAX_PACK_BYTES


def test_many_small_changes_are_billed_for_hardly_more_than_their_bytes():
    sizes = [681] * 10_000
    billed = len(fill_packs(sizes)) * MAX_PACK_BYTES
    assert billed / sum(sizes) < 1.03
    assert MAX_PACK_BYTES % BILLED_BYTES == 0
    assert len(sizes) * BILLED_BYTES / billed > 7

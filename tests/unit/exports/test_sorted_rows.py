"""Rows on their way to an upload: the same ones, in the order of their keys."""

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.exports import sorted_rows
from dynaurora.exports.sorted_rows import SortedRows, find_order
from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.mapping import build_mapping
from dynaurora.mappings.rows import Row
from tests.support.factories import column, make_mapping, mapping_document


class Kept(list[bytes]):
    size = 0

    def write(self, data: bytes) -> None:
        self.append(data)

    def complete(self) -> str:
        return ""

    def abort(self) -> None:
        pass


KEYS_FIRST = make_mapping(column("a", "INT"))
DOCUMENT = mapping_document(column("a", "INT"))
DOCUMENT["target"]["columns"].reverse()
KEY_LAST = build_mapping("things", DOCUMENT)
TEXTS = st.text(st.sampled_from("ab,\n\\\té\x1a"), max_size=4)


def write(rows: list[bytes], mapping, *, incremental: bool = False) -> list[bytes]:
    kept = Kept()
    target = SortedRows(kept, mapping, incremental=incremental)
    for row in rows:
        target.write(row)
    target.flush()
    return b"".join(kept).splitlines(keepends=True)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9), TEXTS, TEXTS)), st.sampled_from([1, 30, 10**6]))
@pytest.mark.parametrize("mapping", [KEYS_FIRST, KEY_LAST], ids=["key first", "key last"])
def test_no_row_is_lost_or_changed(mapping, rows, part):
    lines = [encode_row(Row(deleted, version, (one, other))) for deleted, version, one, other in rows]
    with patch.object(sorted_rows, "PART_BYTES", part), patch.object(sorted_rows, "WRITTEN_TOGETHER", 2):
        for incremental in (False, True):
            assert sorted(write(lines, mapping, incremental=incremental)) == sorted(lines)


def test_rows_are_in_the_order_of_their_keys_wherever_these_are():
    assert write([b"0,7,c,1\n", b"0,7,a,3\n", b"0,7,b,2\n"], KEYS_FIRST) == [b"0,7,a,3\n", b"0,7,b,2\n", b"0,7,c,1\n"]
    assert write([b"0,7,1,c\n", b"0,7,3,a\n", b"0,7,2,b\n"], KEY_LAST) == [b"0,7,3,a\n", b"0,7,2,b\n", b"0,7,1,c\n"]


def test_changes_are_in_the_order_of_their_keys_whatever_their_versions():
    changes = [b"0,7,c,1\n", b"1,9,a,\\N\n", b"0,8,b,2\n"]
    assert write(changes, KEYS_FIRST, incremental=True) == [changes[1], changes[2], changes[0]]


def test_rows_of_several_targets_are_sorted_where_all_begin_with_their_keys():
    document = {"routes": True, "targets": (KEYS_FIRST, KEY_LAST)}
    routed = type("Routed", (), document)()
    assert find_order(routed, incremental=False) is None
    routed.targets = (KEYS_FIRST, KEYS_FIRST)
    order = find_order(routed, incremental=True)
    assert order is not None
    assert order(b"\x1aThings.0123456789abcdef,0,7,key,1\n") == b"key,1\n"

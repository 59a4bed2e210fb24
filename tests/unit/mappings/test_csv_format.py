import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaurora.mappings.csv_format import encode_row, escape, row_label
from dynaurora.mappings.rows import Row
from tests.support.csv_reader import read_line
from tests.support.factories import column, make_mapping

TEXTS = st.text(st.characters(codec="utf-8")) | st.text("\\NZ,\n\r\t\0\x1a \"'a")
FIELDS = st.lists(st.none() | TEXTS, min_size=1, max_size=4).map(tuple)


@given(st.booleans(), st.integers(0, 10**50 - 1), FIELDS)
def test_a_row_is_read_back_as_it_was(deleted, version, fields):
    assert read_line(encode_row(Row(deleted, version, fields))) == ["1" if deleted else "0", str(version), *fields]


@given(TEXTS)
def test_escaped_text_ends_no_field_and_no_line(text):
    assert not re.search(r"[\n\r\t\0\x1a]", escape(text))
    assert not re.search(r"(?<!\\)(\\\\)*,", escape(text))


@pytest.mark.parametrize(
    ("field", "written"),
    [
        pytest.param(None, r"\N", id="NULL"),
        pytest.param("", "", id="empty string"),
        pytest.param(r"\N", r"\\N", id="literal backslash N is not NULL"),
        pytest.param("NULL", "NULL", id="the word NULL is not NULL"),
        pytest.param("a,b", r"a\,b", id="comma"),
        pytest.param("a\nb\r\nc", r"a\nb\r\nc", id="newlines"),
        pytest.param("a\tb\0c", r"a\tb\0c", id="tab and NUL"),
        pytest.param("\x1aThings.0123456789abcdef,0", r"\ZThings.0123456789abcdef\,0", id="a label"),
        pytest.param(r"\Z", r"\\Z", id="literal backslash Z is not 0x1A"),
        pytest.param("\"a\" 'b'", "\"a\" 'b'", id="quotes stay as they are"),
        pytest.param("a ", "a ", id="trailing space"),
        pytest.param("😀", "😀", id="emoji"),
    ],
)
def test_a_field_is_written_as_load_data_reads_it(field, written):
    assert encode_row(Row(False, 7, (field, "x"))) == f"0,7,{written},x\n".encode()


def test_a_label_is_of_the_table_and_of_the_mapping_and_ends_where_the_row_begins():
    mapping, other = make_mapping(), make_mapping(column("n", "INT"))
    assert row_label(mapping) == b"\x1aThings." + mapping.digest[:16].encode() + b","
    assert row_label(mapping) != row_label(other)

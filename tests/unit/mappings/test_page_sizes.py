"""What rows take of InnoDB's page; `tests/integration/imports/test_page_sizes.py` holds it against the server."""

import pytest

from dynaurora.errors import InvalidMappingError
from dynaurora.mappings.columns import parse_type
from dynaurora.mappings.page_sizes import check_page, count_page_bytes
from tests.support.factories import column, make_mapping


@pytest.mark.parametrize(
    ("kind", "in_row", "in_page"),
    [
        ("VARCHAR(63)", 253, 253),
        ("VARCHAR(64)", 258, 41),
        ("VARBINARY(255)", 256, 256),
        ("VARBINARY(256)", 258, 41),
        ("TINYTEXT", 9, 41),
        ("LONGBLOB", 12, 41),
        ("JSON", 12, 41),
        ("DECIMAL", 5, 5),
        ("DECIMAL(65,30)", 30, 30),
        ("DECIMAL(50,0)", 23, 23),
        ("DATETIME", 5, 5),
        ("DATETIME(6)", 8, 8),
        ("TIMESTAMP(3)", 6, 6),
        ("MEDIUMINT UNSIGNED", 3, 3),
        ("DOUBLE", 8, 8),
        ("BOOLEAN", 1, 1),
        ("DATE", 3, 3),
    ],
)
def test_a_type_takes_so_many_bytes(kind: str, in_row: int, in_page: int) -> None:
    found = parse_type(kind)
    assert (found.row_bytes, found.page_bytes) == (in_row, in_page)


def test_a_row_that_is_too_long_names_the_widest_columns_and_what_to_make_of_them() -> None:
    people = make_mapping(*(column(f"f{index}", "VARCHAR(60)") for index in range(40)), column("n", "INT"))
    assert count_page_bytes(people) > 8125
    with pytest.raises(InvalidMappingError, match=r"f0 VARCHAR\(60\), .* up to 241 bytes each\. A TEXT, or a VARCHAR"):
        check_page(people)


def test_columns_that_are_short_already_are_put_into_one() -> None:
    many = make_mapping(*(column(f"f{index}", "TEXT") for index in range(230)))
    with pytest.raises(
        InvalidMappingError, match=r"and 225 others, up to 41 bytes each\. Put some of them into one JSON"
    ):
        check_page(many)


def test_columns_that_the_replica_keeps_count_as_well() -> None:
    half = make_mapping(*(column(f"f{index}", "VARCHAR(20)") for index in range(60)))
    check_page(half)
    with pytest.raises(InvalidMappingError, match="may take"):
        check_page(half, half.columns[1:])


def test_a_table_has_room_for_so_many_columns() -> None:
    many = make_mapping(*(column(f"f{index}", "BOOLEAN") for index in range(900)))
    with pytest.raises(InvalidMappingError, match="there are 1025 columns, and a table has room for 1014"):
        check_page(many, many.columns[1:125])

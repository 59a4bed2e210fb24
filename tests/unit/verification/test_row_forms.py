import base64
from datetime import date, datetime
from decimal import Decimal

import pytest

from dynaurora.mappings.columns import parse_type
from dynaurora.verification.row_forms import comparable_field, comparable_value


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("INT", "5", 5),
        ("BOOLEAN", "1", 1),
        ("DECIMAL(5,2)", "1.5", Decimal("1.50")),
        ("DOUBLE", "1e+16", 1e16),
        ("DOUBLE", "0.1", 0.1),
        ("VARCHAR(9)", "a ", "a "),
        ("BLOB", base64.b64encode(b"\0\xff").decode(), b"\0\xff"),
        ("DATE", "2024-02-29", date(2024, 2, 29)),
        ("DATETIME", "2024-02-29 12:00:00", datetime(2024, 2, 29, 12)),
        ("TIMESTAMP(3)", "2024-02-29 12:00:00.5", datetime(2024, 2, 29, 12, 0, 0, 500_000)),
        ("JSON", '{"b":1,"a":[1e16]}', '{"a": [1e16], "b": 1}'),
        ("INT", None, None),
    ],
)
def test_a_field_equals_what_the_driver_reads_of_it(kind, field, value):
    column_type = parse_type(kind)
    assert comparable_field(column_type, field) == comparable_value(column_type, value)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("VARCHAR(9)", "", None),
        ("VARCHAR(9)", "a", "a "),
        ("VARCHAR(9)", "\u00e9", "e\u0301"),  # composed and decomposed
        ("JSON", "null", None),
        ("JSON", '"1"', "1"),
        ("DOUBLE", "0.1", 0.1 + 2**-55),
        ("DATETIME(6)", "2024-02-29 12:00:00.000001", datetime(2024, 2, 29, 12)),
    ],
)
def test_a_field_differs_from_what_is_almost_it(kind, field, value):
    column_type = parse_type(kind)
    assert comparable_field(column_type, field) != comparable_value(column_type, value)

"""Keys of rows, as DynamoDB has them: also those that people wrote, and that no item has."""

import base64

import pytest

from dynaurora.mappings.key_types import type_key
from tests.support.factories import column, make_mapping


def base64_of(data):
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("column_type", "kind", "field", "expected"),
    [
        ("VARCHAR(20)", "S", "a ", {"S": "a "}),
        ("VARCHAR(20)", "N", "-1.5", {"N": "-1.5"}),
        ("DECIMAL(20,3)", "N", "1.500", {"N": "1.5"}),
        ("VARBINARY(20)", "S", base64_of("é".encode()), {"S": "é"}),
        ("VARBINARY(20)", "B", base64_of(b"\xff"), {"B": base64_of(b"\xff")}),
        # of no item:
        ("VARCHAR(20)", "N", "abc", {"S": "abc"}),
        ("VARCHAR(20)", "N", "1.0", {"S": "1.0"}),
        ("VARCHAR(20)", "N", "١", {"S": "١"}),
        ("VARCHAR(20)", "N", "", {"S": ""}),
        ("VARBINARY(20)", "S", base64_of(b"\xff"), {"B": base64_of(b"\xff")}),
    ],
)
def test_a_key_is_of_its_tables_type_unless_no_item_can_have_it(column_type, kind, field, expected):
    mapping = make_mapping(column("sk", column_type), sort_key="sk")
    assert type_key(mapping, {"id": "S", "sk": kind}, {"id": "a", "sk": field}) == {"id": {"S": "a"}, "sk": expected}

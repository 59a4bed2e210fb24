"""The view over a list, as the page of values has it, on the real server."""

import re

import pytest

from tests.infrastructure.deployment import PROJECT
from tests.integration.targets import TargetFor
from tests.support.factories import column, make_mapping, map_item

pytestmark = pytest.mark.integration


def typed(lines):
    members = [{"M": {"sku": {"S": sku}, "quantity": {"N": quantity}}} for sku, quantity in lines]
    return {"L": members}


def test_a_list_becomes_rows_of_a_view(target_for: TargetFor) -> None:
    page = (PROJECT / "docs" / "values.md").read_text()
    (view,) = re.findall(r"```sql\n(CREATE VIEW .*?);\n```", page, re.DOTALL)
    target = target_for(make_mapping(column("lines", "JSON")))
    mapping = target.mapping
    rows = [
        map_item(mapping, id={"S": "a"}, lines=typed([("pen", "2"), ("ink", "1")])),
        map_item(mapping, id={"S": "b"}, lines=typed([])),
        map_item(mapping, id={"S": "c"}),
        map_item(mapping, id={"S": "d"}, lines=typed([("é🦄", "7")])),
    ]
    target.import_rows(rows)
    target.query("DROP VIEW IF EXISTS Demo.OrderLines")
    target.query(view.replace("Demo.Orders", f"Demo.{mapping.table}"))
    try:
        found = target.query("SELECT id, position, sku, quantity FROM Demo.OrderLines ORDER BY id, position")
        assert found == [("a", 1, "pen", 2), ("a", 2, "ink", 1), ("d", 1, "é🦄", 7)]
    finally:
        target.query("DROP VIEW Demo.OrderLines")

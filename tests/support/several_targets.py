"""A single-table design with a target for each kind of item, and changes of its items."""

from typing import Any

from dynaurora.dynamodb.changes import Change
from dynaurora.mappings.mapping import Mapping, build_mapping

Document = dict[str, Any]
KEYS = [{"name": "pk", "type": "VARCHAR(50)", "from": "PK"}, {"name": "sk", "type": "VARCHAR(50)", "from": "SK"}]


def target(table: str, when: str = "", *columns: Document, schema: Any = True, **more: Any) -> Document:
    """Return a target of a table keyed by PK and SK."""
    condition = {"when": when} if when else {}
    return {"database": "Demo", "table": table, **condition, "schema": schema, "columns": [*KEYS, *columns], **more}


USERS = target("Users", "starts_with(SK, 'USER#')", {"name": "email", "type": "VARCHAR(50)", "from": "email"})
"""Decided by keys."""
TOTAL = {"name": "total", "type": "INT", "from": "total"}
OPEN = target("OpenOrders", "starts_with(SK, 'ORDER#') && status == 'open'", TOTAL, schema={"required": ["total"]})
SHUT = target("ShutOrders", "starts_with(SK, 'ORDER#') && status == 'shut'", TOTAL)
"""Decided by what only a put has."""


def several(*targets: Document, name: str = "app", **source: Any) -> Mapping:
    """Return a mapping with these targets; without any, of users, open orders and shut ones."""
    return build_mapping(name, several_document(*targets, **source))


def several_document(*targets: Document, **source: Any) -> Document:
    """Return the document of `several`."""
    described = {"table": "app", "partition_key": "PK", "sort_key": "SK", **source}
    return {"source": described, "targets": [*(targets or (USERS, OPEN, SHUT))]}


def typed(value: Any) -> Document:
    """Return a value with its type descriptor."""
    return {"S": value} if isinstance(value, str) else {"N": str(value)}


def change(version: int, sk: str, **attributes: Any) -> Change:
    """Return the put of an item with these attributes; without any, the delete of its key."""
    key = {"PK": {"S": "p"}, "SK": {"S": sk}}
    image = {**key, **{name: typed(value) for name, value in attributes.items()}} if attributes else None
    return Change(version, 1_700_000_000_000, key, image)

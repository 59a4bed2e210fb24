"""A mapping that changes: versions of it with other columns, of one table."""

import json
from collections.abc import Sequence
from typing import Any

from dynaurora.mappings.mapping import Mapping, build_mapping


def make_people(*columns: tuple[str, str, str], **source: Any) -> Mapping:
    """Return a mapping of people by id with columns of these names, types and sources."""
    document = {
        "source": {"table": "people", "partition_key": "id", **source},
        "schema": True,
        "target": {
            "database": "Demo",
            "table": "People",
            "columns": list_columns([("id", "VARCHAR(40)", "id"), *columns]),
        },
    }
    return build_mapping("people", document, text=json.dumps(document))


def refuse_unmapped(mapping: Mapping) -> Mapping:
    """Return another mapping of the same name and columns, which refuses what no column takes."""
    document = json.loads(mapping.text)
    document["target"]["unmapped"] = "reject"
    return build_mapping(mapping.name, document, text=json.dumps(document))


def list_columns(columns: Sequence[tuple[str, str, str]]) -> list[dict[str, str]]:
    """Return columns as a mapping's file has them."""
    return [dict(zip(("name", "type", "from"), column, strict=True)) for column in columns]

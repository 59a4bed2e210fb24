"""Replication cases as data: changes in, rows out.

    <name>/changes.json   stream records as Lambda receives them, in the order of their delivery
    <name>/rows.json      the view's rows once all are delivered, in any order: [{column: value, …}, …]
    <name>/mapping.json   the mapping, where it is not web_analytics
    <name>/rejected.json  the rule and path of each refusal, in order of delivery: [[rule, path], …]

A value in rows.json is written as `LOAD DATA` would read it: text as it is, binary as base64, a JSON column as JSON
text, times in UTC; numbers may be JSON numbers. A column that a row does not name is NULL.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynaurora.mappings.mapping import Mapping, load_mapping_file
from dynaurora.verification.row_forms import comparable_field
from tests.support.example import load_example

CASES = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """One case."""

    name: str
    mapping: Mapping
    records: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    rejected: list[list[str]]

    def __str__(self) -> str:
        return self.name

    def expected_rows(self) -> list[tuple[Any, ...]]:
        """Return the rows as tuples of comparable values in the order of the mapping's columns, sorted.

        What the driver reads is comparable after `dynaurora.verification.row_forms.comparable_value`.
        """
        columns = self.mapping.columns
        return sort_rows(
            tuple(comparable_field(column.type, as_field(row.get(column.name))) for column in columns)
            for row in self.rows
        )


def as_field(value: Any) -> str | None:
    """Return a value of rows.json as `LOAD DATA` would read it."""
    return value if value is None or isinstance(value, str) else str(value)


def sort_rows(rows: Any) -> list[tuple[Any, ...]]:
    """Return rows in some order that is the same for the same rows."""
    return sorted(rows, key=repr)


def load_cases() -> list[Case]:
    """Return every case, by name."""
    return [load_case(path.parent) for path in sorted(CASES.glob("*/changes.json"))]


def load_case(folder: Path) -> Case:
    """Return the case in a folder."""
    mapping_file, rejected_file = folder / "mapping.json", folder / "rejected.json"
    return Case(
        name=folder.name,
        mapping=load_mapping_file(mapping_file) if mapping_file.exists() else load_example(),
        records=json.loads((folder / "changes.json").read_text("utf-8")),
        rows=json.loads((folder / "rows.json").read_text("utf-8")),
        rejected=json.loads(rejected_file.read_text("utf-8")) if rejected_file.exists() else [],
    )

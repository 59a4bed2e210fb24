"""Exports as DynamoDB writes them: recorded manifests, checksums and data files, each in a folder of its own.

    <name>/objects.json    the bucket: key → file of this folder. Keys may be what no file can be named
    <name>/mapping.json    the mapping, where it is not web_analytics
    <name>/rows.json       the rows that the export's items become: [{column: field, …}, …], in the manifest's order;
                           a column that a row does not name is NULL, a JSON column's field is any JSON

The data files are gzip, to be read with zcat; their checksums are in the manifests, so they are never made anew.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynaurora.mappings.mapping import Mapping, load_mapping_file
from tests.support.example import load_example

EXPORTS = Path(__file__).parent
SUMMARY = "manifest-summary.json"


@dataclass(frozen=True)
class RecordedExport:
    """One export."""

    name: str
    objects: dict[str, bytes]
    """What is in the bucket, by key."""
    mapping: Mapping
    rows: list[dict[str, Any]]

    @property
    def summary_key(self) -> str:
        """The key of the summary, as DescribeExport names it."""
        (key,) = (key for key in self.objects if key.endswith(SUMMARY))
        return key

    @property
    def summary(self) -> dict[str, Any]:
        """The summary as it is."""
        document: dict[str, Any] = json.loads(self.objects[self.summary_key])
        return document


def export_names() -> list[str]:
    """Return the names of all exports."""
    return sorted(path.parent.name for path in EXPORTS.glob("*/objects.json"))


def load_export(name: str) -> RecordedExport:
    """Return the export in a folder."""
    folder = EXPORTS / name
    files = json.loads((folder / "objects.json").read_text("utf-8"))
    mapping_file = folder / "mapping.json"
    return RecordedExport(
        name=name,
        objects={key: (folder / file).read_bytes() for key, file in files.items()},
        mapping=load_mapping_file(mapping_file) if mapping_file.exists() else load_example(),
        rows=json.loads((folder / "rows.json").read_text("utf-8")),
    )

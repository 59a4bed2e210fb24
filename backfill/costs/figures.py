"""The measured figures that the models of cost and scale rest on: `figures.json`, beside the machine they are of.

`python -m benchmarks.measure_figures --write` measures them anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("figures.json")


@dataclass(frozen=True)
class Figures:
    """What was measured, of items of web_analytics."""

    convert_cpu_us: float
    """CPU time of convert_export for an item, in microseconds."""
    forward_cpu_us: float
    """The same of forward_changes for a change, of 500 at a time, with the SDK's call of Firehose."""
    transform_cpu_us: float
    """The same of transform_changes for a change."""
    import_cpu_ms: float
    """CPU time of import_batch for a batch of MAX_BATCH_ITEMS rows: it waits for the database."""
    import_new_rows_per_second: float
    """Of one importer whose rows are new, by the processor time of it and of the server, which wait for each other."""
    import_existing_rows_per_second: float
    """The same where all keys are there."""
    redo_bytes_new: float
    """What InnoDB writes to its redo log for a new row."""
    redo_bytes_existing: float
    """The same for a row that is changed."""
    item_bytes: float
    """Of an item as an export has it, uncompressed."""
    change_bytes: float
    """Of a change on its way through Firehose."""
    row_bytes: float
    """Of a row in a batch's CSV."""
    forward_log_bytes: float
    """That a call of forward_changes logs where all goes well, its metrics included, as CloudWatch Logs counts them."""
    transform_log_bytes: float
    """The same of transform_changes."""
    import_log_bytes: float
    """The same of import_batch."""


@cache
def read_figures() -> Figures:
    """Return the figures that are kept."""
    return Figures(**json.loads(FILE.read_text("utf-8"))["figures"])

"""System tables: the names of those that this project has in a target's database, beside the replicas."""

from __future__ import annotations

from typing import Final

MIGRATIONS_TABLE: Final = "_dynaurora_migrations"
IMPORTS: Final = "_dynaurora_imports"
"""The ledger."""
RUNS: Final = "_dynaurora_runs"
"""One row for each backfill and reprocess."""
TARGETS: Final = "_dynaurora_targets"
"""One row for each target of which it is known how its batches are staged."""
GENERATIONS: Final = "_dynaurora_mappings"
"""One row for each activation of a mapping, with its document."""
VERIFICATIONS: Final = "_dynaurora_verifications"
"""One row for each verification."""
DIFFERENCES: Final = "_dynaurora_differences"
"""What verifications found: one row for each key, or for each of its columns that differ."""
SEEN_KEYS: Final = "_dynaurora_seen"
"""Of a verification that runs: digests of the keys that it has seen, and of those of the rows that there are."""
FLOORS: Final = "_dynaurora_floors"
"""One row for each mapping: below which second nothing of it is imported any more."""
PURGES: Final = "_dynaurora_purges"
"""One row for each mapping of which anything was purged: how far its last purge is."""

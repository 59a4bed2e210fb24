"""Compared exports: what a run of backfill_table that compares its batches has left in the landing bucket.

That is how many rows of each batch are what, and the keys of those that are not equal.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dynaurora import keys
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.errors import ObjectMissingError
from dynaurora.exports.plan import read_plan
from dynaurora.mappings.key_types import type_key
from dynaurora.verification.compare_items import Compared, Suspect
from dynaurora.verification.verdicts import Found, RowVerdict, Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.mapping import Mapping


@dataclass(frozen=True)
class ComparedExport:
    """What comparing an export left in the landing bucket."""

    bucket: str
    mapping: Mapping
    store: ObjectStore
    run: str

    def read_version(self) -> int:
        """Return the version of the export's items. Raises ObjectMissingError where nothing was planned."""
        plan = read_plan(self.store, self.bucket, self.mapping.name, self.run)
        if plan is None:
            raise ObjectMissingError(f"Run {self.run} of {self.mapping.name} has no plan.")
        return snapshot_version(plan.export_second)

    def read_totals(self) -> Compared:
        """Return what became of the items that no row was compared with: refused ones, and those of no target."""
        report = json.loads(self.store.read(self.bucket, keys.report(self.mapping.name, self.run)))
        return take_totals(report["totals"])

    def read_batches(self, key_types: dict[str, str]) -> Iterator[Compared]:
        """Yield what each batch was found to be."""
        prefix = keys.comparisons_prefix(self.mapping.name, self.run)
        for listed in self.store.list(self.bucket, prefix):
            yield self._take(json.loads(self.store.read(self.bucket, listed.key)), key_types)

    def _take(self, document: dict[str, Any], key_types: dict[str, str]) -> Compared:
        suspects = [self._suspect(document["target"], entry, key_types) for entry in document["suspects"]]
        told = Counter(suspect.finding.verdict for suspect in suspects)
        compared = Compared(Tally(), suspects)
        for name, count in document["counts"].items():
            verdict = RowVerdict(name)
            compared.untold += count - told[verdict] if verdict in told else 0
            compared.tally.add(Tally(**{verdict.value: count - told[verdict]}))
        return compared

    def _suspect(self, table: str, entry: dict[str, Any], key_types: dict[str, str]) -> Suspect:
        fields = dict(zip(self.mapping.key_attributes, entry["fields"], strict=True))
        finding = Found(RowVerdict(entry["verdict"]), tuple(entry["columns"]))
        return Suspect(table, type_key(self.mapping, key_types, fields), finding)


def take_totals(totals: dict[str, Any]) -> Compared:
    """Return what a run's totals say of the items that no row was compared with."""
    tally = Tally(items=totals["exported"], failed=totals["rejected"], skipped=totals.get("skipped") or 0)
    tally.reasons.update(totals["rejected_reasons"])
    return Compared(tally)

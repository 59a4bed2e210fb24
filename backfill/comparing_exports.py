"""Verifying by an export: a run of backfill_table that compares its batches instead of importing them.

No read capacity is used, and no row passes through here: what the run leaves for each of its batches is how many rows
are what, and the keys of those that are not equal.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from backfill.kinds import BACKFILL
from backfill.runs.executions import describe_execution
from backfill.runs.start import Wanted, start_execution
from backfill.terminal.console import name_command
from dynaurora import keys
from dynaurora.dynamodb.versions import snapshot_version
from dynaurora.exports.plan import read_plan
from dynaurora.mappings.key_types import type_key
from dynaurora.verification.compare_items import Compared, Suspect
from dynaurora.verification.verdicts import Found, RowVerdict, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_stepfunctions import SFNClient

    from backfill.deployment.deployments import Deployment
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.mapping import Mapping

COMPARE: Final = {"compare": True}
POLL_SECONDS: Final = 2.0


@dataclass(frozen=True)
class ComparedExport:
    """What comparing an export left in the landing bucket."""

    deployment: Deployment
    mapping: Mapping
    store: ObjectStore
    run: str

    def read_version(self) -> int:
        """Return the version of the export's items. Raises ClickException where nothing was planned."""
        plan = read_plan(self.store, self.deployment.bucket, self.mapping.name, self.run)
        if plan is None:
            raise click.ClickException(f"Run {self.run} has no plan. Start the verification again.")
        return snapshot_version(plan.export_second)

    def read_totals(self) -> Compared:
        """Return what became of the items that no row was compared with: refused ones, and those of no target."""
        report = json.loads(self.store.read(self.deployment.bucket, keys.report(self.mapping.name, self.run)))
        totals = report["totals"]
        tally = Tally(items=totals["exported"], failed=totals["rejected"], skipped=totals.get("skipped") or 0)
        tally.reasons.update(totals["rejected_reasons"])
        return Compared(tally)

    def read_batches(self, key_types: dict[str, str]) -> Iterator[Compared]:
        """Yield what each batch was found to be."""
        prefix = keys.comparisons_prefix(self.mapping.name, self.run)
        for listed in self.store.list(self.deployment.bucket, prefix):
            yield self._take(json.loads(self.store.read(self.deployment.bucket, listed.key)), key_types)

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


def compare_export(
    states: SFNClient, deployment: Deployment, run: str, tell: Callable[[str], None], poll_seconds: float = POLL_SECONDS
) -> None:
    """Have a run export the table and compare it, and wait for its end. Raises ClickException where it fails."""
    wanted = Wanted(BACKFILL, deployment, run, COMPARE, {"sweep": False})
    started, arn = start_execution(states, wanted)
    tell(f"Run {started.run} exports {deployment.table} and compares it: {arn}")
    while True:
        execution = describe_execution(states, arn)
        if execution is not None and not execution.is_running:
            break
        time.sleep(poll_seconds)
    if execution.status != "SUCCEEDED":
        status = name_command("backfill", "status", run)
        raise click.ClickException(
            f"Run {run} could not be compared: {execution.error or execution.status}: {execution.cause or ''}"
            f" See: {status}. To go on with it: {name_command('verify', deployment.mapping, '--run', run)}"
        )

"""Listing imports: the batches that came last, as the executions that import them tell."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from backfill.runs.executions import Execution, describe_execution, list_executions
from backfill.terminal.formatting import format_iso
from dynaurora.batches.batch import BACKFILL, Batch
from dynaurora.batches.conversion import is_conversion
from dynaurora.errors import InvalidBatchError
from dynaurora.runs import runs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from mypy_boto3_stepfunctions import SFNClient

    from backfill.deployment.deployments import Deployment

LOOKED_AT: Final = 100
"""Executions that are listed, of all mappings: each that may be of the one has to be described."""
MOST_KEPT: Final = 2_000
"""Descriptions of executions that are kept."""
IMPORTED: Final = "imported"
HANDED_OVER: Final = "handed_to"
"""In what import_streamed_batch answers of a batch that import_batch goes on with."""
STATES: Final = {runs.SUCCEEDED: IMPORTED, runs.RUNNING: "importing", runs.FAILED: "failed", runs.STOPPED: "stopped"}


@dataclass(frozen=True, slots=True)
class ListedImport:
    """One batch, as its execution tells it; None is what is not known, or not yet."""

    batch_id: str | None
    """None of one that is still to be converted."""
    mapping: str
    source: str
    run: str | None
    state: str
    started_at: datetime
    ended_at: datetime | None
    rows: int | None
    rows_changed: int | None
    size: int | None
    """Of its objects, in bytes."""
    execution: str
    error: str | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it goes on."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else None

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines."""
        times = {"started_at": format_iso(self.started_at), "ended_at": format_iso(self.ended_at)}
        return {**asdict(self), **times, "seconds": self.seconds}


class ImportLister:
    """Lists batches again and again; an execution that has ended is described once."""

    def __init__(self, states: SFNClient) -> None:
        self._states = states
        self._ended: dict[str, Execution] = {}

    def list(self, deployment: Deployment, limit: int) -> list[ListedImport]:
        """Return the batches of a mapping that were begun last, newest first, among the LOOKED_AT of all mappings."""
        found: list[ListedImport] = []
        machines = filter(None, (deployment.import_batch_arn, deployment.import_streamed_batch_arn))
        listed_last = [one for machine in machines for one in list_executions(self._states, machine, LOOKED_AT)]
        for listed in sorted(listed_last, key=lambda one: one.started_at, reverse=True)[:LOOKED_AT]:
            execution = self._describe(listed)
            found += read_import(execution, deployment.mapping) if execution else ()
            if len(found) == limit:
                break
        return found

    def _describe(self, listed: Execution) -> Execution | None:
        if known := self._ended.get(listed.arn):
            return known
        execution = describe_execution(self._states, listed.arn)
        if execution and not execution.is_running:
            if len(self._ended) >= MOST_KEPT:
                self._ended.clear()
            self._ended[listed.arn] = execution
        return execution


def read_import(execution: Execution, mapping: str) -> Iterator[ListedImport]:
    """Yield the batch of an execution, where it is one of a mapping."""
    given, result = execution.input.get("batch") or {}, execution.output
    if HANDED_OVER in result:  # its other execution tells of it
        return
    batch: Batch | None = None
    if is_conversion(given):
        of = {"batch_id": result.get("batch_id"), "mapping": given["mapping"], "source": BACKFILL, "run": given["run"]}
    else:
        try:
            batch = Batch.from_event(execution.input)
        except InvalidBatchError:
            return
        of = {"batch_id": batch.id, "mapping": batch.mapping, "source": batch.source, "run": batch.run}
    if of["mapping"] != mapping:
        return
    yield ListedImport(
        **of,
        state=STATES.get(execution.state, execution.state),
        started_at=execution.started_at,
        ended_at=execution.ended_at,
        rows=result.get("rows_staged", batch.rows if batch else None),
        rows_changed=result.get("rows_changed"),
        size=sum(item.size for item in batch.objects) if batch else None,
        execution=execution.arn,
        error=execution.error,
    )

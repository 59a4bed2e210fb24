"""What pages ask: the functions that the commands ask, with clients that are made once."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from backfill.deployment.clients import connect, connect_objects, connect_to
from backfill.deployment.deployments import choose_deployment, choose_deployments, find_deployments
from backfill.deployment.lags import read_lag_histories
from backfill.failures.counts import REASON, Tally
from backfill.failures.reader import Selection
from backfill.kinds import BACKFILL, REPROCESS
from backfill.looking import Look, describe_tally, find_failure, keep_newest, name_again
from backfill.overview.looking import Lookout
from backfill.runs.executions import read_running
from backfill.runs.find import find_in_deployment
from backfill.runs.imports import ImportLister
from backfill.runs.listing import list_runs
from backfill.runs.run_ids import find_run_id
from backfill.terminal.console import WrongUseError, name_command
from backfill.terminal.formatting import format_iso
from dynaurora.mappings.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from backfill.deployment.deployments import Deployment
    from backfill.deployment.lags import LagHistory
    from backfill.failures.items import ItemEntry
    from backfill.failures.reader import Failure
    from backfill.kinds import Kind
    from backfill.overview.standing import Standing
    from backfill.runs.imports import ListedImport
    from backfill.runs.listing import ListedRun
    from backfill.runs.run_view import RunReader, RunView
    from dynaurora.mappings.mapping import Mapping

KNOWN_SECONDS: Final = 30.0
"""How long it is known what is deployed."""
BACK: Final = timedelta(hours=3)
"""How far a plot of the lag goes back."""
KINDS: Final = {kind.name: kind for kind in (BACKFILL, REPROCESS)}
RUNS_LISTED: Final = 10
IMPORTS_LISTED: Final = 15
FAILURES_READ: Final = 5_000
"""Failures that a page reads: the commands read all."""
FAILURES_LISTED: Final = 50
"""On one page of them."""
FAILURES_KEPT: Final = 1_000
"""That can be paged through, those that came last."""


@dataclass(frozen=True, slots=True)
class RunningRun:
    """A run that is under way."""

    kind: Kind
    mapping: str
    run: str
    started_at: datetime

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines."""
        started_at = format_iso(self.started_at)
        return {"kind": self.kind.name, "mapping": self.mapping, "run": self.run, "started_at": started_at}


@dataclass(frozen=True, slots=True)
class CurrentMapping:
    """The mapping that is deployed."""

    mapping: Mapping
    generation: int
    since: datetime

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines: all that decides what an item becomes."""
        return {
            "mapping": self.mapping.name,
            "digest": self.mapping.digest,
            "generation": self.generation,
            "since": format_iso(self.since),
            "unmapped": self.mapping.unmapped,
            "targets": [_describe_target(target) for target in self.mapping.targets],
        }


def _describe_target(target: Mapping) -> dict[str, Any]:
    names = {"database": target.database, "table": target.table}
    return {**names, "when": target.when or None, "columns": [*_list_columns(target)]}


def _list_columns(target: Mapping) -> Iterator[dict[str, Any]]:
    keys = {column.name for column in target.key_columns}
    for column in target.columns:
        yield {
            "name": column.name,
            "type": column.type.sql,
            "from": column.source,
            "key": column.name in keys,
            "description": column.description,
        }


@dataclass(frozen=True, slots=True)
class KeptFailures:
    """What is kept as failed of a mapping, item by item, as far as it was read."""

    counts: dict[str, Any]
    """As `dynaurora failures count --json` has them."""
    entries: list[ItemEntry]
    """Those that came last and no newer row has overtaken, newest first."""
    is_all: bool

    @property
    def pages(self) -> int:
        """How many pages the entries have, one at least."""
        return max(1, -(-len(self.entries) // FAILURES_LISTED))

    def list_page(self, page: int) -> list[ItemEntry]:
        """Return the entries of a page, from 1 on; none of one that is not there."""
        return self.entries[(page - 1) * FAILURES_LISTED : page * FAILURES_LISTED]

    def as_dict(self, page: int = 1) -> dict[str, Any]:
        """Return it for machines, with the entries of a page."""
        entries = [entry.as_dict() for entry in self.list_page(page)]
        return {**self.counts, "read_all": self.is_all, "page": page, "pages": self.pages, "entries": entries}


@dataclass(frozen=True, slots=True)
class OneFailure:
    """A failure, and what to do about it."""

    failure: Failure
    mapping: str
    superseded: bool | None
    again: str
    """The command that takes it up again."""

    def as_dict(self, *, reveal: bool) -> dict[str, Any]:
        """Return it for machines, as `dynaurora failures show --json` does."""
        return {**self.failure.as_dict(reveal=reveal), "superseded": self.superseded, "next": self.again}


class Looks:
    """Looks at what is deployed. Its methods may be called from any thread, and take as long as AWS takes.

    They raise what the functions of the commands do: ClickException, DynauroraError, and the SDK's errors.
    """

    def __init__(self, stack: str | None = None) -> None:
        self.stack = stack
        self._clients = connect()
        self._cloudwatch = connect_to("cloudwatch")
        self._store = connect_objects()
        self._imports = ImportLister(self._clients.states)
        self._making = threading.RLock()
        self._known: list[Deployment] = []
        self._known_until = 0.0
        self._lookouts: dict[tuple[Deployment, ...], Lookout] = {}
        self._readers: dict[str, RunReader] = {}

    def find_all(self) -> list[Deployment]:
        """Return what is deployed, by the names of mappings. Raises WrongUseError where nothing is."""
        with self._making:
            if time.monotonic() >= self._known_until:
                self._known = choose_deployments(find_deployments(self._clients.cloudformation, self.stack), None)
                self._known_until = time.monotonic() + KNOWN_SECONDS
            return self._known

    def find(self, mapping: str) -> Deployment:
        """Return the deployment of a mapping."""
        return choose_deployment(self.find_all(), mapping)

    def look_at_all(self) -> list[Standing]:
        """Return how each replication stands."""
        return self._make_lookout(tuple(self.find_all())).look()

    def look_at(self, mapping: str) -> Standing:
        """Return how one stands."""
        (standing,) = self._make_lookout((self.find(mapping),)).look()
        return standing

    def read_lags(self, mapping: str | None = None) -> dict[str, LagHistory]:
        """Return the lag of the last hours, by mapping."""
        deployments = self.find_all() if mapping is None else [self.find(mapping)]
        by_stack = read_lag_histories(self._cloudwatch, deployments, BACK)
        return {one.mapping: by_stack[one.stack] for one in deployments}

    def list_running(self) -> list[RunningRun]:
        """Return the runs that are under way, newest first."""
        deployments = self.find_all()
        known = {one.mapping for one in deployments}
        found = [
            RunningRun(kind, execution.input["mapping"], find_run_id(kind, execution), execution.started_at)
            for kind in KINDS.values()
            for machine in sorted({one.machine_arn(kind) for one in deployments})
            for execution in read_running(self._clients.states, machine)
            if execution.input.get("mapping") in known
        ]
        return sorted(found, key=lambda one: one.started_at, reverse=True)

    def list_runs(self, mapping: str, kind: Kind) -> list[ListedRun]:
        """Return the newest runs of a kind."""
        others = {one.mapping for one in self.find_all()} - {mapping}
        found = list_runs(self._clients, kind, self.find(mapping), RUNS_LISTED, others)
        return sorted(found, key=lambda one: one.started_at, reverse=True)[:RUNS_LISTED]

    def list_imports(self, mapping: str) -> list[ListedImport]:
        """Return the batches that were begun last."""
        return self._imports.list(self.find(mapping), IMPORTS_LISTED)

    def read_mapping(self, mapping: str) -> CurrentMapping:
        """Return the mapping that is deployed."""
        registry = Registry(self._store, self.find(mapping).bucket, mapping)
        return CurrentMapping(registry.find_current(), registry.find_pointer().generation, registry.find_switch())

    def look_at_run(self, mapping: str, kind: Kind, run: str) -> RunView:
        """Return a run as it is now."""
        name = f"{kind.name} {mapping} {run}"
        reader = self._readers.get(name)
        if reader and (view := reader.look()):
            if not view.is_running:
                self._readers.pop(name, None)
            return view
        found = find_in_deployment(self._clients, kind, self.find(mapping), run)
        if found is None:
            listed = name_command(kind.name, "list", mapping)
            raise WrongUseError(f"There is no {kind.name} {run} of {mapping}. List the runs with: {listed}")
        if found.execution and found.execution.is_running:
            self._readers[name] = found.make_reader(self._clients, found.execution)
        return found.look(self._clients)

    def read_failures(self, mapping: str) -> KeptFailures:
        """Return what is kept as failed, counted by reason, and what of it came last."""
        look, tally = self._open_look(mapping), Tally(REASON)
        newest: list[tuple[str, int, ItemEntry]] = []
        read = 0
        for read, entry in enumerate(look.read_entries(Selection(include_parked=True), REASON, FAILURES_READ), 1):
            tally.add(entry)
            if not entry.superseded:
                keep_newest(newest, entry, read, FAILURES_KEPT)
        counts = describe_tally(look.deployment, tally, REASON, look.count_items())
        seen = tally.counts.total() + tally.superseded + tally.older
        return KeptFailures(counts, [entry for *_, entry in sorted(newest, reverse=True)], seen < FAILURES_READ)

    def find_failure(self, mapping: str, name: str) -> OneFailure:
        """Return a failure, by its id."""
        look, found = find_failure([self._open_look(mapping)], name, self.stack)
        again = name_again(found, mapping, self.stack)
        return OneFailure(found, mapping, look.is_superseded(found), again)

    def _make_lookout(self, deployments: tuple[Deployment, ...]) -> Lookout:
        with self._making:
            if deployments not in self._lookouts:
                self._lookouts[deployments] = Lookout(deployments)
            return self._lookouts[deployments]

    def _open_look(self, mapping: str) -> Look:
        deployment = self.find(mapping)
        with self._making:
            return Look.open(deployment)

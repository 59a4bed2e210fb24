"""The backfill of the demo, `dynaurora local demo`: a run like any other, started and looked at as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backfill.commands.backfill_start import DEFAULTS
from backfill.deployment.deployments import choose_deployment, find_deployments
from backfill.kinds import BACKFILL
from backfill.runs.run_view import RunReader
from backfill.runs.start import Wanted, start_execution

if TYPE_CHECKING:
    from backfill.deployment.clients import Clients
    from backfill.runs.run_view import RunView


class DemonstratedRun:
    """One new run of a mapping."""

    def __init__(self, clients: Clients, mapping: str) -> None:
        self._clients = clients
        self._deployment = choose_deployment(find_deployments(clients.cloudformation), mapping)
        self._reader: RunReader | None = None

    def start(self) -> str:
        """Start it and return its id."""
        wanted = Wanted(BACKFILL, self._deployment, run=None, options={}, defaults=DEFAULTS)
        started, arn = start_execution(self._clients.states, wanted)
        self._reader = RunReader(self._clients, BACKFILL, self._deployment, started.run, arn)
        return started.run

    def look(self) -> RunView | None:
        """Return the run as it is now; None where it was not started, or Step Functions does not show it yet."""
        return self._reader.look() if self._reader else None

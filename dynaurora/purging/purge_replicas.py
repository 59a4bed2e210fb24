"""The steps of a purge, as the function takes them: for the command line one by one, by the clock all at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from dynaurora.aurora.purging import Purges
from dynaurora.failures.archive_failures import list_archived
from dynaurora.failures.list_failures import Place
from dynaurora.purging.horizon import delete_archived, find_horizon
from dynaurora.purging.purger import Purger

if TYPE_CHECKING:
    from datetime import datetime

    from dynaurora.aurora.connection import Aurora
    from dynaurora.aws.objects import ObjectStore
    from dynaurora.mappings.mapping import Mapping
    from dynaurora.mappings.replications import Replication
    from dynaurora.purging.horizon import Horizon

PURGE_SECONDS: Final = 20.0
"""After which the command line hears how far it is."""
HOLDS_NAMED: Final = 20


@dataclass(frozen=True)
class PurgeSteps:
    """The steps for one replication, over one connection."""

    replication: Replication
    mapping: Mapping
    aurora: Aurora
    store: ObjectStore
    bucket: str
    kept_days: int
    now: datetime

    def take(self, step: dict[str, Any]) -> dict[str, Any]:
        """Take the step that a document names, and return what came of it."""
        steps = (self.plan, self.count_tombstones, self.begin, self.purge)
        return {each.__name__: each for each in steps}[step["step"]](step)

    def plan(self, _step: dict[str, Any]) -> dict[str, Any]:
        """Tell what would be purged, and what holds more of it. Nothing is changed."""
        horizon = self._find_horizon()
        return {
            "floor": horizon.floor,
            "floor_now": Purges(self.aurora, self.mapping).read_floor(),
            "imports_before": horizon.imports_before.isoformat(),
            "imports": self._purger.count_imports(horizon),
            "holds": [asdict(hold) for hold in horizon.holds[:HOLDS_NAMED]],
            "held": len(horizon.holds),
            "tables": [target.table for target in self.mapping.targets],
            "archived": self._count_archived(),
            "kept_days": self.kept_days,
        }

    def count_tombstones(self, step: dict[str, Any]) -> dict[str, Any]:
        """Count the tombstones of before a second in a part of a table."""
        return self._purger.count_tombstones(step["floor"], PURGE_SECONDS, step["table"], step.get("after"))

    def begin(self, _step: dict[str, Any]) -> dict[str, Any]:
        """Delete what was archived long ago, raise the floor, and begin."""
        archived = delete_archived(self._place, self.store, self._kept_from)
        return {"floor": self._purger.begin(self._find_horizon()), "archived": archived}

    def purge(self, step: dict[str, Any]) -> dict[str, Any]:
        """Purge for some seconds; tell how far that came."""
        return asdict(self._purger.purge(step.get("seconds", PURGE_SECONDS)))

    def _count_archived(self) -> int:
        archived = list_archived(self._place, self.store)
        return sum(listed.modified_at < self._kept_from for _, listed in archived)

    @property
    def _purger(self) -> Purger:
        return Purger(self.aurora, self.mapping)

    @property
    def _place(self) -> Place:
        one = self.replication
        return Place(self.bucket, one.mapping, one.table, one.event_source_mappings)

    @property
    def _kept_from(self) -> datetime:
        return self.now - timedelta(days=self.kept_days)

    def _find_horizon(self) -> Horizon:
        runs = Purges(self.aurora, self.mapping).list_open_runs()
        return find_horizon(self._place, self.store, runs, self.kept_days, self.now)

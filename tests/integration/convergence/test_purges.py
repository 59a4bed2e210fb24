"""Histories in which rows are purged end in the table's items; what is purged too early is noticed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dynaurora.aurora.migrations import FLOORS, IMPORTS, PURGES
from dynaurora.errors import PurgedError
from dynaurora.mappings.csv_format import encode_row
from dynaurora.purging import horizon
from dynaurora.purging.horizon import Horizon
from dynaurora.purging.purger import Purger
from tests.integration.convergence.purge_histories import Line, PlainReplica, PurgeHistory
from tests.integration.targets import Target, row

pytestmark = pytest.mark.integration

HISTORIES = 400
IN_DATABASE = 3


def tell(seeds: range) -> list[PurgeHistory]:
    histories = [PurgeHistory(seed, PlainReplica()) for seed in seeds]
    for history in histories:
        history.run()
    return histories


def test_the_rule_ends_every_history_in_its_items() -> None:
    histories = tell(range(HISTORIES))
    assert {history.seed: history.faults for history in histories if history.faults} == {}
    assert sum(history.refused > 0 for history in histories) > HISTORIES // 20, "the floor refuses nothing"
    assert sum(history.replica.purged > 0 for history in histories) > HISTORIES // 3, "nothing is purged"


def forget(name: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what has one kind of what may still come forgotten."""
    return lambda patch: patch.setattr(horizon, name, lambda *_: iter(()))


def take_times_of_records(patch: pytest.MonkeyPatch) -> None:
    """Take a failed record for as old as its object."""

    def find(place: Any, store: Any, key: str) -> int:
        return int(store.times[place.bucket, key].timestamp())

    patch.setattr(horizon, "find_oldest_record", find)


def take_landing_for_change(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(horizon, "TRANSIT", timedelta(0))


def apply_whatever_it_is(replica: PlainReplica, name: str, lines: list[Line], now: int) -> bool:
    floor, replica.floor = replica.floor, 0
    applied = APPLY(replica, name, lines, now)
    replica.floor = max(floor, replica.floor)
    return applied


APPLY = PlainReplica.apply


def forget_the_floor(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PlainReplica, "apply", apply_whatever_it_is)


def purge_the_ledger_at_once(patch: pytest.MonkeyPatch) -> None:
    """Let rows of the ledger go whose objects are there."""
    original = horizon.find_horizon

    def find_horizon(*given: Any) -> Horizon:
        return replace(original(*given), imports_before=datetime(2100, 1, 1, tzinfo=UTC))

    patch.setattr(horizon, "find_horizon", find_horizon)


@pytest.mark.parametrize(
    "mutate",
    [
        pytest.param(forget("find_waiting"), id="batches that wait are forgotten"),
        pytest.param(forget("find_failures"), id="what is kept as failed is forgotten"),
        pytest.param(take_times_of_records, id="a failed record is as old as its object"),
        pytest.param(take_landing_for_change, id="a change is as old as its object"),
        pytest.param(forget("find_runs"), id="runs are forgotten"),
        pytest.param(forget_the_floor, id="whatever comes is imported"),
        pytest.param(purge_the_ledger_at_once, id="the ledger is purged too early"),
    ],
)
def test_what_is_purged_too_early_is_noticed(
    mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    assert any(PurgeHistory(seed, PlainReplica()).run() for seed in range(1000))


@dataclass
class RealReplica:
    """The replica in the real database, of one history's keys."""

    target: Target
    purged: int = 0

    def apply(self, name: str, lines: list[Line], now: int) -> bool:
        body = b"".join(encode_row(row(key, version, n, deleted=n is None)) for key, version, n in lines)
        batch = self.target.write_bytes(body, key=f"processed/mapping={self.target.mapping.name}/{name}")
        try:
            status = self.target.import_batch(batch).status
        except PurgedError:
            return False
        if status == "applied":
            finished = datetime.fromtimestamp(now, UTC).replace(tzinfo=None)
            self.target.execute(f"UPDATE Demo.{IMPORTS} SET finished_at = '{finished}' WHERE batch_id = '{batch.id}'")
        return True

    def purge(self, found: Horizon) -> None:
        with self.target.connect() as aurora:
            purger = Purger(aurora, self.target.mapping)
            purger.begin(found)
            self.purged += purger.purge(60).tombstones

    def show(self) -> dict[str, int]:
        return {key: n for key, n in self.target.hits().items() if n is not None}

    def empty(self) -> None:
        for change in ("DELETE FROM Demo.WebAnalytics__replica", f"DELETE FROM Demo.{IMPORTS}"):
            self.target.execute(change)
        self.target.execute(f"UPDATE Demo.{FLOORS} SET floor = 0")
        self.target.execute(f"DELETE FROM Demo.{PURGES}")


def test_the_database_does_as_the_rule_says(target: Target) -> None:
    told = [history for history in tell(range(HISTORIES)) if history.refused and history.replica.purged]
    for history in told[:IN_DATABASE]:
        real = RealReplica(target)
        again = PurgeHistory(history.seed, real)
        assert again.run() == []
        assert (again.refused, real.purged) == (history.refused, history.replica.purged)
        real.empty()

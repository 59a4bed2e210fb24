"""A snapshot beside a stream: wherever the export's time falls, the newest change of each key is what Aurora has.

Three groups of keys are written: *early* ones before the run, the last time in the second before its export's, *late*
ones while the export is under way, and *steady* ones all the time. Each is inserted, updated and deleted several times
a second. An export shows the table at an instant that the fault `shift_export_cut_seconds` moves against the time that
was asked for, which AWS leaves open too: a second earlier, the last changes of the early keys are not in it.
"""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.backfill.deployed import Deployed, make_item, wait_for_next_second
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

KEYS = 12
"""Of each group."""
ROUNDS = 6
"""So often each key of a group is written, in a second or less."""


class Writer:
    """Writes keys again and again, no change being the one before."""

    def __init__(self, deployed: Deployed, seed: int) -> None:
        self._deployed = deployed
        self._numbers = random.Random(seed)
        self._hits = 0

    def burst(self, group: str) -> None:
        """Put, update and delete the keys of a group, several times each."""
        for _ in range(ROUNDS):
            self.write(group)

    def write(self, group: str) -> None:
        """Put or update most keys of a group, and delete the others."""
        self._hits += 1
        items = [make_item(f"{group}-{number}", self._hits) for number in range(KEYS)]
        self._numbers.shuffle(items)
        deleted = self._numbers.randrange(KEYS // 2)
        self._deployed.delete(items[:deleted])
        self._deployed.put(items[deleted:])

    @contextmanager
    def writing(self, group: str) -> Iterator[None]:
        """Write a group in the background."""
        done = threading.Event()

        def write() -> None:
            while not done.wait(0.05):
                self.write(group)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@pytest.fixture
def recovered(flowing: Deployed) -> Deployed:
    """A table whose past begins now: what earlier tests deleted for no stream to see is in no export."""
    flowing.set_recovery(enabled=False)
    flowing.set_recovery(enabled=True)
    return flowing


def run_between_writes(deployed: Deployed, run: str, *, delays_stream: bool) -> None:
    """Write before a run, while it exports, and all the time; the stream is delivered at once, or after the run."""
    writer, steady = Writer(deployed, 1), Writer(deployed, 2)
    with steady.writing("steady"):
        writer.burst("early")
        wait_for_next_second()
        writer.write("early")
        wait_for_next_second()
        deployed.set_faults(hold_exports=1)
        execution = deployed.start(run)["execution"]
        deployed.wait_for_state(execution, "Wait for export")
        if delays_stream:
            deployed.enable_event_source_mapping(enabled=False)
        writer.burst("late")
    deployed.set_faults(hold_exports=0)
    deployed.watch(run)
    if delays_stream:
        deployed.enable_event_source_mapping(enabled=True)


def wait_until_delivered(deployed: Deployed) -> None:
    """Return once everything that was written is imported: a last change is, and no import runs."""
    deployed.put([make_item("last")])
    wait_until(lambda: "last" in deployed.hits())
    wait_until(lambda: not deployed.list_running_imports())


@pytest.mark.parametrize("delays_stream", [False, True], ids=["stream at once", "stream after the run"])
@pytest.mark.parametrize("shift", [0, 1, -1])
def test_a_snapshot_never_beats_a_newer_change(
    recovered: Deployed, run: str, shift: int, *, delays_stream: bool
) -> None:
    recovered.set_faults(shift_export_cut_seconds=shift)
    run_between_writes(recovered, run, delays_stream=delays_stream)
    wait_until_delivered(recovered)
    comparison = recovered.compare()
    assert comparison.agrees, comparison
    assert comparison.items == comparison.identical > KEYS
    totals = recovered.report(run)["totals"]
    assert totals["exported"] == totals["imported"] + totals["already_newer"]


def test_an_item_that_was_deleted_after_the_export_is_not_brought_back(recovered: Deployed, run: str) -> None:
    item = make_item("gone")
    recovered.put([item, make_item("kept")])
    recovered.set_faults(hold_exports=1)
    recovered.wait_for_state(recovered.start(run)["execution"], "Wait for export")
    recovered.delete([item])
    wait_until_delivered(recovered)
    recovered.set_faults(hold_exports=0)
    recovered.watch(run)
    totals = recovered.report(run)["totals"]
    assert (totals["exported"], totals["imported"], totals["already_newer"]) == (2, 0, 2)
    assert set(recovered.hits()) == {"kept", "last"}


def test_many_changes_of_a_key_within_a_second_end_as_the_last_one(recovered: Deployed, run: str) -> None:
    for hits in range(1, 10):
        recovered.put([make_item("busy", hits)])
    recovered.backfill(run)
    for hits in range(10, 20):
        recovered.put([make_item("busy", hits)])
    wait_until_delivered(recovered)
    assert recovered.hits()["busy"] == 19

"""Slots are shared: what one replication imports keeps no other one's stream waiting, and nobody waits for ever.

What is counted is imports, never time: how many others ended between an import's first attempt and its turn.
"""

import dataclasses
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest

from dynaurora.aurora import slots as slotting
from dynaurora.aurora.connection import connect
from dynaurora.aurora.generations import activate
from dynaurora.aurora.slots import Slots, claim_slot, count_reserved
from dynaurora.batches.batch import BACKFILL
from dynaurora.errors import SlotsTakenError
from tests.integration.targets import Target, row

pytestmark = pytest.mark.integration

PATIENCE_SECONDS = 60
MOST_IMPORTS = 3000
"""Within which a hundred replications have two each, in whatever order they are tried."""


@contextmanager
def claiming(target: Target, slots: int, mapping: str, *, is_streamed: bool) -> Iterator[None]:
    with (
        target.connect() as aurora,
        claim_slot(aurora, Slots(target.bucket, slots), mapping, is_streamed=is_streamed),
    ):
        yield


def fill(stack: ExitStack, target: Target, slots: int, mapping: str) -> int:
    """Have a backfill take every slot that it can; return how many that were."""
    for taken in range(slots + 1):
        try:
            stack.enter_context(claiming(target, slots, mapping, is_streamed=False))
        except SlotsTakenError:
            return taken
    raise AssertionError("a backfill was bounded by nothing")


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slotting, "WAIT_SECONDS", 0)


@pytest.mark.parametrize("slots", [2, 5, 20])
@pytest.mark.usefixtures("no_wait")
def test_a_backfill_leaves_the_share_of_other_replications_streams(target: Target, slots: int) -> None:
    with ExitStack() as stack:
        assert fill(stack, target, slots, "backfilled") == slots - count_reserved(slots)
        for other in range(count_reserved(slots)):
            stack.enter_context(claiming(target, slots, f"other_{other}", is_streamed=True))
        with pytest.raises(SlotsTakenError):
            stack.enter_context(claiming(target, slots, "one_too_many", is_streamed=True))


@pytest.mark.usefixtures("no_wait")
def test_without_a_share_a_backfill_would_keep_every_stream_waiting(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slotting, "count_reserved", lambda _: 0)
    with ExitStack() as stack:
        assert fill(stack, target, 5, "backfilled") == 5
        with pytest.raises(SlotsTakenError):
            stack.enter_context(claiming(target, 5, "other", is_streamed=True))


@pytest.mark.usefixtures("no_wait")
def test_a_stream_with_a_backlog_takes_one_reserved_slot_at_most(target: Target) -> None:
    with ExitStack() as stack:
        fill(stack, target, 8, "backfilled")
        stack.enter_context(claiming(target, 8, "busy", is_streamed=True))
        with pytest.raises(SlotsTakenError):
            stack.enter_context(claiming(target, 8, "busy", is_streamed=True))
        stack.enter_context(claiming(target, 8, "other", is_streamed=True))


@pytest.mark.usefixtures("no_wait")
def test_a_slot_of_a_stream_alone_may_be_any(target: Target) -> None:
    with ExitStack() as stack:
        for number in range(8):
            stack.enter_context(claiming(target, 8, f"stream_{number}", is_streamed=True))


@dataclass
class Imports:
    """Imports that were done, in their order, and how many there were at once."""

    done: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    at_once: Counter[str] = field(default_factory=Counter)
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def under_way(self, mapping: str) -> Iterator[None]:
        with self.lock:
            self.at_once[mapping] += 1
            self.most = max(self.most, self.at_once.total())
        yield
        with self.lock:
            self.at_once[mapping] -= 1
            self.done.append(mapping)
            self.counts[mapping] += 1


def run_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert not any(thread.is_alive() for thread in threads)


def test_who_waits_in_line_is_before_who_comes(target: Target) -> None:
    """One slot for streams, which a backlog takes again and again: another stream has it after one import of that."""
    imports, came = Imports(), threading.Event()
    waits: list[int] = []

    def work_off() -> None:
        while not waits and len(imports.done) < 1000:
            try:
                with claiming(target, 2, "busy", is_streamed=True), imports.under_way("busy"):
                    came.set()
                    threading.Event().wait(0.05)
            except SlotsTakenError:
                continue

    def import_one() -> None:
        came.wait(PATIENCE_SECONDS)
        before = len(imports.done)
        with claiming(target, 2, "other", is_streamed=True):
            waits.append(len(imports.done) - before)

    with ExitStack() as stack:
        assert fill(stack, target, 2, "backfilled") == 1
        run_all([*(threading.Thread(target=work_off) for _ in range(3)), threading.Thread(target=import_one)])
    assert max(waits) <= 2, waits


def test_of_a_hundred_replications_with_four_slots_nobody_waits_for_ever(target: Target) -> None:
    """All have more batches than there is time for, and two are backfilled: until each has had two imports."""
    imports, ended, drawn = Imports(), threading.Event(), random.Random(1)
    mappings = [f"table_{number:03}" for number in range(100)]
    pauses = iter([drawn.random() * 0.1 for _ in range(104)])

    def work_off(mapping: str, pause: float, *, is_streamed: bool) -> None:
        slots, had = Slots(target.bucket, 4), f"{mapping}, {is_streamed}"
        with target.connect() as aurora:
            while not ended.is_set() and len(imports.done) < MOST_IMPORTS:
                try:
                    with claim_slot(aurora, slots, mapping, is_streamed=is_streamed), imports.under_way(had):
                        threading.Event().wait(0.005)
                except SlotsTakenError:
                    ended.wait(pause)
                if imports.counts[had] == 2 and min(imports.counts[f"{each}, True"] for each in mappings) == 2:
                    ended.set()

    streams = [(mapping, next(pauses), True) for mapping in mappings]
    runs = [(mapping, next(pauses), False) for mapping in mappings[:2] * 2]
    run_all(
        [
            threading.Thread(target=work_off, args=[mapping, pause], kwargs={"is_streamed": is_streamed})
            for mapping, pause, is_streamed in streams + runs
        ]
    )
    assert ended.is_set(), f"after {MOST_IMPORTS} imports not all have had two: {imports.counts}"
    assert imports.most <= 4


def test_the_stream_of_one_arrives_while_another_is_backfilled_by_as_many_imports_as_may(target: Target) -> None:
    """Real imports of both: the stream's batch has its slot at the first attempt, however many of the run are tried."""
    target.slots, ended = 4, threading.Event()
    imports, refused = Imports(), Counter[str]()
    other = dataclasses.replace(target, mapping=dataclasses.replace(target.mapping, name="other"))
    with connect(target.endpoint, target.administrator) as aurora:
        activate(aurora, other.mapping)
    numbers = iter(range(1, 10_000))
    numbering = threading.Lock()

    def backfill() -> None:
        while not ended.is_set():
            with numbering:
                number = next(numbers)
                written = target.write([row(f"k{number}-{each}", 1) for each in range(200)])
            batch = dataclasses.replace(written, source=BACKFILL, run="r1")
            try:
                target.import_batch(batch)
            except SlotsTakenError:
                refused["backfill"] += 1
                continue
            imports.done.append("backfill")

    runs = [threading.Thread(target=backfill) for _ in range(8)]
    for thread in runs:
        thread.start()
    try:
        while len(imports.done) < 8 or not refused:
            threading.Event().wait(0.01)
            assert any(thread.is_alive() for thread in runs)
        for number in range(3):
            assert other.import_batch(other.write([row(f"s{number}", 1)])).status == "applied"
    finally:
        ended.set()
        for thread in runs:
            thread.join(PATIENCE_SECONDS)
    assert other.hits().keys() >= {f"s{number}" for number in range(3)}

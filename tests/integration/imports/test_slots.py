"""Slots: as many imports at once as there are, whoever starts them; and tables to stage in, one for each import."""

import threading
from contextlib import ExitStack, suppress

import pytest

from dynaurora.aurora.connection import Aurora, connect
from dynaurora.aurora.slots import Slots, claim_slot
from dynaurora.aurora.staging import Staging, claim_table, make_tables, record_staging
from dynaurora.aws.objects import S3Objects
from dynaurora.batches import import_batch as importing
from dynaurora.errors import ConnectionLostError, LockWaitError, SlotsTakenError
from tests.integration.targets import Target, row
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


def record(target: Target, staging: Staging) -> None:
    with connect(target.endpoint, target.administrator) as aurora:
        record_staging(aurora, target.mapping, make_tables(aurora, target.mapping, staging.tables))


@pytest.mark.parametrize("tables", [0, 4], ids=["temporary", "permanent"])
def test_an_import_too_many_waits_for_a_turn(target: Target, tables: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynaurora.aurora.slots.WAIT_SECONDS", 0)
    record(target, Staging(tables))
    target.slots = 2
    with ExitStack() as stack:
        for mapping in ("one", "two"):
            stack.enter_context(claim(stack.enter_context(target.connect()), target, 2, mapping))
        with pytest.raises(SlotsTakenError, match="All 2 slots for imports are taken"):
            target.import_rows([row("a", 1)])
    target.slots = 0
    assert target.import_rows([row("a", 1)]).status == "applied"


def claim(aurora: Aurora, target: Target, slots: int, mapping: str = "other", *, is_streamed: bool = True):  # type: ignore[no-untyped-def]
    return claim_slot(aurora, Slots(target.bucket, slots), mapping, is_streamed=is_streamed)


def test_each_import_has_a_permanent_table_of_its_own(target: Target) -> None:
    record(target, Staging(4))
    with ExitStack() as stack:
        held = [stack.enter_context(claim_table(stack.enter_context(target.connect()), target.mapping)) for _ in "1234"]
        assert len(set(held)) == 4
        with pytest.raises(SlotsTakenError, match=r"All 4 tables to stage batches of Demo\.WebAnalytics"):
            target.import_rows([row("a", 1)])


def test_a_repeated_batch_needs_no_slot(target: Target) -> None:
    target.slots = 1
    batch = target.write([row("a", 1)])
    target.import_batch(batch)
    with target.connect() as aurora, claim(aurora, target, 1):
        assert target.import_batch(batch).status == "already_applied"


def test_slots_of_another_platform_are_others(target: Target) -> None:
    target.slots = 1
    with target.connect() as aurora, claim_slot(aurora, Slots("another", 1), target.mapping.name, is_streamed=True):
        assert target.import_rows([row("a", 1)]).status == "applied"


def test_a_slot_is_left_when_the_import_fails_or_its_connection_ends(target: Target) -> None:
    with target.connect() as aurora:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError), claim(aurora, target, 1):
                raise ZeroDivisionError
        with claim(aurora, target, 1):
            aurora._connection._force_close()
    target.slots, batch = 1, target.write([row("a", 1)])

    def has_turn() -> bool:
        with suppress(SlotsTakenError):
            return target.import_batch(batch).status == "applied"
        return False

    wait_until(has_turn)  # the server has to notice that a connection has ended


def test_a_transaction_is_undone_before_its_slot_is_free(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection is killed with its merge done and not committed; who has the slot then finds no trace of it."""
    batch = target.write([row(f"k{number}", 1) for number in range(3000)])
    merged, resumed = threading.Event(), threading.Event()
    connections: list[int] = []
    original = importing.merge

    def merge_and_wait(origin, aurora, table):  # type: ignore[no-untyped-def]
        changed = original(origin, aurora, table)
        connections.append(aurora.query("SELECT CONNECTION_ID()")[0][0])
        merged.set()
        resumed.wait(30)
        return changed

    monkeypatch.setattr(importing, "merge", merge_and_wait)
    lost: list[Exception] = []

    def import_and_be_killed() -> None:
        with target.connect() as aurora:
            try:
                importing.import_batch(
                    batch, target.mapping, aurora, S3Objects(), target.bucket, target.keep_refused, slots=1
                )
            except ConnectionLostError as error:
                lost.append(error)

    importer = threading.Thread(target=import_and_be_killed)
    importer.start()
    assert merged.wait(30)
    with connect(target.endpoint, target.administrator) as aurora:
        (slot,) = Slots(target.bucket, 1).common
        assert aurora.query("SELECT IS_USED_LOCK(%s)", (slot,)) == [(connections[0],)]
        aurora.execute(f"KILL CONNECTION {connections[0]}")
        assert aurora.query("SELECT GET_LOCK(%s, 30)", (slot,)) == [(1,)]
        locked = "SELECT COUNT(*) FROM Demo.{} {} FOR UPDATE NOWAIT"
        assert aurora.query(locked.format("_dynaurora_imports", f"WHERE batch_id = '{batch.id}'")) == [(0,)]
        assert aurora.query(locked.format("WebAnalytics__replica", "")) == [(0,)]
    resumed.set()
    importer.join()
    assert lost
    monkeypatch.setattr(importing, "merge", original)
    assert target.import_batch(batch).rows_changed == 3000


def test_a_table_is_not_made_anew_under_an_import(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    record(target, Staging(1))
    monkeypatch.setattr("dynaurora.aurora.staging.TABLE_WAIT_SECONDS", 1)
    with target.connect() as aurora, claim_table(aurora, target.mapping), pytest.raises(LockWaitError):
        record(target, Staging(1))

"""Imports that are cut at each of their statements, alone and beside another import of the same batch: nothing is lost.

Batches are staged in either way, in an Aurora whose loads end the transaction that they are in.
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pymysql
import pytest

from dynaurora import keys
from dynaurora.aurora.connection import Aurora
from dynaurora.aws.objects import S3Objects
from dynaurora.batches.batch import Batch
from dynaurora.batches.import_batch import import_batch
from dynaurora.errors import ConnectionLostError, RetryableError
from dynaurora.failures.failed_records import read_records
from dynaurora.mappings.csv_format import encode_row, make_label
from local.aurora.variant import Variant
from tests.integration.convergence.dying import CONNECTION_LOST, Death, dying
from tests.integration.imports.conftest import VariantOf
from tests.integration.targets import Target, row
from tests.support.labelled_rows import encode_labelled
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

MAX_STATEMENTS = 40
LEAST_STATEMENTS = 12
STRIDE = 1 if os.environ.get("DRILLS") == "long" else 9
"""Of an import of many statements, one in so many is cut, and with DRILLS=long each."""
PAUSE_SECONDS = 0.1
"""For the other import to end, or to come to where it has to wait."""
COMMITS_LOADS = Variant(commits_loads=True)


def write(target: Target, number: int) -> Batch:
    """A batch that updates a row, leaves one alone, and brings a new one."""
    return target.write([row("a", number + 1, number + 1), row("b", 2, 2), row(f"new{number}", 1, 1)], 3)


def cut(target: Target, batch: Batch, death: Death) -> bool:
    """Import a batch and die; tell whether the import was cut, and not at its end already."""
    with target.connect() as aurora, dying(aurora, death):
        try:
            import_batch(batch, target.mapping, aurora, S3Objects(), target.bucket, target.keep_refused, slots=1)
        except ConnectionLostError:
            return True
        return not aurora._connection.open  # what is after the commit is no error of the import


@pytest.mark.parametrize("how", ["before", "after"])
def test_an_import_that_dies_at_a_statement_loses_nothing(target: Target, variant_of: VariantOf, how: str) -> None:
    target = variant_of(target, COMMITS_LOADS)
    target.import_rows([row("a", 1, 1), row("b", 9, 9)])
    for number in range(1, MAX_STATEMENTS):
        batch, before = write(target, number), target.hits()
        if not cut(target, batch, Death(how, number)):
            break
        again = import_until_done(target, batch)
        assert (again.rows_staged, again.rows_changed) == (3, 2)
        assert target.ledger()[batch.id] == (3, 2)
        assert target.hits() == {**before, "a": number + 1, f"new{number}": 1}
    else:
        pytest.fail(f"the import has more than {MAX_STATEMENTS} statements, or never ended")
    assert number > LEAST_STATEMENTS


def import_until_done(target: Target, batch: Batch) -> Any:
    """Import as the state machine has it done: again where that may help. The slot of who died is soon free."""

    def attempt() -> Any:
        with suppress(RetryableError), target.connect() as aurora:
            return import_batch(batch, target.mapping, aurora, S3Objects(), target.bucket, target.keep_refused, slots=1)

    return wait_until(attempt)


@dataclass
class Pause:
    """Where an import stops, until it is told how to go on."""

    statement: int
    dies: bool
    reached: threading.Event = field(default_factory=threading.Event)
    resumed: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def of(self, aurora: Aurora) -> Iterator[None]:
        connection: Any = aurora._connection
        send, sent = connection._execute_command, 0

        def counted(command: int, statement: str | bytes) -> None:
            nonlocal sent
            sent += 1
            if sent == self.statement:
                self.reached.set()
                self.resumed.wait(30)
                if self.dies:
                    connection._force_close()
                    raise pymysql.err.OperationalError(CONNECTION_LOST, "the importer died")
            send(command, statement)

        connection._execute_command = counted
        yield


@dataclass
class Importer:
    """One of two imports of the same batch."""

    target: Target
    batch: Batch
    slots: int
    pause: Pause | None = None
    statuses: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def run(self) -> None:
        while True:
            try:
                with self.target.connect() as aurora, self.pause.of(aurora) if self.pause else no_pause():
                    found = import_batch(
                        self.batch,
                        self.target.mapping,
                        aurora,
                        S3Objects(),
                        self.target.bucket,
                        self.target.keep_refused,
                        slots=self.slots,
                    )
                    self.statuses.append(found.status)
                    return
            except RetryableError as error:
                if self.pause:
                    return  # it died
                self.errors.append(error)
                time.sleep(0.02)
            except Exception as error:  # noqa: BLE001 (the test tells it)
                self.statuses.append(repr(error))
                return


@contextmanager
def no_pause() -> Iterator[None]:
    yield


@pytest.mark.parametrize("dies", [True, False], ids=["dies", "goes on"])
@pytest.mark.parametrize("slots", [1, 2])
def test_two_imports_of_one_batch_lose_nothing_wherever_one_is_cut(
    target: Target, variant_of: VariantOf, slots: int, dies: bool
) -> None:
    target = variant_of(target, COMMITS_LOADS)
    target.import_rows([row("a", 1, 1), row("b", 9, 9)])
    for number in range(1, MAX_STATEMENTS):
        batch, before = write(target, number), target.hits()
        pause = Pause(number, dies)
        first, second = Importer(target, batch, slots, pause), Importer(target, batch, slots)
        threads = [threading.Thread(target=importer.run) for importer in (first, second)]
        threads[0].start()
        while not pause.reached.wait(0.01) and threads[0].is_alive():
            continue
        if not pause.reached.is_set():
            threads[0].join()
            break
        threads[1].start()
        threads[1].join(PAUSE_SECONDS)
        pause.resumed.set()
        for thread in threads:
            thread.join()
        statuses = [*first.statuses, *second.statuses]
        assert statuses.count("applied") <= 1, statuses
        assert set(statuses) <= {"applied", "already_applied"}, statuses
        assert target.ledger()[batch.id] == (3, 2)
        assert target.hits() == {**before, "a": number + 1, f"new{number}": 1}
    else:
        pytest.fail(f"the import has more than {MAX_STATEMENTS} statements, or never ended")
    assert number > LEAST_STATEMENTS


def write_parts(target: Target, number: int) -> Batch:
    """A batch of two parts, of each of which a row is refused: by the load of one, by the merge of the other."""
    labelled = [row("a", number + 1, number + 1), row("b", 2, 2), row(f"wide{number}", 1, 99_999_999_999)]
    plain = [row(f"new{number}", 1, 1), row(f"much{number}", 1, 5000)]
    body = encode_labelled(target.mapping, labelled) + b"".join(map(encode_row, plain))
    return target.write_bytes(body)


def read_refused(target: Target, batch: Batch) -> set[str]:
    """The keys of the rows that are kept, each of which is kept once."""
    label = make_label(target.mapping.table, target.mapping.digest)
    places = [keys.refused_rows(batch.mapping, ledger_id) for ledger_id in (batch.id, batch.part_id(label))]
    records = [record for place in places for record in read_records(S3Objects(), target.bucket, place)]
    found = [json.loads(record.data)["Refused"]["Keys"]["page_id"] for record in records]
    assert len(found) == len(set(found))
    return set(found)


def test_an_import_of_parts_with_refused_rows_that_dies_at_a_statement_loses_nothing(
    target: Target, variant_of: VariantOf
) -> None:
    target = variant_of(target, COMMITS_LOADS)
    target.query(f"ALTER TABLE {target.mapping.database}.WebAnalytics__replica ADD CONSTRAINT few CHECK (hits < 1000)")
    target.import_rows([row("a", 1, 1), row("b", 9, 9)])
    for number in range(1, 3 * MAX_STATEMENTS, STRIDE):
        batch, before = write_parts(target, number), target.hits()
        if not cut(target, batch, Death(("before", "after")[number % 2], number)):
            break
        import_until_done(target, batch)
        label = make_label(target.mapping.table, target.mapping.digest)
        ledger = target.ledger()
        assert (ledger[batch.part_id(label)], ledger[batch.id]) == ((2, 1), (1, 1))
        assert target.hits() == {**before, "a": number + 1, f"new{number}": 1}
        assert read_refused(target, batch) == {f"wide{number}", f"much{number}"}
    else:
        pytest.fail(f"the import has more than {3 * MAX_STATEMENTS} statements, or never ended")
    assert number > 2 * LEAST_STATEMENTS

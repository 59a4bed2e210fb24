"""Many batches at once: the connections that they have, and how they get on with each other."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from dynaurora.mappings.csv_format import encode_row
from dynaurora.mappings.row_mapper import RowMapper
from tests.drills.drill import PROCESSED, Drill
from tests.support.factories import click, click_change

IMPORT_CONCURRENCY = 5
"""The importer's own, as the stack is deployed (`ImportConcurrency`)."""
OWN_CONNECTIONS = 2
"""Those of this test: one that holds a lock, and one that looks."""


def test_no_more_connections_than_the_importer_may_have_and_no_deadlocks(drill: Drill) -> None:
    """Batches with keys in common, each in its own order; all that may be are connected before the first one merges."""
    batches, pages, newest = drill.size(12, 300), [f"page-{number:03}" for number in range(50)], dict[str, int]()
    deadlocks = count_deadlocks(drill)
    with locked_replica(drill):
        drill.deployed.query("FLUSH STATUS")
        for version in random.Random(1).sample(range(1, batches + 1), batches):
            some = random.Random(version).sample(pages, len(pages) * 3 // 4)
            drill.reprocesses.write(f"{PROCESSED}{drill.name}-{version}", make_csv(drill, some, version))
            newest |= {page: max(version, newest.get(page, 0)) for page in some}
        drill.wait_until(lambda: count_waiting(drill) == IMPORT_CONCURRENCY)
        drill.wait_until(lambda: count_running(drill) == batches)
    drill.wait_until_imported()
    most = read_most_connections(drill)
    assert most <= IMPORT_CONCURRENCY + OWN_CONNECTIONS
    drill.tell(f"{batches} batches waited, {most - OWN_CONNECTIONS} of them connected at most")
    assert count_deadlocks(drill) == deadlocks
    assert drill.deployed.hits() == newest
    drill.tell("none was the victim of a deadlock")
    drill.check_nothing_failed()


def make_csv(drill: Drill, pages: list[str], version: int) -> bytes:
    """Return a batch that puts some pages, in their order."""
    mapper = RowMapper(drill.deployed.mapping)
    return b"".join(encode_row(mapper.row(click_change(click(Hits=version), version, page))) for page in pages)


@contextmanager
def locked_replica(drill: Drill) -> Iterator[None]:
    """Keep every import waiting before its merge."""
    with drill.deployed.stack.server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLES {drill.deployed.name_table(drill.deployed.mapping.replica)} WRITE")
        yield


def count_waiting(drill: Drill) -> int:
    """How many connections wait for a table that is locked."""
    waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'Waiting for table metadata lock'"
    return int(drill.deployed.query(waiting)[0][0])


def count_running(drill: Drill) -> int:
    """How many imports are under way."""
    return len(drill.deployed.list_running_imports())


def read_most_connections(drill: Drill) -> int:
    """Most connections that the server had at a time since its status was flushed."""
    return int(drill.deployed.query("SHOW GLOBAL STATUS LIKE 'Max_used_connections'")[0][1])


def count_deadlocks(drill: Drill) -> int:
    """How many deadlocks InnoDB has seen."""
    seen = "SELECT COUNT FROM information_schema.innodb_metrics WHERE NAME = 'lock_deadlocks'"
    return int(drill.deployed.query(seen)[0][0])

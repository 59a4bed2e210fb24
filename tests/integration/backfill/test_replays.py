"""`dynaurora replay` on a deployment whose database is restored to an earlier copy: it is as it was again."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

from backfill.cli import main
from dynaurora.aurora.migrations import FLOORS, GENERATIONS, IMPORTS, PURGES, RUNS
from tests.integration.backfill.deployed import MAPPING, Deployed, make_items
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration

COPIED = (IMPORTS, RUNS, GENERATIONS, FLOORS, PURGES)
Document = dict[str, Any]


class Copy:
    """A copy of the database's tables, as a snapshot of the cluster has them."""

    def __init__(self, deployed: Deployed) -> None:
        self._deployed = deployed
        self._tables = (deployed.mapping.replica, *COPIED)
        self.made_at = datetime.now(UTC)
        for table in self._tables:
            self._run(f"CREATE TABLE {self._name(table)} LIKE {deployed.name_table(table)}")
            self._run(f"INSERT INTO {self._name(table)} SELECT * FROM {deployed.name_table(table)}")

    def restore(self) -> None:
        """Have the database as it was."""
        for table in self._tables:
            self._run(f"DELETE FROM {self._deployed.name_table(table)}")
            self._run(f"INSERT INTO {self._deployed.name_table(table)} SELECT * FROM {self._name(table)}")

    def drop(self) -> None:
        for table in self._tables:
            self._run(f"DROP TABLE IF EXISTS {self._name(table)}")

    def _name(self, table: str) -> str:
        return self._deployed.name_table(f"copy_of_{table}")

    def _run(self, statement: str) -> None:
        with self._deployed.connect() as aurora, aurora.transaction():
            aurora.execute(statement)


@pytest.fixture
def copies(deployed: Deployed) -> Iterator[Callable[[], Copy]]:
    for prefix in (f"processed/mapping={MAPPING}/", "batches/"):  # of tests before
        for key in deployed.list_keys(prefix):
            deployed.client("s3").delete_object(Bucket=deployed.bucket, Key=key)
    made: list[Copy] = []

    def copy() -> Copy:
        made.append(Copy(deployed))
        return made[-1]

    yield copy
    for each in made:
        each.drop()


def replay(copy: Copy, *arguments: str) -> Result:
    since = copy.made_at.isoformat(timespec="seconds")
    return CliRunner().invoke(main, ["replay", MAPPING, "--since", since, *arguments])


def replay_as_json(copy: Copy, *arguments: str, status: int = 0) -> Document:
    answer = replay(copy, *arguments, "--json")
    assert answer.exit_code == status, answer.output
    found: Document = json.loads(answer.stdout.splitlines()[-1])
    return found


def read_rows(deployed: Deployed) -> list[tuple[Any, ...]]:
    return deployed.query(f"SELECT * FROM {deployed.name_table(deployed.mapping.replica)} ORDER BY page_id")


def read_ledger(deployed: Deployed) -> list[str]:
    return [name for (name,) in deployed.query(f"SELECT batch_id FROM {deployed.name_table(IMPORTS)} ORDER BY 1")]


def import_streamed(deployed: Deployed, name: str, *lines: bytes) -> None:
    """Put a streamed batch into the bucket, and wait until it is imported and marked."""
    key = f"processed/mapping={MAPPING}/2026/11/29/08/{name}"
    deployed.client("s3").put_object(Bucket=deployed.bucket, Key=key, Body=b"".join(lines))
    wait_until(lambda: deployed.client("s3").get_object_tagging(Bucket=deployed.bucket, Key=key)["TagSet"])


def line(page: str, hits: int, *, deleted: bool = False) -> bytes:
    version = int(time.time()) * 10**40 + hits
    rest = ",".join([r"\N"] * 5) if deleted else f"1700000000000,{hits},start,end,NL"
    return f"{int(deleted)},{version},{page},2026-01-01,{rest}\n".encode()


def test_a_restored_database_gets_all_again_that_the_bucket_has(
    deployed: Deployed, run: str, copies: Callable[[], Copy]
) -> None:
    import_streamed(deployed, f"before-{run}", line("before", 1), line("gone", 1))
    copy = copies()
    import_streamed(deployed, f"after-{run}", line("after", 2), line("gone", 2, deleted=True))
    deployed.put(make_items(20))
    deployed.backfill(run)
    rows, ledger = read_rows(deployed), read_ledger(deployed)
    copy.restore()
    assert read_rows(deployed) != rows
    told = replay_as_json(copy, "--dry-run")
    assert (told["whole"], told["unknown_mappings"]) == (True, [])
    assert told["of"].keys() == {"backfill", "stream"}
    assert read_ledger(deployed) != ledger
    done = replay_as_json(copy, "--yes")
    assert (done["imported"], done["failed"], done["batches"]) == (told["batches"], 0, told["batches"])
    assert done["next"] == "dynaurora verify web_analytics"
    assert (read_rows(deployed), read_ledger(deployed)) == (rows, ledger)
    assert replay_as_json(copy, "--yes")["batches"] == 0


def test_one_that_was_ended_half_way_is_gone_on_with(
    deployed: Deployed, run: str, copies: Callable[[], Copy], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copies()
    for number in range(3):
        import_streamed(deployed, f"{number}-{run}", line(f"page-{number}", number))
    rows = read_rows(deployed)
    copy.restore()
    found = replay_as_json(copy, "--dry-run")["batches"]
    client = deployed.client("stepfunctions")
    start, started = client.start_execution, []

    def die(**asked: Any) -> Any:
        started.append(asked)
        if len(started) > 1:
            raise KeyboardInterrupt
        return start(**asked)

    with monkeypatch.context() as patch:
        patch.setattr("backfill.commands.replay.Replay._import", lambda *_: die())
        assert replay(copy, "--yes", "--max-concurrency", "1").exit_code != 0
    assert replay_as_json(copy, "--yes")["imported"] == found
    assert read_rows(deployed) == rows


def test_a_mapping_that_was_applied_since_is_applied_again(
    deployed: Deployed, run: str, copies: Callable[[], Copy]
) -> None:
    copy = copies()
    before, kind, after = deployed.mapping.text.rpartition("VARCHAR(64)")
    assert kind, "a column that is none of the key"
    wider = f"{before}VARCHAR(80){after}"
    try:
        from dynaurora.mappings.mapping import build_mapping

        deployed.switch_mapping(build_mapping(MAPPING, json.loads(wider), text=wider))
        copy.restore()
        (digest,) = replay_as_json(copy, "--dry-run")["unknown_mappings"]
        replay_as_json(copy, "--yes")
        rows = deployed.query(
            f"SELECT digest FROM {deployed.name_table(GENERATIONS)} WHERE mapping = '{MAPPING}'"
            " ORDER BY generation DESC LIMIT 1"
        )
        assert rows == [(digest,)]
    finally:
        deployed.forget_mappings()
        with deployed.connect() as aurora:
            table = deployed.name_table(deployed.mapping.replica)
            aurora.execute(f"ALTER TABLE {table} MODIFY `country_code` VARCHAR(64) CHARACTER SET utf8mb4 NULL")


def test_what_the_lifecycle_has_taken_needs_a_backfill(deployed: Deployed, copies: Callable[[], Copy]) -> None:
    copy = copies()
    copy.made_at = datetime(2026, 1, 1, tzinfo=UTC)
    told = replay(copy, "--dry-run")
    assert told.exit_code == 0, told.output
    assert "a backfill with --sweep is needed afterwards" in told.stdout
    done = replay_as_json(copy, "--yes", status=1)
    assert (done["whole"], done["next"]) == (False, "dynaurora backfill start web_analytics --sweep")


@pytest.mark.parametrize("since", ["yesterday", "2099-01-01T00:00:00Z"])
def test_a_time_that_is_none_is_refused(deployed: Deployed, since: str) -> None:
    refused = CliRunner().invoke(main, ["replay", MAPPING, "--since", since, "--yes"])
    assert refused.exit_code == 2
    assert since in refused.output

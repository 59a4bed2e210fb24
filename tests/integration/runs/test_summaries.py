"""Summaries of replications: rows, the last import, the last backfill and verification, each as the database has it."""

import dataclasses
from typing import Any

import pytest

from dynaurora.aurora import row_counts
from dynaurora.aurora.migrations import VERIFICATIONS
from dynaurora.aurora.sql import quote
from dynaurora.aurora.verifications import Verifications
from dynaurora.errors import RegistryUnavailableError
from dynaurora.runs.runs import FAILED, Runs
from dynaurora.runs.summaries import summarize, summarize_replications
from tests.integration.targets import Target, row
from tests.support.factories import run_request
from tests.support.fakes import InMemoryExecutions

pytestmark = pytest.mark.integration

EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:dynaurora-backfill-table:web_analytics-r1"


@pytest.fixture(autouse=True)
def unverified(target: Target) -> None:
    """Forget what other tests of this database have verified."""
    with target.connect() as aurora, aurora.transaction():
        aurora.execute(f"DELETE FROM {quote(target.mapping.database)}.{quote(VERIFICATIONS)}")


def look(target: Target) -> dict[str, Any]:
    with target.connect() as aurora:
        return summarize(aurora, target.mapping)


def import_rows(target: Target, *keys: str, deleted: bool = False) -> None:
    rows = [row(key, 6 if deleted else 5, deleted=deleted) for key in keys]
    target.import_batch(dataclasses.replace(target.write(rows, len(keys)), source="backfill", run="r1"))


def test_of_a_replication_that_has_nothing_nothing_is_told(target: Target) -> None:
    assert look(target) == {
        "rows": {"count": 0, "exact": True},
        "last_import_at": None,
        "backfill": None,
        "verification_run": None,
        "verification": None,
    }


def test_rows_that_exist_are_counted_and_what_came_last_is_told(target: Target) -> None:
    with target.connect() as aurora:
        runs = Runs(aurora, target.mapping.database)
        runs.open(run_request(run="r1"), target.mapping, EXECUTION, InMemoryExecutions({EXECUTION}))
        import_rows(target, "a", "b", "c")
        import_rows(target, "c", deleted=True)
        runs.close("r1", EXECUTION, FAILED, None, "It failed.")
        runs.open(run_request(run="r2"), target.mapping, EXECUTION, InMemoryExecutions({EXECUTION}))
        verifications = Verifications(aurora, target.mapping)
        for run, unexplained, whole in (("v1", 3, True), ("v2", 0, False)):
            verifications.open(run, "scan")
            verifications.close(run, {"items": 3}, unexplained, whole=whole)
    found = look(target)
    assert found["rows"] == {"count": 2, "exact": True}
    assert found["last_import_at"].endswith("Z")
    assert (found["backfill"]["run"], found["backfill"]["state"]) == ("r2", "RUNNING")
    assert found["backfill"]["started_at"].endswith("Z")
    verification = found["verification"]
    assert (verification["run"], verification["unexplained"], verification["counts"]) == ("v1", 3, {"items": 3})
    assert verification["ended_at"].endswith("Z")
    assert (verification["found"], verification["mended_by"], verification["mended_at"]) == (3, None, None)


def test_what_a_repair_has_left_of_the_last_verification_is_what_is_unexplained(target: Target) -> None:
    with target.connect() as aurora:
        verifications = Verifications(aurora, target.mapping)

        def close(run: str, unexplained: int, mends: str | None = None) -> None:
            verifications.open(run, "keys")
            verifications.close(run, {}, unexplained, whole=mends is None, mends=mends)

        close("v1", 3)
        close("r1", 1, "v1")
        found = look(target)["verification"]
        assert (found["run"], found["unexplained"], found["found"], found["mended_by"]) == ("v1", 1, 3, "r1")
        close("r2", 0, "v1")
        found = look(target)["verification"]
        assert (found["run"], found["unexplained"], found["found"], found["mended_by"]) == ("v1", 0, 3, "r2")
        assert found["mended_at"].endswith("Z")
        close("v2", 4)
        close("r3", 0, "v1")  # of an earlier verification: it says nothing of the last one
        found = look(target)["verification"]
        assert (found["run"], found["unexplained"], found["mended_by"]) == ("v2", 4, None)


def test_a_large_table_is_estimated(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    import_rows(target, "a", "b", "c")
    monkeypatch.setattr(row_counts, "COUNTED_MOST", 1)
    found = look(target)["rows"]
    assert found["exact"] is False
    assert found["count"] >= 2


def test_one_that_fails_stops_no_other(target: Target) -> None:
    class Registries:
        def find(self, name: str) -> Any:
            if name == "gone":
                raise RegistryUnavailableError("It is gone.")
            return self

        def find_current(self) -> Any:
            return target.mapping

    with target.connect() as aurora:
        found = summarize_replications(aurora, Registries(), ["gone", "web_analytics"])  # type: ignore[arg-type]
    assert found["gone"]["error"].startswith("It is gone.")
    assert found["web_analytics"]["rows"] == {"count": 0, "exact": True}

"""`_dynaurora_runs` in the real database: whose a run is, how it ends, and what is told of it."""

import dataclasses
import threading
from typing import Any

import pytest

from dynaurora.aurora.connection import connect
from dynaurora.aurora.generations import activate
from dynaurora.batches.batch import Batch
from dynaurora.errors import AccessDeniedError, RunConflictError, ThrottledError
from dynaurora.runs.runs import FAILED, MAX_LISTED, MAX_RUN_REASON, RUNNING, STOPPED, SUCCEEDED, Runs
from tests.integration.targets import Target, row
from tests.support.factories import EXPORT_ARN, make_plan, run_request
from tests.support.fakes import InMemoryExecutions
from tests.support.mapping_versions import refuse_unmapped

pytestmark = pytest.mark.integration

ONE, OTHER = "arn:execution:one", "arn:execution:other"
PLAN = dataclasses.asdict(make_plan())


@dataclasses.dataclass
class RunsOfTarget:
    """Runs of web_analytics, each call with a connection of its own, as the functions make them."""

    target: Target
    executions: InMemoryExecutions

    def open(self, run: str = "r1", execution: str = ONE, mapping: Any = None, **options: Any) -> None:
        with self.target.connect() as aurora:
            request, mapping = run_request(run, **options), mapping or self.target.mapping
            Runs(aurora, self.target.mapping.database).open(request, mapping, execution, self.executions)

    def close(
        self, run: str = "r1", execution: str = ONE, state: str = SUCCEEDED, plan: Any = None, reason: str | None = None
    ) -> bool:
        with self.target.connect() as aurora:
            return Runs(aurora, self.target.mapping.database).close(run, execution, state, plan, reason)

    def describe(self, run: str | None = None) -> list[dict[str, Any]]:
        with self.target.connect() as aurora:
            return Runs(aurora, self.target.mapping.database).describe("web_analytics", run)

    def one(self, run: str = "r1") -> dict[str, Any]:
        (found,) = self.describe(run)
        return found

    def import_rows(self, run: str, *keys: str, version: int = 5, rejected: dict[str, int] | None = None) -> Batch:
        """Import a batch of a run's backfill."""
        written = self.target.write([row(key, version) for key in keys], len(keys))
        batch = dataclasses.replace(written, source="backfill", run=run, rejected=rejected or {})
        self.target.import_batch(batch, retries=1)
        return batch


@pytest.fixture
def runs(target: Target) -> RunsOfTarget:
    return RunsOfTarget(target, InMemoryExecutions({ONE, OTHER}))


def test_an_open_run_is_running_and_has_nothing_yet(runs: RunsOfTarget) -> None:
    runs.open(sweep=True)
    described = runs.one()
    assert described.pop("started_at").endswith("Z")
    assert described == {
        "run": "r1",
        "kind": "backfill",
        "mapping": "web_analytics",
        "state": RUNNING,
        "execution": ONE,
        "options": {
            "export_arn": None,
            "export_summary": None,
            "source_table_arn": None,
            "window_from": None,
            "window_to": None,
            "max_concurrency": 2,
            "tolerated_failure_percentage": 0,
            "tolerated_rejected_percentage": 10,
            "sweep": True,
            "compare": False,
            "judge": False,
        },
        "reason": None,
        "ended_at": None,
        "export_arn": None,
        "export_time": None,
        "items": None,
        "rows_imported": None,
        "rows_rejected": None,
        "mapping_digest": runs.target.mapping.digest,
        "generation": 1,
        "progress": {
            "batches_imported": 0,
            "rows_staged": 0,
            "rows_changed": 0,
            "rows_rejected": 0,
            "retries": 0,
            "last_import_at": None,
        },
    }


def test_a_run_is_told_with_the_latest_generation_of_its_mapping(runs: RunsOfTarget) -> None:
    runs.open()
    mapping = runs.target.mapping
    with connect(runs.target.endpoint, runs.target.administrator) as aurora:
        for one in (mapping, refuse_unmapped(mapping), mapping):
            activate(aurora, one)
    assert (runs.one()["mapping_digest"], runs.one()["generation"]) == (mapping.digest, 3)


def test_of_executions_that_open_a_run_at_once_one_has_it(runs: RunsOfTarget) -> None:
    executions = [f"arn:execution:{number}" for number in range(4)]
    runs.executions.running.update(executions)
    for run in [f"r{number}" for number in range(8)]:
        start, refused = threading.Barrier(len(executions)), list[str]()

        def open_at_once(execution: str, run: str = run, start: Any = start, refused: Any = refused) -> None:
            start.wait()
            try:
                runs.open(run, execution)
            except RunConflictError:
                refused.append(execution)

        threads = [threading.Thread(target=open_at_once, args=(execution,)) for execution in executions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {runs.one(run)["execution"]} == set(executions) - set(refused)


def test_a_run_that_another_execution_works_on_is_left_to_it(runs: RunsOfTarget) -> None:
    runs.open()
    before = runs.one()
    with pytest.raises(RunConflictError, match=f"r1 is worked on by {ONE}"):
        runs.open(execution=OTHER, sweep=True)
    assert runs.one() == before


def test_a_function_that_is_retried_opens_its_own_run_again(runs: RunsOfTarget) -> None:
    runs.open()
    runs.open()
    assert runs.one()["execution"] == ONE
    assert runs.executions.asked == [ONE, ONE]


def test_the_run_of_an_execution_that_is_gone_is_taken_over(runs: RunsOfTarget) -> None:
    runs.open()
    runs.executions.running.remove(ONE)
    runs.open(execution=OTHER)
    assert (runs.one()["execution"], runs.one()["state"]) == (OTHER, RUNNING)
    assert runs.executions.asked == [ONE, ONE, OTHER]
    assert runs.close(execution=ONE) is False
    assert runs.one()["state"] == RUNNING


def test_a_run_that_ended_is_opened_again_and_keeps_what_it_did(runs: RunsOfTarget) -> None:
    for state in (SUCCEEDED, FAILED, STOPPED):
        runs.executions.running.add(ONE)
        runs.open(state)
        runs.close(state, state=state, plan=PLAN, reason="It was stopped.")
        runs.executions.running.discard(ONE)
        before = runs.one(state)
        runs.open(state, OTHER, max_concurrency=3, sweep=True)
        after = runs.one(state)
        assert (after["state"], after["execution"], after["reason"], after["ended_at"]) == (RUNNING, OTHER, None, None)
        assert (after["options"]["max_concurrency"], after["options"]["sweep"]) == (3, True)
        kept = ("run", "started_at", "export_arn", "export_time", "items")
        assert [after[name] for name in kept] == [before[name] for name in kept]


def test_a_run_that_is_stopped_while_it_is_opened_is_closed(runs: RunsOfTarget) -> None:
    runs.executions.running.remove(ONE)
    runs.open()
    stopped = runs.one()
    assert (stopped["state"], stopped["reason"]) == (STOPPED, "It was stopped while it was being opened.")
    assert stopped["ended_at"] >= stopped["started_at"]


def test_a_repeat_that_is_stopped_while_it_is_opened_is_closed(runs: RunsOfTarget) -> None:
    runs.open()
    runs.close(plan=PLAN)
    runs.executions.running.clear()
    runs.open(execution=OTHER)
    stopped = runs.one()
    assert (stopped["state"], stopped["execution"], stopped["items"]) == (STOPPED, OTHER, 10)


@pytest.mark.parametrize("error", [ThrottledError, AccessDeniedError])
def test_a_run_goes_on_where_nobody_says_whether_it_runs(runs: RunsOfTarget, error: type[Exception]) -> None:
    runs.executions.error = error("DescribeExecution failed.")
    runs.open()
    assert (runs.one()["state"], runs.executions.asked) == (RUNNING, [ONE])


def test_a_run_is_not_taken_over_where_nobody_says_whether_it_runs(runs: RunsOfTarget) -> None:
    runs.open()
    before, runs.executions.error = runs.one(), ThrottledError("Slow down.")
    with pytest.raises(ThrottledError):
        runs.open(execution=OTHER)
    assert runs.one() == before


def test_what_other_runs_work_on_is_counted_as_long_as_they_do(runs: RunsOfTarget) -> None:
    for run, execution in (("r1", ONE), ("r2", OTHER)):
        runs.open(run, execution)

    def count_beside(run: str) -> int:
        with runs.target.connect() as aurora:
            found = Runs(aurora, runs.target.mapping.database)
            return found.count_batches_of_others(run_request(run), runs.executions)

    assert (count_beside("r1"), count_beside("r3")) == (2, 4)
    runs.executions.running.remove(OTHER)  # it died without closing its run
    assert (count_beside("r1"), count_beside("r3")) == (0, 2)
    runs.executions.error = AccessDeniedError("It is another stack's.")
    assert count_beside("r3") == 0
    runs.executions.error = None
    runs.close("r1")
    assert count_beside("r3") == 0


def test_a_run_that_was_stopped_and_redriven_is_left_to_its_execution(runs: RunsOfTarget) -> None:
    runs.open()
    runs.close(state=STOPPED, reason="It was stopped.")
    before = runs.one()
    with pytest.raises(RunConflictError, match=f"r1 is worked on by {ONE}"):
        runs.open(execution=OTHER)
    assert runs.one() == before
    runs.executions.running.remove(ONE)
    runs.open(execution=OTHER)
    assert runs.one()["execution"] == OTHER


def test_a_run_is_not_repeated_as_another_one(runs: RunsOfTarget) -> None:
    runs.open()
    runs.close(plan=PLAN)
    before, mapping = runs.one(), runs.target.mapping
    for problem, changed in {
        "begun with another export": {"export_arn": EXPORT_ARN},
        "and the current one is [0-9a-f]{16}: a run has one mapping.*start a run with an id of its own": {
            "mapping": dataclasses.replace(mapping, unmapped="reject")
        },
    }.items():
        with pytest.raises(RunConflictError, match=problem):
            runs.open(execution=OTHER, **changed)
    assert runs.one() == before


def test_a_runs_id_is_its_mappings_own(runs: RunsOfTarget) -> None:
    runs.open()
    runs.open(execution=OTHER, mapping=dataclasses.replace(runs.target.mapping, name="other"))
    runs.import_rows("r1", "a", "b")
    assert runs.close(execution=OTHER, state=FAILED)
    (mine,) = runs.describe("r1")
    with runs.target.connect() as aurora:
        (others,) = Runs(aurora, runs.target.mapping.database).describe("other", "r1")
    assert (mine["execution"], mine["state"], mine["progress"]["rows_changed"]) == (ONE, RUNNING, 2)
    assert (others["execution"], others["state"], others["rows_imported"]) == (OTHER, FAILED, 0)


def test_a_run_of_a_given_export_is_repeated_with_that_export_only(runs: RunsOfTarget) -> None:
    for _ in range(2):
        runs.open(export_arn=EXPORT_ARN)
        runs.close(plan=PLAN)
    for other in (None, f"{EXPORT_ARN}0"):
        with pytest.raises(RunConflictError, match="another export"):
            runs.open(export_arn=other)


def test_a_run_takes_another_export_until_it_is_planned(runs: RunsOfTarget) -> None:
    for export_arn in (None, f"{EXPORT_ARN}0", EXPORT_ARN, None, EXPORT_ARN):
        runs.open(export_arn=export_arn)
        assert runs.one()["options"]["export_arn"] == export_arn
        runs.close(state=FAILED, reason="NotReadyError: There is no such export.")
    runs.open(export_arn=EXPORT_ARN)
    runs.close(state=STOPPED, plan=PLAN)
    with pytest.raises(RunConflictError, match="another export"):
        runs.open()


def test_the_row_of_a_stopped_run_says_what_was_exported(runs: RunsOfTarget) -> None:
    runs.open()
    runs.close(state=STOPPED, plan=PLAN, reason="It was stopped.")
    stopped = runs.one()
    assert (stopped["export_arn"], stopped["export_time"], stopped["items"]) == (EXPORT_ARN, "2023-11-14T22:13:20Z", 10)


def test_a_run_is_closed_with_its_plan_and_the_ledgers_sums(runs: RunsOfTarget) -> None:
    runs.open()
    runs.import_rows("r1", "a", "b", rejected={"payload (json)": 3})
    runs.import_rows("r1", "b", "c")
    runs.import_rows("another", "d", rejected={"payload (json)": 100})
    assert runs.close(plan=dataclasses.asdict(make_plan()))
    closed = runs.one()
    assert (closed["state"], closed["reason"], closed["items"]) == (SUCCEEDED, None, 10)
    assert (closed["export_arn"], closed["export_time"]) == (EXPORT_ARN, "2023-11-14T22:13:20Z")
    assert (closed["rows_imported"], closed["rows_rejected"]) == (3, 3)  # b was as new already
    assert closed["ended_at"] >= closed["started_at"]


def test_a_run_is_closed_once_and_by_its_own_execution(runs: RunsOfTarget) -> None:
    runs.open()
    before = runs.one()
    assert runs.close(execution=OTHER, state=FAILED) is False
    assert runs.close("unknown", state=FAILED) is False
    assert runs.one() == before
    assert runs.close(state=FAILED, reason="It broke.") is True
    closed = runs.one()
    assert runs.close(state=STOPPED, reason="too late") is False
    assert runs.close(state=SUCCEEDED) is False
    assert runs.one() == closed
    assert (closed["state"], closed["reason"], closed["export_arn"]) == (FAILED, "It broke.", None)


def test_a_run_that_was_stopped_and_redriven_is_closed_by_its_end(runs: RunsOfTarget) -> None:
    runs.open()
    assert runs.close(state=STOPPED, reason="It was stopped.")
    assert runs.close(execution=OTHER) is False
    assert runs.close(state=SUCCEEDED)
    assert (runs.one()["state"], runs.one()["reason"]) == (SUCCEEDED, None)


def test_a_reason_of_any_length_and_text_is_kept(runs: RunsOfTarget) -> None:
    runs.open()
    assert runs.close(state=FAILED, reason="🦄'\\" * MAX_RUN_REASON)
    assert runs.one()["reason"] == ("🦄'\\" * MAX_RUN_REASON)[:MAX_RUN_REASON]


def test_progress_is_the_ledgers_while_the_run_goes_on(runs: RunsOfTarget) -> None:
    runs.open()
    runs.open("r2", OTHER)
    runs.target.import_rows([row("b", 9)])
    runs.import_rows("r1", "a", "b", rejected={"payload (json)": 3})
    runs.import_rows("r1", "c", "d")
    runs.import_rows("r2", "e")
    progress = runs.one()["progress"]
    assert progress.pop("last_import_at").endswith("Z")
    assert progress == {"batches_imported": 2, "rows_staged": 4, "rows_changed": 3, "rows_rejected": 3, "retries": 2}
    assert {described["run"]: described["progress"]["batches_imported"] for described in runs.describe()} == {
        "r1": 2,
        "r2": 1,
    }


def test_runs_are_listed_newest_first_so_many_of_them(runs: RunsOfTarget) -> None:
    with runs.target.connect() as aurora:
        known = Runs(aurora, runs.target.mapping.database)
        for number in range(MAX_LISTED + 2):
            known.open(run_request(f"r{number:03}"), runs.target.mapping, ONE, runs.executions)
    listed = [described["run"] for described in runs.describe()]
    assert listed == [f"r{number:03}" for number in range(MAX_LISTED + 1, 1, -1)]
    assert runs.one("r000")["run"] == "r000"


def test_a_run_that_is_not_there_is_none(runs: RunsOfTarget) -> None:
    runs.open()
    for run in ("unknown", "ü", "' OR '1'='1", "", "R1", "r1 "):
        assert runs.describe(run) == []
        assert runs.close(run) is False


def test_runs_of_another_mapping_are_not_told(runs: RunsOfTarget) -> None:
    runs.open()
    with runs.target.connect() as aurora:
        assert Runs(aurora, runs.target.mapping.database).describe("other") == []

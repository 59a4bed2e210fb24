"""What a status page looks at, to vary in a test: one table with all there is to show, and hostile items among it."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from backfill.deployment.lags import Lag, LagHistory
from backfill.deployment.stream_readers import ON, StreamReader
from backfill.failures.counts import REASON, Tally
from backfill.failures.items import ItemEntries
from backfill.kinds import BACKFILL, REPROCESS, Kind
from backfill.looking import describe_tally
from backfill.overview.kept import Kept
from backfill.overview.standing import Standing
from backfill.runs.imports import ListedImport
from backfill.runs.listing import ListedRun
from backfill.runs.progress import Batches, Rows
from backfill.runs.run_view import RunView
from backfill.terminal.console import WrongUseError
from backfill.ui.looks import CurrentMapping, KeptFailures, OneFailure, RunningRun
from dynaurora.dynamodb.changes import encode_change
from dynaurora.failures.superseded import ItemNamer
from tests.support import failure_factories as made
from tests.support.backfill_factories import DEPLOYMENT, PLAN, RUN, make_view
from tests.support.example import load_example
from tests.support.factories import click, click_change
from tests.support.read_failures import read

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&\u202egnp.exe\x1b[31m\x07"
"""A key that whoever writes items has chosen."""
BIG = "x" * 400_000
ORDERS = replace(DEPLOYMENT, stack="orders", mapping="orders", table="orders")
NOW = datetime(2026, 11, 23, 8, 17, tzinfo=UTC)


def make_failures() -> list[Any]:
    """Return what is kept as failed: a hostile item, one of 400 KB, a batch."""
    store = made.make_store()
    hostile = encode_change(click_change(click(Hits="secret"), page_id=HOSTILE))
    big = encode_change(click_change(click(Hits=BIG), page_id="big"))
    store.objects.clear()
    store.write(made.BUCKET, made.FIREHOSE_KEY, made.failed_lines(*map(made.failed_record, (hostile, big))))
    return [*read(store)]


@dataclass
class KnownLooks:
    """Answers pages as Looks does, with what is known here; None fails."""

    problem: Exception | None = None
    asked: list[str] = field(default_factory=list)
    failures: list[Any] = field(default_factory=make_failures)
    is_running: bool = True

    def _note(self, name: str) -> None:
        self.asked.append(name)
        if self.problem:
            raise self.problem

    def look_at_all(self) -> list[Standing]:
        self._note("look_at_all")
        return [self.look_at("orders"), self.look_at(DEPLOYMENT.mapping)]

    def look_at(self, mapping: str) -> Standing:
        self._note("look_at")
        verified = {"run": "v1", "ended_at": "2026-11-23T08:00:00Z", "unexplained": 0, "counts": {"items": 3}}
        known = {
            "reader": StreamReader(ON),
            "lag": Lag(4.5, 1.0),
            "kept": Kept(2 if mapping == DEPLOYMENT.mapping else 0),
            "facts": {
                "rows": {"count": 1_234_567, "exact": True},
                "last_import_at": "2026-11-23T08:16:40Z",
                "backfill": None,
                "verification": verified,
            },
        }
        return Standing(DEPLOYMENT if mapping == DEPLOYMENT.mapping else ORDERS, datetime.now(UTC), **known)

    def read_lags(self, mapping: str | None = None) -> dict[str, LagHistory]:
        self._note("read_lags")
        now = datetime.now(UTC)
        points = tuple((now - timedelta(minutes=170 - at), 3.0 + (at * 7 % 23) / 2) for at in range(170) if at % 40)
        history = LagHistory(points, tuple((at, seconds / 3) for at, seconds in points))
        return dict.fromkeys([mapping] if mapping else [ORDERS.mapping, DEPLOYMENT.mapping], history)

    def list_running(self) -> list[RunningRun]:
        self._note("list_running")
        return [RunningRun(BACKFILL, DEPLOYMENT.mapping, RUN, NOW)] if self.is_running else []

    def list_runs(self, mapping: str, kind: Kind) -> list[ListedRun]:
        self._note("list_runs")
        if kind is REPROCESS:
            return []
        times = NOW - timedelta(minutes=9), NOW
        running = ListedRun(RUN, mapping, "clicks", "RUNNING", times[0], None, None, 30_000, 4)
        return [running, ListedRun("a", mapping, "clicks", "FAILED", *times, 5, 0, 5)]

    def list_imports(self, mapping: str) -> list[ListedImport]:
        self._note("list_imports")
        times = NOW - timedelta(seconds=4), NOW
        arn = f"{DEPLOYMENT.import_batch_arn}:a"
        one = ListedImport("0123", mapping, "stream", None, "imported", *times, 120, 119, 20_000, arn)
        return [one, replace(one, source="backfill", run=RUN, state="failed", error="ConnectionLostError")]

    def read_mapping(self, mapping: str) -> CurrentMapping:
        self._note(f"read_mapping {mapping}")
        return CurrentMapping(load_example(), 2, NOW)

    def look_at_run(self, mapping: str, kind: Kind, run: str) -> RunView:
        self._note("look_at_run")
        if run != RUN:
            raise WrongUseError(f"There is no {kind.name} {run} of {mapping}.")
        view = make_view(
            plan=PLAN,
            batches=Batches(12, 3, 1, 2),
            rows=Rows(29_990, 10, 4),
            rows_per_second=1234.5,
            seconds_left=75.0,
            retries=2,
            phases={"checking": 1.2, "exporting": 60.0, "importing": 13.8},
            execution=DEPLOYMENT.execution_arn(BACKFILL, "a"),
        )
        return view if self.is_running else replace(view, state="SUCCEEDED", phase="done", ended_at=NOW)

    def read_failures(self, mapping: str) -> KeptFailures:
        self._note(f"read_failures {mapping}")
        tally = Tally(REASON)
        with ItemEntries(ItemNamer(load_example())) as entries:
            for failure in self.failures:
                entries.add(failure, failure.labels[0])
            told = list(entries)
        for entry in told:
            tally.add(entry)
        return KeptFailures(describe_tally(DEPLOYMENT, tally, REASON, 1_000), told, True)

    def find_failure(self, mapping: str, name: str) -> OneFailure:
        self._note("find_failure")
        found = next((one for one in self.failures if one.is_called(name)), None)
        if found is None:
            raise WrongUseError(f"Nothing that is kept as failed is called {name!r}.")
        return OneFailure(found, mapping, None, f"dynaurora reprocess start {mapping} --watch")

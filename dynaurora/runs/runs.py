"""Runs: an execution of backfill_table or reprocess_failures each, and its row in `_dynaurora_runs`, true to every end.

A backfill is started with

    {"mapping": "web_analytics", "run": "20261123T081500Z", "export_arn": null, "max_concurrency": 2,
     "tolerated_failure_percentage": 0, "sweep": false}

of which only mapping and run are needed, a reprocess with

    {"mapping": "web_analytics", "run": null, "prefix": null, "include_parked": false, "max_concurrency": null}

of which only mapping is. Its row is opened as RUNNING and closed once, as SUCCEEDED, FAILED or
STOPPED. Starting the same run again opens the row again: what the run has done is found done, and not repeated. That
holds as long as its mapping and its export are the same, so a run that would have others is refused.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from dynaurora.aurora.sql import quote
from dynaurora.batches.ledger import IMPORTS
from dynaurora.errors import AccessDeniedError, InvalidRunError, LockWaitError, RetryableError, RunConflictError

if TYPE_CHECKING:
    from dynaurora.aurora.connection import Aurora
    from dynaurora.mappings.mapping import Mapping

RUNS: Final = "_dynaurora_runs"
BACKFILL: Final = "backfill"
REPROCESS: Final = "reprocess"
"""The kinds of runs, each the source of its batches in the ledger."""
RUNNING: Final = "RUNNING"
SUCCEEDED: Final = "SUCCEEDED"
FAILED: Final = "FAILED"
STOPPED: Final = "STOPPED"

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What names a run: it is part of keys, and of the names of executions, which have at most 80 characters."""
EXPORT_ARN = re.compile(r"arn:[a-z-]+:dynamodb:[a-z0-9-]+:[0-9]{12}:table/[A-Za-z0-9_.-]+/export/[A-Za-z0-9-]+")
MAX_REASON = 2000
MAX_LISTED = 50
LOCK_SECONDS = 10


def is_run_id(value: Any) -> bool:
    """Tell whether a value may name a run; one that may not is the name of none."""
    return isinstance(value, str) and bool(RUN_ID.fullmatch(value))


@dataclass(frozen=True)
class Options:
    """How a run is to be done."""

    export_arn: str | None
    """The export to import, where it is not to make one."""
    max_concurrency: int
    """Most batches that are converted and imported at the same time."""
    tolerated_failure_percentage: float
    """How many of the batches may fail, in percent, before the run does."""
    sweep: bool
    """Whether rows that the export does not have are deleted in the end."""


@dataclass(frozen=True)
class Limits:
    """What the deployment allows a run."""

    backfill_concurrency: int
    """The concurrency of a run that asks for none."""
    import_concurrency: int
    """The importer's own, 0 for unbounded; a run stays below it, which leaves room for the stream."""
    keeps_expired: bool = False
    """Whether Aurora is to keep the rows of items that expired: a sweep would take them for deleted."""

    def beside(self, taken: int) -> Limits:
        """Return what is left where other runs work on so many batches at the same time; never less than one."""
        return replace(self, import_concurrency=self.import_concurrency and max(1, self.import_concurrency - taken))

    def bound(self, wanted: int | None) -> int:
        """Return the concurrency of a run that wants so many."""
        concurrency = self.backfill_concurrency if wanted is None else wanted
        return min(concurrency, max(1, self.import_concurrency - 1)) if self.import_concurrency else concurrency


@dataclass(frozen=True)
class RunRequest:
    """The checked input of a run."""

    mapping: str
    run: str
    options: Options

    kind: ClassVar[str] = BACKFILL

    @classmethod
    def from_input(cls, document: Any, mapping: str, limits: Limits) -> RunRequest:
        """Return what the state machine's input asks for.

        Raises InvalidRunError, naming every field that is missing or wrong.
        """
        given = check_fields(document, FIELDS, mapping)
        if given.get("sweep") and limits.keeps_expired:
            problem = "this stack keeps the rows of expired items (TtlDeletes=ignore), and a sweep would delete them"
            raise InvalidRunError(f"The input asks for a sweep: {problem}.")
        options = Options(
            export_arn=given.get("export_arn"),
            max_concurrency=limits.bound(given.get("max_concurrency")),
            tolerated_failure_percentage=given.get("tolerated_failure_percentage") or 0,
            sweep=bool(given.get("sweep")),
        )
        return cls(given["mapping"], given["run"], options)

    def as_dict(self) -> dict[str, Any]:
        """Return the request as the states after "Open run" read it."""
        return asdict(self)

    def check_repeat(self, mapping: Mapping, its_digest: str, its_options: dict[str, Any], *, is_planned: bool) -> None:
        """Raise RunConflictError where what the run has done so far is not what it would do now.

        Until it is planned it may still take another export.
        """
        if its_digest != mapping.digest:
            raise RunConflictError(f"The mapping {mapping.name} is not the one that run {self.run} was begun with.")
        if is_planned and its_options.get("export_arn") != self.options.export_arn:
            raise RunConflictError(f"Run {self.run} was begun with another export.")


@dataclass(frozen=True)
class ReprocessOptions:
    """How a reprocess is to be done."""

    prefix: str | None
    """Only what is under it is taken up; None for everything."""
    include_parked: bool
    """Whether what is parked is taken up too."""
    max_concurrency: int


@dataclass(frozen=True)
class ReprocessRequest:
    """The checked input of a reprocess."""

    mapping: str
    run: str
    options: ReprocessOptions

    kind: ClassVar[str] = REPROCESS

    @classmethod
    def from_input(cls, document: Any, mapping: str, limits: Limits, started: str) -> ReprocessRequest:
        """Return what the state machine's input asks for; a run without a name is named by when it was started.

        Raises InvalidRunError, naming every field that is missing or wrong.
        """
        if isinstance(document, dict):
            document = {**document, "run": name_reprocess(document, started)}
        given = check_fields(document, REPROCESS_FIELDS, mapping)
        options = ReprocessOptions(
            prefix=given.get("prefix") or None,
            include_parked=bool(given.get("include_parked")),
            max_concurrency=limits.bound(given.get("max_concurrency")),
        )
        return cls(given["mapping"], given["run"], options)

    def as_dict(self) -> dict[str, Any]:
        """Return the request as the states after "Open run" read it."""
        return asdict(self)

    def check_repeat(self, mapping: Mapping, its_digest: str, its_options: dict[str, Any], *, is_planned: bool) -> None:
        """Raise nothing: a reprocess takes up what there is, and the mapping may have been mended for it."""


def name_reprocess(document: dict[str, Any], started: str) -> Any:
    """Return what an input calls a reprocess; where that is nothing, a name by when its execution was started.

    Executions of the same second have the same name then, and one of them the run.
    """
    given = document.get("run")
    if given is not None:
        return given
    return f"reprocess-{datetime.fromisoformat(started).astimezone(UTC):%Y%m%dT%H%M%SZ}"


def read_request(event: dict[str, Any], mapping: str, limits: Limits) -> RunRequest | ReprocessRequest:
    """Return what an execution was started to do: `{"kind": "reprocess", "input": …, "execution": {"started": …}}`.

    Raises InvalidRunError.
    """
    if event.get("kind") == REPROCESS:
        return ReprocessRequest.from_input(event["input"], mapping, limits, event["execution"]["started"])
    return RunRequest.from_input(event["input"], mapping, limits)


class Request(Protocol):
    """What the runs need of the input of a run, of whichever kind."""

    @property
    def kind(self) -> str:
        """Of the run, and the source of its batches in the ledger."""
        ...

    @property
    def mapping(self) -> str:
        """The mapping's name."""
        ...

    @property
    def run(self) -> str:
        """The run's id."""
        ...

    @property
    def options(self) -> Any:
        """A dataclass."""
        ...

    def check_repeat(self, mapping: Mapping, its_digest: str, its_options: dict[str, Any], *, is_planned: bool) -> None:
        """Raise RunConflictError where the run cannot go on from what it was begun with."""
        ...


def check_fields(document: Any, fields: dict[str, tuple[Any, str]], mapping: str) -> dict[str, Any]:
    """Return an input whose fields are all right, and of this stack's mapping.

    Raises InvalidRunError, naming every field that is missing or wrong.
    """
    given: dict[str, Any] = document if isinstance(document, dict) else {}
    problems = [
        f"{name} is {json.dumps(given.get(name), default=str)[:80]}, and it takes {wanted}"
        for name, (is_right, wanted) in fields.items()
        if not is_right(given.get(name))
    ]
    if not problems and given["mapping"] != mapping:
        problems.append(f"mapping is {given['mapping']}, and this stack replicates {mapping}")
    if problems:
        raise InvalidRunError(f"The input is not a run's: {'; '.join(problems)}.")
    return given


def _is_text(pattern: re.Pattern[str]) -> Any:
    return lambda value: isinstance(value, str) and bool(pattern.fullmatch(value))


_OF_EVERY_RUN: Final[dict[str, tuple[Any, str]]] = {
    "mapping": (_is_text(re.compile(r"[a-z][a-z0-9_]{0,62}")), "a mapping's name"),
    "run": (is_run_id, "up to 64 letters, digits, underscores and hyphens"),
    "max_concurrency": (
        lambda value: value is None or (type(value) is int and 1 <= value <= 1000),
        "a count from 1 to 1000, or null",
    ),
}
FIELDS: Final[dict[str, tuple[Any, str]]] = {
    **_OF_EVERY_RUN,
    "export_arn": (lambda value: value is None or _is_text(EXPORT_ARN)(value), "the ARN of an export, or null"),
    "tolerated_failure_percentage": (
        lambda value: value is None or (type(value) in {int, float} and 0 <= value <= 100),
        "a percentage from 0 to 100",
    ),
    "sweep": (lambda value: value is None or type(value) is bool, "true or false"),
}
"""Each field's check, and in words what it takes."""
REPROCESS_FIELDS: Final[dict[str, tuple[Any, str]]] = {
    **_OF_EVERY_RUN,
    "prefix": (lambda value: value is None or isinstance(value, str), "a prefix of the landing bucket's keys, or null"),
    "include_parked": (lambda value: value is None or type(value) is bool, "true or false"),
}


class Executions(Protocol):
    """What the runs need of Step Functions."""

    def is_running(self, arn: str) -> bool:
        """Tell whether an execution still runs; one that is not known does not."""
        ...


class Runs:
    """The runs in one database."""

    def __init__(self, aurora: Aurora, database: str) -> None:
        self._aurora = aurora
        self._table = f"{quote(database)}.{quote(RUNS)}"
        self._ledger = f"{quote(database)}.{quote(IMPORTS)}"

    def count_batches_of_others(self, request: Request, executions: Executions) -> int:
        """Return how many batches the other runs that are under way may work on at the same time.

        A run that was not closed, but whose execution has ended or is of another stack, works on none.
        """
        others = self._aurora.query(
            f"SELECT execution, options FROM {self._table} WHERE mapping = %s AND state = %s AND run <> %s",
            (request.mapping, RUNNING, request.run),
        )
        taken = 0
        for execution, options in others:
            with suppress(AccessDeniedError):
                taken += int(json.loads(options)["max_concurrency"]) if executions.is_running(execution) else 0
        return taken

    def open(self, request: Request, mapping: Mapping, execution: str, executions: Executions) -> None:
        """Open a run for an execution, or open it again.

        Raises RunConflictError where another execution works on it, or where it was begun with another mapping or
        export.
        """
        options = json.dumps(asdict(request.options))
        if request.kind == REPROCESS:
            self._check_alone(request.run, mapping, executions)
        with self._aurora.transaction():
            # Of executions that open a run at once, all but the first wait here, and then find the first one's row.
            self._aurora.execute(
                f"INSERT INTO {self._table} (run, kind, mapping, mapping_digest, state, execution, options, started_at)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE run = run",
                (request.run, request.kind, mapping.name, mapping.digest, RUNNING, execution, options),
            )
            (found,) = self._aurora.query(
                "SELECT state, execution, kind, mapping_digest, options, items"
                f" FROM {self._table} WHERE run = %s AND mapping = %s",
                (request.run, mapping.name),
            )
            self._check_repeat(request, mapping, execution, executions, *found)
            self._aurora.execute(
                f"UPDATE {self._table} SET state = %s, execution = %s, options = %s, reason = NULL, ended_at = NULL"
                " WHERE run = %s AND mapping = %s",
                (RUNNING, execution, options, request.run, mapping.name),
            )
        with suppress(RetryableError, AccessDeniedError):  # where nobody answers, the run goes on
            if not executions.is_running(execution):
                self.close(request.run, execution, STOPPED, None, "It was stopped while it was being opened.")

    def _check_alone(self, run: str, mapping: Mapping, executions: Executions) -> None:
        """Refuse a reprocess beside another one: both would take up the same objects.

        The lock, which the connection keeps to its end, lets one of those that start at once look and enter its row.
        """
        name = f"dynaurora/{mapping.digest[:32]}"
        ((locked,),) = self._aurora.query("SELECT GET_LOCK(%s, %s)", (name, LOCK_SECONDS))
        if not locked:
            raise LockWaitError(f"Another reprocess of {mapping.name} is being started.")
        others = self._aurora.query(
            f"SELECT run, execution FROM {self._table} WHERE kind = %s AND mapping = %s AND state = %s AND run <> %s",
            (REPROCESS, mapping.name, RUNNING, run),
        )
        for other, execution in others:
            if executions.is_running(execution):
                raise RunConflictError(f"Run {other} is reprocessing the failures of {mapping.name}: {execution}.")
            self.close(other, execution, FAILED, None, "Its execution ended without closing it.")

    def _check_repeat(
        self,
        request: Request,
        mapping: Mapping,
        execution: str,
        executions: Executions,
        state: str,
        earlier: str,
        its_kind: str,
        its_digest: str,
        its_options: str,
        its_items: int | None,
    ) -> None:
        """Refuse to repeat what is not the same run, or has not ended; a dead execution's run is taken over."""
        if its_kind != request.kind:
            raise RunConflictError(f"Run {request.run} is a {its_kind} of {mapping.name}, and not a {request.kind}.")
        is_planned = its_items is not None
        request.check_repeat(mapping, its_digest, json.loads(its_options), is_planned=is_planned)
        # One that was stopped may have been redriven.
        if state in {RUNNING, STOPPED} and earlier != execution and executions.is_running(earlier):
            raise RunConflictError(f"Run {request.run} is worked on by {earlier}.")

    def close(self, run: str, execution: str, state: str, plan: dict[str, Any] | None, reason: str | None) -> bool:
        """Close a run with what the ledger says of it; return False where this execution does not have it open."""
        if not is_run_id(run):
            return False
        export_second = (plan or {}).get("export_second")
        of_run = f"WHERE i.run = %s AND i.mapping = {self._table}.mapping AND i.source = kind"
        with self._aurora.transaction():
            changed = self._aurora.execute(
                f"UPDATE {self._table} SET state = %s, reason = %s, ended_at = UTC_TIMESTAMP(6),"
                " export_arn = COALESCE(%s, export_arn), export_time = COALESCE(%s, export_time),"
                " items = COALESCE(%s, items),"
                f" rows_imported = (SELECT COALESCE(SUM(rows_changed), 0) FROM {self._ledger} AS i {of_run}),"
                f" rows_rejected = (SELECT COALESCE(SUM(rows_rejected), 0) FROM {self._ledger} AS i {of_run})"
                " WHERE run = %s AND execution = %s AND state IN (%s, %s)",
                (
                    state,
                    reason[:MAX_REASON] if reason else None,
                    (plan or {}).get("export_arn"),
                    datetime.fromtimestamp(export_second, UTC).replace(tzinfo=None) if export_second else None,
                    (plan or {}).get("items"),
                    *(run, run, run, execution, RUNNING, STOPPED),  # one that was stopped may have been redriven
                ),
            )
        return changed > 0

    def describe(self, mapping: str, run: str | None = None, kind: str | None = None) -> list[dict[str, Any]]:
        """Return one run, or the newest of a mapping and kind, newest first, each with its progress by the ledger."""
        if not (run is None or is_run_id(run)):
            return []
        rows = self._aurora.query(
            f"SELECT {', '.join(ROW)}, {', '.join(PROGRESS.values())}"
            f" FROM (SELECT * FROM {self._table} WHERE mapping = %s"
            " AND (%s IS NULL OR run = %s) AND (%s IS NULL OR kind = %s)"
            f" ORDER BY started_at DESC LIMIT {MAX_LISTED}) AS r"
            f" LEFT JOIN {self._ledger} AS i ON i.run = r.run AND i.mapping = r.mapping AND i.source = r.kind"
            " GROUP BY r.run ORDER BY r.started_at DESC",
            (mapping, run, run, kind, kind),
        )
        return [_describe(*row) for row in rows]


ROW = (
    *("r.run", "r.kind", "r.mapping", "r.state", "r.execution", "r.options", "r.reason", "r.started_at", "r.ended_at"),
    *("r.export_arn", "r.export_time", "r.items", "r.rows_imported", "r.rows_rejected"),
)
PROGRESS = {
    "batches_imported": "COUNT(i.batch_id)",
    "rows_staged": "COALESCE(SUM(i.rows_staged), 0)",
    "rows_changed": "COALESCE(SUM(i.rows_changed), 0)",
    "rows_rejected": "COALESCE(SUM(i.rows_rejected), 0)",
    "retries": "COALESCE(SUM(i.retries), 0)",
    "last_import_at": "MAX(i.finished_at)",
}


def _describe(*values: Any) -> dict[str, Any]:
    row = dict(zip((name.removeprefix("r.") for name in ROW), map(_plain, values), strict=False))
    progress = dict(zip(PROGRESS, map(_plain, values[len(ROW) :]), strict=True))
    return {**row, "options": json.loads(row["options"]), "progress": progress}


def _plain(value: Any) -> Any:
    """Return a value of the database as JSON has it: sums as integers, times, which are UTC, in ISO 8601."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds") + "Z"
    return int(value) if isinstance(value, Decimal) else value
